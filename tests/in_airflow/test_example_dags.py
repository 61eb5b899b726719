"""The example DAGs, run by a real Airflow, and what arrived."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.crm_api import running_crm_api
from tests.in_airflow.crm import JINJA_NAME, leads, write_crm

STAGES = {
    "L0000": ["New", "MQL"],
    "L0001": ["New", "MQL", "SQL"],
    "L0002": ["New", "Contacted", "Disqualified"],
    "L0003": ["New"],
    "L0004": ["New", "MQL", "Disqualified", "MQL"],
}


@pytest.fixture(scope="module", autouse=True)
def crm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("crm") / "crm.sqlite"
    write_crm(path, leads(5), STAGES)
    os.environ["AIRFLOW_CONN_CRM_DB"] = json.dumps({"conn_type": "sqlite", "host": str(path)})
    ledger = path.with_name("ledger.sqlite")
    os.environ["AIRFLOW_CONN_RESHAPE_LEDGER"] = json.dumps({"conn_type": "sqlite", "host": str(ledger)})
    yield path
    del os.environ["AIRFLOW_CONN_CRM_DB"], os.environ["AIRFLOW_CONN_RESHAPE_LEDGER"]


def arrived(sandbox: Any) -> dict[tuple[str, str], dict[str, Any]]:
    """Bodies by event name and id; each must have come once and be valid."""
    received = sandbox.received()
    assert all(one["valid"] for one in received), [one["violations"] for one in received]
    bodies = {(one["name"], one["id"]): one["body"] for one in received}
    assert len(bodies) == len(received)
    return bodies


def test_sql_dag_sends_both_events(run_dag: Callable[..., Any], sandbox: Any) -> None:
    assert run_dag("crm_sql_lead_sync").state == "success"

    bodies = arrived(sandbox)
    assert set(bodies) == {
        ("lead_qualified", "L0000:MQL"),
        ("lead_qualified", "L0001:MQL"),
        ("lead_qualified", "L0001:SQL"),
        ("lead_disqualified", "L0002"),
        ("lead_qualified", "L0004:MQL"),
        ("lead_disqualified", "L0004"),
    }
    qualified = bodies["lead_qualified", "L0001:SQL"]
    assert qualified["event"]["value"] == 101
    assert qualified["event"]["currency"] == "EUR"
    assert qualified["user"]["phone"] == "+40731919101"
    assert qualified["user"]["email"] == "zqmarker.1@example.com"
    lost = bodies["lead_disqualified", "L0002"]["event"]
    assert lost["value"] == 0
    assert lost["properties"]["disqualification_reason"] == "out_of_icp"
    assert lost["properties"]["disqualification_stage"] == "Contacted"
    assert bodies["lead_qualified", "L0000:MQL"]["user"]["first_name"] == JINJA_NAME


def test_sql_dag_sends_nothing_again(run_dag: Callable[..., Any], sandbox: Any) -> None:
    run = run_dag("crm_sql_lead_sync")

    assert run.state == "success"
    assert sandbox.received() == []
    summary = run.get_task_instance("send_lead_events").xcom_pull("send_lead_events")
    assert summary["skipped_by"] == {"stage_not_sent": 6, "already_sent": 6}


def test_sql_dag_validates_only(run_dag: Callable[..., Any], sandbox: Any) -> None:
    run = run_dag("crm_sql_lead_sync", validate_only=True)

    assert run.state == "success"
    assert sandbox.received() == []
    summary = run.get_task_instance("send_lead_events").xcom_pull("send_lead_events")
    assert sum(sum(days.values()) for days in summary["would_send"].values()) == 6


def test_api_dag_sends_page_by_page(run_dag: Callable[..., Any], sandbox: Any, crm: Path) -> None:
    with running_crm_api(crm, page_size=2) as api:
        os.environ["AIRFLOW_CONN_CRM_API"] = json.dumps(
            {"conn_type": "http", "host": f"http://{api.host}", "port": api.port}
        )
        run = run_dag("crm_api_lead_sync")

    assert run.state == "success"
    assert api.pages_served >= 3
    bodies = arrived(sandbox)
    assert set(bodies) == {
        ("lead_qualified", "L0000:qualified"),
        ("lead_qualified", "L0001:qualified"),
        ("lead_disqualified", "L0002"),
        ("lead_qualified", "L0004:qualified"),
    }
    assert bodies["lead_disqualified", "L0002"]["event"]["properties"]["disqualification_reason"] == "out_of_icp"


def test_xcom_dag_sends_with_both_operators(run_dag: Callable[..., Any], sandbox: Any) -> None:
    assert run_dag("crm_xcom_lead_sync").state == "success"

    assert set(arrived(sandbox)) == {
        ("lead_qualified", "L0000:MQL"),
        ("lead_qualified", "L0001:SQL"),
        ("lead_qualified", "L0004:MQL"),
        ("lead_disqualified", "L0002"),
    }


def test_leads_reach_operators_every_way(run_dag: Callable[..., Any], sandbox: Any) -> None:
    assert run_dag("leads_into_operators").state == "success"

    bodies = arrived(sandbox)
    ids = sorted(event_id for _, event_id in bodies)
    ways = {"plain": 6, "mapped": 6, "lazy": 6, "literal": 2, "decorated": 6, "decorated-mapped": 6}
    assert ids == sorted(f"{way}-L{n:04d}" for way, count in ways.items() for n in range(count))
    names = {body["user"]["first_name"] for (_, event_id), body in bodies.items() if event_id.endswith("L0000")}
    assert names == {JINJA_NAME}
