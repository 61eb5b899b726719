"""After ``forget --lead X`` nothing of X is left: not in the ledger, not in kept failures, not in any log.

Real operators, a server that talks about whom it refuses, and a search for bytes.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text
from typer.testing import CliRunner

from airflow_reshape.command_line.app import app
from airflow_reshape.decorators.reshape import ReshapeDecoratedOperator
from airflow_reshape.delivery.ledger import forgetting
from airflow_reshape.delivery.ledger.digests import Digests, event_key
from airflow_reshape.delivery.ledger.store import Entry, LedgerStore, SenderIdentity, Settlement, State
from airflow_reshape.delivery.ledger.tables import forgotten, metadata
from airflow_reshape.delivery.ledger.views import DAILY, OPEN_PROBLEMS, TIMELINE
from airflow_reshape.exceptions import ReshapeError, ReshapeFailedLeadsError
from airflow_reshape.hooks.ledger import ledger_digests
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.transfers.sql_to_reshape import SqlToReshapeOperator
from tests.checkpoint.stores import Store
from tests.delivery.servers import Reply, Request, ScriptedServer, scripted
from tests.ledger.conftest import NewEngine

X, MAIL, PHONE, NAME = "LEAD-xq7751", "Zelda.Quux@erase.example", "+40733987651", "Zeldaquuxa"
OF_X = [each.lower().encode() for each in (X, MAIL, PHONE, PHONE.lstrip("+4"), "0733 987 651", NAME)]
COLUMNS = ("lead_id", "stage", "email", "phone", "first_name", "currency", "value")
STAGES = {"MQL": "lead_qualified", "SQL": "lead_qualified", "Won": "lead_qualified"}
SCRIPT_ID, TOKEN = "AB12CD34", "token-of-the-tests"
Rows = list[dict[str, Any]]
Send = Callable[[str, Rows], dict[str, Any]]


def person(number: int, stage: str, **columns: Any) -> dict[str, Any]:
    lead = (f"L-{number}", stage, f"person{number}@example.com", "+40722123456", "Ana", "EUR", number)
    return dict(zip(COLUMNS, lead, strict=True)) | columns


def lead_x(stage: str, **columns: Any) -> dict[str, Any]:
    return dict(zip(COLUMNS, (X, stage, MAIL, "0733 987 651", NAME, "EUR", 5), strict=True)) | columns


OTHERS = [person(n, "MQL") for n in range(6)] + [person(6, "Won", currency="Lei")]
# Delivered, rejected, invalid, and in a stage that nobody knows.
FIRST: Rows = [*OTHERS, lead_x("MQL"), lead_x("SQL"), lead_x("Won", currency="Lei"), lead_x("Odd")]


def refuses_and_tells(request: Request) -> Reply:
    if request.id != f"{X}:SQL":
        return Reply()
    told = f"{MAIL} ({MAIL.lower()}), {PHONE}, {NAME}: lead {X} was refused as {request.id}"
    return Reply(422, json.dumps({"result": "error", "detail": [told]}).encode())


@pytest.fixture
def server(ledger_connection: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    with scripted(refuses_and_tells) as server:
        made = {"conn_type": "reshape", "schema": "http", "host": server.host, "port": server.port, "password": TOKEN}
        connection = json.dumps({**made, "extra": {"script_id": SCRIPT_ID}})
        monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_DEFAULT", connection)
        monkeypatch.setenv("AIRFLOW_CONN_LEDGER", ledger_connection)
        yield server


class Try:
    """A task's try."""

    dag_id, task_id, map_index, try_number = "crm", "send", -1, 1

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.pushed: list[Any] = []

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed.append(value)


@pytest.fixture
def failures(tmp_path: Path) -> Path:
    return tmp_path / "failures"


@pytest.fixture(params=["query", "generator"])
def send(request: pytest.FixtureRequest, failures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Send:
    """Sends rows as an operator does; the summary that it pushed or returned."""
    options: dict[str, Any] = {
        "task_id": "send",
        "stage_map": STAGES,
        "mapping": {"user.first_name": "first_name"},
        "default_region": "RO",
        "ledger_conn_id": "ledger",
        "failures_path": f"file://{failures}",
    }
    crm = str(tmp_path / "crm.sqlite")
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "sqlite", "host": crm}))

    def by_query(rows: Rows) -> Any:
        table(crm, rows)
        query = f"SELECT {', '.join(COLUMNS)} FROM leads"
        return SqlToReshapeOperator(sql=query, sql_conn_id="crm", **options)

    def by_generator(rows: Rows) -> Any:
        return ReshapeDecoratedOperator(python_callable=lambda: iter(rows), op_args=[], op_kwargs={}, **options)

    operator = {"query": by_query, "generator": by_generator}[request.param]

    def send(run_id: str, rows: Rows) -> dict[str, Any]:
        attempt = Try(run_id)
        try:
            summary: dict[str, Any] = operator(rows).execute({"ti": attempt})
        except ReshapeError as error:
            told = str(error)
            (summary,) = attempt.pushed
        else:
            told = ""
        assert leaks((told + json.dumps(summary)).encode()) == []
        return summary

    return send


def table(file: str, rows: Rows) -> None:
    database = sqlite3.connect(file, isolation_level=None)
    database.execute("DROP TABLE IF EXISTS leads")
    database.execute(f"CREATE TABLE leads ({', '.join(COLUMNS)})")
    places = ", ".join("?" * len(COLUMNS))
    database.executemany(f"INSERT INTO leads VALUES ({places})", [tuple(row.values()) for row in rows])
    database.close()


def leaks(content: bytes) -> list[bytes]:
    """What of X stands in it."""
    return [each for each in OF_X if each in content.lower()]


def stored(ledger_connection: str, new_engine: NewEngine) -> bytes:
    """All of the ledger: the bytes of SQLite's files, or every row of every table and view."""
    engine = new_engine()
    names = [*metadata.tables, TIMELINE, DAILY, OPEN_PROBLEMS]
    with engine.connect() as connection:
        rows = [str(tuple(row)) for name in names for row in connection.execute(text(f"SELECT * FROM {name}"))]
    engine.dispose()
    told = "\n".join(rows).encode()
    described = json.loads(ledger_connection)
    if described["conn_type"] == "sqlite":
        file = Path(described["host"])
        told += b"".join(each.read_bytes() for each in sorted(file.parent.glob(f"{file.name}*")))
    return told


def kept(failures: Path) -> bytes:
    """All of the kept failures: their names and contents."""
    files = sorted(each for each in failures.rglob("*") if each.is_file())
    return b"\n".join(str(each.relative_to(failures)).encode() + each.read_bytes() for each in files)


def forget(failures: Path) -> str:
    command = ["forget", "--lead", X, "--reshape-conn-id", "reshape_default", "--ledger-conn-id", "ledger", "--yes"]
    done = CliRunner().invoke(app, [*command, "--even-if-unknown", "--failures-path", f"file://{failures}"])
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    return done.stdout


def test_nothing_is_left_but_the_mark_and_nothing_is_sent_again(
    server: ScriptedServer,
    send: Send,
    failures: Path,
    ledger_connection: str,
    new_engine: NewEngine,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    first = send("first", FIRST)
    assert (first["delivered"], first["rejected"], first["invalid"]) == (7, 1, 2)
    assert first["skipped_by"] == {"unknown_stage": 1}
    # All of it can be found before.
    assert X.lower().encode() in leaks(stored(ledger_connection, new_engine))
    assert {X.lower().encode(), MAIL.lower().encode()} <= set(leaks(kept(failures)))

    receipt = forget(failures)
    assert "3 rows removed from the ledger" in receipt  # delivered, rejected, invalid
    assert "3 kept rows removed" in receipt  # rejected, invalid, and the one of an unknown stage
    assert {X.lower().encode(), *leaks(receipt.encode())} == {X.lower().encode()}
    assert leaks(stored(ledger_connection, new_engine)) == []
    assert leaks(kept(failures)) == []
    assert b"person6@example.com" in kept(failures)
    mark = ledger_digests(ReshapeHook().settings).of_forgotten(SCRIPT_ID, X)
    with new_engine().connect() as connection:
        assert connection.scalars(select(forgotten.c.digest)).all() == [mark]

    requests = len(server.requests)
    # Whatever becomes of X in the CRM.
    changed = lead_x("SQL", value=77, currency="RON")
    later = send("later", [*OTHERS, person(7, "MQL"), lead_x("MQL"), changed, *FIRST[-2:], lead_x("Won", value=-1)])
    assert later["delivered"] == 1
    assert later["invalid"] == 0
    assert later["skipped_by"] == {"already_sent": 6, "still_invalid": 1, "forgotten": 4, "unknown_stage": 1}
    assert [request.id for request in server.requests[requests:]] == ["L-7:MQL"]
    assert leaks(b"".join(request.raw for request in server.requests[requests:])) == []
    assert leaks(stored(ledger_connection, new_engine)) == []
    assert leaks(kept(failures)) == []

    # Not even when the server is down, and what is left unsent is kept.
    server.script = lambda _: Reply(401)
    down = send("down", [person(8, "MQL"), lead_x("MQL"), *(lead_x("Odd") for _ in range(700)), person(9, "MQL")])
    assert down["unsent"] > 0
    assert leaks(stored(ledger_connection, new_engine)) == []
    assert leaks(kept(failures)) == []
    assert b"person8@example.com" in kept(failures)

    printed = "".join(capfd.readouterr())
    assert "delivered" in printed + caplog.text
    assert leaks((printed + caplog.text).encode()) == []


def test_rows_whose_columns_changed_their_names(
    server: ScriptedServer, failures: Path, ledger_connection: str, new_engine: NewEngine
) -> None:
    runs = count(1)

    def send(**renamed: Any) -> dict[str, Any]:
        run = next(runs)
        row = {"stage": "MQL", "email": MAIL, "currency": "EUR", **renamed}
        operator = ReshapeDecoratedOperator(
            task_id="send",
            python_callable=lambda: iter([row, person(run, "Won", currency="Lei", first_name=None)]),
            op_args=[],
            op_kwargs={},
            stage_map=STAGES,
            mapping={"user.first_name": "first_name"},
            ledger_conn_id="ledger",
            failures_path=f"file://{failures}",
        )
        with pytest.raises(ReshapeFailedLeadsError) as failed:
            operator.execute({"ti": Try(str(run))})  # type: ignore[typeddict-item]
        summary = failed.value.summary
        assert summary is not None
        return summary

    forget(failures)
    # A column that ends in "id" is taken for the lead's; so are those of event and person.
    for renamed in ({"LeadID": X}, {"crm-id": X}, {"user.id": X, "surprise": 1}, {"event": {"id": X}, "surprise": 1}):
        assert send(**renamed)["skipped_by"].get("forgotten") == 1, renamed
        assert leaks(kept(failures)) == []
    # Of any other name nobody can tell: the row is kept, as every invalid one is, and the ledger knows its digest.
    assert send(contact_number=X)["invalid"] == 2
    assert X.lower().encode() in leaks(kept(failures))
    assert leaks(stored(ledger_connection, new_engine)) == []
    assert "1 kept row removed" in forget(failures)
    assert leaks(kept(failures)) == []
    assert b"person1@example.com" in kept(failures)
    assert [request for request in server.requests if leaks(request.raw)] == []


@pytest.mark.parametrize("ledger_connection", ["sqlite"], indirect=True)
@pytest.mark.parametrize("write_ahead", [False, True])
def test_sqlite_leaves_no_bytes_where_rows_were_moved(
    new_engine: NewEngine, ledger_connection: str, write_ahead: bool
) -> None:
    """A table that grows moves its rows from page to page; the places they left count too."""
    engine = new_engine()
    if write_ahead:
        with engine.connect() as connection:
            connection.execute(text("PRAGMA journal_mode = WAL"))
    digests = Digests("a key of these tests")
    store = LedgerStore(engine, f"{SCRIPT_ID}:prod", SenderIdentity(), digests.version)
    store.open()
    names = [f"{X}-{number:04d}" for number in range(1000)]
    for start in range(0, len(names), 50):
        claimed = [entry(name) for name in names[start : start + 50]]
        store.claim(claimed)
        store.settle([Settlement(each.key, State.DELIVERED, 1, 200) for each in claimed])
    assert X.lower().encode() in leaks(stored(ledger_connection, new_engine))
    gone = names[::3]
    for name in gone:
        forgetting.forget(engine, name, SCRIPT_ID, digests)
    left = stored(ledger_connection, new_engine)
    assert [name for name in gone if name.encode() in left] == []
    assert all(name.encode() in left for name in set(names) - set(gone))
    engine.dispose()


def entry(name: str) -> Entry:
    key = event_key(f"{SCRIPT_ID}:prod", "lead_qualified", name)
    return Entry(key, "lead_qualified", f"{name}:MQL", name, "d", fields="event.currency user.email")


@pytest.mark.parametrize("ledger_connection", ["sqlite"], indirect=True)
def test_a_checkpoint_holds_nothing_of_a_lead(server: ScriptedServer) -> None:
    store = Store()
    operator = ReshapeDecoratedOperator(
        task_id="send",
        python_callable=lambda: iter(FIRST),
        op_args=[],
        op_kwargs={},
        stage_map=STAGES,
        mapping={"user.first_name": "first_name"},
    )
    with pytest.raises(ReshapeFailedLeadsError):
        operator.execute({"ti": Try("first"), "task_state_store": store})  # type: ignore[typeddict-item]
    assert store.text is not None
    assert len(json.loads(store.text)["failed"]) == 4
    assert leaks(store.text.encode()) == []
