"""Leads from daily or hourly copies of a CRM's leads, for CRMs that keep no history of stages.

The copies lie in one table, each lead once per load with the load's time. A stage counts once two loads at least 30
minutes apart show the lead in it; what the first load of all shows is known already. A lead that is no longer
disqualified is not sent as such, and a duplicate of one that is still open, qualified or a customer is held back. The
query is ``sql/crm_snapshot_lead_events.sql``; docs/recipes/snapshots.md tells what to change in it,
docs/recipes/rules.md which stages count. Let it run after each load. Connections: ``crm_db`` (PostgreSQL, SQLite,
Snowflake or BigQuery), ``reshape_ledger`` (a SQL database that the workers may write to) and ``reshape_default``.
Pool: ``reshape`` (``airflow pools set reshape 2 "sends to DATA Reshape"``).
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_reshape.transfers.sql_to_reshape import SqlToReshapeOperator

# Every reason that the CRM has, also one that is called as in the vocabulary; None: the lead is not sent.
REASONS = {
    "Too small": "out_of_icp",
    "No budget": "no_budget",
    "Not the decision maker": "no_authority",
    "Bad timing": "no_timing",
    "Duplicate": "duplicate",
    "Dupe": "duplicate",
    "Wrong number": "invalid_contact",
    "Competitor": "competitor",
    "Merged": None,
    "Test lead": None,
}
# What the query makes of a reason if the lead's address or number is also that of a lead that is open, qualified or
# a customer. Sent, a duplicate would put that address into an exclusion audience.
OF_LIVE_OWNERS = {
    f"{word} (owner has a live lead)": None if reason == "duplicate" else reason for word, reason in REASONS.items()
}

with DAG(
    dag_id="crm_snapshot_lead_sync",
    description="Stages seen in copies of a CRM's leads to lead_qualified and lead_disqualified",
    doc_md=__doc__,
    schedule="@hourly",
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1), "pool": "reshape"},
    params={
        "settling_minutes": Param(30, type="integer", minimum=0, description="how long a stage must be seen to count"),
        "since": Param(None, type=["null", "string"], format="date-time", description="default: 71 hours ago"),
        "until": Param(None, type=["null", "string"], format="date-time", description="default: the start of this run"),
        "baseline": Param(False, type="boolean", description="remember all as known, send nothing: the first run"),
        "validate_only": Param(False, type="boolean", description="report what would be sent, send nothing"),
        "max_rejected": Param(0, type="number", description="leads that may fail: a count, or a share such as 0.01"),
    },
    tags=["datareshape", "example"],
) as dag:
    SqlToReshapeOperator(
        task_id="send_lead_events",
        sql_conn_id="crm_db",
        sql="sql/crm_snapshot_lead_events.sql",
        ledger_conn_id="reshape_ledger",
        stage_map={
            "New": None,
            "Contacted": None,
            "MQL": "lead_qualified",
            "SQL": "lead_qualified",
            "Disqualified": "lead_disqualified",
            # What the query makes of Disqualified once a lead came back: counted in the report, and not sent.
            "(no longer disqualified)": None,
        },
        reason_map=REASONS | OF_LIVE_OWNERS,
        default_region="RO",
        baseline="{{ params.baseline }}",
        validate_only="{{ params.validate_only }}",
        max_rejected="{{ params.max_rejected }}",
    )
