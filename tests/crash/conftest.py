"""A sandbox, ledgers and state files for sends that are killed; and the table of what became of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import Signals
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from airflow_reshape.delivery.checkpoint.checkpoint import STORE_KEY
from airflow_reshape.delivery.ledger.tables import metadata
from airflow_reshape.delivery.ledger.views import DAILY, OPEN_PROBLEMS, TIMELINE
from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox
from tests.conftest import ROOT
from tests.crash.campaign import Campaign, Report
from tests.crash.crm import Crm, event_id
from tests.crash.killed_send import Try
from tests.crash.memory import CheckpointMemory, LedgerMemory, Memory
from tests.crash.state_file import StateFile
from tests.crash.table import shown
from tests.databases import DatabaseServer, mariadb_server, postgres_server
from tests.ledger.conftest import sqlalchemy_url

SEED_VARIABLE = "CRASH_SEED"
"""Another number in this variable makes other kills."""
FAILURES = "failures"
LATENCY = {"latency": 0.01, "jitter": 0.01}
REPORTS = pytest.StashKey[list[Report]]()

CampaignMaker = Callable[..., Campaign]


@pytest.fixture(scope="session")
def seed() -> int:
    return int(os.environ.get(SEED_VARIABLE, "7"))


@pytest.fixture(scope="session")
def running() -> Iterator[RunningSandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> RunningSandbox:
    running.clear()
    monkeypatch.chdir(ROOT)  # where the server that forks finds this package
    return running


@pytest.fixture(scope="session")
def mysql() -> Iterator[DatabaseServer]:
    with mariadb_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgresql() -> Iterator[DatabaseServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def campaign(sandbox: RunningSandbox, tmp_path: Path, seed: int, request: pytest.FixtureRequest) -> CampaignMaker:
    """Makes a campaign; its report is shown in the table at the end."""

    def memory_of(kind: str) -> tuple[Memory, dict[str, Any], dict[str, str]]:
        """The memory, what the try is given of it, and its connection."""
        if kind == "checkpoint":
            state = tmp_path / "state.json"
            return CheckpointMemory(lambda: StateFile(state).get(STORE_KEY)), {"state": state}, {}
        if kind == "sqlite":
            path = tmp_path / "ledger.sqlite"
            connection = json.dumps({"conn_type": "sqlite", "host": str(path)})
            return LedgerMemory(lambda: create_engine(f"sqlite:///{path}")), {}, {"ledger": connection}
        server: DatabaseServer = request.getfixturevalue(kind)
        engine = create_engine(sqlalchemy_url(server))
        with engine.begin() as database:
            for view in (TIMELINE, DAILY, OPEN_PROBLEMS):
                database.execute(text(f"DROP VIEW IF EXISTS {view}"))
            metadata.drop_all(database)
        engine.dispose()
        memory = LedgerMemory(lambda: create_engine(sqlalchemy_url(server)))
        return memory, {}, {"ledger": server.airflow_connection()}

    def make(
        kind: str,
        count: int,
        *,
        order: str = "unordered",
        stirred: bool = False,
        invalid: tuple[int, ...] = (),
        refused: tuple[int, ...] = (),
        keeps: bool = False,
        turn: int = 0,
        signal: Signals = Signals.SIGKILL,
    ) -> Campaign:
        crm = Crm(tmp_path / "crm.sqlite", count, invalid)
        memory, given, connections = memory_of(kind)
        ids = [event_id(f"L{n}") for n in refused]
        sandbox.set_faults(*([{"ids": ids, "statuses": {422: 1}}] if ids else []), LATENCY)
        connections["crm"] = json.dumps({"conn_type": "sqlite", "host": str(crm.path)})
        connections["reshape_default"] = json.dumps(
            {
                "conn_type": "reshape",
                "schema": "http",
                "host": sandbox.host,
                "port": sandbox.port,
                "password": sandbox.token,
                "extra": {"script_id": sandbox.script_id},
            }
        )
        ledger = {"ledger_conn_id": "ledger"} if "ledger" in connections else {}
        failures = {"failures_path": (tmp_path / FAILURES).as_uri()} if keeps else {}
        first = Try(1, connections, "", tmp_path, {**ledger, **failures}, **given)
        marks = {
            "stirred": stirred,
            "bad leads": invalid or refused,
            "kept": keeps,
            signal.name: signal is not Signals.SIGKILL,
        }
        name = ", ".join((kind, order, *(mark for mark, holds in marks.items() if holds)))
        never = frozenset(event_id(f"L{n}") for n in (*invalid, *refused))
        return Campaign(name, 100 * seed + turn, sandbox, crm, order, first, memory, never, stirred, signal)

    return make


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[Report], Report]:
    """Keep a report for the table at the end."""

    def keep(one: Report) -> Report:
        request.config.stash.setdefault(REPORTS, []).append(one)
        return one

    return keep


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    reports = config.stash.get(REPORTS, [])
    if reports:
        terminalreporter.section("killed sends")
        terminalreporter.write_line(shown(reports))
