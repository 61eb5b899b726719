"""Leads from Odoo's tables: stages from the tracking of crm.lead, lost leads from ``active`` and ``probability``.

The query (``sql/odoo_lead_events.sql``) reads Odoo's PostgreSQL database directly, of Odoo 17 to 19.0;
docs/recipes/odoo.md tells what to change in it, which tables a reader needs, and how earlier versions differ. A stage
counts once a lead stayed in it for 30 minutes, and a lead that was restored is not sent as lost
(docs/recipes/rules.md). Every run reads the last 71 hours, and the ledger drops what was sent. Connections:
``odoo_db``, ``reshape_ledger`` (a SQL database that the workers may write to, not Odoo's) and ``reshape_default``.
Pool: ``reshape`` (``airflow pools set reshape 2 "sends to DATA Reshape"``).
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_reshape.transfers.sql_to_reshape import SqlToReshapeOperator

# Ids of crm_lost_reason: SELECT id, name FROM crm_lost_reason. None: the lead is not sent.
REASONS = {
    "1": "no_budget",  # Too expensive
    "2": "out_of_icp",  # We don't have people/skills
    "3": "out_of_icp",  # Not enough stock
    "none": None,  # lost without a reason, which Odoo allows
}
# What the query makes of a reason if the lead's address or number is also that of a lead that is not lost. Sent, a
# duplicate would put that address into an exclusion audience.
OF_LIVE_OWNERS = {
    f"{reason_id} (owner has a live lead)": None if reason == "duplicate" else reason
    for reason_id, reason in REASONS.items()
}

with DAG(
    dag_id="odoo_lead_sync",
    description="Odoo's leads and opportunities to lead_qualified and lead_disqualified",
    doc_md=__doc__,
    schedule="@hourly",
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1), "pool": "reshape"},
    params={
        "settling_minutes": Param(30, type="integer", minimum=0, description="how long a stage must last to count"),
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
        sql_conn_id="odoo_db",
        sql="sql/odoo_lead_events.sql",
        ledger_conn_id="reshape_ledger",
        # Ids of crm_stage: SELECT id, name FROM crm_stage ORDER BY sequence
        stage_map={
            "1": None,  # New
            "2": "lead_qualified",  # Qualified
            "3": None,  # Proposition
            "4": None,  # Won
            "lost": "lead_disqualified",
            # What the query makes of "lost" once a lead was restored: counted in the report, and not sent.
            "(no longer disqualified)": None,
        },
        reason_map=REASONS | OF_LIVE_OWNERS,
        # Of leads without a company; the others have their company's.
        defaults={"event.currency": "EUR"},
        default_region="RO",
        baseline="{{ params.baseline }}",
        validate_only="{{ params.validate_only }}",
        max_rejected="{{ params.max_rejected }}",
    )
