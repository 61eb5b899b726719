"""Removing what is old: settled events, claims of the dead, and senders that nothing refers to any more.

Marks of forgotten leads stay. The database's clock decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Table, delete, exists, func, or_, select, update

from airflow_reshape.delivery.ledger.databases import again_after_deadlocks, as_time, clock
from airflow_reshape.delivery.ledger.tables import events, schema, senders

BETWEEN_PURGES = timedelta(days=1)
ROWS_AT_ONCE = 1000
SECONDS_TO_PURGE = 2.0


def purge(
    engine: Engine,
    retention: timedelta,
    *,
    rows_at_once: int = ROWS_AT_ONCE,
    seconds: float = SECONDS_TO_PURGE,
    timer: Callable[[], float] = time.monotonic,
) -> int:
    """Remove old rows, unless that was done within the last day.

    Tasks may share a ledger and remember for different times. A row may have been written for any of them, so the
    longest counts of what each task asked for when it last ran.

    :param engine: of the ledger's database.
    :param retention: how long the caller remembers what is settled.
    :param rows_at_once: most rows that one transaction removes.
    :param seconds: what is left after them is removed by the next caller.
    :param timer: seconds, for that.
    :returns: how many events were removed.
    :raises SQLAlchemyError: the database does not answer.
    """
    limit = _begin(engine, retention)
    if limit is None:
        return 0
    until = timer() + seconds
    removed = 0
    for table, key, old in (
        (events, events.c.key, _old_events(limit)),
        (senders, senders.c.id, _old_senders(limit)),
    ):
        while count := _remove(engine, table, key, old, rows_at_once):
            removed += count if table is events else 0
            if timer() >= until:
                _go_on_soon(engine)
                return removed
    return removed


@again_after_deadlocks
def _begin(engine: Engine, retention: timedelta) -> datetime | None:
    """The time before which everything is old, if it is our turn."""
    with engine.begin() as connection:
        now = as_time(connection.scalar(select(clock(engine))))
        last = connection.scalar(select(schema.c.purged_at))
        if last is not None and last > now - BETWEEN_PURGES:
            return None
        ours = connection.execute(
            update(schema)
            .where(or_(schema.c.purged_at.is_(None), schema.c.purged_at <= now - BETWEEN_PURGES))
            .values(purged_at=now)
        )
        if not ours.rowcount:
            return None
        return now - max(retention, _longest(connection))


def _longest(connection: Connection) -> timedelta:
    """The longest retention of those that each task asked for when it last ran."""
    task = (senders.c.dag_id, senders.c.task_id)
    kept = senders.c.retention_seconds.is_not(None)
    last = select(*task, func.max(senders.c.started_at).label("at")).where(kept).group_by(*task).subquery()
    same: ColumnElement[bool] = (
        (senders.c.started_at == last.c.at)
        & senders.c.dag_id.is_not_distinct_from(last.c.dag_id)
        & senders.c.task_id.is_not_distinct_from(last.c.task_id)
    )
    seconds = connection.scalar(select(func.max(senders.c.retention_seconds)).select_from(last).join(senders, same))
    return timedelta(seconds=int(seconds or 0))


def _old_events(limit: datetime) -> Callable[[datetime], ColumnElement[bool]]:
    def old(now: datetime) -> ColumnElement[bool]:
        living = select(senders.c.id).where(senders.c.lease_until > now, senders.c.ended_at.is_(None))
        settled = events.c.settled_at < limit
        left_behind = events.c.settled_at.is_(None) & (events.c.claimed_at < limit) & events.c.owner.not_in(living)
        return or_(settled, left_behind)

    return old


def _old_senders(limit: datetime) -> Callable[[datetime], ColumnElement[bool]]:
    def old(now: datetime) -> ColumnElement[bool]:
        gone = or_(senders.c.ended_at.is_not(None), senders.c.lease_until <= now)
        return (senders.c.started_at < limit) & gone & ~exists().where(events.c.owner == senders.c.id)

    return old


@again_after_deadlocks
def _remove(engine: Engine, table: Table, key: Any, old: Callable[[datetime], ColumnElement[bool]], most: int) -> int:
    with engine.begin() as connection:
        is_old = old(as_time(connection.scalar(select(clock(engine)))))
        # MySQL limits no subquery of an IN; and a row that is not old any more stays.
        keys = connection.scalars(select(key).where(is_old).limit(most)).all()
        if keys:
            connection.execute(delete(table).where(key.in_(sorted(keys)), is_old))
        return len(keys)


@again_after_deadlocks
def _go_on_soon(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(update(schema).values(purged_at=None))
