"""``python -m airflow_reshape reconcile``: what the CRM says against what the ledger knows."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, update

from airflow_reshape.delivery.ledger.forgetting import forget
from airflow_reshape.delivery.ledger.opening import make_tables
from airflow_reshape.delivery.ledger.tables import events
from airflow_reshape.exceptions import ReshapeError
from airflow_reshape.hooks.ledger import ledger_digests
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.sandbox.testing import RunningSandbox
from airflow_reshape.transfers.sql_to_reshape import SqlToReshapeOperator
from tests.command_line.conftest import Ask

QUERY = "SELECT * FROM leads ORDER BY rowid"
OPTIONS: dict[str, Any] = {"stage_map": {"SQL": "lead_qualified", "New": None}}


def put(
    crm: sqlite3.Connection, numbers: range, stage: str = "SQL", currency: str | None = "EUR", days: int = 0
) -> None:
    at = (datetime.now(UTC) - timedelta(days=days, hours=5)).isoformat()
    crm.executemany(
        "INSERT INTO leads VALUES (?, ?, ?, ?, ?, ?)",
        [(f"L{n}", stage, at, n, currency, f"person{n}@example.com") for n in numbers],
    )


def send() -> None:
    operator = SqlToReshapeOperator(task_id="t", sql=QUERY, sql_conn_id="crm", ledger_conn_id="ledger", **OPTIONS)
    operator.execute({})


def reconcile(ask: Ask, *more: str, query: str = QUERY, options: Any = OPTIONS) -> Any:
    connections = ("--ledger-conn-id", "ledger", "--reshape-conn-id", "reshape_default", "--sql-conn-id", "crm")
    options = options if isinstance(options, str) else json.dumps(options)
    return ask("reconcile", *connections, "--sql", query, "--options", options, *more)


def test_it_finds_what_no_run_has_seen(connected: RunningSandbox, crm: sqlite3.Connection, ask: Ask) -> None:
    put(crm, range(20))
    put(crm, range(20, 24), stage="New")
    send()
    complete = reconcile(ask)
    assert complete.exit_code == 0, complete.output
    assert "24 rows, 0 without an outcome" in complete.stdout
    assert "delivered 20" in complete.stdout

    put(crm, range(30, 33))
    put(crm, range(40, 41), days=9)  # it got lost long ago: too old to be sent, and not to be overlooked
    requests = connected.summary()["requests"]
    done = reconcile(ask)
    assert done.exit_code == 1
    for row, lead, age in ((25, "L30", "5 h"), (26, "L31", "5 h"), (27, "L32", "5 h"), (28, "L40", "9 d 5 h")):
        assert f"row {row}: lead {lead}, lead_qualified {lead}:SQL, {age} old: no outcome" in done.stdout
    assert "28 rows, 4 without an outcome" in done.stdout
    assert "@" not in done.stdout
    assert connected.summary()["requests"] == requests  # nothing was sent


def test_json_tells_the_same(connected: RunningSandbox, crm: sqlite3.Connection, ledger: Engine, ask: Ask) -> None:
    put(crm, range(6))
    put(crm, range(6, 7), currency=None)
    connected.set_faults(ids=["L2:SQL"], statuses={"422": 1.0})
    with pytest.raises(ReshapeError):
        send()
    with ledger.begin() as connection:
        connection.execute(update(events).where(events.c.event_id == "L3:SQL").values(state="released"))
    settings = ReshapeHook().settings
    forget(ledger, "L4", settings.destination.script_id, ledger_digests(settings))
    put(crm, range(7, 8), currency=None)

    done = reconcile(ask, "--json", options={**OPTIONS, "max_age": "P3D", "exclude_emails": ["person9@example.com"]})
    told = json.loads(done.stdout)
    assert done.exit_code == 1
    assert told["read"] == 8
    assert told["by_state"] == {"delivered": 3, "rejected": 1, "invalid": 1}
    assert told["not_to_be_sent"] == {"forgotten": 1}
    assert [(each["row"], each["lead_id"], each["why"]) for each in told["missing"]] == [
        (4, "L3", "released"),
        (8, "L7", "invalid: event.currency: is required"),
    ]


def test_guards_say_what_is_not_to_be_sent(crm: sqlite3.Connection, ask: Ask, connected: RunningSandbox) -> None:
    put(crm, range(2))
    send()
    put(crm, range(2, 5))
    told = json.loads(reconcile(ask, "--json", options={**OPTIONS, "exclude_emails": ["*@example.com"]}).stdout)
    assert told["missing"] == []
    assert (told["by_state"], told["not_to_be_sent"]) == ({"delivered": 2}, {"excluded": 3})


def test_a_file_and_parameters(tmp_path: Path, crm: sqlite3.Connection, ask: Ask, connected: RunningSandbox) -> None:
    put(crm, range(4))
    send()
    file = tmp_path / "leads.sql"
    file.write_text("SELECT * FROM leads WHERE value >= :least;\n")
    done = reconcile(ask, "--parameters", '{"least": 2}', query=str(file))
    assert done.exit_code == 0, done.output
    assert "2 rows, 0 without an outcome" in done.stdout


@pytest.mark.parametrize(
    ("query", "options", "told"),
    [
        (QUERY, "{", "must be JSON"),
        (QUERY, "[]", "must be a JSON object"),
        (QUERY, {"stage_mapp": {}}, "did you mean stage_map?"),
        (QUERY, {"max_age": "three days"}, "max_age must be seconds, or a duration"),
        (QUERY, {"event": "lead_qualfied"}, "lead_qualfied"),
        ("SELECT {{ ds }}", OPTIONS, "holds a template"),
        ("nowhere.sql", OPTIONS, "cannot be read"),
        ("SELECT * FROM nowhere", OPTIONS, "no such table"),
        ("DELETE FROM leads", OPTIONS, "DELETE changes the database"),
        ("SELECT lead_id, 1 AS shoe_size FROM leads", OPTIONS, "shoe_size"),
    ],
)
def test_what_is_wrong_is_a_text(
    crm: sqlite3.Connection, ledger: Engine, ask: Ask, query: str, options: Any, told: str
) -> None:
    put(crm, range(1))
    make_tables(ledger)
    done = reconcile(ask, query=query, options=options)
    assert done.exit_code != 0
    assert told in " ".join(done.output.replace("│", " ").split())


def test_nothing_but_json_reaches_standard_output(crm: sqlite3.Connection, connected: RunningSandbox) -> None:
    put(crm, range(3))
    send()
    put(crm, range(3, 4))
    arguments = ("--reshape-conn-id", "reshape_default", "--ledger-conn-id", "ledger", "--sql-conn-id", "crm")
    query = ("--sql", QUERY, "--options", json.dumps(OPTIONS), "--json")
    done = subprocess.run(
        [sys.executable, "-m", "airflow_reshape", "reconcile", *arguments, *query],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, [each["lead_id"] for each in json.loads(done.stdout)["missing"]]) == (1, ["L3"])
    assert "Reading rows from crm" in done.stderr  # what is logged is still told
    assert connected.token not in done.stderr


def test_a_ledger_that_is_not_there_yet(crm: sqlite3.Connection, ask: Ask) -> None:
    done = reconcile(ask)
    assert done.exit_code == 1
    assert "there is no ledger at 'ledger' yet" in done.stdout
