"""What the ledger knows: of a lead, of what is open, of events by their keys."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Engine, FromClause, RowMapping, func, inspect, or_, select

from airflow_reshape.delivery.ledger.databases import as_time, clock
from airflow_reshape.delivery.ledger.tables import LEAD_ID_LENGTH, events, forgotten
from airflow_reshape.delivery.ledger.views import OPEN_PROBLEMS, TIMELINE, source


def has_ledger(engine: Engine) -> bool:
    """Whether the database holds a ledger.

    :raises SQLAlchemyError: the database does not answer.
    """
    asked = inspect(engine)
    return asked.has_table(events.name) or asked.has_table(TIMELINE)  # somebody may see the views only


def database_now(connection: Connection) -> datetime:
    """The database's time, in UTC, naive as all times of the ledger are."""
    return as_time(connection.scalar(select(clock(connection.engine))))


def timeline(connection: Connection, lead_id: str) -> list[RowMapping]:
    """All events of a lead, oldest first.

    :param lead_id: id of the lead, or of an event. Exactly: case counts, whatever the database's collation.
    :returns: the columns of ``reshape_lead_timeline``.
    :raises SQLAlchemyError: the database does not answer.
    """
    written = lead_id[:LEAD_ID_LENGTH]
    view = source(connection, TIMELINE, clock(connection.engine))
    query = (
        select(view)
        .where(or_(view.c.lead_id == written, view.c.event_id == lead_id))
        .order_by(view.c.claimed_at, view.c.event_key)
    )
    rows = connection.execute(query).mappings().all()
    return [row for row in rows if row["lead_id"] == written or row["event_id"] == lead_id]


def open_problems(
    connection: Connection, environment: str | None = None, script_id: str | None = None, most: int | None = None
) -> Sequence[RowMapping]:
    """What was not delivered and is not being sent right now, oldest first.

    :param environment: ``prod`` or ``dev``; None for both.
    :param script_id: of the connection; None for all.
    :param most: how many rows at most; None for all.
    :returns: the columns of ``reshape_open_problems``.
    :raises SQLAlchemyError: the database does not answer.
    """
    view = source(connection, OPEN_PROBLEMS, clock(connection.engine))
    query = select(view).where(*_sent_to(view, environment, script_id)).order_by(view.c.since, view.c.event_id)
    return connection.execute(query.limit(most)).mappings().all()


def count_problems(
    connection: Connection, environment: str | None = None, script_id: str | None = None
) -> dict[str, int]:
    """How many problems are open, by kind; arguments as of :func:`open_problems`.

    :raises SQLAlchemyError: the database does not answer.
    """
    view = source(connection, OPEN_PROBLEMS, clock(connection.engine))
    query = select(view.c.problem, func.count()).where(*_sent_to(view, environment, script_id))
    return {row[0]: row[1] for row in connection.execute(query.group_by(view.c.problem))}


def _sent_to(view: FromClause, environment: str | None, script_id: str | None) -> list[ColumnElement[bool]]:
    wanted = {"environment": environment, "script_id": script_id}
    return [view.c[name] == value for name, value in wanted.items() if value is not None]


def forgotten_among(connection: Connection, marks: Collection[str]) -> set[str]:
    """Which of some marks are those of forgotten leads.

    :param marks: at most some thousand; see :meth:`~airflow_reshape.delivery.ledger.digests.Digests.of_forgotten`.
    :raises SQLAlchemyError: the database does not answer.
    """
    return set(connection.scalars(select(forgotten.c.digest).where(forgotten.c.digest.in_(marks))))


def forgotten_marks(connection: Connection, script_id: str) -> frozenset[str]:
    """The marks of all forgotten leads of a script id.

    :raises SQLAlchemyError: the database does not answer, or holds no ledger yet.
    """
    return frozenset(connection.scalars(select(forgotten.c.digest).where(forgotten.c.script_id == script_id)))


def states(connection: Connection, keys: Collection[str]) -> dict[str, str]:
    """The states of events that the ledger knows, by key.

    :param keys: at most some hundred; see :func:`~airflow_reshape.delivery.ledger.digests.event_key`.
    :raises SQLAlchemyError: the database does not answer.
    """
    query = select(events.c.key, events.c.state).where(events.c.key.in_(keys))
    return {row.key: row.state for row in connection.execute(query)}
