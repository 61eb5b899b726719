"""``python -m airflow_reshape``: look at a connection and try a lead, without a DAG."""

from __future__ import annotations

import json
import logging
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from sqlalchemy.exc import SQLAlchemyError

from airflow_reshape.delivery.ledger.lookup import timeline
from airflow_reshape.exceptions import ReshapeConfigurationError, ReshapeError
from airflow_reshape.hooks.lead_send import LeadSend
from airflow_reshape.hooks.ledger import ledger_engine
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


@app.command()
def lead(
    lead_id: Annotated[str, typer.Argument(help="The lead's id, or an event's.")],
    ledger_conn_id: Annotated[str, typer.Option(help="Connection of the ledger's database.")],
) -> None:
    """Tell what was sent for a lead, when, and what Reshape said."""
    try:
        rows = timeline(ledger_engine(ledger_conn_id, _connection(ledger_conn_id)), lead_id)
    except (SQLAlchemyError, ReshapeConfigurationError) as error:
        known = isinstance(error, ReshapeConfigurationError)
        _fail(str(error) if known else f"the ledger's database does not answer ({type(error).__name__})")
    if not rows:
        _fail(f"the ledger knows nothing of {lead_id!r}")
    table = Table(title=f"Lead {lead_id} (times in UTC)", title_justify="left")
    for column in ("event", "id", "destination", "state", "when", "attempts", "answer", "by"):
        table.add_column(column, overflow="fold")
    for row in rows:
        answer = " ".join(str(part) for part in (row["http_status"], row["reason"]) if part is not None)
        by = " ".join(str(row[name]) for name in ("dag_id", "task_id", "run_id", "try_number") if row[name] is not None)
        when = (row["settled_at"] or row["claimed_at"]).strftime("%Y-%m-%d %H:%M:%S")
        cells = (
            row["event_name"],
            row["event_id"],
            row["destination"],
            row["state"],
            when,
            row["attempts"],
            answer,
            by,
        )
        table.add_row(*(escape(str(cell)) for cell in cells))
    console.print(table)


def _connection(conn_id: str) -> Any:
    from airflow.models.connection import Connection as StoredConnection
    from airflow.providers.common.compat.sdk import AirflowNotFoundException, Connection

    try:
        # Not the task's way to a connection: here there is no task, and the metadata database can be asked.
        stored = StoredConnection.get_connection_from_secrets(conn_id)
        names = ("conn_id", "conn_type", "host", "login", "password", "schema", "port", "extra")
        return Connection(**{name: getattr(stored, name) for name in names})
    except AirflowNotFoundException:
        _fail(f"there is no connection {conn_id!r}, or it cannot be read: in a URI, percent-encode the password")


def _settings(conn_id: str) -> ReshapeSettings:
    connection = _connection(conn_id)
    try:
        return read_settings(connection)
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
