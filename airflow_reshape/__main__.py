"""``python -m airflow_reshape``: look at a connection and try a lead, without a DAG."""

from __future__ import annotations

import json
import logging
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from airflow_reshape.exceptions import ReshapeConfigurationError, ReshapeError
from airflow_reshape.hooks.lead_send import LeadSend
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.reshape import TEST_CONTEXT, TEST_EVENT, TEST_RETRY
from airflow_reshape.hooks.settings import ReshapeSettings, read_settings

app = typer.Typer(
    help="DATA Reshape for Airflow.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False, soft_wrap=True)
log = logging.getLogger("airflow_reshape")

ConnId = Annotated[str, typer.Argument(help="Id of an Airflow connection of type reshape.")]


@app.command()
def check(conn_id: ConnId = "reshape_default") -> None:
    """Show what a connection says, and send one dev event over it."""
    settings = _settings(conn_id)
    _show(conn_id, settings)
    _send(settings, TEST_EVENT.model_copy(update={"context": TEST_CONTEXT}), SendPlan())


@app.command(name="try")
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
    try:
        plan = SendPlan(
            event=event,
            default_region=default_region,
            timezone=timezone,
            unknown_columns=unknown_columns,  # type: ignore[arg-type]  # checked by the plan
        )
    except ReshapeConfigurationError as error:
        _fail(str(error))
    settings = _settings(conn_id)
    _send(settings, lead, plan)


def _settings(conn_id: str) -> ReshapeSettings:
    from airflow.models.connection import Connection
    from airflow.providers.common.compat.sdk import AirflowNotFoundException

    try:
        # Not the task's way to a connection: here there is no task, and the metadata database can be asked.
        return read_settings(Connection.get_connection_from_secrets(conn_id))
    except AirflowNotFoundException:
        _fail(f"there is no connection {conn_id!r}: airflow connections add {conn_id} --conn-type reshape …")
    except ReshapeError as error:
        _fail(str(error))


def _show(conn_id: str, settings: ReshapeSettings) -> None:
    table = Table(title=f"Connection {conn_id}", title_justify="left", show_header=False)
    destination = settings.destination
    for name, value in {
        "host": destination.base_url,
        "route": destination.path,
        "script id": destination.script_id,
        "api": settings.generation,
        "environment": settings.environment,
        "data source": settings.data_source or "(none)",
        "timeout": f"{destination.timeout:g} s",
        "certificate": "checked" if destination.verify else "NOT checked",
        "proxy": "yes" if destination.proxy else "no",
        "access token": "set, not shown",
    }.items():
        table.add_row(name, value)
    console.print(table)


def _send(settings: ReshapeSettings, lead: Any, plan: SendPlan) -> None:
    """Send one lead as dev, whatever the connection says, and tell what came of it."""
    import dataclasses

    settings = dataclasses.replace(settings, environment="dev")
    build = plan.builder(settings)

    def prepare(row: object) -> Any:
        prepared = build(row)
        if body := getattr(prepared, "body", None):
            console.print("Sending, as a dev event:")
            console.print_json(data=body)
        return prepared

    try:
        summary = LeadSend(settings, plan, log, prepare, TEST_RETRY).run([[lead]])
    except ReshapeError as error:
        _fail(str(error))
    if summary["skipped"]:
        _fail(f"not sent: {', '.join(summary['skipped_by'])}")
    left_out = ", ".join(summary["sent_without"])
    console.print(f"[green]Accepted[/] by {settings.destination.base_url}{f', without {left_out}' if left_out else ''}")


def _fail(text: str) -> NoReturn:
    console.print(f"[red]Failed:[/] {text}", markup=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    app(prog_name="python -m airflow_reshape")
