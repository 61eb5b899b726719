"""``reconcile``: which changes in the CRM have no outcome?"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import TypeAdapter, ValidationError

from airflow_reshape.command_line.comparison import Comparison, Missing
from airflow_reshape.command_line.connections import (
    LedgerConnId,
    ReshapeConnId,
    reading,
    reshape_settings,
    stored_connection,
)
from airflow_reshape.command_line.output import counted, duration, fail, failures_told, logs_aside, print_json, say
from airflow_reshape.delivery.ledger.lookup import forgotten_among, states
from airflow_reshape.delivery.report import CURES
from airflow_reshape.hooks.ledger import ledger_digests
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.transfers.sql_stream import SqlStream

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

ARGUMENTS = {each.name: each for each in dataclasses.fields(SendPlan) if each.init}
DURATIONS = ("max_age", "max_outage", "ledger_retention", "failures_retention")


def reconcile(
    ledger_conn_id: LedgerConnId,
    reshape_conn_id: ReshapeConnId,
    sql_conn_id: Annotated[str, typer.Option(help="Connection of the CRM's database.")],
    sql: Annotated[str, typer.Option(help="The query, or the path of a .sql file, as the operator runs it.")],
    options: Annotated[
        str, typer.Option(help='The operator\'s arguments as JSON, such as {"stage_map": {"SQL": "lead_qualified"}}.')
    ],
    parameters: Annotated[str | None, typer.Option(help="The query's parameters as JSON, a list or an object.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run the query again, and list the changes that the ledger has no outcome of. Nothing is sent."""
    query, given, plan = _query(sql), _json("--parameters", parameters), _plan(options)
    with failures_told(), ExitStack() as opened:
        if as_json:
            opened.enter_context(logs_aside())
        settings = reshape_settings(reshape_conn_id)
        hook = _sql_hook(sql_conn_id)
        ledger = opened.enter_context(reading(ledger_conn_id))
        compared = Comparison(
            destination=f"{settings.destination.script_id}:{settings.environment}",
            digests=ledger_digests(settings),
            guards=plan.guards(),
            states=partial(states, ledger),
            forgotten=partial(forgotten_among, ledger),
            now=datetime.now(UTC),
        )
        missing = compared.missing(_rows(hook, query, given, plan), plan.builder(settings))
        if as_json:
            data = _as_data(compared, missing)
            opened.close()
            print_json(data)
            found = len(data["missing"])
        else:
            found = _tell_all(compared, missing)
    if found:
        raise typer.Exit(1)


def _rows(hook: DbApiHook, query: str, parameters: Any, plan: SendPlan) -> Iterator[list[dict[str, Any]]]:
    with SqlStream(hook, query, parameters) as stream:
        plan.check_columns(stream.columns)
        yield from stream


def _tell_all(compared: Comparison, missing: Iterator[Missing]) -> int:
    found = 0
    for each in missing:
        found += 1
        age = f", {_age(compared, each)} old" if each.occurred_at else ""
        event = " ".join(part for part in (each.event_name, each.event_id) if part) or "an event"
        why = f" ({each.why})" if each.why else ""
        say(f"row {each.row:,}: lead {each.lead_id or '(no id)'}, {event}{age}: no outcome{why}")
    say((counted(compared.read, "row"), "bold"), ", ", (f"{found:,} without an outcome", "red" if found else "green"))
    for title, counts in (
        ("with an outcome", compared.by_state),
        ("not to be sent", {CURES.get(why, why): count for why, count in compared.not_to_be_sent.most_common()}),
        ("not in any ledger", {"events without an id": compared.without_id} if compared.without_id else {}),
    ):
        if counts:
            say(f"  {title}: {' · '.join(f'{name} {count:,}' for name, count in counts.items())}")
    return found


def _as_data(compared: Comparison, missing: Iterator[Missing]) -> dict[str, Any]:
    told = [dataclasses.asdict(each) for each in missing]
    counts = {name: getattr(compared, name) for name in ("read", "by_state", "not_to_be_sent", "without_id")}
    return {**counts, "missing": told}


def _age(compared: Comparison, missing: Missing) -> str:
    assert missing.occurred_at is not None
    return duration((compared.now - missing.occurred_at).total_seconds())


def _sql_hook(conn_id: str) -> DbApiHook:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    stored = stored_connection(conn_id)
    hook = stored.get_hook(hook_params={"connection": stored})
    if not isinstance(hook, DbApiHook):
        fail(f"sql_conn_id {conn_id!r} is no SQL database: {type(hook).__name__} is no DbApiHook")
    return hook


def _query(sql: str) -> str:
    if sql.endswith(".sql"):
        try:
            sql = Path(sql).read_text(encoding="utf-8")
        except OSError as error:
            raise typer.BadParameter(f"cannot be read: {error.strerror}", param_hint="--sql") from None
    if "{{" in sql or "{%" in sql:
        raise typer.BadParameter("holds a template: give the query as Airflow renders it", param_hint="--sql")
    return sql


def _json(name: str, text: str | None) -> Any:
    try:
        return json.loads(text) if text else None
    except ValueError as error:
        raise typer.BadParameter(f"must be JSON: {error}", param_hint=name) from None


def _plan(options: str) -> SendPlan:
    given = _json("--options", options)
    if not isinstance(given, Mapping):
        raise typer.BadParameter("must be a JSON object", param_hint="--options")
    _refuse_unknown(given)
    for name in DURATIONS:
        if given.get(name) is not None:
            given = {**given, name: _timedelta(name, given[name])}
    with failures_told():
        # What only says how to send is of no matter here, and nothing is sent.
        return SendPlan(**{**given, "validate_only": False, "baseline": False})


def _refuse_unknown(given: Collection[str]) -> None:
    for name in given:
        if name not in ARGUMENTS:
            near = get_close_matches(name, ARGUMENTS, n=1)
            hint = f"did you mean {near[0]}?" if near else "see SendPlan"
            raise typer.BadParameter(f"{name!r} is no argument of a send: {hint}", param_hint="--options")


def _timedelta(name: str, value: Any) -> timedelta:
    try:
        return TypeAdapter(timedelta).validate_python(value)
    except ValidationError:
        raise typer.BadParameter(
            f"{name} must be seconds, or a duration such as P3D or PT72H", param_hint="--options"
        ) from None
