"""A send or a replay, for a process that is killed: ``python -m tests.failures.killed_task WHAT PATH COUNT``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from airflow_reshape.decorators.reshape import ReshapeDecoratedOperator
from airflow_reshape.operators.replay import ReshapeReplayOperator


class Try:
    """A task's try."""

    def __init__(self, task_id: str, try_number: int) -> None:
        self.dag_id, self.run_id, self.task_id, self.map_index = "crm", "r1", task_id, -1
        self.try_number = try_number

    def xcom_push(self, key: str, value: Any) -> None:
        """Nobody looks."""


def leads(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {"lead_id": f"L-{number}", "currency": "EUR", "email": f"person{number}@example.com"}


def execute(what: str, path: str, count: int, try_number: int) -> dict[str, Any]:
    """Send leads, or replay those that failed."""
    shared: dict[str, Any] = {"task_id": what, "event": "lead_qualified", "failures_path": path}
    operator = (
        ReshapeReplayOperator(**shared)
        if what == "replay"
        else ReshapeDecoratedOperator(
            python_callable=leads, op_args=[count], op_kwargs={}, ledger_conn_id="ledger", max_rejected=count, **shared
        )
    )
    return operator.execute({"ti": Try(what, try_number)})  # type: ignore[typeddict-item]


if __name__ == "__main__":
    execute(sys.argv[1], sys.argv[2], int(sys.argv[3]), 1)
