"""The example DAGs' own operators, rendered as a task renders them, and run with the databases of a test."""

from __future__ import annotations

from copy import deepcopy
from datetime import datetime
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from types import SimpleNamespace
from typing import Any

from airflow.sdk.execution_time.context import ConnectionAccessor, MacrosAccessor

from airflow_reshape.transfers.sql_stream import SqlStream
from tests.conftest import ROOT

HISTORY, SNAPSHOTS, ODOO = "crm_history_lead_sync", "crm_snapshot_lead_sync", "odoo_lead_sync"


@cache
def _dag(name: str) -> Any:
    spec = spec_from_file_location(name, ROOT / "dags" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.dag


def rendered(name: str, now: datetime, **params: Any) -> Any:
    """The operator of an example DAG as a run that starts now has it.

    :param name: of the DAG.
    :param now: aware; when the run starts.
    :param params: of the DAG, as somebody who triggers it gives them.
    """
    dag = _dag(name)
    task = dag.get_task("send_lead_events").prepare_for_execution()
    given = deepcopy(dag.params)
    given.update(params)
    context: Any = {
        "params": given.validate(),
        "dag_run": SimpleNamespace(start_date=now),
        "conn": ConnectionAccessor(),
        "macros": MacrosAccessor(),
        "task": task,
        "dag": dag,
    }
    task.render_template_fields(context)
    return task


def rows(name: str, now: datetime, **params: Any) -> list[dict[str, Any]]:
    """What the recipe's query gives."""
    task = rendered(name, now, **params)
    with SqlStream(task._hook(), task.sql) as stream:
        return [row for chunk in stream for row in chunk]


def entered(name: str, now: datetime, **params: Any) -> list[tuple[str, str]]:
    """Leads and the stages that the recipe's query gives of them, in its order."""
    return [(str(row["lead_id"]), row["stage"]) for row in rows(name, now, **params)]


def send(name: str, run: str, now: datetime, **params: Any) -> dict[str, Any]:
    """Run the DAG's task as one of its runs; the summary."""
    pushed = SimpleNamespace(
        dag_id=name,
        run_id=run,
        task_id="send_lead_events",
        map_index=-1,
        try_number=1,
        xcom_push=lambda key, value: None,
    )
    summary: dict[str, Any] = rendered(name, now, **params).execute({"ti": pushed})
    return summary
