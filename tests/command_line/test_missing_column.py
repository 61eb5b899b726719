"""A ledger whose tables lack a column, for those who look things up."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine, text

from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.command_line.conftest import Ask
from tests.ledger.leads import leads

RESHAPE = ("--reshape-conn-id", "reshape_default")


@pytest.mark.parametrize(
    "arguments",
    [("lead", "7"), ("problems",), ("week",), ("forget", "--lead", "7", "--yes", *RESHAPE)],
    ids=lambda arguments: arguments[0],
)
def test_the_column_is_told(connected: RunningSandbox, ledger: Engine, ask: Ask, arguments: tuple[str, ...]) -> None:
    ReshapeHook().send_events(leads(7, 8), event="lead_qualified", ledger_conn_id="ledger")
    with ledger.begin() as connection:
        for view in ("reshape_lead_timeline", "reshape_daily", "reshape_open_problems"):
            connection.execute(text(f"DROP VIEW {view}"))
        for table, column in (("event", "attempts"), ("event", "reason"), ("sender", "summary")):
            connection.execute(text(f"ALTER TABLE reshape_{table} DROP COLUMN {column}"))
    done = ask(*arguments, "--ledger-conn-id", "ledger")
    assert done.exit_code == 1
    assert (
        "the ledger's tables lack reshape_event.attempts, reshape_event.reason, reshape_sender.summary" in done.output
    )
    assert "does not answer" not in done.output
