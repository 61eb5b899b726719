"""Leads of any kind, read lazily."""

from __future__ import annotations

import gc
import warnings
from collections import UserDict, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, overload

import pandas as pd  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_reshape.delivery.source import total_of
from airflow_reshape.events import LeadQualified
from airflow_reshape.exceptions import ReshapeConfigurationError
from airflow_reshape.hooks.chunks import CHUNK_SECONDS, FIRST_SLICE, chunked, known_total
from tests.mapping.builders import LEAD, event

pytestmark = pytest.mark.timeout(30)

EVENT = LeadQualified(event={"id": "e1", "currency": "EUR"})


def rows(count: int) -> list[dict[str, int]]:
    return [{"lead_id": number} for number in range(count)]


def stopped() -> float:
    return 0.0


class Lazy(Sequence[Any]):
    """Like Airflow's sequence of XComs: each item and each slice costs a call."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.slices: list[tuple[int, int]] = []

    def __len__(self) -> int:
        raise AssertionError("its length costs a call, too")

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        assert isinstance(index, slice), "item by item"
        part = self.items[index]
        self.slices.append((index.start, len(part)))
        return part

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("item by item")


@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        deque,
        iter,
        Lazy,
        lambda leads: (lead for lead in leads),
        lambda leads: [leads],
        lambda leads: [leads[:100], leads[100:450], [], tuple(leads[450:])],
        lambda leads: Lazy([leads[:100], [], leads[100:450], leads[450:]]),
        pd.DataFrame,
        pd.Series,
        lambda leads: dict(enumerate(leads)).values(),
        lambda leads: map(dict, leads),
    ],
    ids=[
        "list", "tuple", "deque", "iterator", "lazy", "generator", "nested", "lists", "lazy lists", "frame", "series",
        "values", "map",
    ],
)  # fmt: skip
@pytest.mark.parametrize("count", [0, 1, 199, 200, 201, 1000])
def test_all_leads_in_order_in_chunks(make: Callable[[list[Any]], Any], count: int) -> None:
    chunks = list(chunked(make(rows(count)), rows=200, clock=stopped))
    assert [lead for chunk in chunks for lead in chunk] == rows(count)
    assert all(1 <= len(chunk) <= 200 for chunk in chunks)


@pytest.mark.parametrize("one", [{"lead_id": 1}, EVENT, UserDict(lead_id=1)])
def test_one_lead(one: Any) -> None:
    assert list(chunked(one)) == [[one]]


@pytest.mark.parametrize(
    ("leads", "total"),
    [
        ({"lead_id": 1}, 1),
        (EVENT, 1),
        (UserDict(lead_id=1), 1),
        ([], 0),
        (rows(450), 450),
        (tuple(rows(450)), 450),
        (deque(rows(450)), 450),
        (pd.DataFrame(rows(450)), 450),
        (pd.DataFrame(), 0),
        ([rows(100), rows(350), [], {"lead_id": 1}, EVENT], 452),
        (iter(rows(450)), None),
        ((row for row in rows(450)), None),
        (Lazy([rows(100), rows(350)]), None),
        (dict(enumerate(rows(3))).values(), None),
    ],
)
def test_how_many_leads_there_are(leads: Any, total: int | None) -> None:
    assert known_total(leads) == total
    chunks = chunked(leads, rows=200, clock=stopped)
    assert total_of(chunks) == total
    assert total in (None, sum(len(chunk) for chunk in chunks))


ROWS = st.dictionaries(st.text(), st.integers())


@given(st.lists(ROWS | st.lists(ROWS, max_size=9).map(tuple)))
def test_the_number_told_is_the_number_read(items: list[Any]) -> None:
    for leads in (items, tuple(items), deque(items)):
        assert known_total(leads) == sum(len(chunk) for chunk in chunked(leads, rows=7, clock=stopped))


def test_events_in_a_list() -> None:
    assert list(chunked([EVENT, EVENT])) == [[EVENT, EVENT]]


def coroutine() -> Any:
    async def leads() -> list[Any]:
        return []

    return leads()


async def async_generator() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: None, "returned nothing"),
        (lambda: "lead_id=1", "not str"),
        (lambda: b"lead", "not bytes"),
        (lambda: bytearray(b"lead"), "not bytearray"),
        (lambda: 5, "not int"),
        (object, "not object"),
        (async_generator, "asynchronous"),
        (coroutine, "asynchronous"),
    ],
)
def test_what_are_no_leads(make: Callable[[], Any], told: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ReshapeConfigurationError, match=told):
            chunked(make())
        gc.collect()


def test_a_lazy_sequence_is_sliced_in_few_calls() -> None:
    lazy = Lazy(rows(1000))
    assert sum(len(chunk) for chunk in chunked(lazy, rows=200)) == 1000
    assert lazy.slices[0] == (0, FIRST_SLICE)
    assert len(lazy.slices) <= 1 + 1000 // 200 + 2


def test_a_lazy_sequence_of_long_lists_is_read_bit_by_bit() -> None:
    # What mapped tasks return: each item may be thousands of leads, and a slice of 200 of them a million.
    lazy = Lazy([rows(5000) for _ in range(40)])
    assert sum(len(chunk) for chunk in chunked(lazy, rows=200)) == 200_000
    assert max(length for _, length in lazy.slices) == FIRST_SLICE
    assert {length for _, length in lazy.slices[1:-1]} == {1}


def test_a_lazy_sequence_is_not_read_ahead() -> None:
    lazy = Lazy(rows(1000))
    chunks = chunked(lazy, rows=100)
    next(chunks)
    assert len(lazy.slices) == 1


def test_a_generator_is_read_only_as_far_as_needed() -> None:
    read = []

    def source() -> Iterator[int]:
        for number in range(10_000):
            read.append(number)
            yield number

    chunks = chunked(source(), rows=50)
    assert read == []
    next(chunks)
    assert len(read) == 50


def test_a_slow_source_passes_on_what_it_gave() -> None:
    now = [0.0]

    def source() -> Iterator[int]:
        for number in range(12):
            # Four leads at once, then a wait for the next page.
            if number % 4 == 0 and number:
                now[0] += CHUNK_SECONDS
            yield number

    assert list(chunked(source(), clock=lambda: now[0])) == [[0, 1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11]]


def test_the_time_that_the_consumer_takes_does_not_count() -> None:
    now = [0.0]
    chunks = chunked(iter(range(20)), rows=10, clock=lambda: now[0])
    assert len(next(chunks)) == 10
    now[0] += 60
    assert len(next(chunks)) == 10


def test_what_came_before_an_error_comes_out_first() -> None:
    def source() -> Iterator[int]:
        yield from range(5)
        raise OSError("page 2")

    chunks = chunked(source(), rows=3)
    assert next(chunks) == [0, 1, 2]
    assert next(chunks) == [3, 4]
    with pytest.raises(OSError, match="page 2"):
        next(chunks)


@pytest.mark.parametrize("read", [0, 1, 2])
def test_a_generator_is_closed_with_its_chunks(read: int) -> None:
    closed = []

    def source() -> Iterator[int]:
        try:
            yield from range(10)
        finally:
            closed.append(True)

    chunks = chunked(source(), rows=2)
    for _ in range(read):
        next(chunks)
    chunks.close()  # type: ignore[attr-defined]
    assert closed == ([True] if read else [])


class TaskTimeout(BaseException):
    pass


def test_an_execution_timeout_in_a_source_goes_through() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise TaskTimeout

    with pytest.raises(TaskTimeout):
        list(chunked(source()))


@given(st.lists(st.lists(ROWS, max_size=9), max_size=20), st.integers(1, 7))
def test_a_lazy_sequence_gives_what_it_holds(items: list[list[dict[str, int]]], size: int) -> None:
    chunks = list(chunked(Lazy(items), rows=size))
    assert [one for chunk in chunks for one in chunk] == [one for item in items for one in item]
    assert all(1 <= len(chunk) <= size for chunk in chunks)


class Table:
    """Iterating it gives its columns, as with polars."""

    def __iter__(self) -> Iterator[str]:
        return iter(("lead_id", "email"))


@pytest.mark.parametrize(("package", "name"), [("polars.dataframe.frame", "DataFrame"), ("pyarrow.lib", "Table")])
def test_a_table_of_columns_is_refused_by_its_form(package: str, name: str) -> None:
    table = type(name, (Table,), {"__module__": package})()
    with pytest.raises(ReshapeConfigurationError, match=f"a {name} of {package.partition('.')[0]}, .*give leads"):
        list(chunked(table))


@pytest.mark.parametrize("kind", [tuple, list])
@pytest.mark.parametrize("lazy", [False, True])
def test_rows_without_names_are_refused_by_their_form(kind: type, lazy: bool) -> None:
    leads: Any = [kind((1, "ana@example.com")), kind((2, "ion@example.com"))]
    with pytest.raises(ReshapeConfigurationError, match=f"rows of type {kind.__name__}, .*dict\\(zip"):
        list(chunked(iter(leads) if lazy else leads))


def test_one_row_without_names_among_others_is_one_bad_lead() -> None:
    leads = [{"lead_id": 1}, (2, "ion@example.com"), {"lead_id": 3}]
    assert known_total(leads) == 3
    assert [lead for chunk in chunked(leads) for lead in chunk] == leads


def test_floats_of_32_bits_keep_their_digits() -> None:
    frame = pd.DataFrame({"value": pd.array([19.99, None], dtype="float32"), "n": [1, 2]})
    (chunk,) = chunked(frame)
    assert str(chunk[0]["value"]) == "19.99"  # type: ignore[index]
    assert event({**LEAD, **chunk[0]}, unknown_columns="ignore").body["event"]["value"] == 19.99  # type: ignore[dict-item]
