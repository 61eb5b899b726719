"""Tries of one task, and what the server received of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from airflow_reshape.hooks.chunks import chunked
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.checkpoint.stores import Store


def leads(count: int) -> list[dict[str, Any]]:
    return [
        {"lead_id": n or "first", "email": f"person{n}@example.com", "currency": "EUR", "value": n}
        for n in range(count)
    ]


def send(store: Store, rows: Any, conn_id: str = "reshape_default", **options: Any) -> dict[str, Any]:
    """One try of the task."""
    plan = SendPlan(event="lead_qualified", **options)
    return ReshapeHook(conn_id).lead_send(plan, None, store).run(chunked(rows))


def received(sandbox: RunningSandbox) -> Counter[str]:
    return Counter(event["id"] for event in sandbox.received(limit=10_000) if event["taken"])


def everything(count: int) -> set[str]:
    return {f"{n or 'first'}:qualified" for n in range(count)}


def interrupted(sandbox: RunningSandbox, rows: list[dict[str, Any]], after: int) -> Iterator[dict[str, Any]]:
    """The rows; the server goes away after some."""
    for number, row in enumerate(rows):
        if number == after:
            while sandbox.summary()["distinct_taken"] < after // 2:
                pass  # asking takes its time
            sandbox.set_faults(outage=503)
        yield row
