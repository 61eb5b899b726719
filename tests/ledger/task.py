"""Sends as a try of a task makes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_reshape.delivery.ledger.store import SenderIdentity
from airflow_reshape.hooks.chunks import chunked
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.reshape import ReshapeHook


def send_as(run: str, try_number: int, rows: Iterable[Any], conn_id: str = "reshape_default", **plan: Any) -> Any:
    """Send with the ledger as one try of a task instance; the summary."""
    plan = {"event": "lead_qualified", **plan}
    identity = SenderIdentity("dag", run, "task", -1, try_number)
    send = ReshapeHook(conn_id).lead_send(SendPlan(ledger_conn_id="ledger", **plan), identity)
    return send.run(chunked(rows))
