"""Views beside the ledger's tables, for people and dashboards: what was sent, by lead, by day, and what is open.

Each view is a query; :func:`make_views` writes it down in the database at first use, and again when a later version
of this package defines it differently. A sender must not fail for a view: where it may not make one, there is none,
and :func:`source` gives the query instead.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Date,
    Dialect,
    Double,
    Engine,
    Float,
    FromClause,
    Integer,
    Select,
    String,
    Table,
    and_,
    case,
    cast,
    column,
    delete,
    distinct,
    extract,
    func,
    insert,
    inspect,
    literal_column,
    not_,
    or_,
    select,
    table,
    type_coerce,
)
from sqlalchemy.exc import DBAPIError, NoSuchTableError

from airflow_reshape.delivery.ledger.databases import CLOCKS
from airflow_reshape.delivery.ledger.tables import events, metadata, senders

log = logging.getLogger(__name__)

LOCK: ColumnElement[int] = literal_column("7236152003")
"""Of PostgreSQL's advisory locks; any number that nobody else takes."""

TIMELINE = "reshape_lead_timeline"
DAILY = "reshape_daily"
OPEN_PROBLEMS = "reshape_open_problems"

made_views = Table(
    "reshape_view",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("definition", String(64), nullable=False),
)
"""Which definition of a view stands in the database, as a digest."""

_SCRIPT_ID = func.substr(events.c.destination, 1, 8, type_=String)
_ENVIRONMENT = func.substr(events.c.destination, 10, type_=String)
_LAST_SIGN = func.coalesce(events.c.settled_at, events.c.claimed_at, type_=events.c.claimed_at.type)
_WHO = tuple(senders.c[name] for name in ("dag_id", "run_id", "task_id", "map_index", "try_number"))

# Seconds from one time to another, as each database reckons them.
SECONDS_BETWEEN: dict[str, Callable[[Any, Any], ColumnElement[Any]]] = {
    "sqlite": lambda start, end: (func.julianday(end) - func.julianday(start)) * 86400,
    "postgresql": lambda start, end: cast(extract("epoch", end - start), Double),
    "mysql": lambda start, end: func.timestampdiff(literal_column("MICROSECOND"), start, end) / literal_column("1e6"),
}
SECONDS_BETWEEN["mariadb"] = SECONDS_BETWEEN["mysql"]


def definitions(dialect: str, clock: ColumnElement[Any]) -> dict[str, Select[Any]]:
    """The views' queries, by name.

    :param dialect: SQLAlchemy's name of the database.
    :param clock: how the database tells the time, in UTC.
    """
    return {
        TIMELINE: _timeline(SECONDS_BETWEEN[dialect]),
        DAILY: _daily(),
        OPEN_PROBLEMS: _open_problems(clock),
    }


def _timeline(seconds_between: Callable[[Any, Any], ColumnElement[Any]]) -> Select[Any]:
    """One row an event: where it stands, since when, and who sent it."""
    return select(
        events.c.lead_id,
        events.c.event_name,
        events.c.event_id,
        _SCRIPT_ID.label("script_id"),
        _ENVIRONMENT.label("environment"),
        events.c.state,
        events.c.occurred_at,
        events.c.claimed_at,
        events.c.settled_at,
        type_coerce(seconds_between(events.c.occurred_at, events.c.settled_at), Float).label("lag_seconds"),
        events.c.attempts,
        events.c.http_status,
        events.c.reason,
        events.c.fields,
        *_WHO,
        senders.c.package_version,
        events.c.key.label("event_key"),
    ).outerjoin_from(events, senders, senders.c.id == events.c.owner)


def _daily() -> Select[Any]:
    """Counts by the day of the last sign, destination, event name and state."""
    day = func.date(_LAST_SIGN, type_=Date)
    groups = (day, events.c.destination, events.c.event_name, events.c.state)
    return select(
        day.label("day"),
        _SCRIPT_ID.label("script_id"),
        _ENVIRONMENT.label("environment"),
        events.c.event_name,
        events.c.state,
        func.count().label("events"),
        func.count(distinct(events.c.lead_id)).label("leads"),
        cast(func.sum(events.c.attempts), Integer).label("attempts"),
    ).group_by(*groups)


def _open_problems(clock: ColumnElement[Any]) -> Select[Any]:
    """What was not delivered, and is not being sent right now."""
    ended = or_(senders.c.id.is_(None), senders.c.ended_at.is_not(None), senders.c.lease_until <= clock)
    later = events.alias("later")
    # An invalid row is known by its content, and the mended one is another: its event is delivered, or was before.
    mended = (
        select(later.c.key)
        .where(
            later.c.lead_id == events.c.lead_id,
            later.c.event_name == events.c.event_name,
            later.c.destination == events.c.destination,
            or_(later.c.state == "delivered", later.c.state == "baseline"),
            # MQL and SQL are two events of a lead. Without an id its next event of that name counts as the mended one.
            or_(
                later.c.event_id == events.c.event_id,
                and_(events.c.event_id.is_(None), later.c.claimed_at >= events.c.claimed_at),
            ),
        )
        .exists()
    )
    problems: Mapping[str, ColumnElement[bool]] = {
        "rejected": events.c.state == "rejected",
        "invalid": and_(events.c.state == "invalid", not_(mended)),
        "in_doubt": and_(events.c.state == "claimed", ended),
        "unsent": events.c.state == "released",
    }
    problem = case(*((condition, name) for name, condition in problems.items()), else_=None)
    return (
        select(
            problem.label("problem"),
            _LAST_SIGN.label("since"),
            events.c.lead_id,
            events.c.event_name,
            events.c.event_id,
            _SCRIPT_ID.label("script_id"),
            _ENVIRONMENT.label("environment"),
            events.c.occurred_at,
            events.c.attempts,
            events.c.http_status,
            events.c.reason,
            *_WHO,
        )
        .outerjoin_from(events, senders, senders.c.id == events.c.owner)
        .where(or_(*problems.values()))
    )


def make_views(engine: Engine) -> None:
    """Make the views, or make them anew where they are defined differently.

    Safe when several senders do it at once. A failure is logged and no error: nothing that sends reads a view.

    :param engine: of the ledger's database; the tables are there.
    """
    dialect = engine.dialect
    wanted = _statements(type(dialect))  # type: ignore[arg-type]  # a class is hashable
    digests = {name: hashlib.sha256(sql.encode()).hexdigest() for name, sql in wanted.items()}
    try:
        with engine.begin() as connection:
            if _made(connection) == digests:
                return
            if dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(LOCK)))
            made = _made(connection)
            for name, sql in wanted.items():
                if made.get(name) != digests[name]:
                    MAKE[dialect.name](connection, name, sql)
                    _note(connection, name, digests[name])
    except DBAPIError as error:
        kind = type(error.orig or error).__name__
        log.warning("The ledger's views could not be made (%s); only looking things up needs them", kind)


def _made(connection: Connection) -> dict[str, str]:
    return {row.name: row.definition for row in connection.execute(select(made_views))}


@cache
def _statements(dialect: type[Dialect]) -> Mapping[str, str]:
    """The views' queries as SQL, by name. Writing them takes longer than asking whether the views are there."""
    written = dialect()
    return {
        name: str(query.compile(dialect=written, compile_kwargs={"literal_binds": True}))
        for name, query in definitions(written.name, CLOCKS[written.name]).items()
    }


def _note(connection: Connection, name: str, digest: str) -> None:
    connection.execute(delete(made_views).where(made_views.c.name == name))
    # On MySQL another sender may have made the same view at the same moment.
    put = insert(made_views).prefix_with("IGNORE", dialect="mysql").prefix_with("IGNORE", dialect="mariadb")
    connection.execute(put.values(name=name, definition=digest))


def _replace(connection: Connection, name: str, sql: str) -> None:
    connection.exec_driver_sql(f"CREATE OR REPLACE VIEW {name} AS {sql}")


def _replace_or_drop(connection: Connection, name: str, sql: str) -> None:
    """Replaced, a view keeps its grants; that is refused if columns went or moved."""
    try:
        with connection.begin_nested():
            _replace(connection, name, sql)
    except DBAPIError:
        _drop_and_make(connection, name, sql)


def _drop_and_make(connection: Connection, name: str, sql: str) -> None:
    connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
    connection.exec_driver_sql(f"CREATE VIEW {name} AS {sql}")


# SQLite's senders write one at a time; MySQL replaces a view in one step, and ends the transaction by it.
MAKE: dict[str, Callable[[Connection, str, str], None]] = {
    "sqlite": _drop_and_make,
    "postgresql": _replace_or_drop,
    "mysql": _replace,
    "mariadb": _replace,
}


def source(connection: Connection, name: str, clock: ColumnElement[Any]) -> FromClause:
    """What to select a view's rows from: the view, or its query where there is no such view of this version.

    :param name: of the view.
    """
    query = definitions(connection.dialect.name, clock)[name]
    wanted = [column(each.name, each.type) for each in query.selected_columns]
    try:
        found = {each["name"] for each in inspect(connection).get_columns(name)}
    except NoSuchTableError:
        found = set()
    if found >= {each.name for each in wanted}:
        return table(name, *wanted)
    return query.subquery(name)
