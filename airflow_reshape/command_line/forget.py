"""``forget``: erase a lead, and keep it from being sent ever again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer
from sqlalchemy import Engine, RowMapping

from airflow_reshape.command_line.connections import LedgerConnId, ReshapeConnId, ledger_of, reshape_settings
from airflow_reshape.command_line.lead import timeline_table
from airflow_reshape.command_line.output import add_row, counted, fail, failures_told, say, show, table
from airflow_reshape.command_line.visible import visible
from airflow_reshape.delivery.ledger.digests import Digests
from airflow_reshape.delivery.ledger.forgetting import is_forgotten
from airflow_reshape.delivery.ledger.lookup import has_ledger, timeline
from airflow_reshape.hooks.ledger import ledger_digests

PERHAPS_SENT = ("delivered", "rejected", "claimed")
"""States of which Reshape may hold something."""


def forget(
    lead: Annotated[str, typer.Option(help="The lead's id.")],
    reshape_conn_id: ReshapeConnId,
    ledger_conn_id: LedgerConnId,
    failures_path: Annotated[
        str | None, typer.Option(help="Folder of kept failures, as the operator names it.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    even_if_unknown: Annotated[
        bool, typer.Option("--even-if-unknown", help="With --yes, also an id of which nothing is known.")
    ] = False,
) -> None:
    """Remove a lead from the ledger and from kept failures, and keep it from being sent ever again."""
    from airflow_reshape.delivery.ledger.forgetting import forget as forget_in_ledger

    with failures_told():
        settings = reshape_settings(reshape_conn_id)
        script_id = settings.destination.script_id
        digests = ledger_digests(settings)
        with ledger_of(ledger_conn_id) as engine:
            # First of all, so that nothing is removed if it cannot be read.
            kept = _show_what_is_kept(failures_path, lead) if failures_path else 0
            known = _show_what_is_known(engine, lead, script_id, digests) or kept
            if not yes:
                typer.confirm(f"Forget lead {visible(lead)} at script id {script_id}, for ever?", abort=True)
            elif not known and not even_if_unknown:
                fail("is the id right, with its case? To forget it before it comes, add --even-if-unknown")
            rows = forget_in_ledger(engine, lead, script_id, digests)
        _tell_removed(lead, rows)
        if failures_path:
            _forget_failures(failures_path, lead, rows)
        say(
            "What remains is a keyed digest of the id, which tells nobody whose it is. It keeps the lead from being "
            "sent again as long as the connection's ledger_key (or its access token, without one) stays the same."
        )


def _show_what_is_kept(path: str, lead: str) -> int:
    """How many rows."""
    from airflow_reshape.hooks.failures import kept_failures

    kept = kept_failures(path, {lead})
    if kept:
        say(f"failures_path keeps {counted(kept, 'row')} of {lead!r}.")
    return kept


def _show_what_is_known(engine: Engine, lead: str, script_id: str, digests: Digests) -> bool:
    """Whether that is anything."""
    rows = []
    was_forgotten = False
    if has_ledger(engine):
        with engine.connect() as connection:
            rows = timeline(connection, lead)
        was_forgotten = is_forgotten(engine, lead, script_id, digests)
    if rows:
        show(timeline_table(lead, rows))
    elif was_forgotten:
        say(f"{lead!r} was forgotten before.")
    else:
        say(f"The ledger knows nothing of {lead!r}. Forgotten, it will not be sent later either.")
    return bool(rows) or was_forgotten


def _tell_removed(lead: str, rows: Sequence[RowMapping]) -> None:
    say(f"Forgot lead {lead}: {counted(len(rows), 'row')} removed from the ledger.")
    sent = [row for row in rows if row["state"] in PERHAPS_SENT]
    if not sent:
        say("Nothing of it was sent, as far as the ledger knows.")
        return
    columns = ("sent (UTC)", "event", "id", "to", "state")
    shown = table("Ask Reshape, and those it passes events to, to erase", *columns, unbroken=columns)
    for row in sent:
        when = row["settled_at"] or row["claimed_at"]
        add_row(shown, when, row["event_name"], row["event_id"], row["destination"], row["state"])
    show(shown)


def _forget_failures(path: str, lead: str, rows: Sequence[RowMapping]) -> None:
    from airflow_reshape.hooks.failures import forget_failures

    ids = {lead, *(row["event_id"] for row in rows if row["event_id"])}
    removed = forget_failures(path, ids)
    say(f"{counted(removed, 'kept row')} removed from failures_path.")
