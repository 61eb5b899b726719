"""The chain of assets, with a real scheduler: the CRM's tables are loaded, leads are sent, a report is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from demo import services, stack
from demo.airflow_api import AirflowApi
from tests.conftest import ROOT
from tests.in_airflow.crm import leads, shows_marker, write_crm

SENDER, REPORT = "crm_asset_lead_sync", "lead_events_report"
STAGES = {"L0000": ["New", "MQL"], "L0001": ["New", "MQL", "SQL"], "L0002": ["New", "Disqualified"]}
RUN_SECONDS = 120.0


@pytest.fixture(scope="module")
def airflow() -> Iterator[tuple[stack.Stack, AirflowApi]]:
    here = stack.new_stack("test-chain")
    dags = here.home / "dags"
    dags.mkdir()
    for name in ("crm_asset_lead_sync.py", "sql"):
        (dags / name).symlink_to(ROOT / "dags" / name)
    write_crm(here.crm_file, leads(3), STAGES)
    running: list[services.Service] = []
    try:
        api = stack.bring_up(here, running, [SENDER, REPORT], use_schedule=True, triggerer=False, dags_folder=dags)
        yield here, api
    finally:
        services.stop(running)


def test_one_update_runs_both_dags(airflow: tuple[stack.Stack, AirflowApi]) -> None:
    here, api = airflow
    for dag_id in (SENDER, REPORT):
        api._call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
    (crm_leads,) = api.get("/api/v2/assets?name_pattern=crm_leads")["assets"]
    # As the button does, or a task that loads the tables.
    api._call("POST", "/api/v2/assets/events", {"asset_id": crm_leads["id"]})

    def runs(dag_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = api.get(f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"]
        return found

    services.wait_until(
        "the report", lambda: any(run["state"] in ("success", "failed") for run in runs(REPORT)), [], RUN_SECONDS
    )
    assert [(run["state"], run["run_type"]) for run in runs(SENDER)] == [("success", "asset_triggered")]
    (report,) = runs(REPORT)
    assert (report["state"], report["run_type"]) == ("success", "asset_triggered")
    told = api.returned(REPORT, report["dag_run_id"], "report")
    where = here.sandbox_url.removeprefix("http://")
    assert told == {
        f"reshape://{where}/{stack.SCRIPT_ID}/lead_qualified": 3,
        f"reshape://{where}/{stack.SCRIPT_ID}/lead_disqualified": 1,
    }
    received = requests.get(f"{here.sandbox_url}/received", params={"limit": 100}, timeout=30).json()["events"]
    assert len(received) == sum(told.values())
    assert not shows_marker(str(api.get("/api/v2/assets/events")))
