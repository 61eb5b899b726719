"""A source hears that its reader waits, also behind the checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

import pytest

from airflow_reshape.delivery.checkpoint.checkpoint import Checkpoint
from airflow_reshape.delivery.checkpoint.keys import RowKeys
from airflow_reshape.delivery.guards import Guards
from airflow_reshape.delivery.source import closing_error, waited
from tests.checkpoint.stores import Store
from tests.delivery.leads import builder, lead, leads


class Busy(Iterator[list[object]]):
    """A source that uses the time a few times."""

    def __init__(self) -> None:
        self.uses = 0
        self.is_closed = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> list[object]:
        return list(leads(10))

    def close(self) -> None:
        self.is_closed = True

    def waited(self) -> bool:
        self.uses += 1
        return self.uses < 3


def checkpoint(store: Store) -> Checkpoint:
    keys = RowKeys("secret", "AB12CD34:prod", Guards())
    return Checkpoint(store, keys, frozenset(), tell=lambda _: None, warn=lambda _: None)


@pytest.mark.parametrize("tries", [1, 2])
def test_waiting_reaches_the_source(tries: int) -> None:
    store, prepare = Store(), builder()
    if tries == 2:
        first = checkpoint(store)
        first.resume([], prepare)
        first.take(lead(1), prepare(lead(1)))
        first.save()
        assert store.text is not None
    source = Busy()
    chunks = checkpoint(store).resume(source, prepare)
    assert (chunks is source) == (tries == 1)
    assert len(next(iter(chunks))) == 10
    assert [waited(chunks), waited(chunks), waited(chunks)] == [True, True, False]
    assert source.uses == 3
    assert closing_error(chunks) is None
    assert source.is_closed


def test_a_source_without_other_work_is_left_alone() -> None:
    assert not waited(leads(3))
