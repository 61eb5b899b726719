"""The Salesforce and the HubSpot DAG, run by a real Airflow again and again: what arrived after each run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.recipes.api_crms import Crm, ago, hubspot_crm, salesforce_crm
from tests.recipes.hubspot_server import Account, running_account
from tests.recipes.salesforce_server import running_salesforce

Sync = Callable[..., set[tuple[str, str]]]


@pytest.fixture(params=["salesforce", "hubspot"])
def crm(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Crm]:
    """A CRM without a lead, and an empty ledger."""
    ledger = {"conn_type": "sqlite", "host": str(tmp_path / "ledger.sqlite")}
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_LEDGER", json.dumps(ledger))
    if request.param == "hubspot":
        with running_account(Account()) as account:
            monkeypatch.setenv("AIRFLOW_CONN_HUBSPOT", account.connection())
            yield hubspot_crm(account)
        return
    with running_salesforce(tmp_path) as salesforce:
        monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE_DEFAULT", salesforce.connection())
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(salesforce.ca))
        for name in ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):  # requests prefers them to the connection's
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)
        yield salesforce_crm(salesforce.org)


@pytest.fixture
def sync(
    request: pytest.FixtureRequest, crm: Crm, run_dag: Callable[..., Any], airflow_dags: dict[str, Any], sandbox: Any
) -> Sync:
    """Run the DAG; gives what arrived."""
    dag_id = f"{request.node.callspec.params['crm']}_lead_sync"
    task = airflow_dags[dag_id].get_task("send_leads")
    written = {name: getattr(task, name) for name in task.template_fields}

    def run(baseline: bool = False) -> set[tuple[str, str]]:
        for name, template in written.items():  # dag.test() leaves behind what they gave
            setattr(task, name, template)
        sandbox.clear()
        assert run_dag(dag_id, baseline=baseline).state == "success"
        received = sandbox.received()
        assert all(one["valid"] for one in received)
        return {(one["name"], one["id"]) for one in received}

    return run


def test_run_by_run(crm: Crm, sync: Sync) -> None:
    good, bad, mistake, back = (crm.create() for _ in range(4))
    crm.put(good, "qualified", ago(hours=9))
    crm.put(bad, "disqualified", ago(hours=8))
    # Back after 25 minutes, and after two hours but before any run saw it.
    crm.put(mistake, "disqualified", ago(hours=8))
    crm.put(mistake, "open", ago(hours=7, minutes=35))
    crm.put(back, "disqualified", ago(hours=8))
    crm.put(back, "open", ago(hours=6))

    assert sync() == {("lead_qualified", f"{good}:{crm.qualified}"), ("lead_disqualified", bad)}
    assert sync() == set()

    crm.put(back, "qualified", ago(hours=2))
    crm.put(bad, "open", ago(hours=2))  # after its event, which nothing takes back
    assert sync() == {("lead_qualified", f"{back}:{crm.qualified}")}
    assert sync() == set()


def test_the_first_run_may_be_a_baseline(crm: Crm, sync: Sync) -> None:
    known, new = crm.create(), crm.create()
    crm.put(known, "qualified", ago(hours=6))
    assert sync(baseline=True) == set()

    crm.put(new, "qualified", ago(hours=2))
    assert sync() == {("lead_qualified", f"{new}:{crm.qualified}")}
