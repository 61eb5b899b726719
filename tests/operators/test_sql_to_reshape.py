"""From real databases to the server."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_reshape.exceptions import ReshapeConfigurationError
from airflow_reshape.sandbox.testing import RunningSandbox
from airflow_reshape.transfers.sql_to_reshape import SqlToReshapeOperator

QUERY = """
    SELECT id AS lead_id, stage, email, phone, 'RO' AS "user.country", 'eur' AS currency, amount AS "event.value",
           reason AS disqualification_reason
    FROM leads WHERE id >= {since} ORDER BY id;
"""
STAGES = {"stage_map": {"MQL": "lead_qualified", "Lost": "lead_disqualified"}, "reason_map": {"money": "no_budget"}}
COUNT = 300


def rows() -> list[tuple[Any, ...]]:
    return [
        (n, "Lost" if n % 3 == 0 else "MQL", f"P{n}@Example.com", f"0722 1{n:02d} 456"[:12], 10.5, "money")
        for n in range(1, COUNT + 1)
    ]


@pytest.fixture
def crm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "crm.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE leads (id INTEGER, stage, email, phone, amount, reason)")
        db.executemany("INSERT INTO leads VALUES (?, ?, ?, ?, ?, ?)", rows())
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    return path


def operator(query: str, **arguments: Any) -> SqlToReshapeOperator:
    return SqlToReshapeOperator(task_id="t", sql=query, sql_conn_id="crm", **{**STAGES, **arguments})


def check_all_arrived(sandbox: RunningSandbox, summary: dict[str, Any]) -> None:
    received = sandbox.received(limit=1000)
    assert all(event["valid"] for event in received)
    assert {(event["name"], event["id"]) for event in received} == {
        ("lead_disqualified", str(n)) if n % 3 == 0 else ("lead_qualified", f"{n}:MQL") for n in range(1, COUNT + 1)
    }
    assert summary["delivered"] == len(received) == COUNT
    assert {event["body"]["event"]["value"] for event in received} == {0, 10.5}


@pytest.mark.usefixtures("crm")
def test_sqlite(sandbox: RunningSandbox, ti: Any) -> None:
    query = QUERY.format(since=":since")
    summary = operator(query, parameters={"since": 0}).execute({"ti": ti})
    check_all_arrived(sandbox, summary)


@pytest.fixture
def postgres(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The CRM in PostgreSQL."""
    from tests.databases import postgres_server

    with postgres_server() as server:
        monkeypatch.setenv("AIRFLOW_CONN_CRM", server.airflow_connection())
        from airflow.providers.postgres.hooks.postgres import PostgresHook

        hook = PostgresHook("crm")
        hook.run("CREATE TABLE leads (id int, stage text, email text, phone text, amount numeric(9,2), reason text)")
        hook.insert_rows("leads", rows())
        yield


@pytest.mark.usefixtures("postgres")
def test_postgresql(sandbox: RunningSandbox, ti: Any) -> None:
    summary = operator(QUERY.format(since="%(since)s"), parameters={"since": 0}).execute({"ti": ti})
    check_all_arrived(sandbox, summary)


BROKEN = {1, 101, 102, COUNT}  # the first row, neighbours, the last


def check_sent_without(sandbox: RunningSandbox, summary: dict[str, Any], field: str) -> None:
    """All leads arrived, and those with a broken cell without that field."""
    check_all_arrived(sandbox, summary)
    users = {
        int(event["id"].partition(":")[0]): event["body"].get("user", {}) for event in sandbox.received(limit=1000)
    }
    assert {lead for lead, user in users.items() if field not in user} == BROKEN
    assert all("email" in user for user in users.values())
    assert sum(summary["left_out_by"].values()) == len(BROKEN)


def test_a_cell_that_sqlite3_cannot_read(sandbox: RunningSandbox, ti: Any, crm: Path) -> None:
    with closing(sqlite3.connect(crm)) as db, db:
        db.execute(f"UPDATE leads SET phone = CAST(x'ff' || phone AS TEXT) WHERE id IN {tuple(BROKEN)}")
    check_sent_without(sandbox, operator(QUERY.format(since=0)).execute({"ti": ti}), "phone")


@pytest.mark.usefixtures("postgres")
def test_a_cell_that_psycopg_cannot_read(sandbox: RunningSandbox, ti: Any) -> None:
    seen = f"CASE WHEN id IN {tuple(BROKEN)} THEN 'infinity' ELSE TIMESTAMPTZ '2026-03-29' END AS \"user.created_at\""
    query = QUERY.format(since=0).replace("SELECT", f"SELECT {seen},")
    check_sent_without(sandbox, operator(query).execute({"ti": ti}), "created_at")


@pytest.mark.usefixtures("crm")
@pytest.mark.parametrize(
    ("query", "told"),
    [
        (
            "SELECT id AS lead_id, email AS emial FROM leads",
            "'emial' is no field of Reshape: did you mean 'user.email'",
        ),
        ("SELECT id FROM leads", "'id' is ambiguous: write event.id or user.id"),
        ('SELECT id AS lead_id, email, email AS "user.email" FROM leads', "both make user.email"),
    ],
)
def test_unknown_columns_stop_before_the_first_request(sandbox: RunningSandbox, ti: Any, query: str, told: str) -> None:
    with pytest.raises(ReshapeConfigurationError, match=told):
        operator(query).execute({"ti": ti})
    assert sandbox.summary()["requests"] == 0


@pytest.mark.usefixtures("crm")
def test_a_mapped_source_that_is_not_there_stops_too(sandbox: RunningSandbox, ti: Any) -> None:
    with pytest.raises(ReshapeConfigurationError, match="the source has no column 'mail'"):
        operator("SELECT id AS lead_id, stage FROM leads", mapping={"user.email": "mail"}).execute({"ti": ti})
    assert sandbox.summary()["requests"] == 0


def test_a_connection_that_is_no_database_is_refused(
    sandbox: RunningSandbox, ti: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "http", "host": "localhost"}))
    with pytest.raises(ReshapeConfigurationError, match="is no SQL database"):
        operator("SELECT 1 AS lead_id").execute({"ti": ti})
