"""Claims and settlements of several senders, on real databases."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import select, update

from airflow_reshape.delivery.ledger.claims import TAKEN, Claim, LedgerFencedError
from airflow_reshape.delivery.ledger.digests import event_key
from airflow_reshape.delivery.ledger.store import (
    Entry,
    LedgerSchemaError,
    LedgerStore,
    SenderIdentity,
    Settlement,
    State,
)
from airflow_reshape.delivery.ledger.tables import LEAD_ID_LENGTH, events, schema, senders
from tests.ledger.conftest import NewEngine


def key(name: str) -> str:
    return event_key("SCRIPT01:prod", "lead_qualified", name)


def entry(name: str, digest: str = "same", state: State = State.CLAIMED, body: str | None = None) -> Entry:
    fields = "event.id user.email"
    return Entry(key(name), "lead_qualified", name, f"lead of {name}", digest, fields, state=state, body_digest=body)


class Senders:
    """Makes senders of one ledger."""

    def __init__(self, new_engine: NewEngine) -> None:
        self.new_engine = new_engine

    def __call__(
        self,
        run: str = "r",
        try_number: int = 1,
        version: str = "v1",
        lease: timedelta = timedelta(seconds=60),
        time_to_notice: timedelta = timedelta(0),
        identity: SenderIdentity | None = None,
    ) -> LedgerStore:
        identity = identity or SenderIdentity("d", run, "t", -1, try_number, "0.1.0")
        store = LedgerStore(self.new_engine(), "SCRIPT01:prod", identity, version, lease, time_to_notice=time_to_notice)
        store.open()
        return store


@pytest.fixture
def sender(new_engine: NewEngine) -> Senders:
    return Senders(new_engine)


def answer(store: LedgerStore, *entries: Entry) -> list[Claim]:
    claims = store.claim(entries)
    return [claims[each.key] for each in entries]


def settle(store: LedgerStore, name: str, state: State) -> None:
    assert store.settle([Settlement(key(name), state, 1, 200, None)]) == set()


def run_out(store: LedgerStore, new_engine: NewEngine) -> None:
    """Let a sender's lease be over."""
    with new_engine().begin() as connection:
        connection.execute(
            update(senders).where(senders.c.id == store.sender_id).values(lease_until=datetime(2000, 1, 1))
        )


def test_what_is_delivered_is_not_claimed_again(sender: Senders) -> None:
    first, second = sender("one"), sender("two")
    assert answer(first, entry("a"), entry("b")) == [Claim.OWNED, Claim.OWNED]
    settle(first, "a", State.DELIVERED)

    assert answer(second, entry("a"), entry("b"), entry("c")) == [Claim.ALREADY_SENT, Claim.BUSY, Claim.OWNED]
    assert answer(second, entry("a", digest="other")) == [Claim.CHANGED]


def test_digests_of_another_key_cannot_be_compared(sender: Senders) -> None:
    first = sender("one")
    answer(first, entry("a"))
    settle(first, "a", State.DELIVERED)
    assert answer(sender("two", version="v2"), entry("a", digest="other")) == [Claim.ALREADY_SENT]


def test_what_is_rejected_is_tried_again_once_it_changed(sender: Senders) -> None:
    store = sender()
    answer(store, entry("a"))
    settle(store, "a", State.REJECTED)
    assert answer(store, entry("a")) == [Claim.STILL_REJECTED]
    assert answer(store, entry("a", digest="mended")) == [Claim.OWNED]


def test_any_change_of_the_body_mends_a_rejected_event_and_only_the_digest_counts_as_changed(sender: Senders) -> None:
    store = sender()
    answer(store, entry("bad", body="one"), entry("good", body="one"))
    settle(store, "bad", State.REJECTED)
    settle(store, "good", State.DELIVERED)
    assert answer(store, entry("bad", body="one"), entry("good", body="two")) == [
        Claim.STILL_REJECTED,
        Claim.ALREADY_SENT,
    ]
    assert answer(store, entry("bad", body="two")) == [Claim.OWNED]


def test_what_is_released_is_free(sender: Senders) -> None:
    first = sender("one")
    answer(first, entry("a"))
    settle(first, "a", State.RELEASED)
    assert answer(sender("two"), entry("a")) == [Claim.OWNED]


def test_baseline_counts_as_sent(sender: Senders) -> None:
    store = sender()
    assert answer(store, entry("a", state=State.BASELINE)) == [Claim.OWNED]
    assert answer(sender("two"), entry("a")) == [Claim.ALREADY_SENT]
    assert answer(store, entry("a", state=State.BASELINE)) == [Claim.ALREADY_SENT]


def test_an_earlier_try_of_the_same_task_is_taken_over_and_fenced_off(sender: Senders) -> None:
    dead = sender(try_number=1)
    answer(dead, entry("a"), entry("b"))

    alive = sender(try_number=2)
    assert answer(alive, entry("a")) == [Claim.TAKEN_OVER]
    with pytest.raises(LedgerFencedError, match="took its events over"):
        dead.settle([Settlement(key("a"), State.REJECTED), Settlement(key("b"), State.DELIVERED)])
    settle(alive, "a", State.DELIVERED)
    assert answer(sender("three"), entry("a"), entry("b")) == [Claim.ALREADY_SENT, Claim.ALREADY_SENT]


def test_another_task_waits_for_the_lease_to_run_out(sender: Senders, new_engine: NewEngine) -> None:
    dead = sender("one")
    living = sender("two")
    answer(dead, entry("a"))
    answer(living, entry("b"))
    run_out(dead, new_engine)

    assert answer(sender("three"), entry("a"), entry("b")) == [Claim.TAKEN_OVER, Claim.BUSY]
    with pytest.raises(LedgerFencedError, match="took its events over"):
        dead.renew()
    living.renew()


def test_a_sender_that_signed_off_leaves_its_claims_in_doubt(sender: Senders) -> None:
    gone = sender("one")
    answer(gone, entry("a"))
    gone.close()
    assert answer(sender("two"), entry("a")) == [Claim.TAKEN_OVER]
    with pytest.raises(LedgerFencedError):
        gone.renew()


@pytest.mark.parametrize("call", ["renew", "claim", "settle"])
def test_a_later_try_fences_off_the_earlier_one_when_it_signs_in(sender: Senders, call: str) -> None:
    zombie = sender(try_number=1)
    answer(zombie, entry("a"))
    others = [sender("another run"), sender(identity=SenderIdentity("d", "r", "t", 5, 1)), sender(try_number=2)]
    calls = {
        "renew": zombie.renew,
        "claim": lambda: zombie.claim([entry("b")]),
        "settle": lambda: zombie.settle([Settlement(key("a"), State.DELIVERED)]),
    }
    with pytest.raises(LedgerFencedError, match="another try of this task, or another send, took its events over"):
        calls[call]()
    for other in others:
        other.renew()
    # What it settled is written; what it wanted to claim is nobody's.
    settled = Claim.ALREADY_SENT if call == "settle" else Claim.TAKEN_OVER
    assert answer(others[-1], entry("a"), entry("b")) == [settled, Claim.OWNED]


def test_a_fenced_sender_has_time_to_settle_unless_it_signs_off(sender: Senders) -> None:
    zombie = sender(try_number=1)
    answer(zombie, entry("a"), entry("b"), entry("c"))
    later = sender(try_number=2, time_to_notice=timedelta(seconds=60))
    assert answer(later, entry("a"), entry("b"), entry("c"), entry("d")) == [Claim.BUSY] * 3 + [Claim.OWNED]
    with pytest.raises(LedgerFencedError):
        zombie.settle([Settlement(key("a"), State.DELIVERED), Settlement(key("b"), State.RELEASED)])
    assert answer(later, entry("a"), entry("b"), entry("c")) == [Claim.ALREADY_SENT, Claim.OWNED, Claim.BUSY]
    zombie.close()
    assert answer(later, entry("c")) == [Claim.TAKEN_OVER]


def test_senders_without_a_task_are_fenced_off_by_their_lease_only(sender: Senders, new_engine: NewEngine) -> None:
    nobody = SenderIdentity()
    first = sender(identity=nobody)
    second = sender(identity=nobody)
    answer(first, entry("a"))
    assert answer(second, entry("a")) == [Claim.BUSY]
    first.renew()
    run_out(first, new_engine)
    assert first.settle([]) == set()
    assert answer(second, entry("a")) == [Claim.TAKEN_OVER]
    with pytest.raises(LedgerFencedError, match="took its events over"):
        first.settle([Settlement(key("a"), State.DELIVERED)])


@pytest.mark.parametrize("call", ["renew", "claim"])
def test_a_lease_that_ran_out_is_taken_up_again_if_nobody_took_over(
    sender: Senders, new_engine: NewEngine, call: str
) -> None:
    slow, other = sender("one"), sender("two")
    answer(slow, entry("a"))
    run_out(slow, new_engine)
    if call == "renew":
        slow.renew()
    else:
        assert answer(slow, entry("b")) == [Claim.OWNED]
    assert answer(other, entry("a")) == [Claim.BUSY]
    settle(slow, "a", State.DELIVERED)
    assert answer(other, entry("a")) == [Claim.ALREADY_SENT]


@pytest.mark.parametrize("call", ["renew", "claim"])
def test_a_lease_that_ran_out_is_not_taken_up_again_after_a_take_over(
    sender: Senders, new_engine: NewEngine, call: str
) -> None:
    slow, other = sender("one"), sender("two")
    answer(slow, entry("a"), entry("b"))
    run_out(slow, new_engine)
    assert answer(other, entry("a")) == [Claim.TAKEN_OVER]
    with pytest.raises(LedgerFencedError, match="took its events over"):
        slow.renew() if call == "renew" else slow.claim([entry("c")])
    assert answer(other, entry("b"), entry("c")) == [Claim.TAKEN_OVER, Claim.OWNED]


def test_nor_after_a_later_try_signed_in(sender: Senders, new_engine: NewEngine) -> None:
    slow = sender(try_number=1)
    answer(slow, entry("a"))
    run_out(slow, new_engine)
    later = sender(try_number=2)
    with pytest.raises(LedgerFencedError, match="took its events over"):
        slow.renew()
    assert answer(later, entry("a")) == [Claim.TAKEN_OVER]


def test_who_takes_its_lease_up_while_somebody_takes_over_keeps_its_events(
    sender: Senders, new_engine: NewEngine
) -> None:
    """Between the look at what is free and the taking of it."""
    slow, dead = sender("one"), sender("two")
    answer(slow, entry("a"))
    answer(dead, entry("b"))
    run_out(slow, new_engine)
    run_out(dead, new_engine)

    class Interrupted(LedgerStore):
        def _take_over(self, *seen: Any) -> Any:
            slow.renew()
            return super()._take_over(*seen)

    other = Interrupted(new_engine(), "SCRIPT01:prod", SenderIdentity("d", "three", "t", -1, 1), "v1")
    other.open()
    assert answer(other, entry("a"), entry("b")) == [Claim.BUSY, Claim.TAKEN_OVER]
    settle(slow, "a", State.DELIVERED)
    with pytest.raises(LedgerFencedError, match="took its events over"):
        dead.renew()


def test_an_earlier_try_that_comes_late_does_not_begin(sender: Senders) -> None:
    later = sender(try_number=2)
    with pytest.raises(LedgerFencedError, match="a later try of this task is sending"):
        sender(try_number=1)
    later.close()
    sender(try_number=1)


def test_case_makes_another_event_whatever_the_collation(sender: Senders) -> None:
    assert answer(sender(), entry("abc"), entry("ABC"), entry("abc ")) == [Claim.OWNED] * 3


def test_odd_ids_are_kept(sender: Senders, new_engine: NewEngine) -> None:
    odd = "Żółć 🚀 ' \"; --"
    answer(sender(), entry(odd))
    with new_engine().connect() as connection:
        assert connection.scalars(select(events.c.event_id)).all() == [odd]


def test_ids_that_a_database_refuses_are_written_as_it_can(sender: Senders, new_engine: NewEngine) -> None:
    store = sender()
    assert answer(store, entry("a\u0000b"), entry("half \ud83d"), entry("x" * 1000)) == [Claim.OWNED] * 3
    assert store.settle([Settlement(key("x" * 1000), State.REJECTED, 1, 400, "why " * 200)]) == set()
    with new_engine().connect() as connection:
        written = {row.event_id: row.lead_id for row in connection.execute(select(events))}
    assert written["a\ufffdb"] == "lead of a\ufffdb"
    assert len(written["x" * 1000] or "") == LEAD_ID_LENGTH


def test_settlements_of_all_kinds_in_one_batch(sender: Senders, new_engine: NewEngine) -> None:
    store = sender()
    names = [f"{n:02d}" for n in range(40)]
    answer(store, *map(entry, names))
    made = [
        Settlement(key(name), (State.DELIVERED, State.REJECTED, State.RELEASED)[n % 3], n % 4, (200, 422, None)[n % 3])
        for n, name in enumerate(names)
    ]
    assert store.settle(made) == set()
    assert store.settle(made) == set()  # written, and the answer was lost on the way
    columns = (events.c.key, events.c.state, events.c.attempts, events.c.http_status)
    with new_engine().connect() as connection:
        written = {tuple(row) for row in connection.execute(select(*columns))}
    assert written == {(each.key, each.state.value, each.attempts, each.http_status) for each in made}


def test_tables_of_another_version_are_refused(sender: Senders, new_engine: NewEngine) -> None:
    sender()
    with new_engine().begin() as connection:
        connection.execute(schema.insert().values(version=99))
    with pytest.raises(LedgerSchemaError, match="version 99"):
        sender("two")


@pytest.mark.parametrize("seed", [1, 2])
def test_senders_at_once_never_own_the_same_event(sender: Senders, seed: int) -> None:
    names = [f"{n:03d}" for n in range(300)]
    owned: list[list[str]] = []
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            store = sender(f"run {number}")
            mine = names.copy()
            Random(f"{seed}/{number}").shuffle(mine)
            got: list[str] = []
            for start in range(0, len(mine), 30):
                wanted = [entry(name) for name in mine[start : start + 30]]
                claims = store.claim(wanted)
                got += [each.event_id or "" for each in wanted if claims[each.key] in TAKEN]
            owned.append(got)
        except BaseException as error:  # noqa: BLE001  # asserted on below
            errors.append(error)

    senders = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in senders:
        thread.start()
    for thread in senders:
        thread.join()
    assert errors == []
    assert sorted(name for got in owned for name in got) == names
