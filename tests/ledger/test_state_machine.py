"""The ledger as a state machine: any number of senders, any order of steps, a crash between any two of them.

The model knows what each step must answer and what the server received. After the last step all senders are dead, and
one more send has to find everything that was never delivered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, delete, event, select, update

from airflow_reshape.delivery.ledger.claims import TAKEN, Claim, LedgerFencedError
from airflow_reshape.delivery.ledger.databases import for_ledger
from airflow_reshape.delivery.ledger.digests import event_key
from airflow_reshape.delivery.ledger.store import Entry, LedgerStore, SenderIdentity, Settlement, State
from airflow_reshape.delivery.ledger.tables import events, metadata, senders
from tests.ledger.conftest import NewEngine
from tests.ledger.faults import Fault, Interrupted, failing

DESTINATION = "SCRIPT01:prod"
NAMES = ("a", "b", "c")
KEYS = {name: event_key(DESTINATION, "lead_qualified", name) for name in NAMES}
RUNS = ("one", "two")
LONG_AGO = datetime(2000, 1, 1)
EXAMPLES = {"sqlite": 80, "postgresql": 15, "mysql": 15}
STEPS = 30

ANSWERS = st.sampled_from(["delivered", "rejected", "taken, answer lost", "not taken, answer lost"])
SETTLED_AS = {"not sent": State.RELEASED, "delivered": State.DELIVERED, "rejected": State.REJECTED}
FAULTS = st.none() | st.builds(Fault, st.integers(1, 2), st.sampled_from(["before", "after", "deadlock", "lost"]))
CONTENTS = ("first", "first, mail mended", "other value")  # the value is told before the comma
WANTED = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(CONTENTS), min_size=1)
ANY = st.integers(0, 7)


@dataclass(eq=False)
class Sending:
    """A sender as the model sees it.

    :param runs: its process is there.
    :param may_claim: no call of it failed yet.
    :param expired: its lease ran out; it takes it up again with whatever it does next, unless it was fenced off.
    :param fenced: somebody took over from it: it may settle what it still owns, and nothing else.
    :param held: what it claimed and did not settle, with the server's answer.
    """

    store: LedgerStore
    run: str
    try_number: int
    runs: bool = True
    may_claim: bool = True
    expired: bool = False
    ended: bool = False
    fenced: bool = False
    held: dict[str, str | None] = field(default_factory=dict)

    def lives_for(self, other: Sending) -> bool:
        return not (self.ended or self.expired or self.fenced or self.is_earlier_try_of(other))

    def is_earlier_try_of(self, other: Sending) -> bool:
        return self.run == other.run and self.try_number < other.try_number


@dataclass
class Row:
    """An event as the ledger must have it."""

    state: State
    owner: Sending
    content: str


class LedgerMachine(RuleBasedStateMachine):
    """Senders over one ledger."""

    def __init__(self, new_engine: NewEngine) -> None:
        super().__init__()
        self.senders: list[Sending] = []
        self.tries: Counter[str] = Counter()
        self.rows: dict[str, Row] = {}
        self.received: Counter[str] = Counter()
        self.doubts: Counter[str] = Counter()
        """How often an event was claimed and unsettled when its sender died or was fenced off."""
        self.engine = for_ledger(new_engine())
        if self.engine.dialect.name == "sqlite":  # nothing here outlives the machine
            event.listen(self.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
        metadata.create_all(self.engine)
        with self.engine.begin() as connection:
            connection.execute(delete(events))
            connection.execute(delete(senders))

    def _pick(self, number: int, among: Callable[[Sending], bool] = lambda sender: True) -> Sending | None:
        chosen = [sender for sender in self.senders if sender.runs and among(sender)]
        return chosen[number % len(chosen)] if chosen else None

    # Steps

    @initialize(run=st.sampled_from(RUNS))
    def first_send(self, run: str) -> None:
        self._start(run)

    @precondition(lambda self: len(self.senders) < 8)
    @rule(run=st.sampled_from(RUNS), fault=FAULTS)
    def start(self, run: str, fault: Fault | None) -> None:
        """A try begins; one before it may still run."""
        self._start(run, fault)

    @rule(number=ANY, wanted=WANTED, baseline=st.sampled_from([False] * 5 + [True]), fault=FAULTS, dies=st.booleans())
    def claim(self, number: int, wanted: dict[str, str], baseline: bool, fault: Fault | None, dies: bool) -> None:
        sender = self._pick(number, lambda sender: sender.may_claim)
        if sender is not None:
            self._claim(sender, wanted, State.BASELINE if baseline else State.CLAIMED, fault, dies)

    @precondition(lambda self: len(self.senders) < 8)
    @rule(run=st.sampled_from(RUNS), wanted=WANTED, answers=st.lists(ANSWERS, max_size=3), ends=st.booleans())
    def send(self, run: str, wanted: dict[str, str], answers: list[str], ends: bool) -> None:
        """A try that claims, sends as far as it comes, and settles and signs off, or not."""
        sender = self._start(run)
        assert sender is not None
        self._claim(sender, wanted)
        for name, answer in zip(list(sender.held), answers, strict=False):
            self._post(sender, name, answer)
        if ends:
            self._settle(sender, set(NAMES))
            self._sign_off(sender)

    @rule(number=ANY, which=ANY, answer=ANSWERS)
    def post(self, number: int, which: int, answer: str) -> None:
        sender = self._pick(number, lambda sender: None in sender.held.values())
        if sender is None:
            return
        unsent = [name for name, told in sender.held.items() if told is None]
        self._post(sender, unsent[which % len(unsent)], answer)

    @rule(number=ANY, chosen=st.sets(st.sampled_from(NAMES), min_size=1), fault=FAULTS, dies=st.booleans())
    def settle(self, number: int, chosen: set[str], fault: Fault | None, dies: bool) -> None:
        """Settle what has an answer, and release what was not sent; what may have arrived stays claimed."""
        sender = self._pick(number, lambda sender: bool(sender.held))
        if sender is not None:
            self._settle(sender, chosen, fault, dies)

    @rule(number=ANY, answer=ANSWERS)
    def wake_up(self, number: int, answer: str) -> None:
        """A sender goes on that hung so long that others took over from it."""
        sender = self._pick(number, lambda sender: any(self.rows[name].owner is not sender for name in sender.held))
        if sender is not None:
            for name in [name for name, told in sender.held.items() if told is None]:
                self._post(sender, name, answer)
            self._settle(sender, set(NAMES))

    @rule(number=ANY)
    def renew(self, number: int) -> None:
        sender = self._pick(number)
        if sender is None:
            return
        assert _is_refused(sender.store.renew) is sender.fenced
        sender.may_claim &= not sender.fenced
        sender.expired &= sender.fenced

    @precondition(lambda self: len(self.senders) < 8)
    @rule(number=ANY, run=st.sampled_from(RUNS), answers=st.lists(ANSWERS, max_size=3), ends=st.booleans())
    def lease_runs_out(self, number: int, run: str, answers: list[str], ends: bool) -> None:
        """Of a sender that hangs, or of one that is dead; the next send comes along."""
        self._expire(self.senders[number % len(self.senders)])
        self.send(run, dict.fromkeys(NAMES, CONTENTS[0]), answers, ends)

    @rule(number=ANY)
    def crash(self, number: int) -> None:
        sender = self._pick(number)
        if sender is not None:
            sender.runs = False

    @rule(number=ANY, fault=FAULTS)
    def sign_off(self, number: int, fault: Fault | None) -> None:
        sender = self._pick(number)
        if sender is not None:
            self._sign_off(sender, fault)

    # What the steps do

    def _start(self, run: str, fault: Fault | None = None) -> Sending | None:
        self.tries[run] += 1
        store = _store(self.engine, run, self.tries[run])
        if fault is not None and fault.kind in ("deadlock", "lost"):
            fault = None
        try:
            with failing(self.engine, fault):
                store.open()
        except Interrupted:
            return None  # before it signed in
        for other in self.senders:
            other.fenced |= other.run == run and not other.ended
        sender = Sending(store, run, self.tries[run])
        self.senders.append(sender)
        return sender

    def _claim(
        self,
        sender: Sending,
        wanted: Mapping[str, str],
        state: State = State.CLAIMED,
        fault: Fault | None = None,
        dies: bool = False,
    ) -> None:
        if sender.fenced and not sender.held.keys() >= wanted.keys():
            entries = [_entry(name, content, state) for name, content in wanted.items()]
            assert _is_refused(lambda: sender.store.claim(entries))
            sender.may_claim = False
            return
        expected = {name: self._answer(sender, name, content, state) for name, content in wanted.items()}
        try:
            with failing(self.engine, fault):
                claims = sender.store.claim([_entry(name, content, state) for name, content in wanted.items()])
        except Interrupted:
            # Each event was claimed or was not; the sender knows of none.
            now = self._stored()
            sender.expired &= self._has_run_out(sender)
            self._take(sender, wanted, state, [n for n in wanted if expected[n] in TAKEN and now[n] != self._told(n)])
            self._failed(sender, dies)
            return
        assert {name: claims[KEYS[name]] for name in wanted} == expected
        sender.expired &= self._has_run_out(sender)
        taken = [name for name in wanted if expected[name] in TAKEN]
        self._take(sender, wanted, state, taken)
        if state is State.CLAIMED:
            sender.held |= dict.fromkeys(taken)

    def _post(self, sender: Sending, name: str, answer: str) -> None:
        sender.held[name] = answer
        self.received[name] += answer in ("delivered", "taken, answer lost")
        assert self.received[name] <= 1 + self.doubts[name], "sent twice without a doubt"

    def _settle(self, sender: Sending, chosen: set[str], fault: Fault | None = None, dies: bool = False) -> None:
        # An outcome is final, whether or not it gets written at once.
        sender.held |= {name: "not sent" for name, told in sender.held.items() if name in chosen and told is None}
        ends = {name: SETTLED_AS[told] for name, told in sender.held.items() if name in chosen and told in SETTLED_AS}
        settlements = [Settlement(KEYS[name], end, 1, 200) for name, end in ends.items()]
        taken_from = sender.fenced or any(self.rows[name].owner is not sender for name in ends)
        try:
            with failing(self.engine, fault):
                assert _is_refused(lambda: sender.store.settle(settlements)) is bool(ends and taken_from)
        except Interrupted:
            if fault is not None and fault.kind == "after":
                self._write(sender, ends)
            self._failed(sender, dies)
            return
        self._write(sender, ends)
        for name in ends:
            del sender.held[name]

    def _sign_off(self, sender: Sending, fault: Fault | None = None) -> None:
        sender.runs = False
        try:
            with failing(self.engine, fault):
                sender.store.close({"read": 1})
        except Interrupted:
            sender.ended = fault is not None and fault.kind == "after"
        else:
            sender.ended = True

    # What the steps mean

    def _answer(self, sender: Sending, name: str, content: str, state: State) -> Claim:
        row = self.rows.get(name)
        if name in sender.held:
            return Claim.BUSY
        if row is None or row.state is State.RELEASED:
            return Claim.OWNED
        if row.state is State.CLAIMED:
            return Claim.BUSY if row.owner is not sender and row.owner.lives_for(sender) else Claim.TAKEN_OVER
        if row.state is State.REJECTED:
            if content != row.content or state is State.BASELINE:
                return Claim.OWNED
            return Claim.REJECTED_THIS_RUN if row.owner.is_earlier_try_of(sender) else Claim.STILL_REJECTED
        return Claim.ALREADY_SENT if _value(content) == _value(row.content) else Claim.CHANGED

    def _take(self, sender: Sending, wanted: Mapping[str, str], state: State, names: list[str]) -> None:
        for name in names:
            row = self.rows.get(name)
            if row is not None and row.state is State.CLAIMED:
                self.doubts[name] += 1
                assert not row.owner.lives_for(sender), "two living senders own one event"
                row.owner.fenced |= row.owner is not sender
            assert row is None or row.state not in (State.DELIVERED, State.BASELINE), "handed out again"
            self.rows[name] = Row(state, sender, wanted[name])

    def _write(self, sender: Sending, ends: Mapping[str, State]) -> None:
        for name, end in ends.items():
            row = self.rows[name]
            if row.owner is sender and row.state is State.CLAIMED:
                row.state = end

    def _failed(self, sender: Sending, dies: bool) -> None:
        sender.runs = not dies
        sender.may_claim = False

    def _expire(self, sender: Sending) -> None:
        sender.expired = True
        with self.engine.begin() as connection:
            connection.execute(
                update(senders).where(senders.c.id == sender.store.sender_id).values(lease_until=LONG_AGO)
            )

    def _has_run_out(self, sender: Sending) -> bool:
        with self.engine.connect() as connection:
            query = select(senders.c.lease_until).where(senders.c.id == sender.store.sender_id)
            return connection.scalar(query) == LONG_AGO

    def _told(self, name: str) -> tuple[str, str, str] | None:
        row = self.rows.get(name)
        return None if row is None else (row.state.value, row.owner.store.sender_id, row.content)

    def _stored(self) -> dict[str, tuple[str, str, str] | None]:
        with self.engine.connect() as connection:
            rows = connection.execute(select(events)).all()
        stored = {row.event_id: (row.state, row.owner, row.body_digest) for row in rows}
        return {name: stored.get(name) for name in NAMES}

    @invariant()
    def ledger_is_as_the_model_has_it(self) -> None:
        assert self._stored() == {name: self._told(name) for name in NAMES}

    # After the last step

    def teardown(self) -> None:
        try:
            self._send_the_rest()
        finally:
            self.engine.dispose()

    def _send_the_rest(self) -> None:
        """Crashes stop. One send delivers all that was not delivered, and one after it has nothing to do."""
        for sender in self.senders:
            sender.runs = False
            self._expire(sender)
        known = {name: row.state for name, row in self.rows.items()}
        for run in ("last", "one more"):
            last = self._start(run)
            assert last is not None
            self._claim(last, dict.fromkeys(NAMES, "last"))  # what was rejected is mended
            assert not (run == "one more" and last.held)
            for name in list(last.held):
                self._post(last, name, "delivered")
            self._settle(last, set(NAMES))
            self._sign_off(last)
        for name in NAMES:
            assert self.received[name] >= 1 or known.get(name) is State.BASELINE, f"{name} is lost"


def _value(content: str) -> str:
    return content.partition(",")[0]


def _store(engine: Engine, run: str, try_number: int) -> LedgerStore:
    """Nobody has time to notice here, for there is no time."""
    identity = SenderIdentity("dag", run, "task", -1, try_number)
    return LedgerStore(engine, DESTINATION, identity, "v1", time_to_notice=timedelta(0))


def _is_refused(call: Callable[[], Any]) -> bool:
    """Whether others took over from the sender that makes the call."""
    try:
        call()
    except LedgerFencedError:
        return True
    return False


def _entry(name: str, content: str, state: State) -> Entry:
    return Entry(
        KEYS[name], "lead_qualified", name, f"lead of {name}", _value(content), state=state, body_digest=content
    )


def test_no_order_of_steps_and_crashes_loses_or_repeats(new_engine: NewEngine, request: pytest.FixtureRequest) -> None:
    examples: Any = request.node.callspec.params["ledger_connection"]
    run_state_machine_as_test(
        lambda: LedgerMachine(new_engine),  # type: ignore[arg-type]  # anything that makes one
        settings=settings(
            max_examples=EXAMPLES[examples],
            stateful_step_count=STEPS,
            derandomize=True,
            database=None,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_a_deadlock_while_taking_over_makes_no_doubt_of_what_is_new(new_engine: NewEngine) -> None:
    engine = new_engine()
    first, second = (_store(engine, "run", n) for n in (1, 2))
    first.open()
    first.claim([_entry("a", "first", State.CLAIMED)])
    second.open()
    with failing(engine, Fault(2, "deadlock")):
        claims = second.claim([_entry("a", "first", State.CLAIMED), _entry("b", "first", State.CLAIMED)])
    assert claims == {KEYS["a"]: Claim.TAKEN_OVER, KEYS["b"]: Claim.OWNED}
    engine.dispose()
