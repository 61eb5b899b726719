"""Transactions that are made again: after a deadlock, and after a connection was lost, also while it was committed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, insert, text, update
from sqlalchemy.exc import DBAPIError, OperationalError

from airflow_reshape.delivery.ledger import databases
from airflow_reshape.delivery.ledger.claims import Claim
from airflow_reshape.delivery.ledger.databases import again, again_after_deadlocks, for_ledger
from airflow_reshape.delivery.ledger.store import LEASE, Entry, LedgerStore, SenderIdentity, Settlement, State
from airflow_reshape.delivery.ledger.tables import schema
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.databases import DatabaseServer
from tests.ledger.conftest import NewEngine, sqlalchemy_url
from tests.ledger.faults import Fault, failing
from tests.ledger.leads import leads
from tests.ledger.task import send_as


def error(cause: Exception, *, lost: bool = False, statement: str | None = "UPDATE") -> DBAPIError:
    return OperationalError(statement, {}, cause, connection_invalidated=lost)


def with_code(name: str, code: str) -> Exception:
    cause = Exception("told in words")
    setattr(cause, name, code)
    return cause


class Clock:
    """Time that passes while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(databases, "sleep", clock.sleep)
    monkeypatch.setattr(databases, "monotonic", lambda: clock.now)
    monkeypatch.setattr(databases, "random", lambda: 1.0)
    return clock


def failing_with(*errors: Exception) -> Callable[[], str]:
    left = iter(errors)

    def call() -> str:
        for each in left:
            raise each
        return "done"

    return call


DEADLOCKS = {
    "psycopg": with_code("sqlstate", "40P01"),
    "psycopg2": with_code("pgcode", "40P01"),
    "psycopg, not serializable": with_code("sqlstate", "40001"),
    "psycopg2, not serializable": with_code("pgcode", "40001"),
    "MySQL, deadlock": Exception(1213, "Deadlock found"),
    "MySQL, waited too long": Exception(1205, "Lock wait timeout exceeded"),
}


@pytest.mark.parametrize("repeated", [again, again_after_deadlocks])
@pytest.mark.parametrize("driver", DEADLOCKS)
def test_deadlocks_of_every_driver_are_repeated_with_growing_pauses(clock: Clock, repeated: Any, driver: str) -> None:
    assert repeated(failing_with(*[error(DEADLOCKS[driver])] * 8))() == "done"
    assert clock.pauses == [0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]


def test_two_that_met_do_not_meet_again(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(databases, "random", iter([0.5, 0.0, 0.25]).__next__)
    again(failing_with(*[error(DEADLOCKS["psycopg"])] * 3))()
    assert clock.pauses == [0.01, 0.0, 0.02]


@pytest.mark.parametrize("cause", [error(DEADLOCKS["psycopg2"]), error(Exception("closed"), lost=True)])
def test_it_ends_well_before_the_lease_does(clock: Clock, cause: Exception) -> None:
    with pytest.raises(OperationalError):
        again(failing_with(*[cause] * 1000))()
    assert clock.now < LEASE.total_seconds() / 4


def test_what_waited_long_for_a_lock_is_repeated_once(clock: Clock) -> None:
    calls = 0

    def waits() -> None:
        nonlocal calls
        calls += 1
        clock.now += 50
        raise error(DEADLOCKS["MySQL, waited too long"])

    with pytest.raises(OperationalError):
        again(waits)()
    assert calls == 2


@pytest.mark.parametrize(
    ("errors", "is_repeated"),
    [
        ([error(Exception("syntax"))], False),
        ([error(with_code("sqlstate", "42501"))], False),
        ([error(Exception("refused"), statement=None)], False),
        ([error(Exception("closed"), lost=True)], True),
        ([error(Exception("closed"), lost=True), error(Exception("starting up"), statement=None)], True),
        ([error(Exception("closed"), lost=True), error(Exception("syntax"))], False),
    ],
    ids=["syntax", "grants", "no connection from the start", "closed", "closed, then not up yet", "closed, then worse"],
)
def test_only_what_repeating_mends_is_repeated(clock: Clock, errors: list[Exception], is_repeated: bool) -> None:
    if is_repeated:
        assert again(failing_with(*errors))() == "done"
    else:
        with pytest.raises(OperationalError):
            again(failing_with(*errors))()
        assert len(clock.pauses) == len(errors) - 1


def test_what_may_not_be_made_twice_is_not_repeated_when_the_connection_breaks(clock: Clock) -> None:
    with pytest.raises(OperationalError):
        again_after_deadlocks(failing_with(error(Exception("closed"), lost=True)))()
    assert clock.pauses == []


@pytest.mark.parametrize("ledger_connection", ["postgresql"], indirect=True)
@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_a_real_deadlock(ledger_connection: str, postgres_ledger: DatabaseServer, driver: str) -> None:
    url = sqlalchemy_url(postgres_ledger).replace("+psycopg:", f"+{driver}:")
    engine = for_ledger(create_engine(url))
    schema.create(engine)
    with engine.begin() as connection:
        connection.execute(insert(schema), [{"version": 1}, {"version": 2}])
    both_have_one = threading.Barrier(2)

    def work(first: int, second: int) -> int:
        tries = 0

        @again
        def move() -> None:
            nonlocal tries
            tries += 1
            with engine.begin() as connection:
                for version in (first, second):
                    row = update(schema).where(schema.c.version == version)
                    connection.execute(row.values(purged_at=text("now() at time zone 'utc'")))
                    if version == first and tries == 1:
                        both_have_one.wait(30)

        move()
        return tries

    with ThreadPoolExecutor(2) as threads:
        sides = [threads.submit(work, *order) for order in ((1, 2), (2, 1))]
        assert sorted(side.result(60) for side in sides) == [1, 2]
    engine.dispose()


@pytest.mark.parametrize("ledger_connection", ["postgresql"], indirect=True)
def test_nothing_is_prepared_that_another_session_would_not_know(new_engine: NewEngine) -> None:
    """PgBouncer gives each transaction a session of its own."""
    engine = new_engine()
    with engine.connect():
        pass  # a connection is there already
    engine = for_ledger(for_ledger(engine))
    for _ in range(10):
        with engine.begin() as connection:
            connection.execute(text("SELECT 1"))
            prepared = connection.scalar(text("SELECT COUNT(*) FROM pg_prepared_statements"))
    assert prepared == 0
    driver: Any = connection.engine.raw_connection().driver_connection
    assert driver.prepare_threshold is None
    engine.dispose()


ONE, TWO = (Entry(name * 64, "lead_qualified", name, f"lead of {name}", "d") for name in "ab")


def store(engine: Engine, run: str = "run", try_number: int = 1) -> LedgerStore:
    return LedgerStore(engine, "SCRIPT01:prod", SenderIdentity("dag", run, "task", -1, try_number), "v1")


@pytest.mark.parametrize("kind", ["claimed", "baseline", "invalid"])
def test_a_claim_that_was_committed_unheard_is_known_as_our_own(new_engine: NewEngine, kind: str) -> None:
    engine = new_engine()
    sender, other = store(engine), store(engine, "another")
    sender.open()
    other.open()
    entry = Entry(ONE.key, "lead_qualified", "a", "lead of a", "d", state=State(kind))
    with failing(engine, Fault(1, "lost")):
        assert sender.claim([entry]) == {ONE.key: Claim.OWNED}
    assert other.claim([ONE])[ONE.key] is not Claim.TAKEN_OVER
    engine.dispose()


def test_every_call_may_lose_its_connection_while_it_commits(new_engine: NewEngine) -> None:
    engine = new_engine()
    first = store(engine)
    first.open()
    first.claim([ONE])
    later = store(engine, try_number=2)
    with failing(engine, Fault(1, "lost")):
        later._sign_in()
    first.close()
    with failing(engine, Fault(2, "lost")):
        claims = later.claim([ONE, TWO])
    assert claims == {ONE.key: Claim.TAKEN_OVER, TWO.key: Claim.OWNED}
    with failing(engine, Fault(1, "lost")):
        later.renew()
    with failing(engine, Fault(1, "lost")):
        assert later.settle([Settlement(key, State.DELIVERED, 1, 200) for key in claims]) == set()
    with failing(engine, Fault(1, "lost")):
        later.close({"read": 2})
    last = store(engine, "another")
    last.open()
    assert set(last.claim([ONE, TWO]).values()) == {Claim.ALREADY_SENT}
    engine.dispose()


def until_it_sends(sandbox: RunningSandbox) -> None:
    """The ledger is open then: closed before, the task ends in a retryable error, and nothing was sent."""
    deadline = monotonic() + 60
    while not sandbox.summary()["taken"]:
        assert monotonic() < deadline


@pytest.mark.parametrize("ledger_connection", ["postgresql"], indirect=True)
def test_a_send_goes_on_after_the_database_closed_its_connections(
    sandbox: RunningSandbox, new_engine: NewEngine
) -> None:
    """As in a failover, or where something between closes what stands idle."""
    boss = new_engine()
    closed = 0

    def source() -> Iterator[dict[str, Any]]:
        nonlocal closed
        for number, lead in enumerate(leads(0, 2_000)):
            if number and number % 400 == 0:
                until_it_sends(sandbox)
                with boss.connect() as connection:
                    others = "datname = 'crm' AND pid <> pg_backend_pid()"
                    query = text(f"SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE {others}")
                    closed += connection.scalar(query) or 0
            yield lead

    summary = send_as("run", 1, source())
    assert closed >= 3
    assert (summary["delivered"], summary["unsent"], summary["sent_again"]) == (2_000, 0, 0)
    received = sandbox.summary()
    assert (received["distinct_taken"], received["duplicates"]) == (2_000, 0)
    assert send_as("run", 2, leads(0, 2_000))["skipped_by"] == {"already_sent": 2_000}
    boss.dispose()
