"""The CRMs that the recipes read, each empty: databases, HubSpot, Salesforce; a sandbox and a ledger, empty as well."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time.context import MacrosAccessor

from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox
from tests.connections import reshape_connection
from tests.databases import DatabaseServer, postgres_server
from tests.recipes.databases import Database
from tests.recipes.hubspot_server import Account, running_account
from tests.recipes.salesforce_org import Org
from tests.recipes.salesforce_server import Salesforce, running_salesforce

Sync = Callable[..., Any]


class TaskInstance:
    """A try of a task, as far as the operator asks for it."""

    task_id, map_index, try_number = "send_leads", -1, 1

    def __init__(self, dag_id: str, run_id: str) -> None:
        self.dag_id, self.run_id = dag_id, run_id

    def xcom_push(self, key: str, value: Any) -> None:
        """The summary is looked at where it is returned or raised."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[DatabaseServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The CRM's database, connected as ``crm_db`` and ``odoo_db``."""
    sqlite = request.param == "sqlite"
    found = Database(tmp_path / "crm.sqlite" if sqlite else request.getfixturevalue("postgres"))
    for name in ("CRM_DB", "ODOO_DB"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", found.airflow_connection)
    with closing(found):
        yield found


@pytest.fixture(scope="session")
def running() -> Iterator[RunningSandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunningSandbox:
    """An empty sandbox as ``reshape_default``, an empty ledger as ``reshape_ledger``."""
    running.clear()
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_DEFAULT", reshape_connection(running))
    ledger = {"conn_type": "sqlite", "host": str(tmp_path / "ledger.sqlite")}
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_LEDGER", json.dumps(ledger))
    return running


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """An empty HubSpot account, connected as ``hubspot``."""
    with running_account(Account()) as serving:
        monkeypatch.setenv("AIRFLOW_CONN_HUBSPOT", serving.connection())
        yield serving


@pytest.fixture
def sync_hubspot(account: Account, sandbox: RunningSandbox) -> Sync:
    """Run the HubSpot DAG's task over the last 71 hours, as the next run; gives its summary."""
    return _runs("hubspot_lead_sync")


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Salesforce]:
    with running_salesforce(tmp_path_factory.mktemp("salesforce")) as running:
        yield running


@pytest.fixture
def salesforce(stand_in: Salesforce, monkeypatch: pytest.MonkeyPatch) -> Salesforce:
    """An empty org, connected as ``salesforce_default``."""
    stand_in.org, stand_in.page, stand_in.meanwhile = Org(), 2000, None
    stand_in.failures.clear()
    stand_in.asked.clear()
    monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE_DEFAULT", stand_in.connection())
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(stand_in.ca))
    for name in ("HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):  # requests prefers them to the connection's
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return stand_in


@pytest.fixture
def sync_salesforce(salesforce: Salesforce, sandbox: RunningSandbox) -> Sync:
    """Run the Salesforce DAG's task over the last 71 hours, as the next run; gives its summary."""
    return _runs("salesforce_lead_sync")


def _runs(name: str) -> Sync:
    dag = import_module(f"dags.{name}").dag
    runs = iter(range(100))

    def run(**params: Any) -> Any:
        operator = dag.get_task("send_leads").prepare_for_execution()
        context: Any = {
            "ti": TaskInstance(name, f"run {next(runs)}"),
            "params": dict(dag.params) | params,
            "dag_run": SimpleNamespace(run_after=datetime.now(UTC)),
            "macros": MacrosAccessor(),
        }
        operator.render_template_fields(context)
        return operator.execute(context)

    return run
