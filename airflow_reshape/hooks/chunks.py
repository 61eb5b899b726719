"""Leads of any kind, read lazily in lists of bounded length."""

from __future__ import annotations

import inspect
import math
import time
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from airflow_reshape.events.models import BaseEvent
from airflow_reshape.exceptions import ReshapeConfigurationError
from airflow_reshape.mapping.values import short_float

CHUNK_ROWS = 200
# An item of a lazy sequence may be a lead, or what a mapped task returned: thousands of them.
FIRST_SLICE = 8
# A slow source (a paged API) must not hold back leads that it has given already.
CHUNK_SECONDS = 0.5
SHORT_FLOATS = {"float32", "float16", "Float32"}
TEXTS = (str, bytes, bytearray, memoryview)


def chunked(leads: Any, rows: int = CHUNK_ROWS, clock: Callable[[], float] = time.monotonic) -> Iterator[list[object]]:
    """Leads in chunks.

    :param leads: a lead (dict or event), a list, a lazy sequence (sliced, because each item of Airflow's costs a
        call), a DataFrame, an iterator or a generator. A list of lists is taken as one.
    :param rows: most rows of a chunk.
    :param clock: seconds, to pass on what a slow source gave.
    :raises ReshapeConfigurationError: it is none of these.
    """
    if leads is None:
        raise ReshapeConfigurationError(
            "leads is None: the upstream task or the function returned nothing; return an empty list for no leads"
        )
    if isinstance(leads, (Mapping, BaseEvent)):
        return _Gathered((leads,), rows, clock, known_total(leads))
    if _is_frame(leads):
        if not leads.columns.is_unique:
            raise ReshapeConfigurationError("leads is a DataFrame with two columns of one name: rename or drop one")
        return _Gathered(_records(leads, rows), rows, clock, known_total(leads))
    if (kind := _table_kind(leads)) is not None:
        raise ReshapeConfigurationError(f"leads is {kind[0]}, whose iteration gives columns: {kind[1]}")
    if isinstance(leads, (list, tuple, deque)):
        return _Gathered(leads, rows, clock, known_total(leads))
    if isinstance(leads, Sequence) and not isinstance(leads, TEXTS):
        return _sliced(leads, rows)
    if isinstance(leads, (AsyncIterable, Awaitable)):
        if inspect.iscoroutine(leads):
            leads.close()  # else Python warns that nobody awaited it
        raise ReshapeConfigurationError("leads is asynchronous: give a list, an iterator or a generator")
    if isinstance(leads, Iterable) and not isinstance(leads, TEXTS):
        return _Gathered(leads, rows, clock)
    raise ReshapeConfigurationError(
        f"leads must be dicts, in a list, an iterator or a generator, not {type(leads).__name__}"
    )


def known_total(leads: Any) -> int | None:
    """How many leads there are; None if that is not known before they are read.

    :param leads: as for :func:`chunked`. The length of a lazy sequence does not tell: each item may be many leads.
    """
    if isinstance(leads, (Mapping, BaseEvent)):
        return 1
    if _is_frame(leads):
        return len(leads)
    if isinstance(leads, (list, tuple, deque)):
        return sum(len(lead) if isinstance(lead, (list, tuple)) and not _is_row(lead) else 1 for lead in leads)
    return None


def _is_frame(leads: Any) -> bool:
    return all(hasattr(leads, part) for part in ("iloc", "columns", "to_dict"))


# Tables that are no lists of rows, by their package and class, and what gives the rows.
TABLES = {
    ("polars", "DataFrame"): "give leads.iter_rows(named=True)",
    ("polars", "LazyFrame"): "give leads.collect().iter_rows(named=True)",
    ("pyarrow", "Table"): "give leads.to_pylist()",
    ("pyarrow", "RecordBatch"): "give leads.to_pylist()",
    ("pyspark", "DataFrame"): "give (row.asDict() for row in leads.toLocalIterator())",
    ("dask", "DataFrame"): "give leads.compute()",
    ("dask_expr", "DataFrame"): "give leads.compute()",
    ("polars", "Series"): "give a list of dicts",
    ("numpy", "ndarray"): "give a list of dicts",
}


def _table_kind(leads: Any) -> tuple[str, str] | None:
    """What kind of table leads are, and what to give instead; None if they are none."""
    kind = type(leads)
    package = kind.__module__.partition(".")[0]
    cure = TABLES.get((package, kind.__name__))
    return (f"a {kind.__name__} of {package}", cure) if cure else None


def _flat(items: Iterable[Any], position: int = 0) -> Iterator[object]:
    for number, item in enumerate(items, position):
        if not isinstance(item, (list, tuple)):
            yield item
        elif _is_row(item):
            if not number:
                raise ReshapeConfigurationError(
                    f"leads are rows of type {type(item).__name__}, without the names of their columns: give dicts, "
                    "such as dict(zip(columns, row)); SqlToReshapeOperator makes them by itself"
                )
            yield item  # one bad row among others
        else:
            yield from item


def _is_row(item: Sequence[Any]) -> bool:
    """Whether a list or tuple is a row of values, and no list of leads."""
    return bool(item) and not isinstance(item[0], (Mapping, BaseEvent, list, tuple))


class _Gathered:
    """Leads of an iterator in chunks; knows what it gathered when reading ends midway.

    :ivar total: how many there are, or None.
    """

    def __init__(self, leads: Iterable[Any], rows: int, clock: Callable[[], float], total: int | None = None) -> None:
        self.total = total
        self._leads = iter(leads)
        self._rows = rows
        self._clock = clock
        self._chunk: list[object] = []
        self._chunks = self._iterate()

    def __iter__(self) -> Iterator[list[object]]:
        return self

    def __next__(self) -> list[object]:
        return next(self._chunks)

    def close(self) -> None:
        """End the reading, and the generator that gives the leads."""
        self._chunks.close()
        if inspect.isgenerator(self._leads):
            self._leads.close()

    def left(self) -> list[object]:
        """The leads of the chunk that was not full yet."""
        return self._taken()

    def _taken(self) -> list[object]:
        chunk, self._chunk = self._chunk, []
        return chunk

    def _iterate(self) -> Generator[list[object], None, None]:
        started = self._clock()
        try:
            for lead in _flat(self._leads):
                self._chunk.append(lead)
                if len(self._chunk) >= self._rows or self._clock() - started >= CHUNK_SECONDS:
                    yield self._taken()
                    started = self._clock()
        except Exception:
            # What the source gave before it broke is settled first; then the caller sees the error.
            if self._chunk:
                yield self._taken()
            raise
        if self._chunk:
            yield self._taken()


def _sliced(leads: Sequence[Any], rows: int) -> Iterator[list[object]]:
    start, items = 0, min(FIRST_SLICE, rows)
    while part := leads[start : start + items]:
        flat = list(_flat(part, start))
        for first in range(0, len(flat), rows):
            yield flat[first : first + rows]
        start += len(part)
        items = min(rows, max(1, rows * len(part) // max(1, len(flat))))  # about as many as make one chunk


def _records(frame: Any, rows: int) -> Iterator[Any]:
    for start in range(0, len(frame), rows):
        part = frame.iloc[start : start + rows]
        short = [name for name in part.columns if str(part.dtypes[name]) in SHORT_FLOATS]
        if short:  # as they are written: 19.99 would become 19.989999771118164
            values = {name: part[name].to_numpy(dtype="float32", na_value=math.nan) for name in short}
            part = part.astype(dict.fromkeys(short, "object"))
            for name, column in values.items():
                part[name] = [short_float(value) for value in column]
        yield from part.to_dict("records")
