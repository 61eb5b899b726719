"""Order within a lead, freedom between leads: the lanes against a model that any reader can check."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from airflow_reshape.delivery.lanes import Lanes

pytestmark = pytest.mark.timeout(60)


class Item(NamedTuple):
    number: int
    key: str | None


class Waiting(NamedTuple):
    at: float
    not_before: bool


class LanesModel(RuleBasedStateMachine):
    """All events not done are in one list in the order of their coming; ``waits`` and ``taken`` tell what they do."""

    def __init__(self) -> None:
        super().__init__()
        self.lanes: Lanes[Item] = Lanes()
        self.now = 0.0
        self.number = 0
        self.here: list[Item] = []
        self.taken: list[Item] = []
        self.last: list[Item] = []
        self.was_due = False
        self.waits: dict[Item, Waiting] = {}
        self.out: list[Item] = []

    def is_first(self, item: Item) -> bool:
        """Whether no earlier event of its key is left."""
        return item.key is None or next(other for other in self.here if other.key == item.key) == item

    def free(self) -> list[Item]:
        """Events that may be taken, now or later."""
        return [item for item in self.here if item not in self.taken and self.is_first(item)]

    def ready(self) -> list[Item]:
        return [item for item in self.free() if item not in self.waits or self.waits[item].at <= self.now]

    @rule(key=st.none() | st.sampled_from("abc"))
    def add(self, key: str | None) -> None:
        self.number += 1
        item = Item(self.number, key)
        self.here.append(item)
        self.lanes.add(item)

    @rule(seconds=st.floats(0, 3))
    def time_goes_by(self, seconds: float) -> None:
        self.now += seconds

    @rule(new_first=st.booleans())
    def take(self, new_first: bool) -> None:
        ready = self.ready()
        item = self.lanes.take(self.now, new_first=new_first)
        if not ready:
            assert item is None
            self.was_due = False
            return
        assert item in ready
        due = [one for one in ready if one in self.waits]
        others = [one for one in ready if one not in self.waits and one not in self.last]
        # Who has waited for a time takes turns with the others, the longest overdue first.
        if due and not (others and (new_first or self.was_due)):
            assert item in due
            assert self.waits[item].at == min(self.waits[one].at for one in due)
        elif others:
            assert item in others
        self.was_due = item in due
        self.waits.pop(item, None)
        if item in self.last:
            assert item == self.last.pop(0)
        self.taken.append(item)

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        item = self.give_back(data)
        self.here.remove(item)
        self.out.append(item)
        self.lanes.done(item)

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def again(self, data: st.DataObject) -> None:
        item = self.give_back(data)
        self.last.append(item)
        self.lanes.again(item)

    @rule()
    def recall(self) -> None:
        self.last.clear()
        self.lanes.recall()

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), seconds=st.floats(0, 5), not_before=st.booleans())
    def later(self, data: st.DataObject, seconds: float, not_before: bool) -> None:
        item = self.give_back(data)
        self.waits[item] = Waiting(self.now + seconds, not_before)
        self.lanes.later(item, self.now + seconds, not_before=not_before)

    @rule()
    def hurry(self) -> None:
        self.waits = {item: wait for item, wait in self.waits.items() if wait.not_before}
        self.last.clear()
        self.lanes.hurry()

    @rule()
    def clear(self) -> None:
        given = self.lanes.clear()
        assert sorted(given) == sorted(item for item in self.here if item not in self.taken)
        for key in {item.key for item in given} - {None}:
            numbers = [item.number for item in given if item.key == key]
            assert numbers == sorted(numbers)
        self.here = list(self.taken)
        self.last.clear()
        self.waits.clear()

    def give_back(self, data: st.DataObject) -> Item:
        item = data.draw(st.sampled_from(self.taken))
        self.taken.remove(item)
        return item

    @invariant()
    def it_knows_how_many_and_when(self) -> None:
        assert len(self.lanes) == len(self.here)
        due = self.lanes.due_at(self.now)
        free = self.free()
        if not free:
            assert due is None
        elif self.ready():
            assert due is not None
            assert due <= self.now
        else:
            assert due == min(self.waits[item].at for item in free)

    def teardown(self) -> None:
        """Nothing is lost, nothing comes twice, and each key's events come in their order."""
        self.last.clear()
        self.lanes.hurry()
        for item in self.taken:
            self.lanes.again(item)
        while (next_one := self.lanes.take(float("inf"))) is not None:
            self.out.append(next_one)
            self.here.remove(next_one)
            self.lanes.done(next_one)
        assert self.here == []
        assert len(self.lanes) == 0
        assert len(set(self.out)) == len(self.out)
        for key in "abc":
            numbers = [item.number for item in self.out if item.key == key]
            assert numbers == sorted(numbers)


TestLanes = LanesModel.TestCase
TestLanes.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


def test_those_that_are_tried_again_let_all_that_are_ready_go_first() -> None:
    lanes: Lanes[Item] = Lanes()
    items = [Item(number, None) for number in range(3)]
    for item in items:
        lanes.add(item)
    first = lanes.take(0)
    assert first is not None
    lanes.again(first)
    assert [lanes.take(0) for _ in range(4)] == [items[1], items[2], items[0], None]


def test_a_key_is_not_blocked_by_what_was_cleared() -> None:
    lanes: Lanes[Item] = Lanes()
    taken, behind, after = (Item(number, "a") for number in range(3))
    lanes.add(taken)
    assert lanes.take(0) == taken
    lanes.add(behind)
    assert lanes.clear() == [behind]
    lanes.add(after)
    assert lanes.take(0) is None, "the one taken is not done"
    lanes.done(taken)
    assert lanes.take(0) == after
