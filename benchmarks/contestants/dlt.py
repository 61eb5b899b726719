"""dlt: a pipeline into a custom destination that posts each row with dlt's own HTTP client."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchmarks import leads
from benchmarks.contestants.meter import Cost, Task, measured, run


def pipeline_runner(task: Task) -> Any:
    """A function that sends a range of rows and tells how many were accepted."""
    os.environ |= {
        "DLT_DATA_DIR": str(Path(task.folder) / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "ERROR",
    }
    import dlt
    from dlt.sources.helpers import requests

    accepted: list[int] = []

    def post(items: list[dict[str, Any]], table: dict[str, Any]) -> None:  # noqa: ARG001
        for row in items:
            answer = requests.post(
                f"{task.base_url}{task.endpoint}",
                json=leads.body(row),
                headers=task.headers,
                verify=task.ca_path or True,
            )
            accepted.append(answer.json()["result"] == "ok")

    reshape = dlt.destination(name="reshape")(post)
    pipeline = dlt.pipeline("reshape", destination=reshape, pipelines_dir=str(Path(task.folder) / "pipelines"))

    def send_range(first: int, last: int) -> int:
        accepted.clear()
        pipeline.run(leads.rows(task.leads, first, last), table_name="lead")
        return sum(accepted)

    return send_range


def send(task: Task) -> Cost:
    send_range = pipeline_runner(task)
    send_range(1, task.warm_up)
    with measured() as cost:
        cost.events = send_range(task.warm_up + 1, task.warm_up + task.rows)
    return cost


if __name__ == "__main__":
    run(send, "dlt", "requests")
