"""This package: from the SQL row to the outcome, as a task does it."""

from __future__ import annotations

import itertools
import json
import os
import time
from typing import Any

from benchmarks import leads
from benchmarks.contestants.meter import Cost, Task, measured, run


def connections(task: Task) -> dict[str, str]:
    """Airflow's connections, as environment variables."""
    reshape = {
        "conn_type": "reshape",
        "schema": task.schema,
        "host": task.host,
        "port": task.port,
        "password": task.token,
        "extra": {"script_id": task.script_id, **({"ca_path": task.ca_path} if task.ca_path else {})},
    }
    crm = {"conn_type": "sqlite", "host": task.database}
    return {
        "AIRFLOW_CONN_RESHAPE_DEFAULT": json.dumps(reshape),
        "AIRFLOW_CONN_CRM": json.dumps(crm),
        **({"AIRFLOW_CONN_LEDGER": task.ledger} if task.ledger else {}),
    }


def options(task: Task) -> dict[str, Any]:
    ledger = {"ledger_conn_id": "ledger"} if task.ledger else {}
    return {"event": leads.EVENT, "concurrency": task.window, **ledger}


def send_rows(task: Task) -> Cost:
    """``SqlToReshapeOperator`` over a table."""
    from airflow_reshape.transfers.sql_to_reshape import SqlToReshapeOperator

    def execute(first: int, last: int) -> dict[str, Any]:
        operator = SqlToReshapeOperator(
            task_id=f"send_{first}", sql=leads.query(first, last), sql_conn_id="crm", **options(task)
        )
        summary: dict[str, Any] = operator.execute({})
        return summary

    if task.warm_up:
        execute(1, task.warm_up)
    with measured() as cost:
        cost.events = execute(task.warm_up + 1, task.warm_up + task.rows)["delivered"]
    return cost


def send_for_a_while(task: Task) -> Cost:
    """``ReshapeHook.send_events`` over a generator that ends when the time is over."""
    from airflow_reshape.hooks.reshape import ReshapeHook

    with measured() as cost:
        end = time.monotonic() + task.seconds
        source = itertools.takewhile(lambda _: time.monotonic() < end, leads.endless(task.run))
        summary = ReshapeHook().send_events(source, max_rejected=1.0, **options(task))
        cost.events = summary["delivered"]
        cost.refused = summary["requests"] - summary["delivered"]
    return cost


def send(task: Task) -> Cost:
    os.environ |= connections(task)
    return send_for_a_while(task) if task.seconds else send_rows(task)


if __name__ == "__main__":
    run(send, "apache-airflow", "aiohttp", "pydantic")
