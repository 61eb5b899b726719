"""The ledger behind the real PgBouncer, where each transaction may meet another session of the server."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, text

from airflow_reshape.delivery.ledger.tables import metadata
from airflow_reshape.delivery.ledger.views import DAILY, OPEN_PROBLEMS, TIMELINE
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.connections import reshape_connection
from tests.databases import DatabaseServer, pgbouncer
from tests.ledger.conftest import sqlalchemy_url
from tests.ledger.leads import leads
from tests.ledger.task import send_as

pytestmark = pytest.mark.pgbouncer

SESSIONS = 2  # fewer than senders
SHARED: dict[str, str | int] = {
    "pool_mode": "transaction",
    "default_pool_size": SESSIONS,
    "max_db_connections": SESSIONS,
}
SETTINGS: dict[str, dict[str, str | int]] = {
    "transaction": SHARED,
    "transaction, reset after each": {**SHARED, "server_reset_query_always": 1},
    "transaction, servers change all the time": {**SHARED, "server_lifetime": 0},
    "session": {},
}
DRIVERS = {"psycopg": "postgresql+psycopg", "psycopg2": "postgresql+psycopg2"}
WINDOWS = {"one": (0, 1_200), "two": (400, 1_600), "three": (800, 2_000)}
COUNT = 2_000
SECONDS = 120.0


@pytest.fixture(params=SETTINGS)
def bouncer(request: pytest.FixtureRequest, postgres_ledger: DatabaseServer) -> Iterator[DatabaseServer]:
    """Before a PostgreSQL without a ledger."""
    engine = create_engine(sqlalchemy_url(postgres_ledger))
    with engine.begin() as connection:
        for view in (TIMELINE, DAILY, OPEN_PROBLEMS):
            connection.execute(text(f"DROP VIEW IF EXISTS {view}"))
        metadata.drop_all(connection)
    engine.dispose()
    with pgbouncer(postgres_ledger, **SETTINGS[request.param]) as running:
        yield running


def shuffled(run: str) -> list[dict[str, Any]]:
    rows = leads(*WINDOWS[run])
    Random(f"7/{run}").shuffle(rows)
    return rows


@pytest.mark.parametrize("driver", DRIVERS)
def test_three_senders_send_each_event_once(
    running: RunningSandbox, bouncer: DatabaseServer, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(driver)
    running.clear()
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_DEFAULT", reshape_connection(running))
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", bouncer.airflow_connection(sqlalchemy_scheme=DRIVERS[driver]))
    with ThreadPoolExecutor(len(WINDOWS)) as threads:
        sends = [threads.submit(send_as, run, 1, shuffled(run)) for run in WINDOWS]
        summaries = [send.result(SECONDS) for send in sends]

    received = Counter(event["id"] for event in running.received(taken=True))
    assert (len(received), received.total()) == (COUNT, COUNT)
    assert sum(summary["delivered"] for summary in summaries) == COUNT
    assert sum(summary["unsent"] + summary["sent_again"] for summary in summaries) == 0, json.dumps(summaries)
    assert send_as("again", 1, leads(0, COUNT))["skipped_by"] == {"already_sent": COUNT}


@pytest.mark.parametrize("bouncer", ["transaction"], indirect=True)
def test_sessions_are_really_shared(bouncer: DatabaseServer) -> None:
    """What the ledger must not do fails here: else this would be no test of it."""
    with (
        pgbouncer(bouncer, **SHARED | {"default_pool_size": 1, "max_db_connections": 1}) as one_session,
        psycopg.connect(one_session.uri, autocommit=True) as first,
        psycopg.connect(one_session.uri, autocommit=True) as second,
    ):
        first.execute("SELECT 1", prepare=True)
        with pytest.raises(psycopg.errors.DuplicatePreparedStatement):
            second.execute("SELECT 1", prepare=True)
