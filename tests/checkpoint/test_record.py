"""What is stored: how large it gets, what of it is remembered, and what happens if it is damaged."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from airflow_reshape.delivery.checkpoint import progress
from airflow_reshape.delivery.checkpoint.checkpoint import STORE_KEY, Checkpoint
from airflow_reshape.delivery.checkpoint.keys import RowKeys
from airflow_reshape.delivery.checkpoint.resume import KnownRow
from airflow_reshape.delivery.guards import Guards
from airflow_reshape.delivery.outcome import Kind, Outcome
from airflow_reshape.events.prepared import InvalidLead, SkippedLead
from airflow_reshape.exceptions import ReshapeFailedLeadsError
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.checkpoint.sends import everything, leads, received, send
from tests.checkpoint.stores import Store
from tests.delivery.leads import builder, in_chunks, lead

pytestmark = pytest.mark.timeout(60)
BUILD = builder()
SOFT_LIMIT = 64 * 1024


def checkpoint(store: Store) -> Checkpoint:
    return Checkpoint(store, RowKeys("token", "script:prod", Guards()), Guards().failing, print, print)


def read(
    one: Checkpoint, rows: list[dict[str, Any]], fails: Callable[[int], bool], settles: Callable[[int], bool]
) -> None:
    """Read rows, and settle those that are to be settled; positions count from 1."""
    position = 0
    for chunk in one.resume(in_chunks(rows), BUILD):
        for row in chunk:
            position += 1
            if isinstance(row, KnownRow):
                one.take_known(row)
                continue
            prepared = BUILD(row)
            one.take(row, prepared)
            if settles(position):
                kind = Kind.REJECTED if fails(position) else Kind.DELIVERED
                one.settle(Outcome(kind, position, prepared))


def test_a_checkpoint_stays_below_the_limit_of_a_value(store: Store) -> None:
    """A thousand failures in each try, and all of them leave the source before the next."""
    for start in (0, 10_000, 20_000):
        one = checkpoint(store)
        rows = [lead(start + number) for number in range(4000)]
        read(one, rows, lambda position: position > 1000, lambda position: position != 1900)
        one.save()
        assert store.text is not None
        assert len(store.text) < SOFT_LIMIT
    last = checkpoint(store)
    read(last, [], lambda _: False, lambda _: True)
    assert last.remembered_failures() >= 3000, "what finds no room is counted"


def test_a_failure_far_behind_a_slow_row_is_not_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "MOST_BEYOND", 8)
    rows = [lead(number) for number in range(1, 101)]
    first = checkpoint(store)
    read(first, rows, lambda position: position == 50, lambda position: position != 3)
    first.save()
    del rows[49]
    second = checkpoint(store)
    read(second, rows, lambda _: False, lambda _: True)
    assert second.remembered_failures() == 1
    third = checkpoint(store)
    rows.insert(49, lead(50))
    read(third, rows, lambda _: False, lambda _: True)
    assert third.remembered_failures() == 0, "it was met again"


@pytest.mark.parametrize(
    "damage",
    [
        {"failed": {"3": "no digest"}},
        {"mended": {"3": "zz"}},
        {"missing": ["abc"]},
        {"beyond": "***"},
        {"read": 10**12},
        {"read": 0},
        {"digest": "zz"},
        {"counts": None},
        {"settled": -1},
    ],
    ids=str,
)
def test_a_damaged_checkpoint_is_told_and_everything_is_sent(
    sandbox: RunningSandbox, store: Store, damage: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = leads(20)
    rows[3]["currency"] = "euros"
    with pytest.raises(ReshapeFailedLeadsError):
        send(store, rows)
    store.set(STORE_KEY, {**store.get(STORE_KEY), **damage})
    sandbox.clear()
    send(store, leads(20))
    assert set(received(sandbox)) == everything(20)
    assert "everything is sent again" in capsys.readouterr().out


@pytest.mark.parametrize("odd", ["text", 7, [1, 2], json.dumps({"settled": 3}), True])
def test_a_store_that_gives_something_else(sandbox: RunningSandbox, store: Store, odd: Any) -> None:
    store.set(STORE_KEY, odd)
    send(store, leads(5))
    assert set(received(sandbox)) == everything(5)


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("person@example.com")


def test_rows_that_cannot_be_told_still_have_a_key() -> None:
    keys = RowKeys("token", "script:prod", Guards())
    for row in ({"a": Hostile()}, {Hostile(): 1}, Hostile(), {"a": [Hostile()]}, None, 7):
        for prepared in (InvalidLead(()), SkippedLead("stage_not_sent")):
            assert keys.of(row, prepared) == keys.of(row, prepared)


def test_hostile_rows_are_invalid_and_the_others_are_sent(sandbox: RunningSandbox, store: Store) -> None:
    rows: list[Any] = [*leads(20), {"email": Hostile(), "currency": Hostile()}, Hostile()]
    Random(1).shuffle(rows)
    for _ in range(2):
        with pytest.raises(ReshapeFailedLeadsError, match="2 of 22"):
            send(store, rows)
    assert received(sandbox) == dict.fromkeys(everything(20), 1)
