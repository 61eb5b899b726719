"""Tables that another version of this package made: which columns they lack, and what to do."""

from __future__ import annotations

from sqlalchemy import Column, Connection, Engine, false, inspect, select
from sqlalchemy.exc import DBAPIError

from airflow_reshape.delivery.ledger.databases import is_deadlock, is_disconnect
from airflow_reshape.delivery.ledger.opening import LedgerSchemaError
from airflow_reshape.delivery.ledger.tables import metadata


def check_columns(engine: Engine) -> None:
    """See that every column is there, by asking for all of them and no row.

    :raises LedgerSchemaError: one is missing.
    """
    try:
        with engine.connect() as connection:
            for table in metadata.sorted_tables:
                connection.execute(select(table).where(false()))
    except DBAPIError as error:
        if not (is_disconnect(error) or is_deadlock(error)):
            blame_columns(engine)
        raise


def blame_columns(engine: Engine) -> None:
    """Find out whether an error came of a missing column. What is no table of this database is nobody's fault.

    :raises LedgerSchemaError: one is missing.
    """
    with engine.connect() as connection:
        missing = _missing(connection)
        if missing:
            raise LedgerSchemaError(_told(missing, connection))


def _missing(connection: Connection) -> list[Column[object]]:
    asked = inspect(connection)
    return [
        column
        for table in metadata.sorted_tables
        if asked.has_table(table.name)
        for found in [{each["name"].lower() for each in asked.get_columns(table.name)}]
        for column in table.columns
        if column.name not in found
    ]


def _told(missing: list[Column[object]], connection: Connection) -> str:
    named = ", ".join(f"{column.table.name}.{column.name}" for column in missing)
    lack = f"the ledger's tables lack {named}: another version of this package made or changed them. "
    if not all(column.nullable for column in missing):
        return lack + "Name a database without these tables, and begin with baseline=True so that nothing is sent twice"
    dialect = connection.dialect
    cure = "; ".join(
        f"ALTER TABLE {column.table.name} ADD COLUMN {column.name} {column.type.compile(dialect)}" for column in missing
    )
    return f"{lack}Use one version everywhere, and let the database's owner run: {cure}"
