"""Each test once on SQLite and once on PostgreSQL, with an empty sandbox and an empty ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox
from tests.connections import reshape_connection
from tests.databases import DatabaseServer, postgres_server
from tests.recipes.databases import Database


@pytest.fixture(scope="session")
def postgres() -> Iterator[DatabaseServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The CRM's database, connected as ``crm_db`` and ``odoo_db``."""
    sqlite = request.param == "sqlite"
    found = Database(tmp_path / "crm.sqlite" if sqlite else request.getfixturevalue("postgres"))
    for name in ("CRM_DB", "ODOO_DB"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", found.airflow_connection)
    with closing(found):
        yield found


@pytest.fixture(scope="session")
def running() -> Iterator[RunningSandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunningSandbox:
    """An empty sandbox as ``reshape_default``, an empty ledger as ``reshape_ledger``."""
    running.clear()
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_DEFAULT", reshape_connection(running))
    ledger = {"conn_type": "sqlite", "host": str(tmp_path / "ledger.sqlite")}
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_LEDGER", json.dumps(ledger))
    return running
