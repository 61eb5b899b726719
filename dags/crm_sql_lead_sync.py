"""Leads from CRM tables: one query, one operator, both events.

The query (``sql/crm_lead_events.sql``) gives a row for each stage that a lead entered; ``stage_map`` turns stages into
events and ``reason_map`` the sales team's words into the vocabulary. Every run reads the last 71 hours, and the ledger
drops what was sent: a lead that was invalid is sent once it is mended, a failed run leaves no gap, and a trial with
``validate_only`` changes nothing. It sends each change as it stands; ``crm_history_lead_sync`` also lets stages
settle, and holds back duplicates and leads that are no longer disqualified. Connections: ``crm_db`` (any SQL
database), ``reshape_ledger`` (a SQL database that the workers may write to; it can be the same) and
``reshape_default``. Pool: ``reshape`` (``airflow pools set reshape 2 "sends to DATA Reshape"``).
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_reshape.transfers.sql_to_reshape import SqlToReshapeOperator

with DAG(
    dag_id="crm_sql_lead_sync",
    description="CRM stage history to lead_qualified and lead_disqualified",
    doc_md=__doc__,
    schedule="@hourly",
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1), "pool": "reshape"},
    params={
        "since": Param(None, type=["null", "string"], description="UTC; default: 71 hours ago"),
        "until": Param(None, type=["null", "string"], description="UTC; default: the start of this run"),
        "validate_only": Param(False, type="boolean", description="report what would be sent, send nothing"),
        "max_rejected": Param(0, type="number", description="leads that may fail: a count, or a share such as 0.01"),
    },
    tags=["datareshape", "example"],
) as dag:
    SqlToReshapeOperator(
        task_id="send_lead_events",
        sql_conn_id="crm_db",
        sql="sql/crm_lead_events.sql",
        ledger_conn_id="reshape_ledger",
        # An hour less than max_age, 72 hours: an older event cannot be credited to its day any more.
        parameters={
            "since": "{{ params.since or (dag_run.run_after - macros.timedelta(hours=71))"
            ".strftime('%Y-%m-%d %H:%M:%S') }}",
            "until": "{{ params.until or dag_run.start_date.strftime('%Y-%m-%d %H:%M:%S') }}",
        },
        stage_map={
            "New": None,
            "Contacted": None,
            "MQL": "lead_qualified",
            "SQL": "lead_qualified",
            "Disqualified": "lead_disqualified",
        },
        reason_map={
            "Too small": "out_of_icp",
            "Not our ICP": "out_of_icp",
            "Wrong industry": "out_of_icp",
            "No budget": "no_budget",
            "No budget!!": "no_budget",
            "Budget frozen": "no_budget",
            "Nu are buget": "no_budget",
            "Not the decision maker": "no_authority",
            "Needs approval from HQ": "no_authority",
            "Next year maybe": "no_timing",
            "Bad timing": "no_timing",
            "Duplicate": "duplicate",
            "Dupe": "duplicate",
            "Wrong number": "invalid_contact",
            "E-mail bounced": "invalid_contact",
            "Went with competitor": "competitor",
            "Competitor": "competitor",
            "Merged": None,
            "Test lead": None,
        },
        default_region="RO",
        validate_only="{{ params.validate_only }}",
        max_rejected="{{ params.max_rejected }}",
    )
