"""The DAGs that follow assets, and one DAG over several brands, run by a real Airflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_reshape.assets import reshape_asset
from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox
from tests.in_airflow.conftest import connection
from tests.in_airflow.crm import leads, shows_marker, write_crm

STAGES = {
    "L0000": ["New", "MQL"],
    "L0001": ["New", "MQL", "SQL"],
    "L0002": ["New", "Contacted", "Disqualified"],
}
CONNECTIONS = ("CRM_DB", "CRM_ROMANIA", "CRM_GERMANY", "RESHAPE_LEDGER", "RESHAPE_ROMANIA", "RESHAPE_GERMANY")


@pytest.fixture(scope="module")
def germany() -> Iterator[RunningSandbox]:
    with running_sandbox(script_id="GERMANY1") as running:
        yield running


@pytest.fixture(autouse=True)
def connections(tmp_path: Path, sandbox: Any, germany: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CRM for each brand, and an empty ledger for all."""
    german = [lead | {"phone": "030 1234567", "currency": None, "country": "Germany"} for lead in leads(2)]
    files = {name: tmp_path / f"{name.lower()}.sqlite" for name in CONNECTIONS}
    write_crm(files["CRM_ROMANIA"], leads(3), STAGES)
    write_crm(files["CRM_DB"], leads(3), STAGES)
    write_crm(files["CRM_GERMANY"], german, {"L0000": ["New", "SQL"], "L0001": ["New"]})
    for name, path in files.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_ROMANIA", connection(sandbox))
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_GERMANY", connection(germany))
    germany.clear()


def asset_events(run: Any) -> dict[str, dict[str, Any]]:
    """The asset events of a run as Airflow keeps them: extra by URI."""
    from airflow.models.asset import AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = session.execute(
            select(AssetModel.uri, AssetEvent.extra)
            .join(AssetEvent, AssetEvent.asset_id == AssetModel.id)
            .where(AssetEvent.source_dag_id == run.dag_id, AssetEvent.source_run_id == run.run_id)
        ).all()
    events: dict[str, dict[str, Any]] = dict(found)
    assert len(events) == len(found)
    return events


def test_the_sent_assets_are_known_from_the_connection(run_dag: Callable[..., Any], sandbox: Any) -> None:
    run = run_dag("crm_asset_lead_sync")

    assert run.state == "success"
    events = asset_events(run)
    uris = {
        name: reshape_asset(sandbox.url, sandbox.script_id, name).uri
        for name in ("lead_qualified", "lead_disqualified")
    }
    assert set(events) == set(uris.values())
    assert events[uris["lead_qualified"]]["delivered"] == 3 == len(sandbox.received(name="lead_qualified"))
    assert events[uris["lead_disqualified"]]["delivered"] == 1 == len(sandbox.received(name="lead_disqualified"))
    assert not shows_marker(str(events))


def test_the_report_waits_for_them_and_reads_their_counts(
    run_dag: Callable[..., Any], airflow_dags: dict[str, Any], sandbox: Any
) -> None:
    unpause("lead_events_report")
    run = run_dag("crm_asset_lead_sync")

    assert waiting() == {"lead_events_report"}
    report = airflow_dags["lead_events_report"].get_task("report")
    assert report.python_callable(triggering_asset_events=triggering(run)) == {
        reshape_asset(sandbox.url, sandbox.script_id, "lead_qualified").uri: 3,
        reshape_asset(sandbox.url, sandbox.script_id, "lead_disqualified").uri: 1,
    }


def test_the_report_of_a_run_by_hand_is_empty(run_dag: Callable[..., Any]) -> None:
    run = run_dag("lead_events_report")
    assert run.state == "success"
    assert run.get_task_instance("report").xcom_pull("report") == {}


def unpause(dag_id: str) -> None:
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session

    with create_session() as session:
        session.get_one(DagModel, dag_id).is_paused = False


def waiting() -> set[str]:
    """The DAGs that the scheduler would run now because of assets."""
    from airflow.models.asset import AssetDagRunQueue
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        return set(session.scalars(select(AssetDagRunQueue.target_dag_id)))


def triggering(run: Any) -> Any:
    """The asset events of a run as a run that they trigger gets them."""
    from airflow.models.asset import AssetEvent
    from airflow.sdk.execution_time.comms import AssetEventDagRunReferenceResult
    from airflow.sdk.execution_time.context import TriggeringAssetEventsAccessor
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        stored = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == run.run_id)).all()
        return TriggeringAssetEventsAccessor.build(
            AssetEventDagRunReferenceResult.model_validate(
                {
                    "asset": {"name": event.asset.name, "uri": event.asset.uri, "extra": event.asset.extra},
                    "extra": event.extra,
                    "source_task_id": event.source_task_id,
                    "source_dag_id": event.source_dag_id,
                    "source_run_id": event.source_run_id,
                    "source_map_index": event.source_map_index,
                    "source_aliases": [{"name": alias.name} for alias in event.source_aliases],
                    "timestamp": event.timestamp,
                }
            )
            for event in stored
        )


def test_each_brand_is_sent_over_its_own_connections(
    run_dag: Callable[..., Any], sandbox: Any, germany: RunningSandbox
) -> None:
    run = run_dag("brands_lead_sync")

    assert run.state == "success"
    assert len(sandbox.received(valid=True)) == 4
    (event,) = germany.received(valid=True)
    assert (event["id"], event["body"]["event"]["currency"]) == ("L0000:SQL", "EUR")
    assert event["body"]["user"]["phone"] == "+49301234567"
    delivered = {uri: extra["delivered"] for uri, extra in asset_events(run).items()}
    assert delivered == {
        reshape_asset(sandbox.url, sandbox.script_id, "lead_qualified").uri: 3,
        reshape_asset(sandbox.url, sandbox.script_id, "lead_disqualified").uri: 1,
        reshape_asset(germany.url, "GERMANY1", "lead_qualified").uri: 1,
        reshape_asset(germany.url, "GERMANY1", "lead_disqualified").uri: 0,
    }
    # Both sent the event L0000 of their own, over one ledger.
    assert {task.rendered_map_index for task in run.get_task_instances()} == {"reshape_romania", "reshape_germany"}


def test_a_brand_that_fails_holds_up_no_other(
    run_dag: Callable[..., Any], sandbox: Any, germany: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_ROMANIA", connection(sandbox, password="not the token"))
    run = run_dag("brands_lead_sync")

    assert run.state == "failed"
    assert len(germany.received(valid=True)) == 1
    assert {task.rendered_map_index: task.state for task in run.get_task_instances()} == {
        "reshape_romania": "failed",
        "reshape_germany": "success",
    }
