"""Airflow's connections, asked for outside a task."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import typer
from sqlalchemy import Connection as DatabaseConnection
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from airflow_reshape.command_line.output import fail
from airflow_reshape.delivery.ledger.columns import blame_columns
from airflow_reshape.delivery.ledger.lookup import has_ledger
from airflow_reshape.hooks.ledger import ledger_engine
from airflow_reshape.hooks.settings import ReshapeSettings, read_settings

ConnId = Annotated[str, typer.Argument(help="Id of an Airflow connection of type reshape.")]
ReshapeConnId = Annotated[str, typer.Option(help="Id of an Airflow connection of type reshape.")]
LedgerConnId = Annotated[str, typer.Option(help="Connection of the ledger's database.")]


def stored_connection(conn_id: str) -> Any:
    """The connection of an id; ends the command if there is none."""
    from airflow.models.connection import Connection as StoredConnection
    from airflow.providers.common.compat.sdk import AirflowNotFoundException, Connection

    try:
        # Not the task's way to a connection: here there is no task, and the metadata database can be asked.
        stored = StoredConnection.get_connection_from_secrets(conn_id)
        # Some hooks (SQLite's) look their id up once more, in the task's way; this process is only for the command.
        os.environ.setdefault(f"AIRFLOW_CONN_{conn_id.upper()}", stored.as_json())
        names = ("conn_id", "conn_type", "host", "login", "password", "schema", "port", "extra")
        return Connection(**{name: getattr(stored, name) for name in names})
    except AirflowNotFoundException:
        fail(f"there is no connection {conn_id!r}, or it cannot be read: in a URI, percent-encode the password")


def reshape_settings(conn_id: str) -> ReshapeSettings:
    """The resolved connection to Reshape.

    :raises ReshapeConfigurationError: it is wrong.
    """
    return read_settings(stored_connection(conn_id))


@contextmanager
def ledger_of(conn_id: str) -> Iterator[Engine]:
    """The engine of a ledger's database, given back at the end; there may be no ledger in it yet.

    :raises ReshapeConfigurationError: it is no database that can keep a ledger.
    :raises LedgerSchemaError: its tables lack a column.
    """
    engine = ledger_engine(conn_id, stored_connection(conn_id))
    try:
        yield engine
    except DBAPIError:
        with suppress(SQLAlchemyError):  # the first error tells more than one of asking why
            blame_columns(engine)
        raise
    finally:
        engine.dispose()


@contextmanager
def reading(conn_id: str) -> Iterator[DatabaseConnection]:
    """A connection to read a ledger; ends the command if there is none yet.

    :raises ReshapeConfigurationError: it is no database that can keep a ledger.
    """
    with ledger_of(conn_id) as engine:
        if not has_ledger(engine):
            fail(f"there is no ledger at {conn_id!r} yet: the first send with ledger_conn_id={conn_id!r} makes it")
        with engine.connect() as connection:
            yield connection
