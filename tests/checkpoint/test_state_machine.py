"""The checkpoint as a state machine: tries that crash between any two steps, over a source that moves in between."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from airflow_reshape.delivery.checkpoint import checkpoint, progress
from airflow_reshape.delivery.checkpoint.checkpoint import STORE_KEY, Checkpoint
from airflow_reshape.delivery.checkpoint.keys import RowKeys
from airflow_reshape.delivery.checkpoint.resume import Before, KnownRow
from airflow_reshape.delivery.guards import Guards
from airflow_reshape.delivery.outcome import Kind, Outcome
from airflow_reshape.events.prepared import InvalidLead
from tests.checkpoint.stores import Store
from tests.delivery.leads import builder, in_chunks, lead

BUILD = builder()
SEEDS = st.integers(0, 2**32)
GOOD, INVALID, REFUSED = "good", "invalid", "refused"


class Tries(RuleBasedStateMachine):
    """One task. ``rows`` are pairs of number and state; the server keeps what it took."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store()
        self.taken: Counter[int] = Counter()
        self.next_number = 0
        self.moved = False
        self.replaced = False
        self.seen_to_fail: set[int] = set()
        self.saved_failures: set[int] = set()

    @initialize(states=st.lists(st.sampled_from([GOOD, GOOD, GOOD, GOOD, INVALID, REFUSED]), min_size=20, max_size=80))
    def fill(self, states: list[str]) -> None:
        self.rows = [self.new_row(state) for state in states]

    def new_row(self, state: str) -> tuple[int, str]:
        self.next_number += 1
        return (self.next_number, state)

    @staticmethod
    def as_lead(row: tuple[int, str]) -> dict[str, Any]:
        number, state = row
        return lead(number, currency="EUR" if state != INVALID else "no currency")

    # A try

    @rule(seed=SEEDS, steps=st.integers(1, 150))
    def crash(self, seed: int, steps: int) -> None:
        """A try that is killed after some steps."""
        self.begin()
        self.work(Random(seed), steps)

    @rule(seed=SEEDS)
    def finish(self, seed: int) -> None:
        self.begin()
        random = Random(seed)
        while not self.read_all or self.to_post or self.to_settle:
            self.work(random, 50)
        failures = self.failures + self.checkpoint.remembered_failures()
        self.checkpoint.end(failures=failures)
        wrong = [number for number, state in self.rows if state == GOOD and not self.taken[number]]
        # With too many failures to list each, the task stays red, and once it is cleared everything is sent again.
        assert not wrong or (failures and self.store.text is None), f"lost: {wrong}"
        bad = sum(state != GOOD for _, state in self.rows)
        gone = self.failed_before - {number for number, _ in self.rows} if not self.replaced else ()
        assert failures >= bad + len(gone), "a failure was forgotten"
        if not self.moved:
            assert failures == bad or self.store.text is None  # too many to list: counted twice, and all anew
        if not failures:
            assert self.store.text is None
        self.seen_to_fail = self.saved_failures = {number for number, state in self.rows if state != GOOD}

    def begin(self) -> None:
        self.checkpoint = Checkpoint(
            self.store, RowKeys("token", "script:prod", Guards()), Guards().failing, print, print
        )
        self.states = dict(self.rows)
        self.covered_at_begin = self.store.covered
        chunks = in_chunks([self.as_lead(row) for row in self.rows], 3)
        self.source: Iterator[Sequence[object]] = iter(self.checkpoint.resume(chunks, BUILD))
        self.position = self.failures = 0
        self.again: list[int] = []
        if self.store.text is None:
            self.seen_to_fail = set()
        self.failed_before = self.saved_failures if self.store.text else set()
        self.to_post: list[tuple[int, int, Any]] = []
        self.to_settle: list[tuple[int, Outcome]] = []
        self.read_all = False

    def work(self, random: Random, steps: int) -> None:
        """Some steps in any order that an engine may take them in."""
        for _ in range(steps):
            ready = [
                step
                for step, is_ready in (
                    (self.read, not self.read_all and len(self.to_post) < 12),
                    (self.post, self.to_post),
                    (self.settle, self.to_settle),
                    (self.save, random.random() < 0.3),
                )
                if is_ready
            ]
            if ready:
                random.choice(ready)(random)

    def read(self, _: Random) -> None:
        chunk = next(self.source, None)
        if chunk is None:
            self.read_all = True
            return
        for row in chunk:
            self.take(row)

    def take(self, row: object) -> None:
        self.position += 1
        if isinstance(row, KnownRow):
            self.checkpoint.take_known(row)
            if row.before is not Before.FAILED:
                return
            row = row.row
            prepared = BUILD(row)
        else:
            prepared = BUILD(row)
            self.checkpoint.take(row, prepared)
        assert isinstance(row, dict)
        number = int(row["lead_id"][1:])
        if isinstance(prepared, InvalidLead):
            self.failures += 1
            self.to_settle.append((number, Outcome(Kind.INVALID, self.position, prepared, "invalid")))
        else:
            self.to_post.append((self.position, number, prepared))

    def post(self, random: Random) -> None:
        position, number, prepared = self.to_post.pop(random.randrange(min(len(self.to_post), 6)))
        if not self.moved:
            assert position not in self.covered_at_begin, "sent again although the checkpoint knew it"
        if self.states[number] == REFUSED:
            self.failures += 1
            self.to_settle.append((number, Outcome(Kind.REJECTED, position, prepared, "422")))
        else:
            self.taken[number] += 1
            self.to_settle.append((number, Outcome(Kind.DELIVERED, position, prepared)))

    def settle(self, random: Random) -> None:
        number, outcome = self.to_settle.pop(random.randrange(len(self.to_settle)))
        self.checkpoint.settle(outcome)
        self.seen_to_fail = self.seen_to_fail - {number} | ({number} if outcome.kind is not Kind.DELIVERED else set())

    def save(self, _: Random) -> None:
        before = self.store.covered
        self.checkpoint.save()
        if not self.moved:
            assert before <= self.store.covered | set(self.again), "the checkpoint went back"
        self.saved_failures = set(self.seen_to_fail)

    # The source, between tries

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def mend(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(self.rows) - 1))
        number, state = self.rows[at]
        self.rows[at] = (number, GOOD)
        # Failed rows that are not listed are told apart by what they hold.
        self.moved |= bool((self.store.get(STORE_KEY) or {}).get("unlisted"))
        if state != GOOD:
            self.taken[number] = 0

    @rule(data=st.data(), state=st.sampled_from([GOOD, GOOD, INVALID]))
    def insert(self, data: st.DataObject, state: str) -> None:
        self.moved = self.replaced = True
        self.rows.insert(data.draw(st.integers(0, len(self.rows))), self.new_row(state))

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        self.moved = True
        del self.rows[data.draw(st.integers(0, len(self.rows) - 1))]

    @precondition(lambda self: len(self.rows) > 1)
    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        self.moved = True
        row = self.rows.pop(data.draw(st.integers(0, len(self.rows) - 1)))
        self.rows.insert(data.draw(st.integers(0, len(self.rows))), row)

    @invariant()
    def nothing_personal_is_kept(self) -> None:
        assert not re.search(r'"l\d+"', self.store.text or "")  # not any "l: digits in Base64 may begin so


@pytest.mark.timeout(120)
def test_no_try_loses_a_lead_or_forgets_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, small in (("MOST_BEYOND", 8), ("MOST_FAILED", 4), ("MOST_MARKS", 4), ("FIRST_INTERVAL", 2)):
        monkeypatch.setattr(progress, name, small)
    monkeypatch.setattr(checkpoint, "MOST_FAILED", 4)
    run_state_machine_as_test(
        Tries,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # shrinking takes minutes
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
