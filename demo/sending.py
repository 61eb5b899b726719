"""Lets Airflow send the leads of the made-up CRM, all of them, and waits for the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from demo import services, stack
from demo.airflow_api import AirflowApi
from demo.services import Service
from demo.truth import Expected, Policy

DAG_ID = "crm_sql_lead_sync"
# What dags/crm_sql_lead_sync.py chooses.
POLICY = Policy()
RUN_SECONDS = 180


class Sent(NamedTuple):
    """A run that ended well.

    :param summary: what its task returned.
    """

    run_id: str
    task_id: str
    summary: dict[str, Any]


def send_leads(api: AirflowApi, here: stack.Stack, running: Sequence[Service], rows: Sequence[Expected]) -> Sent:
    """Run :data:`DAG_ID` once over the whole history, also over what lies in the future.

    :param running: services that must stay alive meanwhile.
    :param rows: what should become of each row of the CRM.
    :raises NotStartedError: the run does not end within three minutes, or a service ended.
    :raises RuntimeError: the run failed.
    """
    conf = {
        "since": "1970-01-01",
        "until": "9999-12-31",
        # As many failures as the CRM's maker put in: one more, and the task fails.
        "max_rejected": sum(row.is_failure(POLICY) for row in rows),
    }
    run_id = api.trigger(DAG_ID, conf)
    states: list[str] = []

    def is_over() -> bool:
        states.append(api.run_state(DAG_ID, run_id))
        return states[-1] in ("success", "failed")

    services.wait_until(f"the end of {DAG_ID}", is_over, running, RUN_SECONDS)
    if states[-1] == "failed":
        raise RuntimeError(f"{DAG_ID} failed; its tasks' logs: {here.home / 'airflow' / 'logs'}")
    (task_id,) = api.task_ids(DAG_ID, run_id)
    return Sent(run_id, task_id, api.returned(DAG_ID, run_id, task_id))
