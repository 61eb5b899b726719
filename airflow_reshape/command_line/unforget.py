"""``unforget``: a wrong id was forgotten."""

from __future__ import annotations

from typing import Annotated

import typer

from airflow_reshape.command_line.connections import LedgerConnId, ReshapeConnId, ledger_of, reshape_settings
from airflow_reshape.command_line.output import fail, failures_told, say
from airflow_reshape.command_line.visible import visible
from airflow_reshape.delivery.ledger.forgetting import unforget as unforget_in_ledger
from airflow_reshape.delivery.ledger.lookup import has_ledger
from airflow_reshape.hooks.ledger import ledger_digests


def unforget(
    lead: Annotated[str, typer.Option(help="The id, exactly as it was forgotten.")],
    reshape_conn_id: ReshapeConnId,
    ledger_conn_id: LedgerConnId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Let a forgotten lead be sent again, if a wrong id was forgotten."""
    with failures_told():
        settings = reshape_settings(reshape_conn_id)
        script_id = settings.destination.script_id
        with ledger_of(ledger_conn_id) as engine:
            if not has_ledger(engine):
                fail(f"there is no ledger at {ledger_conn_id!r} yet")
            if not yes:
                typer.confirm(
                    f"Let lead {visible(lead)} be sent to script id {script_id}, also what was sent before?", abort=True
                )
            if not unforget_in_ledger(engine, lead, script_id, ledger_digests(settings)):
                fail(f"{lead!r} was not forgotten at script id {script_id}")
        say(
            f"Lead {lead} may be sent again. "
            "What was removed does not come back: events of it that are read again are sent again."
        )
