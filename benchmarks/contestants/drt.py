"""drt-core: a sync from SQLite to a REST API, run as its integration for Airflow runs it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from benchmarks import leads
from benchmarks.contestants.meter import Cost, Task, measured, run

BODY = """{
  "event": {
    "name": "lead_qualified",
    "id": "{{ row.lead_id }}:qualified",
    "currency": "{{ row.currency }}",
    "value": {{ row.value }}
  },
  "user": {"email": "{{ row.email }}", "phone": "{{ row.phone }}"},
  "context": {"environment": "prod"}
}"""


def write_project(task: Task, syncs: dict[str, tuple[int, int]]) -> Path:
    """A project with one sync per range of rows. JSON is YAML."""
    project, home = Path(task.folder) / "drt", Path(task.folder) / "home"
    (project / "syncs").mkdir(parents=True)
    (home / ".drt").mkdir(parents=True)
    (home / ".drt" / "profiles.yml").write_text(json.dumps({"local": {"type": "sqlite", "database": task.leads}}))
    (project / "drt_project.yml").write_text(json.dumps({"name": "leads", "version": "0.1", "profile": "local"}))
    for name, (first, last) in syncs.items():
        sync = {
            "name": name,
            "model": leads.query(first, last),
            "destination": {
                "type": "rest_api",
                "url": f"{task.base_url}{task.endpoint}",
                "method": "POST",
                "headers": task.headers,
                "body_template": BODY,
            },
            # Without its limit, which is 10 a second.
            "sync": {"mode": "full", "rate_limit": {"requests_per_second": 0}, "on_error": "skip"},
        }
        (project / "syncs" / f"{name}.yml").write_text(json.dumps(sync))
    os.environ["HOME"] = str(home)
    return project


def send(task: Task) -> Cost:
    os.environ["DO_NOT_TRACK"] = "1"
    if task.ca_path:
        os.environ["SSL_CERT_FILE"] = task.ca_path
    ranges = {"warm_up": (1, task.warm_up), "leads": (task.warm_up + 1, task.warm_up + task.rows)}
    project = write_project(task, ranges)
    from drt.integrations.airflow import run_drt_sync

    run_drt_sync("warm_up", str(project))
    with measured() as cost:
        result = run_drt_sync("leads", str(project))
        cost.events, cost.refused = result["rows_synced"], result["rows_failed"]
    return cost


if __name__ == "__main__":
    run(send, "drt-core", "httpx")
