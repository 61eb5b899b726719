"""Leads of several brands or regions: one DAG, one task for each, over connections of their own.

``BRANDS`` holds what differs: where the leads are read, which website of DATA Reshape is told, and what phone numbers
and currencies mean there. Everything else is said once. A brand that fails holds up no other, and is cleared alone.
The ledger may be one for all, for it keeps the websites (script ids) apart. Connections: ``reshape_ledger``, and those
in ``BRANDS``. Pool: ``reshape`` (``airflow pools set reshape 2 "sends to DATA Reshape"``); its slots are how many
brands are sent at a time.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, AssetAlias, Param

from airflow_reshape.transfers.sql_to_reshape import SqlToReshapeOperator

BRANDS = [
    {
        "sql_conn_id": "crm_romania",
        "reshape_conn_id": "reshape_romania",
        "default_region": "RO",
        "defaults": {"event.currency": "RON"},
    },
    {
        "sql_conn_id": "crm_germany",
        "reshape_conn_id": "reshape_germany",
        "default_region": "DE",
        "defaults": {"event.currency": "EUR"},
    },
]

with DAG(
    dag_id="brands_lead_sync",
    description="CRM stage history of several brands to lead_qualified and lead_disqualified",
    doc_md=__doc__,
    schedule="@hourly",
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1), "pool": "reshape"},
    params={
        "validate_only": Param(False, type="boolean", description="report what would be sent, send nothing"),
    },
    tags=["datareshape", "example"],
) as dag:
    SqlToReshapeOperator.partial(
        task_id="send_lead_events",
        # The brand instead of its number, in the list of mapped tasks.
        map_index_template="{{ task.reshape_conn_id }}",
        sql="sql/crm_lead_events.sql",
        parameters={
            "since": "{{ (dag_run.run_after - macros.timedelta(hours=71)).strftime('%Y-%m-%d %H:%M:%S') }}",
            "until": None,
        },
        ledger_conn_id="reshape_ledger",
        stage_map={
            "New": None,
            "Contacted": None,
            "MQL": "lead_qualified",
            "SQL": "lead_qualified",
            "Disqualified": "lead_disqualified",
        },
        reason_map={"Too small": "out_of_icp", "No budget": "no_budget", "Duplicate": "duplicate", "Merged": None},
        allow_other_reasons=True,
        validate_only="{{ params.validate_only }}",
        # Each brand's own assets, as its connection says.
        outlets=[AssetAlias("reshape_lead_events")],
    ).expand_kwargs(BRANDS)
