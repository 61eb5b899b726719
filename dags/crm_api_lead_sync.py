"""Leads from a CRM's REST API, page by page, straight into DATA Reshape.

``@task.reshape`` sends what the function yields while it reads: no lead passes XCom or a table of Airflow's. The
API is read through the HTTP provider's hook (connection ``crm_api``): ``GET /leads?updated_since=…&page=1`` answers
``{"results": […], "next_page": 2}``. Pool: ``reshape`` (``airflow pools set reshape 2 "sends to DATA Reshape"``).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

with DAG(
    dag_id="crm_api_lead_sync",
    description="Leads of a CRM's REST API to lead_qualified and lead_disqualified",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1), "pool": "reshape"},
    params={
        "updated_since": Param("", type="string", description="as the CRM wants it; empty: what the CRM defaults to"),
        "validate_only": Param(False, type="boolean", description="report what would be sent, send nothing"),
        "max_rejected": Param(0, type="number", description="leads that may fail: a count, or a share such as 0.01"),
    },
    tags=["datareshape", "example"],
) as dag:

    @task.reshape(
        # The CRM's own names; what is not named here is not sent.
        mapping={
            "lead_id": "id",
            "stage": "status",
            "occurred_at": "status_changed_at",
            "user.id": "contact.id",
            "user.email": "contact.email",
            "user.phone": "contact.phone",
            "user.first_name": "contact.first_name",
            "user.last_name": "contact.last_name",
            "user.country": "contact.country",
            "event.value": "amount",
            "event.currency": "currency",
            "disqualification_reason": "lost_reason",
        },
        unknown_columns="ignore",
        stage_map={"open": None, "qualified": "lead_qualified", "lost": "lead_disqualified"},
        reason_map={
            "not a fit": "out_of_icp",
            "price": "no_budget",
            "wrong contact": "no_authority",
            "later": "no_timing",
            "no answer": "invalid_contact",
            "merged": None,
        },
        allow_other_reasons=True,
        defaults={"event.currency": "EUR"},
        default_region="RO",
        validate_only="{{ params.validate_only }}",
        max_rejected="{{ params.max_rejected }}",
    )
    def send_leads(params: dict[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        """Read the CRM page by page; each lead is sent while the next page is on its way."""
        from airflow.providers.http.hooks.http import HttpHook

        crm = HttpHook(method="GET", http_conn_id="crm_api")
        page: int | None = 1
        while page is not None:
            query = {"updated_since": (params or {}).get("updated_since", ""), "page": page}
            answer = crm.run("/leads", data=query, extra_options={"timeout": 30}).json()
            yield from answer["results"]
            page = answer.get("next_page")

    send_leads()
