"""``lead``: was it sent, when, and what did Reshape say?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.table import Table
from sqlalchemy import RowMapping

from airflow_reshape.command_line.connections import LedgerConnId, reading
from airflow_reshape.command_line.output import add_row, answer, duration, fail, failures_told, show, table, who
from airflow_reshape.delivery.ledger.lookup import timeline


def lead(
    lead_id: Annotated[str, typer.Argument(help="The lead's id, or an event's.")],
    ledger_conn_id: LedgerConnId,
) -> None:
    """Tell what was sent for a lead, when, and what Reshape said."""
    with failures_told(), reading(ledger_conn_id) as connection:
        rows = timeline(connection, lead_id)
        if not rows:
            fail(f"the ledger knows nothing of {lead_id!r}, or it was forgotten")
        show(timeline_table(lead_id, rows))


def timeline_table(lead_id: str, rows: Sequence[RowMapping]) -> Table:
    """A lead's timeline.

    :param rows: of :func:`~airflow_reshape.delivery.ledger.lookup.timeline`.
    """
    columns = ("when", "event", "what became of it", "by")
    shown = table(f"Lead {lead_id} (times in UTC)", *columns, unbroken=("when", "event", "by"))
    for row in rows:
        requests = f"{row['attempts']} requests" if row["attempts"] > 1 else ""
        lag = f"{duration(row['lag_seconds'])} after it happened" if row["lag_seconds"] is not None else ""
        add_row(
            shown,
            row["settled_at"] or row["claimed_at"],
            (row["event_name"], row["event_id"] or "(no id)", f"{row['script_id']} {row['environment']}"),
            (f"{row['state']} {answer(row)}".strip(), requests, lag),
            who(row),
        )
    return shown
