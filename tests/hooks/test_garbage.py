"""Python's garbage collector during sends: frozen objects stay, garbage does not."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from weakref import ref

import pytest

from airflow_reshape.hooks.garbage import older_objects_left_alone


class Node:
    """Garbage once nobody else knows it: only the collector frees it."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    gc.unfreeze()
    yield
    gc.unfreeze()


def test_older_objects_are_frozen_for_as_long_as_it_lasts() -> None:
    with older_objects_left_alone():
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_the_inner_one_of_two_leaves_the_outer_one_alone() -> None:
    with older_objects_left_alone():
        with older_objects_left_alone():
            pass
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_objects_that_somebody_else_froze_stay_frozen() -> None:
    gc.freeze()
    with older_objects_left_alone():
        pass
    assert gc.get_freeze_count() > 0


def test_many_sends_in_a_process_with_frozen_objects_keep_no_garbage() -> None:
    gc.freeze()
    with older_objects_left_alone():
        pass
    frozen = gc.get_freeze_count()
    gone = []
    for _ in range(3):
        node = Node()
        gone.append(ref(node))
        del node
        with older_objects_left_alone():
            pass
    gc.collect()
    assert [node() for node in gone] == [None, None, None]
    assert gc.get_freeze_count() <= frozen
