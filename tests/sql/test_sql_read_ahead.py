"""A slow server does not keep the database's cursor open: real databases, the real engine, real HTTP."""

from __future__ import annotations

import json
import logging
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from typing import Any

import pytest
from airflow.providers.common.sql.hooks.sql import DbApiHook

from airflow_reshape.delivery.halt import Stop
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.transport import AiohttpTransport
from airflow_reshape.exceptions import ReshapeConfigurationError, ReshapeStoppedError
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.transfers.read_ahead import ReadAhead
from airflow_reshape.transfers.sql_errors import SqlRefused, SqlSourceLost
from airflow_reshape.transfers.sql_stream import SqlStream
from airflow_reshape.transfers.sql_to_reshape import SqlToReshapeOperator
from tests.checkpoint.stores import Store
from tests.delivery.leads import SCRIPT_ID, TOKEN, destination, sender
from tests.delivery.servers import Reply, Request, ScriptedServer, scripted
from tests.sql.conftest import MYSQL, POSTGRES, SQLITE, MakeHook, drivers
from tests.sql.crm import LEADS, Crm, environment, wait_until
from tests.sql.open_files import NamelessFiles, contents
from tests.sql.test_sql_memory import BOUND_MIB, FEW, ROOT

pytestmark = pytest.mark.timeout(90)

COUNT = 3_000
CONCURRENCY = 16
READ = f"""
    SELECT id AS event__id, 1 + id % 97 AS lead_id, email, 'EUR' AS currency FROM leads WHERE id <= {COUNT} ORDER BY id
"""
OPEN_TRANSACTIONS = "SELECT count(*) FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid()"


def rows_of(hook: DbApiHook, sql: str = READ) -> Generator[list[dict[str, Any]], None, None]:
    with SqlStream(hook, sql, chunk_size=100) as stream:
        yield from stream


def is_released(crm: Crm) -> bool:
    """Whether nobody reads the database any more, as the database itself tells."""
    if crm.dialect != "sqlite":
        return crm.sessions() == 0
    with closing(crm.connect()) as writer:
        try:
            writer.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError:
            return False
        return True


class GatedServer:
    """Answers nothing until the gate is opened."""

    def __init__(self, server: ScriptedServer, gate: threading.Event) -> None:
        self.server = server
        self.gate = gate
        self.requests_at_release: int | None = None

    @contextmanager
    def opened_at_release(self, crm: Crm, look: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Open the gate when the database is no longer read; or when that takes too long.

        :param look: called just before.
        """

        def watch() -> None:
            if wait_until(lambda: bool(self.server.requests) and is_released(crm)):
                self.requests_at_release = len(self.server.requests)
                look()
            self.gate.set()

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            watcher.join()


@pytest.fixture
def gated() -> Iterator[GatedServer]:
    gate = threading.Event()
    with scripted(lambda _: Reply(gate=None if gate.is_set() else gate)) as server:
        yield GatedServer(server, gate)


def check_order(requests: list[Request]) -> None:
    """Events of one lead came in the order of the query."""
    of_leads: dict[int, list[int]] = {}
    for request in requests:
        of_leads.setdefault(int(request.id) % 97, []).append(int(request.id))
    assert all(earlier < later for ids in of_leads.values() for earlier, later in pairwise(ids))


@drivers(*SQLITE, *POSTGRES, *MYSQL)
def test_the_cursor_is_closed_while_nothing_is_sent_yet(
    crm: Crm,
    make_hook: MakeHook,
    gated: GatedServer,
    nameless: NamelessFiles,
    caplog: pytest.LogCaptureFixture,
) -> None:
    files: list[bytes] = []
    transactions: list[int] = []

    def look() -> None:
        files.extend(contents(file) for file in nameless.opened())
        if crm.dialect == "postgresql":
            transactions.append(int(crm.run(OPEN_TRANSACTIONS)[0][0]))

    engine, tally = sender(AiohttpTransport(destination(gated.server.url), CONCURRENCY), concurrency=CONCURRENCY)
    with caplog.at_level(logging.INFO), gated.opened_at_release(crm, look):
        result = engine.send(ReadAhead(rows_of(make_hook()), patience=0))
    assert gated.requests_at_release is not None
    assert gated.requests_at_release <= CONCURRENCY
    assert transactions == ([0] if crm.dialect == "postgresql" else [])
    assert result.halt is None
    assert result.source_error is None
    assert tally.kinds == {Kind.DELIVERED: COUNT}
    assert Counter(gated.server.ids) == Counter(str(number) for number in range(1, COUNT + 1))
    check_order(gated.server.requests)
    (file,) = files
    assert len(file) > 50_000  # most of the rows
    assert b"example.com" not in file
    assert b"lead-2999" not in file
    assert nameless.opened() == []
    assert any("rows were read ahead" in record.getMessage() for record in caplog.records)
    assert "@example.com" not in caplog.text


@drivers(*SQLITE, "psycopg")
def test_without_reading_ahead_it_stays_open(crm: Crm, make_hook: MakeHook, gated: GatedServer) -> None:
    """Else the test above could not fail."""
    seen: list[bool] = []

    def pulse() -> None:
        if gated.server.requests and not gated.gate.is_set():
            seen.append(is_released(crm))
            if len(seen) == 3:
                gated.gate.set()

    engine, tally = sender(AiohttpTransport(destination(gated.server.url), CONCURRENCY), pulse=pulse)
    engine.send(rows_of(make_hook()))
    assert seen == [False] * 3
    assert tally.kinds == {Kind.DELIVERED: COUNT}


@drivers("psycopg")
def test_a_query_that_fails_midway_sends_what_came_before(crm: Crm, make_hook: MakeHook, gated: GatedServer) -> None:
    # OFFSET keeps the division behind the sorting.
    failing = f"SELECT ordered.*, 1 / (2550 - event__id) AS event__value FROM ({READ} OFFSET 0) ordered"
    engine, tally = sender(AiohttpTransport(destination(gated.server.url), CONCURRENCY))
    with gated.opened_at_release(crm):
        result = engine.send(ReadAhead(rows_of(make_hook(), failing), patience=0))
    assert gated.requests_at_release is not None
    assert isinstance(result.source_error, SqlRefused)
    assert tally.kinds == {Kind.DELIVERED: 2_500}
    assert {int(event_id) for event_id in gated.server.ids} == set(range(1, 2_501))


@drivers("psycopg")
def test_a_database_that_goes_away_meanwhile_is_retried(
    crm: Crm, make_hook: MakeHook, gated: GatedServer, nameless: NamelessFiles
) -> None:
    def broken_off() -> Generator[list[dict[str, Any]], None, None]:
        for number, chunk in enumerate(rows_of(make_hook()), 1):
            if number == 25:
                assert nameless.opened() != []
                crm.run("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE xact_start < now()")
                gated.gate.set()
            yield chunk

    engine, tally = sender(AiohttpTransport(destination(gated.server.url), CONCURRENCY))
    result = engine.send(ReadAhead(broken_off(), patience=0))
    assert isinstance(result.source_error, SqlSourceLost)
    assert tally.kinds == {Kind.DELIVERED: 2_500}
    assert Counter(gated.server.ids) == Counter(str(number + 1) for number in range(2_500))


@drivers(*SQLITE, "psycopg")
def test_a_stop_drops_what_was_read_ahead(
    crm: Crm, make_hook: MakeHook, gated: GatedServer, nameless: NamelessFiles
) -> None:
    transport = AiohttpTransport(destination(gated.server.url), CONCURRENCY)
    engine, tally = sender(transport, concurrency=CONCURRENCY)
    with gated.opened_at_release(crm, engine.stop):
        result = engine.send(ReadAhead(rows_of(make_hook()), patience=0))
    assert result.halt is not None
    assert result.halt.stop is Stop.REQUESTED
    assert nameless.opened() == []
    assert tally.kinds[Kind.DELIVERED] == CONCURRENCY
    assert tally.read < COUNT / 2  # the others were never taken
    again, tally = sender(AiohttpTransport(destination(gated.server.url), CONCURRENCY))
    again.send(ReadAhead(rows_of(make_hook()), patience=0))
    assert tally.kinds == {Kind.DELIVERED: COUNT}


@pytest.mark.usefixtures("interruptible")
@drivers(*SQLITE)
def test_an_interrupt_while_reading_ahead_ends_the_task(
    crm: Crm, make_hook: MakeHook, gated: GatedServer, nameless: NamelessFiles
) -> None:
    def interrupted() -> Generator[list[dict[str, Any]], None, None]:
        for number, chunk in enumerate(rows_of(make_hook()), 1):
            if number == 25:
                assert nameless.opened() != []
                gated.gate.set()
                signal.raise_signal(signal.SIGINT)
            yield chunk

    engine, tally = sender(AiohttpTransport(destination(gated.server.url), CONCURRENCY))
    with pytest.raises(KeyboardInterrupt):
        engine.send(ReadAhead(interrupted(), patience=0))
    assert nameless.opened() == []
    assert is_released(crm)
    assert tally.read == sum(tally.kinds.values()) < COUNT / 2


# Through Airflow's surface


class Impatient(SqlToReshapeOperator):
    """Reads ahead as soon as the sender is slow."""

    def chunks(self, plan: SendPlan) -> ReadAhead:
        return ReadAhead(self._rows(plan), patience=0)


@pytest.fixture
def reshape(gated: GatedServer, monkeypatch: pytest.MonkeyPatch) -> str:
    connection = {
        "conn_type": "reshape",
        "host": "127.0.0.1",
        "port": gated.server.port,
        "schema": "http",
        "password": TOKEN,
        "extra": {"script_id": SCRIPT_ID},
    }
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_DEFAULT", json.dumps(connection))
    return "reshape_default"


def operator(kind: type[SqlToReshapeOperator] = SqlToReshapeOperator, **options: Any) -> SqlToReshapeOperator:
    settings = {"task_id": "send", "sql": READ, "sql_conn_id": "crm_db", "event": "lead_qualified", **options}
    return kind(**settings)


@pytest.mark.usefixtures("reshape")
@drivers(*SQLITE, "psycopg")
def test_a_second_try_reads_ahead_too(
    crm: Crm, make_hook: MakeHook, gated: GatedServer, nameless: NamelessFiles
) -> None:
    make_hook()
    store = Store()
    first = operator(Impatient)
    first_try: list[str] = []
    gated.gate.set()

    def stop_after_some(request: Request) -> Reply:
        first_try.append(request.id)
        if len(first_try) == 600:
            first.on_kill()
        return Reply()

    answer, gated.server.script = gated.server.script, stop_after_some
    with pytest.raises(ReshapeStoppedError):
        first.execute({"task_state_store": store})  # type: ignore[typeddict-item]
    assert store.text is not None
    gated.server.script = answer
    gated.server.requests.clear()
    gated.gate.clear()
    with gated.opened_at_release(crm):
        summary = operator(Impatient).execute({"task_state_store": store})  # type: ignore[typeddict-item]
    assert gated.requests_at_release is not None
    assert gated.requests_at_release <= CONCURRENCY
    assert summary["read"] == COUNT
    assert summary["skipped_by"] == {"settled_before": COUNT - summary["delivered"]}
    assert summary["delivered"] <= COUNT - 600 + CONCURRENCY
    assert {int(event_id) for event_id in (*first_try, *gated.server.ids)} == set(range(1, COUNT + 1))
    check_order(gated.server.requests)
    assert nameless.opened() == []


def test_it_can_be_switched_off() -> None:
    plan = SendPlan(event="lead_qualified")
    assert isinstance(operator().chunks(plan), ReadAhead)
    assert isinstance(operator(read_ahead=False).chunks(plan), Generator)
    for wrong in ("False", 0, None):
        with pytest.raises(ReshapeConfigurationError, match="read_ahead must be True or False"):
            operator(read_ahead=wrong)


@drivers(*SQLITE)
def test_memory_does_not_grow_with_what_is_read_ahead(crm: Crm) -> None:
    command = [sys.executable, "-m", "tests.sql.memory_ahead", crm.driver, str(FEW), str(LEADS)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(crm), check=False, capture_output=True, text=True, timeout=80
    )
    assert done.returncode == 0, done.stderr
    as_it_is, in_memory = (int(kib) / 1024 for kib in done.stdout.splitlines()[-1].split())
    assert as_it_is < BOUND_MIB
    assert in_memory > BOUND_MIB  # so the line above can fail
