"""A sandbox, a ledger and a CRM as Airflow connections, and the commands in this process."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from typer.testing import CliRunner, Result

from airflow_reshape.command_line.app import app
from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox
from tests.connections import reshape_connection

Ask = Callable[..., Result]


@pytest.fixture(scope="session")
def running() -> Iterator[RunningSandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def connected(running: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunningSandbox:
    """An empty sandbox as ``reshape_default``, an empty database as ``ledger``, another as ``crm``."""
    running.clear()
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_DEFAULT", reshape_connection(running))
    for name in ("ledger", "crm"):
        made = {"conn_type": "sqlite", "host": str(tmp_path / f"{name}.sqlite")}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(made))
    return running


@pytest.fixture
def ledger(connected: RunningSandbox, tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield engine
    engine.dispose()


@pytest.fixture
def crm(connected: RunningSandbox, tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """An empty table ``leads``, whose columns name the fields."""
    database = sqlite3.connect(tmp_path / "crm.sqlite", isolation_level=None)
    database.execute("CREATE TABLE leads (lead_id, stage, occurred_at, value, currency, email)")
    yield database
    database.close()


@pytest.fixture
def ask(connected: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Runs a command, 80 characters wide unless told otherwise; what it prints holds no token."""

    def asked(*arguments: str, columns: int = 80, **more: Any) -> Result:
        monkeypatch.setenv("COLUMNS", str(columns))
        done = CliRunner().invoke(app, list(arguments), **more)
        assert connected.token not in done.output
        assert "Traceback" not in done.output
        return done

    return asked
