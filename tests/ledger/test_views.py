"""The views beside the ledger's tables, told by real sends."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, delete, func, inspect, literal_column, select, text, update

from airflow_reshape.delivery.ledger.store import CLOCKS, LedgerStore, SenderIdentity, State
from airflow_reshape.delivery.ledger.tables import events, metadata, senders
from airflow_reshape.delivery.ledger.views import (
    DAILY,
    OPEN_PROBLEMS,
    TIMELINE,
    definitions,
    made_views,
    make_views,
    source,
)
from airflow_reshape.exceptions import ReshapeError
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.ledger.conftest import NewEngine
from tests.ledger.leads import leads

VIEWS = {TIMELINE, DAILY, OPEN_PROBLEMS}


def rows(engine: Engine, name: str) -> list[dict[str, object]]:
    with engine.connect() as connection:
        view = source(connection, name, CLOCKS[engine.dialect.name])
        return [dict(row) for row in connection.execute(select(view)).mappings()]


def send_with_problems(sandbox: RunningSandbox) -> None:
    """0 to 9, of which 3 is rejected, 4 invalid, and one that nobody can answer for."""
    given = leads(0, 10)
    given[4]["currency"] = None
    for lead in given:
        lead["occurred_at"] = datetime.now(UTC) - timedelta(hours=5)
    sandbox.set_faults(ids=["3:qualified"], statuses={"422": 1.0})
    plan = SendPlan(event="lead_qualified", ledger_conn_id="ledger")
    with pytest.raises(ReshapeError):
        ReshapeHook().lead_send(plan, SenderIdentity("dag", "run", "task", -1, 1, "9.9")).run([given])
    sandbox.clear_faults()


def test_the_timeline_tells_each_event_once(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    send_with_problems(sandbox)
    told = rows(new_engine(), TIMELINE)

    assert Counter(row["state"] for row in told) == {"delivered": 8, "rejected": 1, "invalid": 1}
    (one,) = (row for row in told if row["event_id"] == "7:qualified")
    expected = {
        "lead_id": "7",
        "event_name": "lead_qualified",
        "script_id": sandbox.script_id,
        "environment": "prod",
        "state": "delivered",
        "attempts": 1,
        "http_status": 200,
        "reason": None,
        "dag_id": "dag",
        "run_id": "run",
        "task_id": "task",
        "map_index": -1,
        "try_number": 1,
        "package_version": "9.9",
    }
    assert {name: one[name] for name in expected} == expected
    assert isinstance(one["claimed_at"], datetime)
    lag = one["lag_seconds"]
    assert isinstance(lag, float)
    assert lag == pytest.approx((one["settled_at"] - one["occurred_at"]).total_seconds(), abs=0.01)  # type: ignore[operator]


def test_no_view_holds_more_than_the_tables(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    send_with_problems(sandbox)
    for name in VIEWS:
        told = repr(rows(new_engine(), name)).lower()
        assert "@" not in told
        assert "722123456" not in told


def test_a_day_has_its_counts(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    send_with_problems(sandbox)
    engine = new_engine()
    with engine.begin() as connection:  # three of them a day before
        connection.execute(
            update(events)
            .where(events.c.event_id.in_(["first:qualified", "1:qualified", "2:qualified"]))
            .values(settled_at=datetime(2026, 1, 31, 23, 59, 59))
        )
    told = rows(engine, DAILY)
    (day,) = (row for row in told if str(row["day"]) == "2026-01-31")
    assert (day["environment"], day["event_name"], day["state"]) == ("prod", "lead_qualified", "delivered")
    assert (day["events"], day["leads"], day["attempts"]) == (3, 3, 3)
    assert sum(int(str(row["events"])) for row in told) == 10
    assert sum(int(str(row["attempts"])) for row in told) == sandbox.summary()["requests"]


def test_open_problems_are_what_is_neither_delivered_nor_being_sent(
    sandbox: RunningSandbox, new_engine: NewEngine
) -> None:
    send_with_problems(sandbox)
    engine = new_engine()
    with engine.begin() as connection:
        state = {"6:qualified": "released", "7:qualified": "claimed", "8:qualified": "claimed"}
        for event_id, left in state.items():
            connection.execute(update(events).where(events.c.event_id == event_id).values(state=left))
        living, dead = LedgerStore(engine, "x:prod", SenderIdentity("other"), "v"), ("7:qualified",)
        living_id = living.sender_id
        connection.execute(update(events).where(events.c.event_id == "8:qualified").values(owner=living_id))
        assert dead
    engine.dispose()
    living.open()

    told = {(row["problem"], row["event_id"]): row for row in rows(new_engine(), OPEN_PROBLEMS)}
    problems = {problem for problem, _ in told}
    assert problems == {"rejected", "invalid", "unsent", "in_doubt"}
    assert ("in_doubt", "7:qualified") in told
    assert ("unsent", "6:qualified") in told
    assert len(told) == 4  # 8 is being sent by a send that lives
    rejected = told["rejected", "3:qualified"]
    assert (rejected["http_status"], rejected["dag_id"], rejected["task_id"]) == (422, "dag", "task")
    assert isinstance(rejected["since"], datetime)

    with new_engine().begin() as connection:  # its lease runs out
        connection.execute(update(senders).where(senders.c.id == living_id).values(lease_until=datetime(2020, 1, 1)))
    assert ("in_doubt", "8:qualified") in {
        (row["problem"], row["event_id"]) for row in rows(new_engine(), OPEN_PROBLEMS)
    }


def test_a_mended_lead_is_no_problem_any_more(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    send_with_problems(sandbox)
    mended = leads(4, 5)
    ReshapeHook().send_events(mended, event="lead_qualified", ledger_conn_id="ledger")
    assert {row["problem"] for row in rows(new_engine(), OPEN_PROBLEMS)} == {"rejected"}


def test_a_view_of_another_version_is_made_anew_and_the_next_open_leaves_it(new_engine: NewEngine) -> None:
    store = LedgerStore(new_engine(), "x:prod", SenderIdentity(), "v")
    store.open()
    engine = new_engine()
    with engine.begin() as connection:
        made = {row.name: row.definition for row in connection.execute(select(made_views))}
        connection.exec_driver_sql(f"DROP VIEW {DAILY}")
        connection.exec_driver_sql(f"CREATE VIEW {DAILY} AS SELECT 1 AS events, 2 AS another")
        connection.execute(update(made_views).where(made_views.c.name == DAILY).values(definition="older"))
    assert set(made) == VIEWS
    with engine.connect() as connection:  # until then the query stands in for it
        assert source(connection, DAILY, CLOCKS[engine.dialect.name]).c.keys()[0] == "day"
        assert connection.execute(select(source(connection, DAILY, CLOCKS[engine.dialect.name]))).all() == []

    LedgerStore(new_engine(), "x:prod", SenderIdentity(), "v").open()
    assert "day" in {column["name"] for column in inspect(new_engine()).get_columns(DAILY)}
    with new_engine().begin() as connection:
        assert {row.name: row.definition for row in connection.execute(select(made_views))} == made
        connection.exec_driver_sql(f"DROP VIEW {DAILY}")
    LedgerStore(new_engine(), "x:prod", SenderIdentity(), "v").open()
    assert DAILY not in inspect(new_engine()).get_view_names()  # whoever removed it, meant it


def test_many_senders_make_the_views_at_once(new_engine: NewEngine) -> None:
    engine = new_engine()
    metadata.create_all(engine)
    failures: list[BaseException] = []
    together = threading.Barrier(6)

    def make() -> None:
        mine = LedgerStore(new_engine(), "x:prod", SenderIdentity(), "v")
        together.wait()
        try:
            mine.open()
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert set(inspect(engine).get_view_names()) >= VIEWS
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(made_views)) == 3


def test_views_that_cannot_be_made_do_not_stop_a_send(
    sandbox: RunningSandbox, new_engine: NewEngine, caplog: pytest.LogCaptureFixture
) -> None:
    engine = new_engine()
    metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {DAILY} (a INTEGER)"))  # no view can be made of that name
    try:
        with caplog.at_level(logging.WARNING):
            make_views(engine)
        assert "views could not be made" in caplog.text
        assert ReshapeHook().send_events(leads(0, 3), event="lead_qualified", ledger_conn_id="ledger")["delivered"] == 3
        assert Counter(str(row["state"]) for row in rows(new_engine(), TIMELINE)) == {"delivered": 3}
        assert [row["events"] for row in rows(new_engine(), DAILY)] == [3]
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"DROP TABLE {DAILY}"))
            connection.execute(delete(made_views))


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mysql", "mariadb"])
def test_the_states_of_the_views_are_the_ledger_s(dialect: str) -> None:
    told = "".join(
        str(query.compile(compile_kwargs={"literal_binds": True}))
        for query in definitions("sqlite", literal_column("CURRENT_TIMESTAMP")).values()
    )
    for state in (State.CLAIMED, State.DELIVERED, State.REJECTED, State.INVALID, State.RELEASED, State.BASELINE):
        assert f"'{state.value}'" in told
    assert set(definitions(dialect, CLOCKS[dialect])) == VIEWS
