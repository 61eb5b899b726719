"""Every way that leads take into an operator: plain, mapped and decorated tasks, lists and lazy sequences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from airflow.sdk import DAG, task

from airflow_reshape.operators.events import ReshapeLeadQualifiedOperator, ReshapeSendEventsOperator
from tests.in_airflow.crm import leads

COLUMNS = ("lead_id", "email", "phone", "first_name", "last_name", "value", "currency")
SENDING: dict[str, Any] = {"default_region": "RO", "unknown_columns": "ignore"}


def marked(count: int) -> list[dict[str, Any]]:
    """Marked leads with some columns."""
    return [{name: lead[name] for name in COLUMNS} for lead in leads(count)]


with DAG("leads_into_operators", schedule=None, catchup=False):

    @task(show_return_value_in_logs=False)
    def all_leads() -> list[dict[str, Any]]:
        return marked(6)

    @task(show_return_value_in_logs=False)
    def lead_batches() -> list[list[dict[str, Any]]]:
        return [marked(6)[:4], marked(6)[4:]]

    @task(show_return_value_in_logs=False)
    def one_lead(number: int) -> dict[str, Any]:
        return marked(6)[number]

    given = all_leads()
    batches = lead_batches()
    ReshapeLeadQualifiedOperator(task_id="plain", leads=given, event_id="plain-{lead_id}", **SENDING)
    ReshapeLeadQualifiedOperator.partial(task_id="mapped", event_id="mapped-{lead_id}", **SENDING).expand(leads=batches)
    # A mapped task's output is a lazy sequence.
    ReshapeLeadQualifiedOperator(
        task_id="lazy", leads=one_lead.expand(number=list(range(6))), event_id="lazy-{lead_id}", **SENDING
    )
    ReshapeSendEventsOperator(
        task_id="literal", leads=marked(2), event="lead_created", event_id="literal-{lead_id}", **SENDING
    )

    @task.reshape(event="lead_qualified", event_id="decorated-{lead_id}", **SENDING)
    def decorated(given: Any) -> Iterator[dict[str, Any]]:
        yield from given

    @task.reshape(event="lead_qualified", event_id="decorated-mapped-{lead_id}", **SENDING)
    def decorated_mapped(given: Any) -> dict[str, Any]:
        return cast("dict[str, Any]", given)  # a list; the annotation would make multiple outputs

    decorated(given)
    decorated_mapped.expand(given=batches)
