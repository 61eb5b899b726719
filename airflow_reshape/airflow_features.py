"""What the Airflow around this package can do. Only this module asks, and never by a version number.

What follows from each answer stands in one table, docs/compatibility.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_reshape.delivery.checkpoint.checkpoint import StateStore


def task_state_store(context: Mapping[str, Any]) -> StateStore | None:
    """What keeps JSON over the tries of a task; Airflow has it since 3.3.

    :param context: of the task.
    :returns: None where there is none.
    """
    store: StateStore | None = context.get("task_state_store")
    return store


def sql_lineage() -> Callable[..., None] | None:
    """What reports a query to OpenLineage; the provider common-sql has it since 1.32.

    :returns: a function as ``send_sql_hook_lineage``, or None where there is none.
    """
    try:
        from airflow.providers.common.sql.hooks.lineage import send_sql_hook_lineage
    except ImportError:
        return None
    send: Callable[..., None] = send_sql_hook_lineage
    return send
