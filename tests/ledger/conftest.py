"""Ledgers on real databases: SQLite, PostgreSQL and, where it is asked for, MariaDB."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, text

from airflow_reshape.delivery.ledger.tables import metadata
from airflow_reshape.delivery.ledger.views import DAILY, OPEN_PROBLEMS, TIMELINE
from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox
from tests.connections import reshape_connection
from tests.databases import DatabaseServer, mariadb_server, postgres_server

DATABASES = ["sqlite", "postgresql", pytest.param("mysql", marks=pytest.mark.mysql)]
NewEngine = Callable[[], Engine]


@pytest.fixture(scope="session")
def postgres_ledger() -> Iterator[DatabaseServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_ledger() -> Iterator[DatabaseServer]:
    with mariadb_server() as server:
        yield server


@pytest.fixture(params=DATABASES)
def ledger_connection(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Airflow's connection of an empty ledger."""
    if request.param == "sqlite":
        return json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "ledger.sqlite")})
    fixture = {"postgresql": "postgres_ledger", "mysql": "mariadb_ledger"}[request.param]
    server: DatabaseServer = request.getfixturevalue(fixture)
    engine = create_engine(sqlalchemy_url(server))
    with engine.begin() as connection:
        for view in (TIMELINE, DAILY, OPEN_PROBLEMS):
            connection.execute(text(f"DROP VIEW IF EXISTS {view}"))
        metadata.drop_all(connection)
    engine.dispose()
    return server.airflow_connection()


@pytest.fixture
def new_engine(ledger_connection: str) -> NewEngine:
    """Makes engines of the ledger's database, as separate processes have them."""
    from airflow.sdk import Connection

    connection = json.loads(ledger_connection)
    hook = Connection(conn_id="ledger", **connection).get_hook()
    hook._connection = Connection(conn_id="ledger", **connection)
    if connection["conn_type"] == "sqlite":
        return lambda: create_engine(f"sqlite:///{connection['host']}")
    return hook.get_sqlalchemy_engine  # type: ignore[no-any-return]


def sqlalchemy_url(server: DatabaseServer) -> str:
    driver = {"postgres": "postgresql+psycopg", "mysql": "mysql+mysqldb"}[server.conn_type]
    return f"{driver}://crm:{server.password}@127.0.0.1:{server.port}/crm"


@pytest.fixture(scope="session")
def running() -> Iterator[RunningSandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: RunningSandbox, ledger_connection: str, monkeypatch: pytest.MonkeyPatch) -> RunningSandbox:
    """An empty sandbox as ``reshape_default``, for environment dev as ``reshape_dev``; the ledger as ``ledger``."""
    running.clear()
    for name, environment in (("DEFAULT", "prod"), ("DEV", "dev")):
        monkeypatch.setenv(f"AIRFLOW_CONN_RESHAPE_{name}", reshape_connection(running, environment))
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", ledger_connection)
    return running
