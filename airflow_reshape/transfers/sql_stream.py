"""Reads the rows of one SQL query lazily, in chunks, from any database that Airflow has a ``DbApiHook`` for.

``hook.run(handler=…)`` would do, were it not for two families of drivers: psycopg and the MySQL drivers fetch
the whole result into the worker's memory before the first row is handed out. So the cursor is opened here, by
the table ``DIALECTS``, and the other things that ``hook.run`` does (lineage, closing) are done here too.

Leads are personal data: nothing of a row or of the query's parameters is logged or put into an error. Drivers
quote both in their messages, so a driver's error is replaced by one of the three below, and not chained.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from operator import methodcaller
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeVar

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

log = logging.getLogger(__name__)

Row = dict[str, Any]
Step = Literal["connect", "execute", "fetch"]
T = TypeVar("T")

CURSOR_NAME = "reshape_leads"  # what a database administrator sees in pg_cursors
# Seconds that MySQL waits for a client which does not read on: a day. Its default, a minute, would end the
# query of a sender that has to slow down.
MYSQL_NET_WRITE_TIMEOUT = 86_400


# --- errors ---------------------------------------------------------------------------------------


class SqlSourceLost(AirflowException):
    """The database or its connection went away, or was too busy. Retryable: the query itself is right."""


class SqlRefused(AirflowFailException):
    """The database refused the login or the query, or a value cannot be read. A retry cannot help."""


class SqlUnusable(AirflowFailException):
    """The SQL is not one query whose columns can name the fields of an event. A retry cannot help."""


# --- the query ------------------------------------------------------------------------------------


def one_query(sql: str) -> str:
    """The only statement of a text, without the semicolons and comments behind it.

    Oracle and Trino refuse a closing semicolon; mysqlclient and psycopg2 run whatever follows one.
    Statements that change data are refused before they run: the end is a rollback, which DDL on MySQL survives.

    :param sql: a query, as a ``.sql`` file may hold it.
    :raises SqlUnusable: there is no statement, more than one, or one that gives no rows.
    """
    from sqlparse import lexer, tokens

    start = end = None
    position = 0
    for kind, text in lexer.tokenize(sql):  # type: ignore[no-untyped-call]
        blank = text.isspace() or kind in tokens.Comment
        if kind is tokens.Punctuation and text == ";":
            end = position if end is None else end
        elif not blank and end is not None:
            raise SqlUnusable(
                "The SQL holds more than one statement, and only one query can be streamed. "
                "Put the steps before it into a view or into a task of their own."
            )
        elif not blank and start is None:
            start = position
            _refuse_change(kind, text)
        position += len(text)
    if start is None:
        raise SqlUnusable("The SQL is empty. Give one query, such as SELECT … FROM …")
    return sql[:end].strip()


def _refuse_change(kind: Any, keyword: str) -> None:
    """Refuse a statement by its first word."""
    from sqlparse import tokens

    changes = kind in tokens.DDL or kind in tokens.Keyword.DCL
    if changes or (kind in tokens.DML and keyword.upper() != "SELECT"):
        raise SqlUnusable(
            f"{keyword.upper()} changes the database or gives no rows; leads are read by one SELECT. "
            "Put other statements into a task of their own."
        )


def _arguments(parameters: Mapping[str, Any] | Iterable[Any] | None) -> tuple[Any, ...]:
    """What ``cursor.execute`` takes after the query.

    Without parameters it is nothing: given an empty list, drivers take the % of a LIKE for a placeholder.
    """
    if isinstance(parameters, (str, bytes)):
        raise SqlUnusable("The SQL parameters are text; give a list, or a dict of names.")
    if isinstance(parameters, Mapping):
        return (dict(parameters),) if parameters else ()
    values = tuple(parameters or ())
    return (values,) if values else ()


def _column_names(description: Sequence[Sequence[Any]] | None) -> tuple[str, ...]:
    """The result's column names.

    :raises SqlUnusable: no result, a column without a name, or two of one name.
    """
    if not description:
        raise SqlUnusable("The statement gives no rows. Give one query, such as SELECT … FROM …")
    names = tuple(str(column[0] or "") for column in description)
    unnamed = [str(number) for number, name in enumerate(names, 1) if not name]
    if unnamed:
        raise SqlUnusable(f"Column {', '.join(unnamed)} of the query has no name. Give it one with AS.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SqlUnusable(f"The query gives more than one column named {', '.join(twice)}. Rename all but one with AS.")
    return names


# --- the dialects ---------------------------------------------------------------------------------


def _plain(connection: Any) -> Any:
    return connection.cursor()


def _psycopg(connection: Any) -> Any:
    """A named cursor: the server keeps the result and hands out what ``fetchmany`` asks for."""
    connection.autocommit = False  # a named cursor lives in a transaction; the extras may have asked for none
    rows = import_module("psycopg.rows")
    cursor = connection.cursor(CURSOR_NAME, row_factory=rows.tuple_row)
    loaders = import_module("psycopg.types.datetime")
    for name, loader in (
        ("date", loaders.DateLoader),
        ("timestamp", loaders.TimestampLoader),
        ("timestamptz", loaders.TimestamptzLoader),
    ):
        cursor.adapters.register_loader(name, _or_text(loader))
    return cursor


def _or_text(loader: type[Any]) -> type[Any]:
    """A loader of dates that gives PostgreSQL's text where Python has no such date: ``infinity``, a year BC.

    psycopg raises instead, and one such date would stop all other rows. It costs 2 µs a value.
    """
    unreadable = import_module("psycopg").DataError

    class OrText(loader):  # type: ignore[misc]  # a class of an optional package
        def load(self, data: Any) -> Any:
            try:
                return super().load(data)
            except unreadable:
                return bytes(data).decode()

    return OrText


def _psycopg2(connection: Any) -> Any:
    connection.autocommit = False
    cursors = import_module("psycopg2.extensions")
    return connection.cursor(name=CURSOR_NAME, cursor_factory=cursors.cursor)


def _describe_psycopg2(cursor: Any) -> None:
    """psycopg2 learns the columns of a named cursor from its first fetch: fetch no rows."""
    cursor.fetchmany(0)


def _mysqlclient(connection: Any) -> Any:
    _wait_for_slow_readers(connection)
    return connection.cursor(import_module("MySQLdb.cursors").SSCursor)


def _pymysql(connection: Any) -> Any:
    _wait_for_slow_readers(connection)
    return connection.cursor(import_module("pymysql.cursors").SSCursor)


def _mysql_connector(connection: Any) -> Any:
    _wait_for_slow_readers(connection)
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
    :param describe: called after the query, to make the cursor know its columns.
    :param hang_up: MySQL's protocol cannot end a result early: closing the cursor reads all remaining rows.
        So, when rows are left, this is called with the cursor and the connection is closed first.
    """

    name: str
    open_cursor: Callable[[Any], Any] = _plain
    describe: Callable[[Any], None] = _nothing
    hang_up: Callable[[Any], None] | None = None


# By the driver's package: it is known from the connection, whichever hook made it.
DIALECTS: Mapping[str, Dialect] = {
    "psycopg": Dialect("postgresql", _psycopg),
    "psycopg2": Dialect("postgresql", _psycopg2, _describe_psycopg2),
    "MySQLdb": Dialect("mysql", _mysqlclient, hang_up=_nothing),
    "pymysql": Dialect("mysql", _pymysql, hang_up=_forget_pymysql),
    "mysql": Dialect("mysql", _mysql_connector, hang_up=_nothing),
    "sqlite3": Dialect("sqlite"),
}


def _packages(thing: object) -> Iterator[str]:
    """The packages that an object's class and its bases come from."""
    return (base.__module__.partition(".")[0] for base in type(thing).__mro__)


def _dialect(hook: DbApiHook, connection: Any) -> Dialect:
    for package in _packages(connection):
        if package in DIALECTS:
            return DIALECTS[package]
    return Dialect(str(getattr(hook, "conn_type", "") or "default"))


# --- what an error of the driver means ------------------------------------------------------------

# SQLSTATE, by its beginning: connection (08), rollback, as after a deadlock (40), resources (53), operator's
# intervention, as cancelling a query (57), system (58), time limits of idle transactions, locks and ODBC.
LOST_SQLSTATES = ("08", "40", "53", "57", "58", "25P03", "25P04", "55P03", "HYT")
# MySQL's error numbers: the client's own of a broken connection, too many connections, shutdown, packets,
# locks, deadlock, killed, time limits. 0 is the drivers' for a connection that is closed.
LOST_MYSQL = frozenset(
    {0, *range(2000, 2030), 1040, 1042, 1043, 1053, *range(1152, 1162), 1203, 1205, 1213, 1226, 1317}
    | {1927, 1969, 3024, 3169, 4031}
)
# SQLite's primary result codes: busy, locked, no memory, interrupted, I/O, full, cannot open, protocol.
LOST_SQLITE = frozenset({5, 6, 7, 9, 10, 13, 14, 15})
# PEP 249's classes, by name, for everybody else; drivers keep them in modules of their own.
OUR_MISTAKES = frozenset({"ProgrammingError", "DataError", "NotSupportedError", "IntegrityError"})
ACCIDENTS = frozenset({"OperationalError", "InterfaceError", "InternalError"})
UNCLEAR = frozenset({"DatabaseError", "Error"})

# Fixed words of the databases' messages and what we say instead; the first that fits.
LOGIN_REFUSED = {
    "authentication failed": "the login or the password is wrong",
    "access denied": "the login or the password is wrong",
    "no password supplied": "the connection has no password",
    "pg_hba": "the server does not admit this login from here",
    "does not exist": "there is no such database or login",
    "unknown database": "there is no such database",
}
QUERY_REFUSED = {
    "syntax": "a syntax error",
    "denied": "the login may not read something in it",
    "no such table": "no such table",
    "no such column": "no such column",
    "unknown column": "no such column",
    "exist": "a name that does not exist",
    "parameter": "the parameters do not fit its placeholders",
    "adapt": "the parameters do not fit its placeholders",
    "binding": "the parameters do not fit its placeholders",
    "argument": "the parameters do not fit its placeholders",
}


def _sqlstate(error: Exception) -> str | None:
    """The SQLSTATE, where psycopg, psycopg2, Snowflake and ODBC keep it."""
    first = error.args[0] if error.args else None
    for state in (getattr(error, "sqlstate", None), getattr(error, "pgcode", None), first):
        if isinstance(state, str) and re.fullmatch(r"(?=.*\d)[0-9A-Z]{5}", state):
            return state
    return None


def _error_number(error: Exception) -> int | None:
    """The error number, where the MySQL drivers keep it."""
    number = getattr(error, "errno", None) or (error.args[0] if error.args else None)
    return number if isinstance(number, int) else None


def _is_lost(error: Exception, step: Step, dialect: str) -> bool:
    """Whether a retry may help, by the most exact thing that the driver tells."""
    classes = {base.__name__ for base in type(error).__mro__}
    if isinstance(error, OSError):
        return True
    if "sqlite3" in _packages(error):
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in LOST_SQLITE
    if step == "connect":
        return not classes & OUR_MISTAKES and _meaning(error, LOGIN_REFUSED) is None
    number = _error_number(error)
    if dialect == "mysql" and number is not None:
        return number in LOST_MYSQL
    state = _sqlstate(error)
    if state is not None:
        return state.startswith(LOST_SQLSTATES)
    if classes & OUR_MISTAKES:
        return False
    return bool(classes & ACCIDENTS) or (step == "fetch" and bool(classes & UNCLEAR))


def _is_of_a_driver(error: Exception) -> bool:
    """Whether an error is PEP 249's, or the network's."""
    return isinstance(error, OSError) or bool({base.__name__ for base in type(error).__mro__} & UNCLEAR)


def _kind(error: Exception) -> str:
    """Class and code of an error: all of it that can be shown."""
    state = _sqlstate(error) or _error_number(error) or getattr(error, "sqlite_errorname", None)
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    return f"{name} {state}" if state else name


def _text(error: Exception) -> str:
    """The driver's message; never shown, only looked through."""
    return " ".join(str(part) for part in error.args)


def _meaning(error: Exception, table: Mapping[str, str]) -> str | None:
    text = _text(error).lower()
    return next((meaning for words, meaning in table.items() if words in text), None)


def _named_in(sql: str, error: Exception) -> str:
    """The first word that the message quotes and the query's author wrote; any other may be a value."""
    written = set(re.findall(r"[\w$]+", sql))
    text = _text(error)
    quotes = [quoted for _, quoted in re.findall(r"([\"'`])(.+?)\1", text)]
    for words in (*quotes, text.rpartition(": ")[2]):
        word = words.rpartition(".")[2]
        if word in written:
            return f", near {word}"
    return ""


# --- the stream -----------------------------------------------------------------------------------


class SqlStream:
    """The rows of one query, read as they are asked for, on one connection that is always given back.

    ::

        with SqlStream(hook, "SELECT … FROM leads WHERE changed_at > %(since)s", {"since": since}) as stream:
            check(stream.columns)
            for chunk in stream:
                send(chunk)

    The transaction is rolled back, and cursor and connection are closed, when the ``with`` or the loop ends,
    however it ends. Everything happens in the calling thread (a SQLite cursor belongs to one thread).

    :param hook: any hook of a SQL database.
    :param sql: one query; closing semicolons and comments are taken off.
    :param parameters: its parameters, in the driver's own style; a list, a dict, or None.
    :param chunk_size: rows fetched at a time, and the most that are held in memory.
    :raises SqlUnusable: at once: not one query. On entering: no rows, or columns unnamed or named twice.
    :raises SqlRefused: on entering or reading: the database refuses the login or the query, or a value of the
        result cannot be read.
    :raises SqlSourceLost: on entering or reading: the database is away. The only one that is worth a retry.

    :ivar columns: the names of the result's columns, known once entered, before the first row is fetched.
    :ivar dialect: the database's name, known once entered: ``postgresql``, ``mysql``, ``sqlite``, else the
        hook's ``conn_type``.
    :ivar rows_read: how many rows were handed out so far.
    """

    def __init__(
        self,
        hook: DbApiHook,
        sql: str,
        parameters: Mapping[str, Any] | Iterable[Any] | None = None,
        *,
        chunk_size: int = 500,
    ) -> None:
        if chunk_size < 1:
            raise ValueError("chunk_size must be at least 1")
        self.columns: tuple[str, ...] = ()
        self.dialect = ""
        self.rows_read = 0
        self._hook = hook
        self._sql = one_query(sql)
        self._arguments = _arguments(parameters)
        self._chunk_size = chunk_size
        self._how = Dialect("")
        self._connection: Any = None
        self._cursor: Any = None
        self._executed = False
        self._exhausted = False

    def __enter__(self) -> Self:
        try:
            self._connection = self._call("connect", self._hook.get_conn)
            self._how = _dialect(self._hook, self._connection)
            self.dialect = self._how.name
            self._call("execute", self._open)
            self._executed = True
            self.columns = _column_names(self._cursor.description)
        except BaseException:
            self.close()
            raise
        streams = "server-side cursor" if self._how.open_cursor is not _plain else "the driver's own cursor"
        log.info(
            "Reading rows from %s (%s, %s), %d at a time",
            self._hook.get_conn_id(),
            self.dialect,
            streams,
            self._chunk_size,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[list[Row]]:
        """Chunks of at most ``chunk_size`` rows, as dicts by column name. Can be iterated once."""
        if self._cursor is None:
            raise RuntimeError("a SqlStream is open only inside its `with`, and is read only once")
        try:
            while chunk := self._call("fetch", lambda: self._cursor.fetchmany(self._chunk_size)):
                rows = _as_dicts(self.columns, chunk)
                self.rows_read += len(rows)
                yield rows
            self._exhausted = True
        finally:
            self.close()

    def close(self) -> None:
        """Give cursor and connection back, with the transaction rolled back. Can be called again."""
        connection, self._connection = self._connection, None
        cursor, self._cursor = self._cursor, None
        if connection is None:
            return
        close: Callable[[Any], Any] = methodcaller("close")
        rollback: Callable[[Any], Any] = methodcaller("rollback")
        hang_up = None if self._exhausted else self._how.hang_up
        goodbyes = [(close, cursor), (rollback, connection)]
        if hang_up is not None:
            goodbyes = [(hang_up, cursor), (close, connection), (close, cursor)]
        for say, to in (*goodbyes, (close, connection)):
            with suppress(Exception):  # a lost connection cannot say goodbye, and its loss was reported before
                say(to)
        if self._executed:
            _report_lineage(self._hook, self._sql, self.rows_read)
            ending = "to the end" if self._exhausted else "and stopped before the end"
            log.info("Read %d rows from %s %s", self.rows_read, self._hook.get_conn_id(), ending)

    def _open(self) -> None:
        self._cursor = self._how.open_cursor(self._connection)
        with suppress(AttributeError, TypeError):  # PEP 249 knows it, not every driver does
            self._cursor.arraysize = self._chunk_size
        self._cursor.execute(self._sql, *self._arguments)
        self._how.describe(self._cursor)

    def _call(self, step: Step, call: Callable[[], T]) -> T:
        """Call the driver, and raise what its errors mean.

        They are raised outside the ``except``: a chained error would carry the driver's message into logs.
        """
        try:
            return call()
        except AirflowException:
            raise
        except Exception as error:
            if step == "connect" and not _is_of_a_driver(error):
                raise  # the hook's own, such as a missing package
            failure = self._failure(error, step)
        raise failure

    def _failure(self, error: Exception, step: Step) -> AirflowException:
        name, kind = self._hook.get_conn_id(), _kind(error)
        if _is_lost(error, step, self.dialect):
            what = {
                "connect": f"{name} cannot be reached ({kind}). A retry connects again; if that keeps "
                "failing, check host, port and network of the connection.",
                "execute": f"{name} did not finish the query ({kind}). A retry runs it again.",
                "fetch": f"{name} was lost after {self.rows_read} rows ({kind}). A retry reads them again. "
                "If that keeps happening, see the database's time limits for queries and idle transactions.",
            }
            return SqlSourceLost(what[step])
        left_out = "What the database says is left out, for it may quote values"
        if step == "connect":
            why = _meaning(error, LOGIN_REFUSED) or "see the error's class"
            return SqlRefused(f"{name} refused the login: {why} ({kind}). Correct the Airflow connection.")
        if step == "execute":
            misfit = None if _is_of_a_driver(error) else QUERY_REFUSED["parameter"]
            why = misfit or _meaning(error, QUERY_REFUSED) or "see the error's code"
            where = _named_in(self._sql, error)
            return SqlRefused(f"{name} refused the query: {why}{where} ({kind}). {left_out}: use a SQL client.")
        return SqlRefused(
            f"{name}: a value after row {self.rows_read} cannot be computed or read ({kind}). {left_out}. "
            "Cast the column to text, or leave such rows out: dates BC, numbers too large, broken encodings."
        )


def _as_dicts(columns: tuple[str, ...], rows: Sequence[Any]) -> list[Row]:
    """Rows as dicts, whatever the cursor makes of them: tuples, lists, named tuples, mappings."""
    if isinstance(rows[0], Mapping):
        return [{name: row[name] for name in columns} for row in rows]
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _report_lineage(hook: DbApiHook, sql: str, rows: int) -> None:
    """Tell OpenLineage what was read, as ``hook.run`` would, but not the parameters: they may be personal."""
    try:
        from airflow.providers.common.sql.hooks.lineage import send_sql_hook_lineage
    except ImportError:  # an older common-sql provider
        return
    send_sql_hook_lineage(context=hook, sql=sql, row_count=rows)
