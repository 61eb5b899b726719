"""A ledger whose tables lack a column is told as what it is: which table, which column, and what to do."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import Engine, text

from airflow_reshape.delivery.ledger.tables import metadata
from airflow_reshape.exceptions import ReshapeConfigurationError
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.ledger.conftest import NewEngine
from tests.ledger.leads import leads
from tests.ledger.task import send_as

VIEWS = ("reshape_lead_timeline", "reshape_daily", "reshape_open_problems")


def drop(engine: Engine, *columns: str) -> None:
    """As a version of the package left the table that knew nothing of them."""
    with engine.begin() as connection:
        for view in VIEWS:
            connection.execute(text(f"DROP VIEW IF EXISTS {view}"))
        for column in columns:
            table, _, name = column.partition(".")
            connection.execute(text(f"ALTER TABLE {table} DROP COLUMN {name}"))


@pytest.mark.parametrize("column", ["reshape_event.body_digest", "reshape_sender.summary", "reshape_schema.purged_at"])
def test_the_column_and_its_cure_are_told_and_the_cure_works(
    sandbox: RunningSandbox, new_engine: NewEngine, column: str
) -> None:
    assert send_as("before", 1, leads(0, 5))["delivered"] == 5
    engine = new_engine()
    drop(engine, column)
    with pytest.raises(ReshapeConfigurationError, match=f"the ledger's tables lack {column}: another version") as told:
        send_as("run", 1, leads(0, 8))
    assert "does not answer" not in str(told.value)
    assert told.value.summary is not None
    assert (told.value.summary["delivered"], sandbox.summary()["requests"]) == (0, 5)

    (cure,) = re.findall(r"run: (.*?) \(\d+ leads", str(told.value))
    with engine.begin() as connection:
        connection.execute(text(cure))
    assert send_as("run", 2, leads(0, 8))["delivered"] == 3
    assert sandbox.summary()["duplicates"] == 0
    engine.dispose()


def test_what_cannot_be_added_needs_another_database(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    send_as("before", 1, leads(0, 5))
    engine = new_engine()
    drop(engine, "reshape_sender.lease_until", "reshape_event.reason")
    with pytest.raises(ReshapeConfigurationError) as told:
        send_as("run", 1, leads(0, 8))
    for part in ("reshape_sender.lease_until", "reshape_event.reason", "Name a database without", "baseline=True"):
        assert part in str(told.value)
    with engine.begin() as connection:  # these tables are of no use to the next test
        metadata.drop_all(connection)
    engine.dispose()
