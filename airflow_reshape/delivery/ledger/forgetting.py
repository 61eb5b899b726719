"""Forgetting a lead: its rows go, and a keyed digest stays that keeps it from being sent until it is taken away."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlalchemy import Engine, RowMapping, delete, or_, select

from airflow_reshape.delivery.ledger.databases import (
    again_after_deadlocks,
    as_time,
    clock,
    for_ledger,
    insert_new,
    kept,
)
from airflow_reshape.delivery.ledger.digests import Digests
from airflow_reshape.delivery.ledger.lookup import forgotten_among
from airflow_reshape.delivery.ledger.opening import check_key, make_tables
from airflow_reshape.delivery.ledger.tables import LEAD_ID_LENGTH, events, forgotten, schema, senders

log = logging.getLogger(__name__)

WHO = ("dag_id", "run_id", "task_id", "map_index", "try_number")


def forget(engine: Engine, lead_id: str, script_id: str, digests: Digests) -> Sequence[RowMapping]:
    """Forget a lead at one script id, in both environments.

    Holds for every claim made after it returns. What was under way at that moment is among the rows, with the state
    ``claimed``: it may still arrive.

    :param engine: of the ledger's database; the tables are made if they are not there.
    :param lead_id: id of the lead, or of an event. Exactly: case counts, whatever the database's collation.
    :param script_id: of the connection; what other script ids were sent is not touched.
    :param digests: keyed as the connection says.
    :returns: the rows that were removed, oldest first, as a lead's timeline shows them: the columns of
        ``reshape_event``, and who sent. Nothing if the lead was not known; it is forgotten all the same.
    :raises LedgerSchemaError: the tables are of another version, or leads were forgotten with another key.
    :raises SQLAlchemyError: the database does not answer; nothing was removed then.
    """
    engine = for_ledger(engine)
    make_tables(engine)
    rows = _forget(engine, lead_id, script_id, digests)
    if engine.dialect.name == "sqlite":
        _empty_write_ahead_log(engine)
    return rows


@again_after_deadlocks
def _forget(engine: Engine, lead_id: str, script_id: str, digests: Digests) -> Sequence[RowMapping]:
    with engine.begin() as connection:
        # Waits for claims under way and holds up new ones, so that each sees either the lead's rows or its mark.
        connection.execute(select(schema.c.version).with_for_update())
        check_key(connection, script_id, digests.version)
        mark = {
            "digest": digests.of_forgotten(script_id, lead_id),
            "script_id": script_id,
            "digest_version": digests.version,
            "forgotten_at": as_time(connection.scalar(select(clock(engine)))),
        }
        connection.execute(insert_new(engine, forgotten).values(mark))
        shown = (kept(lead_id, LEAD_ID_LENGTH), kept(lead_id))
        query = (
            select(events, *(senders.c[name] for name in WHO))
            .outerjoin(senders, senders.c.id == events.c.owner)
            .where(or_(events.c.lead_id == shown[0], events.c.event_id == shown[1]))
            .order_by(events.c.claimed_at, events.c.key)
        )
        rows = [
            row
            for row in connection.execute(query).mappings().all()
            # A collation may take others for it.
            if (row["lead_id"] == shown[0] or row["event_id"] == shown[1])
            and row["destination"].partition(":")[0] == script_id
        ]
        if rows:
            connection.execute(delete(events).where(events.c.key.in_(sorted(row["key"] for row in rows))))
        return rows


def is_forgotten(engine: Engine, lead_id: str, script_id: str, digests: Digests) -> bool:
    """Whether an id has a mark.

    :raises SQLAlchemyError: the database does not answer, or holds no ledger yet.
    """
    with for_ledger(engine).connect() as connection:
        return bool(forgotten_among(connection, {digests.of_forgotten(script_id, lead_id)}))


def unforget(engine: Engine, lead_id: str, script_id: str, digests: Digests) -> bool:
    """Take the mark of a forgotten lead away, so that it may be sent; what was removed does not come back.

    :param lead_id: as it was given to :func:`forget`.
    :returns: whether there was one.
    :raises LedgerSchemaError: leads were forgotten with another key, so that nobody can tell.
    :raises SQLAlchemyError: the database does not answer, or holds no ledger yet; nothing was changed then.
    """
    with for_ledger(engine).begin() as connection:
        check_key(connection, script_id, digests.version)
        mark = digests.of_forgotten(script_id, lead_id)
        return bool(connection.execute(delete(forgotten).where(forgotten.c.digest == mark)).rowcount)


def _empty_write_ahead_log(engine: Engine) -> None:
    """Where SQLite keeps one, what was removed from the tables stands in it until it is emptied."""
    connection = engine.raw_connection()
    try:
        (is_busy, *_) = connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() or (0,)
        if is_busy:  # the rows are gone, and whoever asked wants to know which; so it is no error
            log.warning("somebody reads the ledger: forget the lead again, to have its bytes taken out of SQLite's log")
    finally:
        connection.close()
