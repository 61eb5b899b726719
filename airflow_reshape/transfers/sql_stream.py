"""Reads the rows of one SQL query lazily, in chunks, from any database that Airflow has a ``DbApiHook`` for.

``hook.run(handler=…)`` would do, were it not for the drivers that fetch the whole result before the first row is
handed out. So the cursor is opened here, as ``sql_dialects`` says, and the other things that ``hook.run`` does
(lineage, closing) are done here too. What a query may be stands in ``sql_query``.

Leads are personal data: nothing of a row or of the query's parameters is logged or put into an error. A driver's
error is replaced by one of those in ``sql_errors``, and not chained.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from operator import methodcaller
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from airflow.providers.common.compat.sdk import AirflowException

from airflow_reshape.airflow_features import sql_lineage
from airflow_reshape.transfers.sql_dialects import Dialect, dialect_of
from airflow_reshape.transfers.sql_errors import Step, failure, is_of_a_driver
from airflow_reshape.transfers.sql_lineage import without_literals
from airflow_reshape.transfers.sql_query import column_names, execute_arguments, one_query

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

log = logging.getLogger(__name__)

Row = dict[str, Any]
T = TypeVar("T")


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
    :raises SqlRefused: on entering or reading: the database refuses the login or the query, or cannot compute a
        value of the result. One that only the driver cannot read is ``UNREADABLE``, and its row is given.
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
        self._arguments = execute_arguments(parameters)
        self._chunk_size = chunk_size
        self._how = Dialect("")
        self._connection: Any = None
        self._cursor: Any = None
        self._executed = False
        self._exhausted = False

    def __enter__(self) -> Self:
        try:
            self._connection = self._call("connect", self._hook.get_conn)
            self._how = dialect_of(self._hook, self._connection)
            self.dialect = self._how.name
            self._call("execute", self._open)
            self._executed = True
            self.columns = column_names(self._cursor.description)
        except BaseException:
            self.close()
            raise
        log.info(
            "Reading rows from %s (%s, %s), %d at a time",
            self._hook.get_conn_id(),
            self.dialect,
            self._how.cursor_kind,
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
            while chunk := self._call("fetch", lambda: self._how.fetch(self._cursor, self._chunk_size)):
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
            _report_lineage(self._hook, without_literals(self._sql, self.dialect), self.rows_read)
            ending = "to the end" if self._exhausted else "and stopped before the end"
            log.info("Read %s rows from %s %s", f"{self.rows_read:,}", self._hook.get_conn_id(), ending)

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
            if step == "connect" and not is_of_a_driver(error):
                raise  # the hook's own, such as a missing package
            meant = failure(
                error,
                step,
                source=self._hook.get_conn_id(),
                dialect=self.dialect,
                sql=self._sql,
                rows_read=self.rows_read,
            )
        raise meant


def _as_dicts(columns: tuple[str, ...], rows: Sequence[Any]) -> list[Row]:
    """Rows as dicts, whatever the cursor makes of them: tuples, lists, named tuples, mappings."""
    if isinstance(rows[0], Mapping):
        return [{name: row[name] for name in columns} for row in rows]
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _report_lineage(hook: DbApiHook, sql: str | None, rows: int) -> None:
    """Tell OpenLineage what was read, as ``hook.run`` would, but neither parameters nor literals: some are personal."""
    if sql and (send := sql_lineage()):
        send(context=hook, sql=sql, row_count=rows)
