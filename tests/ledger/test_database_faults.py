"""The ledger's database goes down, runs full or becomes read-only: at the start, midway and at the end of a send.

The send ends in an error that says so and tells the balance; once the database is well, the next try delivers the rest.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import create_engine, func, select

from airflow_reshape.delivery.ledger.tables import events
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.exceptions import ReshapeLedgerError
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.databases import postgres_server
from tests.ledger.broken_databases import Breakable, BrokenPostgres, BrokenSqlite, FullDisk
from tests.ledger.conftest import sqlalchemy_url
from tests.ledger.leads import leads
from tests.ledger.task import send_as

COUNT, KNOWN = 800, 5
SECONDS = 60.0
KINDS = {"sqlite": ("full", "full disk", "read-only"), "postgresql": ("down", "full", "read-only")}
NEVER_TOLD = ("insert", "update ", "select", "reshape_event", "reshape_sender", "person", "example.com", "qualified")
Broken = tuple[Breakable, Callable[[], int]]


@contextmanager
def breakable(database: str, kind: str, request: pytest.FixtureRequest) -> Iterator[Broken]:
    """The ledger's database, breakable, and what counts its unsettled claims."""
    with ExitStack() as stack:
        if database == "sqlite":
            file = json.loads(request.getfixturevalue("ledger_connection"))["host"]
            broken: BrokenSqlite | BrokenPostgres | FullDisk
            if kind == "full disk":
                broken = FullDisk(Path(file).parent / "disk")
                file = broken.file
                connection = json.dumps({"conn_type": "sqlite", "host": file})
                request.getfixturevalue("monkeypatch").setenv("AIRFLOW_CONN_LEDGER", connection)
            else:
                broken = BrokenSqlite(kind, file)
            url = f"sqlite:///{file}"
        else:
            server = request.getfixturevalue("postgres_ledger")
            if kind == "down":  # the others' server has to live
                server = stack.enter_context(postgres_server())
                request.getfixturevalue("monkeypatch").setenv("AIRFLOW_CONN_LEDGER", server.airflow_connection())
            broken, url = BrokenPostgres(kind, server), sqlalchemy_url(server)

        def unsettled() -> int:
            engine = create_engine(url)
            with engine.connect() as connection:
                query = select(func.count()).select_from(events).where(events.c.state == "claimed")
                count = connection.scalar(query)
            engine.dispose()
            return count or 0

        yield stack.enter_context(broken.watched()), unsettled


def until(reached: Callable[[], bool]) -> None:
    deadline = monotonic() + SECONDS
    while not reached():
        assert monotonic() < deadline


@pytest.mark.parametrize(
    ("ledger_connection", "kind", "moment"),
    [
        (database, kind, moment)
        for database, kinds in KINDS.items()
        for kind in kinds
        for moment in ("start", "midway", "end")
        if (database, kind, moment) != ("sqlite", "full", "end")  # it may end well; see below
    ],
    indirect=["ledger_connection"],
)
def test_told_and_nothing_lost(
    sandbox: RunningSandbox, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str, moment: str
) -> None:
    monkeypatch.setattr("airflow_reshape.delivery.ledger.ledger.SECONDS_TO_SETTLE", 0.3)
    monkeypatch.setattr("airflow_reshape.delivery.ledger.ledger.SECONDS_BETWEEN_TRIES", 0.05)
    monkeypatch.setattr("airflow_reshape.delivery.ledger.databases.SECONDS_TO_REPEAT", 0.3)
    database = request.node.callspec.params["ledger_connection"]
    with breakable(database, kind, request) as (broken, unsettled):
        send_as("before", 1, leads(0, KNOWN))  # the tables are there
        sandbox.set_faults(latency=0.005)

        def source() -> Iterator[dict[str, Any]]:
            rows = leads(0, COUNT)
            yield from rows[: COUNT // 2]
            if moment == "midway":
                until(lambda: sandbox.summary()["taken"] >= COUNT // 8)
                broken.break_()
            yield from rows[COUNT // 2 :]

        def lists() -> Iterator[dict[str, Any]]:
            yield from source()
            if moment == "end":
                # The server took everything; what it answered last is not settled yet.
                until(lambda: sandbox.summary()["taken"] >= COUNT)
                broken.break_()

        if moment == "start":
            broken.break_()
        with pytest.raises(ReshapeLedgerError) as raised:
            send_as("run", 1, lists())

        told = str(raised.value)
        assert "the ledger cannot go on" in told
        assert "does not answer" in told
        assert not [word for word in NEVER_TOLD if word in told.lower()]
        summary = raised.value.summary
        assert summary is not None
        assert summary["read"] == sum(summary[each.value] for each in Kind)
        assert summary["delivered"] + KNOWN == sandbox.summary()["taken"]
        if moment == "start":
            assert summary["delivered"] == 0
        elif moment == "midway":
            assert 0 < summary["delivered"] < COUNT - KNOWN
        else:
            assert (summary["delivered"], summary["unsent"]) == (COUNT - KNOWN, 0)

        broken.mend()
        in_doubt = unsettled()
        again = send_as("run", 2, leads(0, COUNT))
        assert again["read"] == COUNT == again["delivered"] + again["skipped_by"]["already_sent"]
        received = sandbox.summary()
        assert received["distinct_taken"] == COUNT
        assert received["duplicates"] <= again["sent_again"] == in_doubt
        assert unsettled() == 0


@pytest.mark.parametrize("ledger_connection", ["sqlite"], indirect=True)
def test_a_full_sqlite_file_at_the_end_is_told_or_all_is_settled(
    sandbox: RunningSandbox, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer needs little more room than the claim that it is written over, and there may be just enough of it."""
    monkeypatch.setattr("airflow_reshape.delivery.ledger.ledger.SECONDS_TO_SETTLE", 0.3)
    monkeypatch.setattr("airflow_reshape.delivery.ledger.ledger.SECONDS_BETWEEN_TRIES", 0.05)
    monkeypatch.setattr("airflow_reshape.delivery.ledger.databases.SECONDS_TO_REPEAT", 0.3)
    with breakable("sqlite", "full", request) as (broken, unsettled):
        send_as("before", 1, leads(0, KNOWN))
        claimed = []

        def source() -> Iterator[dict[str, Any]]:
            sandbox.set_faults(latency=0.005)
            yield from leads(0, COUNT)
            until(lambda: sandbox.summary()["taken"] >= COUNT)
            broken.break_()
            claimed.append(unsettled())

        try:
            summary = send_as("run", 1, source())
        except ReshapeLedgerError as error:
            summary, ended_well = error.summary, False
        else:
            ended_well = True
        assert summary is not None
        assert (summary["delivered"], summary["unsent"]) == (COUNT - KNOWN, 0)
        assert claimed[0] > 0, "all was settled before the file was full"
        in_doubt = unsettled()
        assert in_doubt <= (0 if ended_well else claimed[0])

        # Full it is: nothing new can be claimed, and nothing is sent.
        with pytest.raises(ReshapeLedgerError):
            send_as("new", 1, leads(COUNT, 2 * COUNT))
        assert sandbox.summary()["requests"] == COUNT
        broken.mend()
        again = send_as("run", 2, leads(0, COUNT))
        assert again["delivered"] == again["sent_again"] == in_doubt
        assert again["skipped_by"].get("already_sent", 0) == COUNT - in_doubt
        assert sandbox.summary()["duplicates"] == in_doubt


@pytest.mark.parametrize("ledger_connection", ["sqlite"], indirect=True)
def test_a_sqlite_file_opened_for_reading_only(
    sandbox: RunningSandbox, ledger_connection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read-only as SQLite itself has it; the permissions of a file stop no root."""
    send_as("before", 1, leads(0, KNOWN))
    file = json.loads(ledger_connection)["host"]
    read_only = {"conn_type": "sqlite", "host": f"file:{file}?mode=ro&uri=true"}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(read_only))
    with pytest.raises(ReshapeLedgerError, match="does not answer") as raised:
        send_as("run", 1, leads(0, COUNT))
    assert raised.value.summary is not None
    assert (raised.value.summary["delivered"], sandbox.summary()["requests"]) == (0, KNOWN)
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", ledger_connection)
    assert send_as("run", 2, leads(0, COUNT))["delivered"] == COUNT - KNOWN
