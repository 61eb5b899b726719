"""What differs between the databases that can keep a ledger, and how their transactions are begun and repeated."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import wraps
from itertools import count
from random import random
from time import monotonic, sleep
from typing import Any, ParamSpec, TypeVar
from weakref import WeakSet

from sqlalchemy import (
    JSON,
    ColumnElement,
    Connection,
    Dialect,
    Engine,
    Table,
    Text,
    any_,
    event,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy import column as sql_column
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError

P = ParamSpec("P")
T = TypeVar("T")

# How each database tells its clock, in UTC, and how it inserts what is not there.
CLOCKS: dict[str, Any] = {
    "sqlite": func.strftime("%Y-%m-%d %H:%M:%f", "now"),
    "postgresql": func.timezone("UTC", func.clock_timestamp()),
    "mysql": literal_column("UTC_TIMESTAMP(6)"),
    "mariadb": literal_column("UTC_TIMESTAMP(6)"),
}
INSERT_NEW: dict[str, Callable[[Any], Any]] = {
    "sqlite": lambda table: sqlite.insert(table).on_conflict_do_nothing(),
    "postgresql": lambda table: postgresql.insert(table).on_conflict_do_nothing(),
    "mysql": lambda table: mysql.insert(table).prefix_with("IGNORE"),
    "mariadb": lambda table: mysql.insert(table).prefix_with("IGNORE"),
}
DEADLOCKS = {"40001", "40P01", 1213, 1205}  # SQLSTATE of PostgreSQL, error numbers of MySQL
CODES = ("sqlstate", "pgcode")  # where psycopg and psycopg2 keep it
SECONDS_TO_REPEAT = 10.0
"""How long a transaction is repeated: well below the lease, which nobody renews meanwhile."""
_read_committed_by: WeakSet[Dialect] = WeakSet()
"""Those of the engines whose connections are told so."""
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 1.0
"""Seconds that a pause lasts at most; each lasts a random part of it, so that two senders do not meet again."""


def for_ledger(engine: Engine) -> Engine:
    """The engine with transactions as a ledger needs them."""
    if engine.dialect.driver == "psycopg" and not event.contains(engine, "do_connect", _without_prepared_statements):
        event.listen(engine, "do_connect", _without_prepared_statements)
        engine.dispose()  # connections that are there already may prepare some
    if engine.dialect.name != "sqlite":
        _read_committed(engine)
        return engine
    if not event.contains(engine, "begin", _begin_to_write):
        event.listen(engine, "begin", _begin_to_write)
        event.listen(engine, "connect", _set_up_sqlite)
        engine.dispose()  # connections that are there already were not set up
    return engine


def _read_committed(engine: Engine) -> None:
    """Whatever the database's default is: within one transaction a claim has to see what others have written meanwhile,
    and above all the mark of a lead that was forgotten while it waited.

    Said to each connection when it is made. As an option of the engine it would be said whenever one is taken from the
    pool; if that was closed meanwhile, the driver's own error would come through, and nobody would know it for one.
    """
    dialect = engine.dialect
    if dialect not in _read_committed_by:
        _read_committed_by.add(dialect)
        event.listen(engine, "connect", lambda made, _: dialect.set_isolation_level(made, "READ COMMITTED"))
        engine.dispose()  # connections that are there already were not told


def clock(engine: Engine) -> Any:
    """The expression that tells the database's time, in UTC."""
    return CLOCKS[engine.dialect.name]


def as_time(told: Any) -> datetime:
    """What a database's clock told, naive, in UTC."""
    return datetime.fromisoformat(told) if isinstance(told, str) else told.replace(tzinfo=None)


def insert_new(engine: Engine, table: Any) -> Any:
    """An INSERT that leaves out rows whose key is there already."""
    return INSERT_NEW[engine.dialect.name](table)


def kept(text: str | None, length: int | None = None) -> str | None:
    """A text as every database takes it: without NUL characters and halves of surrogate pairs, and not too long."""
    return text and text.replace("\x00", "\ufffd").encode(errors="replace").decode()[:length]


def among(engine: Engine, column: ColumnElement[Any], keys: Collection[str]) -> ColumnElement[bool]:
    """Whether a column is one of many keys.

    :param keys: digests or ids, without a comma.
    """
    if engine.dialect.name == "postgresql":
        # One parameter: the driver reads a statement anew for each number of them.
        return column == any_(func.string_to_array(",".join(keys), ","))
    return column.in_(keys)


def insert_new_rows(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], same: Mapping[str, Any]
) -> bool:
    """Insert rows whose key is not there yet.

    :param rows: the columns in which rows differ, all of one shape.
    :param same: the columns in which they do not.
    :returns: whether the database told that all of them are new.
    """
    engine = connection.engine
    if engine.dialect.name != "postgresql":
        connection.execute(insert_new(engine, table), [{**row, **same} for row in rows])
        return False  # not every driver tells
    # All in one parameter, which is several times quicker than thousands of them.
    names = list(rows[0])
    written = json.dumps(rows, default=datetime.isoformat)
    read = func.json_to_recordset(sql_cast(literal(written, Text), JSON)).table_valued(
        *(sql_column(name, table.c[name].type) for name in names)
    )
    read = read.render_derived(with_types=True)
    values = [*(read.c[name] for name in names), *(literal(value, table.c[name].type) for name, value in same.items())]
    done = connection.execute(
        postgresql.insert(table)
        .from_select([*names, *same], select(*values), include_defaults=False)
        .on_conflict_do_nothing()
    )
    return done.rowcount == len(rows)


def is_deadlock(error: DBAPIError) -> bool:
    """Whether the database gave a transaction up to let another one pass: it left nothing behind."""
    cause: Any = error.orig
    codes = {getattr(cause, name, None) for name in CODES}
    return not DEADLOCKS.isdisjoint({*codes, *getattr(cause, "args", ())[:1]})


def is_disconnect(error: DBAPIError) -> bool:
    """Whether the connection was closed, perhaps after the database had committed."""
    return error.connection_invalidated


def _is_unconnected(error: DBAPIError) -> bool:
    """Whether no new connection could be made: no statement was under way."""
    return isinstance(error, OperationalError) and error.statement is None


def _repeated(mended_by: Callable[[DBAPIError, bool], bool]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Makes what repeats a transaction, with longer and longer pauses, but not for longer than a lease can wait.

    :param mended_by: whether repeating mends an error; told as well whether the connection was lost before.
    """

    def decorate(call: Callable[P, T]) -> Callable[P, T]:
        @wraps(call)
        def repeated(*args: P.args, **kwargs: P.kwargs) -> T:
            until = monotonic() + SECONDS_TO_REPEAT
            longest, was_lost = FIRST_PAUSE, False
            for number in count():
                try:
                    return call(*args, **kwargs)
                except DBAPIError as error:
                    # Once at least: a database may have kept us waiting for longer than that before it gave up.
                    if not mended_by(error, was_lost) or (number and monotonic() >= until):
                        raise
                    was_lost = was_lost or is_disconnect(error)
                sleep(random() * longest)  # noqa: S311  # jitter, no secret
                longest = min(2 * longest, LONGEST_PAUSE)
            raise AssertionError("unreachable")

        return repeated

    return decorate


# For transactions that may not be made twice.
again_after_deadlocks = _repeated(lambda error, _: is_deadlock(error))
# For those that may: if the connection broke while they were committed, nobody knows whether they are.
again = _repeated(
    lambda error, was_lost: is_deadlock(error) or is_disconnect(error) or (was_lost and _is_unconnected(error))
)


def _without_prepared_statements(_: Any, __: Any, ___: Any, options: dict[str, Any]) -> None:
    # PgBouncer gives each transaction another session of the server, which knows none of them.
    options.setdefault("prepare_threshold", None)


def _begin_to_write(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _set_up_sqlite(connection: Any, _: Any) -> None:
    # pysqlite begins transactions by itself, and too late: two readers would both claim.
    connection.isolation_level = None
    connection.execute("PRAGMA busy_timeout = 30000")
    # Otherwise the bytes of a removed row stay in the file until something is written over them.
    connection.execute("PRAGMA secure_delete = ON")
