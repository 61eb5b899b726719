"""The same send twice, once with a ledger and once with nothing but Airflow's own state store."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_reshape.transfers.sql_to_reshape import SqlToReshapeOperator
from tests.crash.crm import QUERIES

MEMORIES: dict[str, dict[str, Any]] = {"ledger": {"ledger_conn_id": "reshape_ledger"}, "checkpoint": {}}

for memory, arguments in MEMORIES.items():
    with DAG(f"killed_with_{memory}", schedule=None, catchup=False):
        SqlToReshapeOperator(
            task_id="send",
            sql=QUERIES["unordered"],
            sql_conn_id=f"crm_{memory}",
            event="lead_qualified",
            retries=10,
            retry_delay=timedelta(seconds=1),
            **arguments,
        )
