"""DAGs whose lineage is looked at: a query, leads in a mapped task, a function that reads a database, and a failure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from airflow.sdk import DAG, AssetAlias, BaseHook, task

from airflow_reshape.operators.events import ReshapeLeadQualifiedOperator
from airflow_reshape.transfers.sql_to_reshape import SqlToReshapeOperator
from tests.in_airflow.crm import MARK, leads

COLUMNS = ("lead_id", "email", "phone", "first_name", "last_name", "value", "currency")
SENDING: dict[str, Any] = {"default_region": "RO", "unknown_columns": "ignore"}
# A marked address in a text, a number in a comment.
QUERY = f"""
    SELECT lead.lead_id, history.to_stage AS stage, lead.email, lead.phone, lead.first_name, lead.last_name,
           lead.value, lead.currency, 'out_of_icp' AS disqualification_reason
    FROM leads AS lead
    JOIN sales.stage_history AS history ON history.lead_id = lead.lead_id -- not 0731 919 199
    WHERE lead.value > %(least)s AND lead.email <> '{MARK}.nobody@example.com'
    ORDER BY history.id
"""


def marked(count: int) -> list[dict[str, Any]]:
    """Marked leads with some columns."""
    return [{name: lead[name] for name in COLUMNS} for lead in leads(count)]


with DAG("lineage_query", schedule=None, catchup=False):
    SqlToReshapeOperator(
        task_id="send",
        sql_conn_id="lineage_crm",
        sql=QUERY,
        parameters={"least": 0},
        stage_map={"MQL": "lead_qualified", "Lost": "lead_disqualified", "New": None},
        disqualified_value=0,
        outlets=[AssetAlias("lineage_leads")],
        **SENDING,
    )

with DAG("lineage_mapped", schedule=None, catchup=False):
    ReshapeLeadQualifiedOperator.partial(task_id="send", **SENDING).expand(leads=[marked(4)])

with DAG("lineage_function", schedule=None, catchup=False):

    @task.reshape(event="lead_qualified", **SENDING)
    def send(given: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Leads of an argument; the database is asked for nothing but a number."""
        hook = BaseHook.get_connection("lineage_crm").get_hook(hook_params={"log_sql": False})
        (count,) = hook.get_first("SELECT COUNT(*) FROM leads")
        yield from given[:count]

    send(marked(3))

with DAG("lineage_failure", schedule=None, catchup=False):
    ReshapeLeadQualifiedOperator(task_id="send", leads=[*marked(2), marked(3)[2] | {"currency": None}], **SENDING)
