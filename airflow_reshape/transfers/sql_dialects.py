"""How each database driver is made to stream a result: a table of drivers and the cursors they need.

PEP 249 leaves open where a result waits to be read. psycopg and the MySQL drivers fetch all of it into the
worker's memory before the first row is handed out, unless they are asked for another cursor. ``DIALECTS`` says
which one. A new driver is a row there; one without a row gets the cursor that it opens by default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_reshape.transfers import sql_cells

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

CURSOR_NAME = "reshape_leads"  # what a database administrator sees in pg_cursors
# Seconds that MySQL waits for a client which does not read on: a day. Its default, a minute, would end the
# query of a sender that has to slow down.
MYSQL_NET_WRITE_TIMEOUT = 86_400


def _plain(connection: Any) -> Any:
    return connection.cursor()


def _psycopg(connection: Any) -> Any:
    """A named cursor: the server keeps the result and hands out what ``fetchmany`` asks for."""
    connection.autocommit = False  # a named cursor lives in a transaction; the extras may have asked for none
    rows = import_module("psycopg.rows")
    cursor = connection.cursor(CURSOR_NAME, row_factory=rows.tuple_row)
    sql_cells.expect_any_bytes(cursor)
    return cursor


def _psycopg2(connection: Any) -> Any:
    connection.autocommit = False
    return connection.cursor(name=CURSOR_NAME, cursor_factory=sql_cells.psycopg2_cursor(connection))


def _describe_psycopg2(cursor: Any) -> None:
    """psycopg2 learns the columns of a named cursor from its first fetch: fetch no rows."""
    cursor.fetchmany(0)
    sql_cells.expect_psycopg2(cursor)


def _mysqlclient(connection: Any) -> Any:
    _wait_for_slow_readers(connection)
    sql_cells.expect_mysqlclient(connection)
    return connection.cursor(import_module("MySQLdb.cursors").SSCursor)


def _pymysql(connection: Any) -> Any:
    _wait_for_slow_readers(connection)
    return connection.cursor(import_module("pymysql.cursors").SSCursor)


def _mysql_connector(connection: Any) -> Any:
    _wait_for_slow_readers(connection)
    sql_cells.expect_mysql_connector(connection)
    return connection.cursor(buffered=False, raw=False, dictionary=False)


def _wait_for_slow_readers(connection: Any) -> None:
    cursor = connection.cursor()
    with suppress(Exception):  # databases that only speak MySQL's protocol may not know the variable
        cursor.execute(f"SET SESSION net_write_timeout = {MYSQL_NET_WRITE_TIMEOUT}")
    cursor.close()


def _nothing(_: Any) -> None:
    """Do nothing."""


def _forget_pymysql(cursor: Any) -> None:
    """Keep pymysql from reading the rest of the result from the closed connection when it is collected."""
    cursor._result.unbuffered_active = False  # noqa: SLF001  # it offers no other way


class Dialect(NamedTuple):
    """How one driver streams.

    :param name: of the database, for people.
    :param open_cursor: makes the cursor that streams, out of the driver's connection.
    :param describe: called after the query, to make the cursor know its columns and expect unreadable cells.
    :param fetch: gives the next rows, of a cursor and their greatest number; ``UNREADABLE`` for a cell that cannot
        be read. Default: the cursor's ``fetchmany``.
    :param hang_up: MySQL's protocol cannot end a result early: closing the cursor reads all remaining rows.
        So, when rows are left, this is called with the cursor and the connection is closed first.
    """

    name: str
    open_cursor: Callable[[Any], Any] = _plain
    describe: Callable[[Any], None] = _nothing
    fetch: Callable[[Any, int], Sequence[Any]] = sql_cells.fetch
    hang_up: Callable[[Any], None] | None = None

    @property
    def cursor_kind(self) -> str:
        """Where the result waits to be read, for people."""
        return "the driver's own cursor" if self.open_cursor is _plain else "server-side cursor"


# By the driver's package: it is known from the connection, whichever hook made it.
DIALECTS: Mapping[str, Dialect] = {
    "psycopg": Dialect("postgresql", _psycopg, fetch=sql_cells.fetch_psycopg),
    "psycopg2": Dialect("postgresql", _psycopg2, _describe_psycopg2),
    "MySQLdb": Dialect("mysql", _mysqlclient, hang_up=_nothing),
    "pymysql": Dialect("mysql", _pymysql, sql_cells.expect_pymysql, hang_up=_forget_pymysql),
    "mysql": Dialect("mysql", _mysql_connector, hang_up=_nothing),
    "sqlite3": Dialect("sqlite", fetch=sql_cells.fetch_sqlite),
}


def packages_of(thing: object) -> Iterator[str]:
    """The packages that an object's class and its bases come from, such as ``psycopg``.

    :param thing: what a driver made: a connection, an error.
    """
    return (base.__module__.partition(".")[0] for base in type(thing).__mro__)


def dialect_of(hook: DbApiHook, connection: Any) -> Dialect:
    """How a connection streams.

    :param hook: which made the connection; its ``conn_type`` names a database that the table does not know.
    :param connection: the driver's own.
    """
    for package in packages_of(connection):
        if package in DIALECTS:
            return DIALECTS[package]
    return Dialect(str(getattr(hook, "conn_type", "") or "default"))
