"""Old rows are removed when a send signs off; marks of forgotten leads stay."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import Engine, select, text, update

from airflow_reshape.delivery.ledger.databases import for_ledger
from airflow_reshape.delivery.ledger.digests import Digests, event_key
from airflow_reshape.delivery.ledger.forgetting import forget
from airflow_reshape.delivery.ledger.retention import purge
from airflow_reshape.delivery.ledger.store import Entry, LedgerStore, SenderIdentity, Settlement, State
from airflow_reshape.delivery.ledger.tables import events, forgotten, schema, senders
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.ledger.conftest import NewEngine
from tests.ledger.leads import leads

DIGESTS = Digests("a key of these tests")
DAY = timedelta(days=1)
REFUSALS = {
    "sqlite": [
        "CREATE TRIGGER keep BEFORE DELETE ON reshape_event BEGIN SELECT RAISE(ABORT, 'kept L-secret'); END",
    ],
    "postgresql": [
        """
        CREATE OR REPLACE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql
        AS $$BEGIN RAISE EXCEPTION 'kept L-secret'; END$$
        """,
        "CREATE TRIGGER keep BEFORE DELETE ON reshape_event FOR EACH ROW EXECUTE FUNCTION keep()",
    ],
    "mysql": [
        """
        CREATE TRIGGER keep BEFORE DELETE ON reshape_event FOR EACH ROW
        SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'kept L-secret'
        """,
    ],
}


def store(new_engine: NewEngine, task: str = "t", retention: timedelta = 30 * DAY) -> LedgerStore:
    identity = SenderIdentity("d", "r", task, -1, 1)
    made = LedgerStore(new_engine(), "SCRIPT01:prod", identity, DIGESTS.version, retention=retention)
    made.open()
    return made


def key(name: str) -> str:
    return event_key("SCRIPT01:prod", "lead_qualified", name)


def claim(sender: LedgerStore, *names: str) -> None:
    sender.claim([Entry(key(name), "lead_qualified", name, f"L-{name}", "d") for name in names])


def deliver(sender: LedgerStore, *names: str) -> None:
    claim(sender, *names)
    sender.settle([Settlement(key(name), State.DELIVERED, 1, 200) for name in names])


def age(new_engine: NewEngine, days: int, *names: str) -> None:
    """Let events have happened so much earlier, and their senders too."""
    with for_ledger(new_engine()).begin() as connection:
        rows = connection.execute(select(events).where(events.c.event_id.in_(names))).all()
        for row in rows:
            earlier = {
                name: getattr(row, name) and getattr(row, name) - days * DAY for name in ("claimed_at", "settled_at")
            }
            connection.execute(update(events).where(events.c.key == row.key).values(earlier))
        for row in connection.execute(select(senders).where(senders.c.id.in_({row.owner for row in rows}))).all():
            earlier = {"started_at": row.started_at - days * DAY}
            connection.execute(update(senders).where(senders.c.id == row.id).values(earlier))


def kept(new_engine: NewEngine) -> list[str]:
    with new_engine().connect() as connection:
        return sorted(connection.scalars(select(events.c.event_id)).all())


def next_day(new_engine: NewEngine) -> None:
    with for_ledger(new_engine()).begin() as connection:
        last = connection.scalar(select(schema.c.purged_at))
        assert last is not None
        connection.execute(update(schema).values(purged_at=last - DAY))


def test_old_events_go_with_their_senders_and_marks_stay(new_engine: NewEngine) -> None:
    forget(new_engine(), "gone", "SCRIPT01", DIGESTS)
    for sender, names in ((store(new_engine), ("a", "b")), (store(new_engine), ("c", "d"))):
        deliver(sender, *names)
        sender.close()
    age(new_engine, 31, "a", "b", "c")
    last = store(new_engine)
    assert last.purge() == 3

    assert kept(new_engine) == ["d"]
    with new_engine().connect() as connection:
        owner = connection.scalar(select(events.c.owner))
        assert set(connection.scalars(select(senders.c.id))) == {owner, last.sender_id}
        assert len(connection.scalars(select(forgotten.c.digest)).all()) == 1


def test_once_a_day(new_engine: NewEngine) -> None:
    sender = store(new_engine)
    deliver(sender, "a", "b")
    assert sender.purge() == 0
    age(new_engine, 31, "a")
    assert store(new_engine).purge() == 0
    next_day(new_engine)
    assert store(new_engine).purge() == 1
    assert kept(new_engine) == ["b"]


def test_what_a_living_send_has_claimed_stays_and_what_a_dead_one_left_goes(new_engine: NewEngine) -> None:
    living, dead = store(new_engine), store(new_engine)
    claim(living, "living")
    claim(dead, "dead")
    with for_ledger(new_engine()).begin() as connection:
        over = datetime(2000, 1, 1)
        connection.execute(update(senders).where(senders.c.id == dead.sender_id).values(lease_until=over))
    age(new_engine, 31, "living", "dead")
    assert store(new_engine).purge() == 1
    assert kept(new_engine) == ["living"]


def test_the_longest_of_what_tasks_asked_for_when_they_last_ran_counts(new_engine: NewEngine) -> None:
    first = store(new_engine, "patient", retention=300 * DAY)
    deliver(first, "a")
    first.close()
    age(new_engine, 31, "a")
    assert store(new_engine, "hasty").purge() == 0
    assert kept(new_engine) == ["a"]

    store(new_engine, "patient", retention=20 * DAY)  # it changed its mind
    next_day(new_engine)
    assert store(new_engine, "hasty").purge() == 1


def test_a_little_at_a_time_and_the_next_send_goes_on(new_engine: NewEngine) -> None:
    sender = store(new_engine)
    names = [f"{n:02d}" for n in range(25)]
    deliver(sender, *names)
    sender.close()
    age(new_engine, 31, *names)
    engine = for_ledger(new_engine())
    ticks = count()

    def some(engine: Engine) -> int:
        return purge(engine, 30 * DAY, rows_at_once=10, seconds=2, timer=lambda: float(next(ticks)))

    assert some(engine) == 20
    assert some(engine) == 5
    assert kept(new_engine) == []
    assert some(engine) == 0


def send(rows: Any, **options: Any) -> dict[str, Any]:
    return ReshapeHook().send_events(rows, event="lead_qualified", ledger_conn_id="ledger", **options)


def make_old(new_engine: NewEngine) -> None:
    """Let all that was sent have been sent 31 days ago, and the last purge a day ago."""
    with new_engine().connect() as connection:
        ids = connection.scalars(select(events.c.event_id)).all()
    age(new_engine, 31, *ids)
    next_day(new_engine)


def test_a_send_removes_what_is_older_than_the_plan_says(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    send(leads(0, 20))
    make_old(new_engine)
    send(leads(20, 25))
    assert len(kept(new_engine)) == 25  # 13 months by default

    next_day(new_engine)
    send(leads(25, 30), ledger_retention=30 * DAY)
    assert len(kept(new_engine)) == 10


def test_a_failing_purge_is_logged_and_fails_nothing(
    sandbox: RunningSandbox, new_engine: NewEngine, caplog: pytest.LogCaptureFixture
) -> None:
    send(leads(0, 5), ledger_retention=30 * DAY)
    make_old(new_engine)
    engine = for_ledger(new_engine())
    with engine.begin() as connection:
        for statement in REFUSALS[engine.dialect.name]:
            connection.execute(text(statement))
    with caplog.at_level(logging.WARNING):
        assert send(leads(5, 9), ledger_retention=30 * DAY)["delivered"] == 4
    assert "old events could not be removed from the ledger" in caplog.text
    assert "L-secret" not in caplog.text
    assert len(kept(new_engine)) == 9
