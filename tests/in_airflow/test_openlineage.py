"""The events that the OpenLineage provider writes about tasks that send, searched for persons."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.version import Version

from airflow_reshape.sandbox.testing import RunningSandbox
from tests.airflow_versions import needs_sql_lineage
from tests.conftest import ROOT
from tests.databases import DatabaseServer, postgres_server
from tests.in_airflow.crm import leads, shows_marker

# With include_full_task_info an older provider (2.18 was the last tried) ends in endless recursion and writes nothing.
TELLS_WHOLE_TASKS = Version(importlib.metadata.version("apache-airflow-providers-openlineage")) >= Version("2.20")

DAGS = ROOT / "tests" / "in_airflow" / "dags" / "lineage.py"
DAG_IDS = ("lineage_query", "lineage_mapped", "lineage_function", "lineage_failure")
STAGES = ["MQL", "Lost", "New", "MQL"]


@pytest.fixture(scope="module")
def postgres() -> Iterator[DatabaseServer]:
    import psycopg

    with postgres_server() as server:
        with psycopg.connect(server.uri) as db, db.cursor() as cursor:
            cursor.execute("CREATE TABLE leads (lead_id TEXT, email TEXT, phone TEXT, first_name TEXT, last_name TEXT,"
                           " value NUMERIC, currency TEXT)")  # fmt: skip
            cursor.execute("CREATE SCHEMA sales")
            cursor.execute("CREATE TABLE sales.stage_history (id SERIAL, lead_id TEXT, to_stage TEXT)")
            for lead, stage in zip(leads(4), STAGES, strict=True):
                columns = ("lead_id", "email", "phone", "first_name", "last_name", "value", "currency")
                cursor.execute(
                    "INSERT INTO leads VALUES (%s, %s, %s, %s, %s, %s, %s)", [lead[name] for name in columns]
                )
                cursor.execute("INSERT INTO sales.stage_history (lead_id, to_stage) VALUES (%s, %s)",
                               [lead["lead_id"], stage])  # fmt: skip
        yield server


@pytest.fixture(scope="module")
def written(
    airflow_dags: dict[str, Any], sandbox: RunningSandbox, postgres: DatabaseServer, tmp_path_factory: Any
) -> Path:
    """The file that the events of all DAGs were written to, with as much in them as can be switched on."""
    assert set(DAG_IDS) <= set(airflow_dags)
    file: Path = tmp_path_factory.mktemp("lineage") / "events.jsonl"
    sandbox.clear()
    env = {
        **os.environ,
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": str(file), "append": True}),
        "AIRFLOW__OPENLINEAGE__INCLUDE_FULL_TASK_INFO": str(TELLS_WHOLE_TASKS),
        "AIRFLOW_CONN_LINEAGE_CRM": postgres.airflow_connection(),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.in_airflow.run_with_lineage", DAGS, *DAG_IDS],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert not shows_marker(done.stdout + done.stderr)
    return file


@pytest.fixture(scope="module")
def events(written: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.read_text().splitlines()]


def ended(events: list[dict[str, Any]], job: str) -> dict[str, Any]:
    """The only event that ends a job."""
    (event,) = [one for one in events if one["job"]["name"] == job and one["eventType"] in ("COMPLETE", "FAIL")]
    return event


def datasets(found: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(one["namespace"], one["name"]) for one in found}


def rows(event: dict[str, Any], sandbox: RunningSandbox) -> dict[str, int]:
    """How many were delivered, by event name."""
    told = {one["name"]: one["outputFacets"]["outputStatistics"]["rowCount"] for one in event["outputs"]}
    assert {one["namespace"] for one in event["outputs"]} == {f"reshape://{sandbox.host}:{sandbox.port}"}
    return {name.removeprefix(f"{sandbox.script_id}/"): count for name, count in told.items()}


def test_a_query_names_its_tables_and_what_was_sent(
    events: list[dict[str, Any]], sandbox: RunningSandbox, postgres: DatabaseServer
) -> None:
    event = ended(events, "lineage_query.send")
    where = f"postgres://{postgres.host}:{postgres.port}"

    assert event["eventType"] == "COMPLETE"
    assert datasets(event["inputs"]) == {(where, "crm.public.leads"), (where, "crm.sales.stage_history")}
    assert rows(event, sandbox) == {"lead_qualified": 2, "lead_disqualified": 1}
    facet = event["run"]["facets"]["reshape_send"]
    assert {name: facet[name] for name in ("read", "delivered", "skipped", "rejected", "invalid", "unsent")} == {
        "read": 4, "delivered": 3, "skipped": 1, "rejected": 0, "invalid": 0, "unsent": 0,
    }  # fmt: skip
    assert facet["environment"] == "prod"
    query = event["job"]["facets"]["sql"]["query"]
    assert "lead.value > '?' AND lead.email <> '?'" in query


def test_a_mapped_task(events: list[dict[str, Any]], sandbox: RunningSandbox) -> None:
    assert rows(ended(events, "lineage_mapped.send"), sandbox) == {"lead_qualified": 4}


def test_a_function(events: list[dict[str, Any]], sandbox: RunningSandbox) -> None:
    assert rows(ended(events, "lineage_function.send"), sandbox) == {"lead_qualified": 3}


@needs_sql_lineage
def test_a_function_that_reads_a_database(events: list[dict[str, Any]], postgres: DatabaseServer) -> None:
    query = ended(events, "lineage_function.send.query.1")
    assert datasets(query["inputs"]) == {(f"postgres://{postgres.host}:{postgres.port}", "crm.public.leads")}
    assert query["run"]["facets"]["parent"]["job"]["name"] == "lineage_function.send"


def test_a_failed_task_tells_what_it_delivered(events: list[dict[str, Any]], sandbox: RunningSandbox) -> None:
    event = ended(events, "lineage_failure.send")
    assert event["eventType"] == "FAIL"
    assert rows(event, sandbox) == {"lead_qualified": 2}
    assert event["run"]["facets"]["reshape_send"]["invalid"] == 1
    assert "1 of 3 leads failed" in event["run"]["facets"]["errorMessage"]["message"]


def test_no_event_holds_a_person(events: list[dict[str, Any]], sandbox: RunningSandbox) -> None:
    for event in events:
        # With include_full_task_info the operator's arguments are told as the DAG's author wrote them.
        event["run"]["facets"].get("airflow", {}).get("task", {}).pop("sql", None)
    text = json.dumps(events, ensure_ascii=False)
    sent = [event["body"]["user"] for event in sandbox.received()]
    assert len(sent) == 3 + 4 + 3 + 2
    values = {user[field] for user in sent for field in ("email", "phone", "first_name", "last_name")}
    values |= {lead[field] for lead in leads(4) for field in ("email", "phone", "first_name", "last_name")}
    assert len(values) > 16
    assert [value for value in values if value in text] == []
    assert not shows_marker(text)


def test_no_event_holds_the_token(written: Path, sandbox: RunningSandbox, postgres: DatabaseServer) -> None:
    assert sandbox.token not in written.read_text()
    assert postgres.password not in written.read_text()
