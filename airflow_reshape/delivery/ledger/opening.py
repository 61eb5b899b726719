"""Making the ledger's tables at first use, and refusing what cannot be used."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DBAPIError

from airflow_reshape.delivery.ledger.databases import insert_new
from airflow_reshape.delivery.ledger.tables import SCHEMA_VERSION, forgotten, metadata, schema

TRIES_TO_MAKE_TABLES = 5


class LedgerSchemaError(RuntimeError):
    """The tables belong to another version of this package."""


class LedgerKeyError(LedgerSchemaError):
    """Leads were forgotten with another key, so that nobody can tell whether a lead is one of them."""


def make_tables(engine: Engine) -> None:
    """Make what is not there yet.

    :raises LedgerSchemaError: the tables are of another version.
    """
    for _ in range(TRIES_TO_MAKE_TABLES):
        try:
            metadata.create_all(engine)
        except DBAPIError as error:  # another sender makes them at the same moment
            failure = error
        else:
            break
    else:
        raise failure
    with engine.begin() as connection:
        versions = connection.scalars(select(schema.c.version)).all()
        if not versions:
            connection.execute(insert_new(engine, schema).values(version=SCHEMA_VERSION))
            versions = connection.scalars(select(schema.c.version)).all()
    if versions != [SCHEMA_VERSION]:
        raise LedgerSchemaError(f"the ledger's tables are of version {max(versions)}, not {SCHEMA_VERSION}")


def check_key(connection: Connection, script_id: str, digest_version: str) -> None:
    """See that forgotten leads can be told.

    :param digest_version: names the key that is used now.
    :raises LedgerKeyError: they were forgotten with another one.
    """
    of_another_key = (forgotten.c.script_id == script_id) & (forgotten.c.digest_version != digest_version)
    if connection.scalar(select(forgotten.c.digest).where(of_another_key).limit(1)) is not None:
        raise LedgerKeyError(
            "leads were forgotten with another key, and could be sent again: set the extra 'ledger_key' of the "
            "Reshape connection to the key of that time (its access token then, if 'ledger_key' was not set)"
        )
