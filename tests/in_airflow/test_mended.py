"""Leads that fail and are mended, in runs of real DAGs; what the server received decides."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

COUNT = 1000


def rows() -> list[dict[str, Any]]:
    return [{"lead_id": n, "email": f"p{n}@example.com", "currency": "EUR", "value": n} for n in range(1, COUNT + 1)]


@pytest.fixture(autouse=True)
def places(tmp_path: Path) -> Iterator[Path]:
    """The CRM with one bad lead, the ledger, the queue and the folder for failures."""
    for name, file in (("CRM", "crm.sqlite"), ("LEDGER", "ledger.sqlite")):
        made = {"conn_type": "sqlite", "host": str(tmp_path / file)}
        os.environ[f"AIRFLOW_CONN_MENDED_{name}"] = json.dumps(made)
    os.environ["AIRFLOW_VAR_MENDED_FAILURES"] = f"file://{tmp_path / 'failures'}"
    os.environ["MENDED_QUEUE"] = str(tmp_path / "queue.jsonl")
    with closing(sqlite3.connect(tmp_path / "crm.sqlite")) as db, db:
        db.execute("CREATE TABLE leads (id INTEGER, email, currency, value)")
        db.executemany("INSERT INTO leads VALUES (:lead_id, :email, :currency, :value)", rows())
        db.execute("UPDATE leads SET currency = 'euros' WHERE id = 500")
    yield tmp_path
    for name in (
        "AIRFLOW_CONN_MENDED_CRM",
        "AIRFLOW_CONN_MENDED_LEDGER",
        "AIRFLOW_VAR_MENDED_FAILURES",
        "MENDED_QUEUE",
    ):
        del os.environ[name]


def test_a_sliding_window_is_red_once(run_dag: Callable[..., Any], sandbox: Any) -> None:
    states, summaries = [], []
    for _ in range(5):
        run = run_dag("sliding_window")
        states.append(str(run.state))
        summaries.append(run.get_task_instance("send").xcom_pull("send"))
    assert states == ["failed", *["success"] * 4]
    assert sandbox.summary()["requests"] == COUNT - 1
    for summary in summaries[1:]:
        assert (summary["still_failing"], summary["skipped"], summary["delivered"]) == (1, COUNT, 0)


def test_a_source_that_is_read_once_is_replayed(run_dag: Callable[..., Any], sandbox: Any, places: Path) -> None:
    bad = rows()
    bad[499]["money"] = bad[499].pop("currency")
    Path(os.environ["MENDED_QUEUE"]).write_text("\n".join(map(json.dumps, bad)))
    assert run_dag("read_once").state == "failed"
    assert sandbox.summary()["requests"] == COUNT - 1
    sandbox.clear()
    assert run_dag("replayed").state == "success"
    (event,) = sandbox.received()
    assert event["id"] == "500:qualified"
    sandbox.clear()
    assert run_dag("replayed").state == "success"
    assert not sandbox.received()


def test_the_commands_know_the_connections_of_the_metadata_database(run_dag: Callable[..., Any], places: Path) -> None:
    run_dag("sliding_window")
    add = ["airflow", "connections", "add", "kept_ledger", "--conn-type", "sqlite"]
    for command in (
        [*add, "--conn-host", str(places / "ledger.sqlite")],
        ["airflow_reshape", "lead", "500", "--ledger-conn-id", "kept_ledger"],
    ):
        done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "invalid" in done.stdout
