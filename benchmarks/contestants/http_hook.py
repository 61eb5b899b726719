"""Airflow's own way: ``HttpHook.run`` in a loop."""

from __future__ import annotations

import json
import os

from benchmarks import leads
from benchmarks.contestants.meter import Cost, Task, measured, run


def send(task: Task) -> Cost:
    connection = {"conn_type": "http", "schema": task.schema, "host": task.host, "port": task.port}
    os.environ["AIRFLOW_CONN_API"] = json.dumps(connection)
    from airflow.providers.http.hooks.http import HttpHook

    hook = HttpHook(method="POST", http_conn_id="api")

    def post_all(first: int, last: int) -> int:
        accepted = 0
        for row in leads.rows(task.leads, first, last):
            answer = hook.run(
                task.endpoint,
                json=leads.body(row),
                headers=task.headers,
                extra_options={"verify": task.ca_path or True},
            )
            accepted += answer.json()["result"] == "ok"
        return accepted

    post_all(1, task.warm_up)
    with measured() as cost:
        cost.events = post_all(task.warm_up + 1, task.warm_up + task.rows)
    return cost


if __name__ == "__main__":
    run(send, "apache-airflow-providers-http", "requests")
