"""DAGs whose leads fail and are mended. What they read lies in files that the tests write."""

from __future__ import annotations

import json
import os
from pathlib import Path

from airflow.sdk import dag, task

from airflow_reshape.operators.replay import ReshapeReplayOperator
from airflow_reshape.transfers.sql_to_reshape import SqlToReshapeOperator

FAILURES = "{{ var.value.mended_failures }}"
QUERY = "SELECT id AS lead_id, email, currency, value FROM leads ORDER BY id"


@dag(schedule=None)
def sliding_window() -> None:
    """Reads the same rows at every run."""
    SqlToReshapeOperator(
        task_id="send",
        sql=QUERY,
        sql_conn_id="mended_crm",
        event="lead_qualified",
        ledger_conn_id="mended_ledger",
    )


@dag(schedule=None)
def read_once() -> None:
    """Leads of a source that cannot be read again."""

    @task.reshape(event="lead_qualified", failures_path=FAILURES)
    def drained():  # type: ignore[no-untyped-def]
        queue = Path(os.environ["MENDED_QUEUE"])
        lines, _ = queue.read_text().splitlines(), queue.write_text("")
        for line in lines:
            yield json.loads(line)

    drained()


@dag(schedule=None)
def replayed() -> None:
    """Sends what the other kept, with a mended mapping."""
    ReshapeReplayOperator(
        task_id="replay",
        failures_path=FAILURES,
        event="lead_qualified",
        mapping={"event.currency": "money"},
    )


sliding_window()
read_once()
replayed()
