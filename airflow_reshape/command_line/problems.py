"""``problems``: what is not delivered, since when, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

import typer
from sqlalchemy import RowMapping

from airflow_reshape.command_line.connections import LedgerConnId, reading
from airflow_reshape.command_line.output import (
    add_row,
    answer,
    duration,
    failures_told,
    logs_aside,
    print_json,
    say,
    show,
    table,
    who,
)
from airflow_reshape.delivery.ledger.lookup import count_problems, database_now, open_problems

CURES = {
    "rejected": "Reshape refused it. Mend the lead or the mapping: an event that changed is sent by the next run. "
    "If the cause was at Reshape, send with retry_rejected=True.",
    "invalid": "The row could not be made into an event. Mend the data or the mapping: the next run that reads the row "
    "sends it.",
    "in_doubt": "Its send died; perhaps it arrived. The next run that reads the row sends it again, with the same id.",
    "unsent": "It was not sent. The next run that reads the row sends it; read a window that goes back as far.",
}
MOST_SHOWN = 50


def problems(
    ledger_conn_id: LedgerConnId,
    environment: Annotated[str, typer.Option(help="prod or dev.")] = "prod",
    script_id: Annotated[str | None, typer.Option(help="Only of this script id.")] = None,
    most: Annotated[int, typer.Option(min=1, help="How many are listed.")] = MOST_SHOWN,
    fail: Annotated[bool, typer.Option("--fail", help="Exit with 1 if there are any, for alerts.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what is not delivered and not being sent right now, oldest first, and what to do about it."""
    with failures_told():
        with logs_aside(as_json), reading(ledger_conn_id) as connection:
            counts = count_problems(connection, environment, script_id)
            rows = open_problems(connection, environment, script_id, most)
            now = database_now(connection)
        if as_json:
            print_json({"counts": counts, "problems": rows})
        elif counts:
            _show(counts, rows, now, environment)
        else:
            say(("No open problems", "green"), f" ({environment}).")
    if fail and counts:
        raise typer.Exit(1)


def _show(counts: Mapping[str, int], rows: Sequence[RowMapping], now: datetime, environment: str) -> None:
    columns = ("since", "problem", "lead and event", "by")
    shown = table(f"Open problems ({environment}, times in UTC)", *columns, unbroken=("since", *columns[2:]))
    for row in rows:
        add_row(
            shown,
            (row["since"], f"{duration((now - row['since']).total_seconds())} ago"),
            (row["problem"], answer(row)),
            (
                f"lead {row['lead_id'] or '(no id)'}",
                f"{row['event_name'] or '(unknown)'} {row['event_id'] or ''}".strip(),
            ),
            who(row),
        )
    show(shown)
    if sum(counts.values()) > len(rows):
        say(f"{sum(counts.values()) - len(rows):,} more are not listed; see --most.")
    for problem, count in sorted(counts.items()):
        say((f"{count:,} {problem}", "bold"), f": {CURES[problem]}")
