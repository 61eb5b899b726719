"""The HubSpot DAG, run by a real Airflow: its templates, its first run, and the runs after it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.recipes.hubspot_server import Account, running_account


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Account]:
    """An account with one lead to send, and an empty ledger."""
    ledger = {"conn_type": "sqlite", "host": str(tmp_path / "ledger.sqlite")}
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_LEDGER", json.dumps(ledger))
    with running_account(Account()) as serving:
        monkeypatch.setenv("AIRFLOW_CONN_HUBSPOT", serving.connection())
        qualify(serving, 6)
        yield serving


def qualify(account: Account, hours_ago: float) -> None:
    now = datetime.now(UTC)
    contact = account.create(now - timedelta(days=9), email="zqmarker.1@example.com", lifecyclestage="lead")
    account.change(contact, now - timedelta(hours=hours_ago), lifecyclestage="marketingqualifiedlead")


def summary(run: Any) -> dict[str, Any]:
    pulled: dict[str, Any] = run.get_task_instance("send_leads").xcom_pull("send_leads")
    return pulled


@pytest.fixture(scope="module")
def templates(airflow_dags: dict[str, Any]) -> dict[str, Any]:
    task = airflow_dags["hubspot_lead_sync"].get_task("send_leads")
    return {name: getattr(task, name) for name in task.template_fields}


@pytest.fixture
def run(run_dag: Callable[..., Any], airflow_dags: dict[str, Any], templates: dict[str, Any]) -> Callable[..., Any]:
    """Run the DAG with its templates as written: ``dag.test()`` leaves behind what they gave, as it does params."""
    task = airflow_dags["hubspot_lead_sync"].get_task("send_leads")

    def run_as_written(**params: Any) -> Any:
        for name, template in templates.items():
            setattr(task, name, template)
        return run_dag("hubspot_lead_sync", **params)

    return run_as_written


def test_a_second_run_sends_nothing(run: Callable[..., Any], sandbox: Any, account: Account) -> None:
    first = run()
    assert first.state == "success"
    assert summary(first)["delivered"] == 1

    second = run()
    assert second.state == "success"
    assert summary(second)["skipped_by"] == {"already_sent": 1}
    assert [one["id"] for one in sandbox.received()] == ["101:marketingqualifiedlead"]


def test_the_first_run_may_be_a_baseline(run: Callable[..., Any], sandbox: Any, account: Account) -> None:
    qualify(account, 80)  # before the window
    assert summary(run(baseline=True))["delivered"] == 0

    qualify(account, 2)
    assert run(baseline=False).state == "success"
    assert [one["id"] for one in sandbox.received()] == ["103:marketingqualifiedlead"]
