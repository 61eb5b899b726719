"""Leads sent when the CRM's tables were loaded, and a report when they were sent: two DAGs that follow assets.

``crm_asset_lead_sync`` runs when the asset ``crm_leads`` is updated: let the task that loads the CRM's tables say so
(``outlets=[Asset("crm_leads")]``), or press *Create Asset Event* on the asset's page. It sends each change as it
stands, as ``crm_sql_lead_sync`` does. Its own outlet is an alias, for the assets that it writes to,
``reshape://<host>/<script id>/<event>``, follow from the connection at run time. ``lead_events_report`` follows the
alias and reads the counts; put there what should happen next, such as a message to the sales team. Connections:
``crm_db``, ``reshape_ledger`` and ``reshape_default``, as for ``crm_sql_lead_sync``.
Pool: ``reshape`` (``airflow pools set reshape 2 "sends to DATA Reshape"``).
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Asset, AssetAlias, task

from airflow_reshape.transfers.sql_to_reshape import SqlToReshapeOperator

CRM_LEADS = Asset("crm_leads")
LEAD_EVENTS = AssetAlias("reshape_lead_events")

log = logging.getLogger(__name__)

with DAG(
    dag_id="crm_asset_lead_sync",
    description="Lead events, whenever the CRM's tables were loaded",
    doc_md=__doc__,
    schedule=[CRM_LEADS],
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1), "pool": "reshape"},
    tags=["datareshape", "example"],
):
    SqlToReshapeOperator(
        task_id="send_lead_events",
        sql_conn_id="crm_db",
        sql="sql/crm_lead_events.sql",
        # However late the tables are loaded: the last 71 hours, of which the ledger drops what was sent.
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
        default_region="RO",
        outlets=[LEAD_EVENTS],
    )

with DAG(
    dag_id="lead_events_report",
    description="What was sent, from the counts of the asset events",
    doc_md=__doc__,
    schedule=[LEAD_EVENTS],
    catchup=False,
    tags=["datareshape", "example"],
):
    # One XCom; else each URI would be the name of one, which Airflow 3.1.0 does not take.
    @task(multiple_outputs=False)
    def report(triggering_asset_events: Any = None) -> dict[str, int]:
        """How many events of each asset were delivered, over all sends that triggered this run."""
        delivered: dict[str, int] = {}
        # A run by hand was triggered by nothing.
        for event in triggering_asset_events[LEAD_EVENTS] if triggering_asset_events else ():
            counts = event.extra
            delivered[event.asset.uri] = delivered.get(event.asset.uri, 0) + counts["delivered"]
            log.info(
                "%s (%s): %s delivered, %s rejected, %s unsent",
                event.asset.uri,
                counts["environment"],
                counts["delivered"],
                counts["rejected"],
                counts["unsent"],
            )
        return delivered

    report()
