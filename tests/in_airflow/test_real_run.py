"""A real Airflow of several processes runs every DAG over marked persons; then everything it wrote is searched."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests

from demo import services, stack
from demo.airflow_api import AirflowApi
from tests.conftest import ROOT
from tests.in_airflow.crm import JINJA_NAME, leads, shows_marker, write_crm
from tests.in_airflow.test_example_dags import STAGES

# One of them writes persons into the DAG itself, on purpose.
OWN_DAGS = [file for file in (Path(__file__).parent / "dags").glob("*.py") if file.name != "lineage.py"]
RUN_SECONDS = 240.0
# Upstream tasks whose own XCom holds leads, as the documentation says.
STORING = {"qualified_leads", "disqualified_leads", "all_leads", "lead_batches", "one_lead"}


@dataclass
class RealRun:
    """What ran, and where it wrote."""

    stack: stack.Stack
    api: AirflowApi
    states: dict[str, str] = field(default_factory=dict)
    run_ids: dict[str, str] = field(default_factory=dict)

    def get(self, path: str) -> Any:
        return self.api.get(path)


@pytest.fixture(scope="module")
def real_run() -> Iterator[RealRun]:
    here = stack.new_stack("test-real")
    dags = here.home / "dags"
    dags.mkdir()
    for source in (*(ROOT / "dags").iterdir(), *OWN_DAGS):
        (dags / source.name).symlink_to(source)
    marked = leads(6)
    marked[5]["currency"] = None  # so that one lead fails, and its error is written
    write_crm(here.crm_file, marked, {**STAGES, "L0005": ["New", "MQL"]})
    running: list[services.Service] = []
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(ROOT)  # the tier's own DAGs import from it
    try:
        names = ["crm_sql_lead_sync", "crm_api_lead_sync", "crm_xcom_lead_sync", "leads_into_operators", "talkative"]
        api = stack.bring_up(here, running, names, use_schedule=False, triggerer=False, dags_folder=dags)
        run = RealRun(here, api)
        for dag_id in names:
            run.run_ids[dag_id] = api.trigger(dag_id, {})

        def is_over(dag_id: str) -> bool:
            run.states[dag_id] = api.run_state(dag_id, run.run_ids[dag_id])
            return run.states[dag_id] in ("success", "failed")

        for dag_id in names:
            services.wait_until(f"the end of {dag_id}", partial(is_over, dag_id), running, RUN_SECONDS)
        yield run
    finally:
        services.stop(running)
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def received(run: RealRun) -> list[dict[str, Any]]:
    answer = requests.get(f"{run.stack.sandbox_url}/received", params={"limit": 1000}, timeout=30)
    answer.raise_for_status()
    events: list[dict[str, Any]] = answer.json()["events"]
    return events


def test_runs_end_as_they_should(real_run: RealRun) -> None:
    # Three read the CRM, where one lead has no currency; the API's DAG fills it from its defaults.
    assert real_run.states == {
        "crm_sql_lead_sync": "failed",
        "crm_api_lead_sync": "success",
        "crm_xcom_lead_sync": "failed",
        "leads_into_operators": "success",
        "talkative": "success",
    }


def test_all_valid_events_arrived(real_run: RealRun) -> None:
    events = received(real_run)
    assert all(event["valid"] for event in events)
    # 6 of the SQL DAG, 5 of the API's, 4 of the XCom's, 32 of this tier's own.
    assert len(events) == 6 + 5 + 4 + 32


def test_a_name_like_a_template_arrives_as_it_is(real_run: RealRun) -> None:
    names = [event["body"]["user"]["first_name"] for event in received(real_run) if "L0000" in event["id"]]
    assert len(names) >= 9
    assert set(names) == {JINJA_NAME}


def test_failed_leads_are_not_tried_again(real_run: RealRun) -> None:
    path = f"/api/v2/dags/crm_sql_lead_sync/dagRuns/{real_run.run_ids['crm_sql_lead_sync']}/taskInstances"
    (task,) = real_run.get(path)["task_instances"]
    assert task["try_number"] == 1
    assert task["max_tries"] == 3


def test_the_summary_of_a_failed_task_is_its_xcom(real_run: RealRun) -> None:
    summary = real_run.api.returned("crm_sql_lead_sync", real_run.run_ids["crm_sql_lead_sync"], "send_lead_events")
    assert summary["delivered"] == 6
    assert summary["invalid_by"] == {"event.currency: is required": 1}


def test_rendered_fields_show_numbers_only(real_run: RealRun) -> None:
    path = f"/api/v2/dags/leads_into_operators/dagRuns/{real_run.run_ids['leads_into_operators']}/taskInstances"
    listed = real_run.get(path)["task_instances"]
    # One by one, for the list of Airflow 3.1.0 leaves the rendered fields out.
    tasks = [real_run.get(f"{path}/{task['task_id']}/{task['map_index']}") for task in listed]
    leads_shown = {(task["task_id"], task["map_index"]): task["rendered_fields"].get("leads") for task in tasks}
    assert leads_shown["plain", -1] == "<list of 6, not shown>"
    assert leads_shown["mapped", 0] == "<list of 4, not shown>"
    assert leads_shown["mapped", 1] == "<list of 2, not shown>"
    assert leads_shown["literal", -1] == "<list of 2, not shown>"
    assert leads_shown["lazy", -1].startswith("<LazyXComSequence")
    arguments = {(task["task_id"], task["map_index"]): task["rendered_fields"].get("op_args") for task in tasks}
    # Airflow 3.1 shows a list of such things as one text.
    assert arguments["decorated", -1] in (["<list of 6, not shown>"], "[<list of 6, not shown>]")


def test_no_file_holds_a_person(real_run: RealRun) -> None:
    logs = [path for path in real_run.stack.home.rglob("*.log") if path.is_file()]
    task_logs = [path for path in logs if "dag_id=" in str(path)]
    assert len(task_logs) >= 10
    assert any("leads read" in path.read_text() for path in task_logs)  # the right files are searched
    holding = [path.name for path in logs if shows_marker(path.read_text(errors="replace"))]
    assert holding == []


def test_the_metadata_database_holds_persons_only_where_documented(real_run: RealRun) -> None:
    found: set[str] = set()
    searched = 0
    with closing(sqlite3.connect(real_run.stack.home / "airflow" / "airflow.db")) as db:
        db.row_factory = sqlite3.Row
        db.text_factory = lambda raw: raw.decode("utf-8", "replace")
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in db.execute(f'SELECT * FROM "{table}"'):
                searched += 1
                for column in row.keys():  # noqa: SIM118  # a Row iterates over its values
                    value = row[column]
                    shown = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
                    if shows_marker(shown):
                        found.add(f"{table}.{row['task_id']}" if table == "xcom" else f"{table}.{column}")
    assert searched > 200
    assert found == {f"xcom.{task}" for task in STORING}


def test_the_serialised_dags_hold_no_person(real_run: RealRun) -> None:
    for dag_id in real_run.run_ids:
        assert not shows_marker(str(real_run.get(f"/api/v2/dags/{dag_id}/details")))


def test_the_token_is_masked_in_logs_and_api(real_run: RealRun) -> None:
    token = real_run.stack.token
    run_id = real_run.run_ids["talkative"]
    log = real_run.get(f"/api/v2/dags/talkative/dagRuns/{run_id}/taskInstances/tells_the_token/logs/1")
    assert "The token is" in str(log)
    assert token not in str(log)
    shown = real_run.get("/api/v2/connections/reshape_default")
    assert shown["password"] == "***"
    assert token not in str(shown)
    task_logs = list((real_run.stack.home / "airflow" / "logs").rglob("*.log"))
    assert [path for path in task_logs if token in path.read_text(errors="replace")] == []


def test_the_connection_form_has_labelled_fields(real_run: RealRun) -> None:
    metas = {meta["connection_type"]: meta for meta in real_run.get("/ui/connections/hook_meta")}
    meta = metas.pop("reshape")
    assert meta["hook_name"] == "DATA Reshape"
    if not any(other["standard_fields"] for other in metas.values()):
        pytest.skip("Airflow before 3.1.3 labels the fields of no provider unless the FAB provider is installed")
    assert meta["standard_fields"]["host"]["title"] == "Subdomain (host)"
    assert meta["standard_fields"]["password"]["title"] == "Access token"
    assert meta["standard_fields"]["login"]["hidden"] is True
    labels = {name: extra["schema"]["title"] for name, extra in meta["extra_fields"].items()}
    assert labels["script_id"] == "Script ID"
    assert labels["environment"] == "Environment"
    assert set(labels) == {
        "script_id", "api", "environment", "test_route", "data_source", "timeout", "verify", "ca_path", "proxies",
        "allow_http", "ledger_key",
    }  # fmt: skip
