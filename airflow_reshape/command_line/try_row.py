"""``try``: one row, mapped and sent as a dev event."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from airflow_reshape.command_line.connections import ConnId, reshape_settings
from airflow_reshape.command_line.dev_send import send_as_dev
from airflow_reshape.command_line.output import failures_told
from airflow_reshape.hooks.plan import SendPlan


def try_row(
    conn_id: ConnId,
    row: Annotated[str, typer.Option(help="The row as JSON, as the query or the upstream task gives it.")],
    event: Annotated[str | None, typer.Option(help="Event name; without it the row's event.name.")] = None,
    default_region: Annotated[str | None, typer.Option(help="Country of phones without one, such as RO.")] = None,
    timezone: Annotated[str, typer.Option(help="Zone of times without one.")] = "UTC",
    unknown_columns: Annotated[str, typer.Option(help="error or ignore.")] = "error",
) -> None:
    """Map one row, show the event that it makes, and send it as a dev event."""
    try:
        lead = json.loads(row)
    except ValueError as error:
        raise typer.BadParameter(f"must be JSON: {error}", param_hint="--row") from None
    if not isinstance(lead, dict):
        raise typer.BadParameter("must be a JSON object", param_hint="--row")
    with failures_told():
        plan = SendPlan(
            event=event,
            default_region=default_region,
            timezone=timezone,
            unknown_columns=unknown_columns,  # type: ignore[arg-type]  # checked by the plan
        )
        send_as_dev(reshape_settings(conn_id), lead, plan)
