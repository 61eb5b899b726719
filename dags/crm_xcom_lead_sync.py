"""Leads from an upstream task's XCom, one operator for each event.

For leads that another task computes anyway. Mind that XCom stores them in Airflow's metadata database, for as long
as you keep task history: a query (``crm_sql_lead_sync``) or ``@task.reshape`` (``crm_api_lead_sync``) leaves nothing
there. The upstream task must not log its return value. Connections: ``crm_db`` and ``reshape_default``.
Pool: ``reshape`` (``airflow pools set reshape 2 "sends to DATA Reshape"``).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_reshape.operators.events import ReshapeLeadDisqualifiedOperator, ReshapeLeadQualifiedOperator

COLUMNS = ("lead_id", "stage", "email", "phone", "first_name", "last_name", "country", "value", "currency", "reason")
# Leads whose stage today is one of two; :first and :second are SQLite's style of parameters. What salespeople typed as
# the reason is sorted into the vocabulary here; reason_map does it where the spellings are few.
LEADS = """
    SELECT lead.lead_id, latest.to_stage, lead.email, lead.phone, lead.first_name, lead.last_name, lead.country,
           lead.value, lead.currency,
           CASE WHEN latest.lost_reason LIKE '%bu%get%' THEN 'no_budget'
                WHEN latest.lost_reason LIKE '%decision%' OR latest.lost_reason LIKE '%approval%' THEN 'no_authority'
                WHEN latest.lost_reason LIKE '%timing%' OR latest.lost_reason LIKE '%next year%' THEN 'no_timing'
                WHEN latest.lost_reason LIKE 'dup%' THEN 'duplicate'
                WHEN latest.lost_reason LIKE '%number%' OR latest.lost_reason LIKE '%bounced%' THEN 'invalid_contact'
                WHEN latest.lost_reason LIKE '%competitor%' THEN 'competitor'
                ELSE latest.lost_reason END
    FROM leads AS lead
    JOIN stage_history AS latest
      ON latest.id = (SELECT MAX(history.id) FROM stage_history AS history WHERE history.lead_id = lead.lead_id)
    WHERE latest.to_stage IN (:first, :second)
    ORDER BY lead.lead_id
"""

with DAG(
    dag_id="crm_xcom_lead_sync",
    description="Leads of an upstream task to lead_qualified and lead_disqualified",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1)},
    params={
        "validate_only": Param(False, type="boolean", description="report what would be sent, send nothing"),
        "max_rejected": Param(0, type="number", description="leads that may fail: a count, or a share such as 0.01"),
    },
    tags=["datareshape", "example"],
) as dag:

    @task(show_return_value_in_logs=False)
    def leads_in(first: str, second: str) -> list[dict[str, Any]]:
        """The leads that are in one of two stages today."""
        from airflow.sdk import BaseHook

        crm = BaseHook.get_connection("crm_db").get_hook(hook_params={"log_sql": False})
        rows = crm.get_records(LEADS, parameters={"first": first, "second": second})
        return [dict(zip(COLUMNS, row, strict=True)) for row in rows]

    ReshapeLeadQualifiedOperator(
        task_id="send_qualified",
        leads=leads_in.override(task_id="qualified_leads")("MQL", "SQL"),
        unknown_columns="ignore",
        default_region="RO",
        validate_only="{{ params.validate_only }}",
        max_rejected="{{ params.max_rejected }}",
        pool="reshape",
    )
    ReshapeLeadDisqualifiedOperator(
        task_id="send_disqualified",
        leads=leads_in.override(task_id="disqualified_leads")("Disqualified", "Disqualified"),
        mapping={"disqualification_reason": "reason"},
        reason_map={
            "Too small": "out_of_icp",
            "Not our ICP": "out_of_icp",
            "Wrong industry": "out_of_icp",
            "Merged": None,
            "Test lead": None,
        },
        disqualified_value=0,
        unknown_columns="ignore",
        default_region="RO",
        validate_only="{{ params.validate_only }}",
        max_rejected="{{ params.max_rejected }}",
        pool="reshape",
    )
