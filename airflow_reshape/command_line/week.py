"""``week``: seven days in figures."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from airflow_reshape.command_line.connections import LedgerConnId, reading
from airflow_reshape.command_line.output import (
    add_row,
    cell_text,
    counted,
    duration,
    failures_told,
    logs_aside,
    print_json,
    say,
    show,
    table,
)
from airflow_reshape.delivery.ledger.figures import Figures, figures, still_failing
from airflow_reshape.delivery.ledger.lookup import database_now
from airflow_reshape.delivery.report import CURES

WEEK = timedelta(days=7)
IDENTIFIERS = ("email", "phone", "user_id", "browser_cookie", "click_id", "none")


def week(
    ledger_conn_id: LedgerConnId,
    weeks_back: Annotated[int, typer.Option(min=0, help="0 is the last seven days, 1 the seven before.")] = 0,
    environment: Annotated[str, typer.Option(help="prod or dev.")] = "prod",
    script_id: Annotated[str | None, typer.Option(help="Only of this script id.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell what became of the leads of seven days: outcomes, lag, value, identifiers, and what is open."""
    with failures_told():
        with logs_aside(as_json), reading(ledger_conn_id) as connection:
            until = database_now(connection) - weeks_back * WEEK
            told = figures(connection, until - WEEK, until, environment, script_id)
        if as_json:
            print_json(_as_data(told, environment))
        else:
            _show(told, environment)


def _as_data(told: Figures, environment: str) -> dict[str, Any]:
    events = {name: vars(event) for name, event in sorted(told.events.items())}
    return {"environment": environment, **vars(told), "events": events}


def _show(told: Figures, environment: str) -> None:
    time = f"{told.since:%Y-%m-%d %H:%M} to {told.until:%Y-%m-%d %H:%M} UTC"
    say((time, "bold"), f", {environment}: {counted(told.sends, 'send')}")
    if told.unfinished:
        say(
            f"{counted(told.unfinished, 'send')} more run still or were killed: what they sent counts under New, "
            "not under value and identifiers."
        )
    if not told.events:
        say("No events.")
    else:
        for part in (_show_new, _show_known, _show_lag, _show_value, _show_identifiers):
            part(told)
    _show_counts(told)


def _show_new(told: Figures) -> None:
    columns = ("delivered", "rejected", "invalid", "unsent", "in doubt")
    shown = table("New", "event", *columns, numbers=columns)
    for name, event in sorted(told.events.items()):
        counts = (event.new.get(state, 0) for state in ("delivered", "rejected", "invalid", "released", "claimed"))
        add_row(shown, name, *counts)
    show(shown)


def _show_lag(told: Figures) -> None:
    shown = table(
        "From occurred_at to delivered", "event", "p50", "p95", "not known", numbers=("p50", "p95", "not known")
    )
    for name, event in sorted(told.events.items()):
        if event.lag_seconds or event.undated:
            lags = (duration(event.lag_seconds[p]) if p in event.lag_seconds else "" for p in ("p50", "p95"))
            add_row(shown, name, *lags, event.undated)
    show(shown)


def _show_known(told: Figures) -> None:
    columns = ("already sent", "changed", "still failing", "baseline")
    shown = table("Known before (counted at every run that reads them)", "event", *columns, numbers=columns)
    for name, event in sorted(told.events.items()):
        if event.known:
            known = event.known
            add_row(shown, name, known["already_sent"], known["changed"], still_failing(event), known["baseline"])
    show(shown)


def _show_value(told: Figures) -> None:
    shown = table("Value delivered", "event", "currency", "sum", numbers=("sum",))
    for name, event in sorted(told.events.items()):
        for currency, total in sorted(event.value.items()):
            add_row(shown, name, currency, f"{total:,.2f}")
    show(shown)


def _show_identifiers(told: Figures) -> None:
    columns = tuple(kind.replace("_", " ") for kind in IDENTIFIERS)
    shown = table("Identifiers, share of the delivered", "event", *columns, numbers=columns)
    for name, event in sorted(told.events.items()):
        if event.counted:
            add_row(shown, name, *(f"{100 * event.identifiers[kind] / event.counted:.0f} %" for kind in IDENTIFIERS))
    show(shown)


def _show_counts(told: Figures) -> None:
    repeats = {"sent again with the same id": told.sent_again, "requests without an answer": told.in_doubt}
    skipped = {CURES.get(why, why): count for why, count in told.skipped_by.most_common()}
    _line("Disqualified", dict(told.disqualified_by.most_common()))
    _line("Not to be sent", skipped)
    _line("Repeats", {what: count for what, count in repeats.items() if count})
    _line("Stages that stage_map does not know", dict(told.unknown_stages.most_common()))
    _line("Open now", dict(told.open_problems.most_common()))
    oldest = told.oldest_undelivered
    if oldest is not None:
        what = f"{oldest['event_name'] or 'an event'} of lead {oldest['lead_id'] or '(no id)'}"
        say(f"Oldest undelivered: {what}, {oldest['problem']} since {cell_text(oldest['since'])}")


def _line(title: str, counts: dict[str, int]) -> None:
    if counts:
        told = " · ".join(f"{name} {count:,}" for name, count in counts.items())
        say((title, "bold"), f": {told}", fold=True)
