"""A cell that the driver cannot read becomes ``UNREADABLE``, and the other cells of the query are read.

Drivers raise for a date before Christ, for a text in another encoding than it says, and the whole read would end
there. How such a cell can be told from the others is another thing with each driver:

* psycopg still has the answer of the server, and SQLite's cursor still stands on the row: the failed batch is read
  again, more carefully. Good rows cost nothing.
* With the others the rows are gone with the error. So each of their functions that may fail is wrapped beforehand.

What the server itself cannot compute, such as a division by zero, ends the query: there are no further rows. Nothing of
a value is kept or told: the driver's errors are dropped, for they quote it.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from importlib import import_module
from itertools import islice
from typing import Any

from airflow_reshape.mapping.values import UNREADABLE

Read = Callable[..., Any]

ANY_BYTES = "SQL_ASCII"  # PostgreSQL's name of the encoding that is none: texts hold whatever was put into them
USUAL = "UTF8"
# Never fail on what a server sends as a number.
NUMBERS = (int, float, Decimal)
POSTGRES_TEXTS = ("text", "varchar", "bpchar", "name", 0)  # 0: types that the driver does not know


def or_unreadable(read: Read) -> Read:
    """A function that gives ``UNREADABLE`` where another raises.

    :param read: reads one cell.
    """

    def cell(*given: Any) -> Any:
        try:
            return read(*given)
        except MemoryError:  # says nothing about the cell
            raise
        except Exception:  # noqa: BLE001  # drivers raise errors of their own and many of Python's
            return UNREADABLE

    return cell


def fetch(cursor: Any, size: int) -> Sequence[Any]:
    """The next rows, by a driver that reads any cell, or that was made to.

    :param cursor: the driver's own.
    :param size: rows, at most.
    """
    rows: Sequence[Any] = cursor.fetchmany(size)
    return rows


# --- SQLite ---------------------------------------------------------------------------------------------------------


def fetch_sqlite(cursor: Any, size: int) -> Sequence[Any]:
    """The next rows; a text that is not UTF-8 is ``UNREADABLE``.

    SQLite checks no text that is put into it.

    :param cursor: of ``sqlite3``.
    :param size: rows, at most.
    :raises Exception: the driver's, where it is not about the reading of a text.
    """
    rows: list[Any] = []
    while True:
        try:
            for row in islice(cursor, size - len(rows)):
                rows.append(row)  # noqa: PERF402  # those before an error are kept
        except Exception as error:
            if getattr(error, "sqlite_errorcode", None) is not None:
                raise  # SQLite's own; the errors of the Python module have no code
            rows.append(_row_again(cursor, error))
        else:
            return rows


def _row_again(cursor: Any, error: Exception) -> Any:
    """The row at which the cursor stands: it goes on only when it could make a row.

    :raises Exception: the given error, where no text of the row is the reason.
    """
    connection = cursor.connection
    factory = connection.text_factory
    decode: Read = bytes.decode if factory is str else factory
    broken = False

    def text(raw: bytes) -> Any:
        nonlocal broken
        try:
            return decode(raw)
        except Exception:  # noqa: BLE001  # a factory of the hook's may raise anything
            broken = True
            return UNREADABLE

    connection.text_factory = text
    try:
        row = next(cursor, None)
    finally:
        connection.text_factory = factory
    if not broken:
        raise error
    return row


# --- psycopg --------------------------------------------------------------------------------------------------------


def expect_any_bytes(cursor: Any) -> None:
    """Make a cursor of psycopg read the texts of a database in ``SQL_ASCII`` as UTF-8, where nothing else is agreed.

    psycopg would give bytes, and send no letter that is not ASCII.

    :param cursor: before its query.
    """
    connection = cursor.connection
    if not _holds_any_bytes(connection) or connection.info.encoding not in ("ascii", "utf-8"):
        return
    connection.execute(f"SET client_encoding TO {USUAL}")
    loader: Any = import_module("psycopg.adapt").Loader

    class Utf8(loader):  # type: ignore[misc]  # a class of an optional package
        """Reads a text in whichever encoding the client says it is."""

        def load(self, data: Any) -> str:
            return bytes(data).decode()

    for name in POSTGRES_TEXTS:
        cursor.adapters.register_loader(name, Utf8)


def fetch_psycopg(cursor: Any, size: int) -> Sequence[Any]:
    """The next rows; what psycopg cannot read is ``UNREADABLE``, such as ``24:00``, ``infinity``, or a year BC.

    :param cursor: of psycopg 3.
    :param size: rows, at most.
    :raises Exception: the driver's, where the server gave no rows.
    """
    connection = cursor.connection
    if _holds_any_bytes(connection) and connection.info.encoding == "utf-8":
        # The server would end the query at a text that is not UTF-8. Until now the query itself had to be UTF-8.
        connection.execute(f"SET client_encoding TO {ANY_BYTES}")
    before = cursor.pgresult
    try:
        return fetch(cursor, size)
    except MemoryError:
        raise
    except Exception:
        result = cursor.pgresult
        if result is None or result is before:
            raise
    return _cells(cursor, result)


def _holds_any_bytes(connection: Any) -> bool:
    return bool(connection.info.parameter_status("server_encoding") == ANY_BYTES)


def _cells(cursor: Any, result: Any) -> list[tuple[Any, ...]]:
    """The rows of a result, read cell by cell."""
    adapt = import_module("psycopg.adapt").Transformer.from_context(cursor)
    columns = range(result.nfields)
    load = [or_unreadable(adapt.get_loader(result.ftype(at), result.fformat(at)).load) for at in columns]

    def cell(row: int, at: int) -> Any:
        value = result.get_value(row, at)
        return None if value is None else load[at](value)

    return [tuple(cell(row, at) for at in columns) for row in range(result.ntuples)]


# --- psycopg2 -------------------------------------------------------------------------------------------------------


def psycopg2_cursor(connection: Any) -> Any:
    """The class of cursor that reads a database: psycopg2's own, or one for texts that hold whatever bytes.

    :param connection: of psycopg2, before its first query.
    """
    plain: Any = import_module("psycopg2.extensions").cursor
    return _any_bytes(plain) if connection.get_parameter_status("server_encoding") == ANY_BYTES else plain


def _any_bytes(plain: Any) -> Any:
    """A cursor that has its texts sent as they are, and keeps in ``codec`` what they were meant to be.

    In LATIN1 the server checks nothing, and each byte is one character for the driver. The query still goes out in
    the encoding that the connection had.
    """
    encodings: Mapping[str, str] = import_module("psycopg2.extensions").encodings

    class AnyBytes(plain):  # type: ignore[misc]  # a class of an optional package
        codec = ""

        def execute(self, query: Any, vars: Any = None) -> Any:  # noqa: A002  # the driver's name
            connection = self.connection
            if encodings[connection.encoding] == "ascii":
                connection.set_client_encoding(USUAL)
            self.codec = encodings[connection.encoding]
            with connection.cursor(cursor_factory=plain) as writer:
                written = writer.mogrify(query, vars)
            connection.set_client_encoding("LATIN1")
            return super().execute(written)

        @property
        def description(self) -> Any:
            columns = super().description
            return columns and [(_recoded(self.codec, column[0]), *tuple(column)[1:]) for column in columns]

    return AnyBytes


def expect_psycopg2(cursor: Any) -> None:
    """Make a cursor of psycopg2 give ``UNREADABLE`` for what its casters cannot read, such as a year BC.

    :param cursor: after its query, when it knows its columns.
    """
    driver, types = import_module("psycopg2"), import_module("psycopg2.extensions")
    encoding = types.encodings[cursor.connection.encoding]
    codec = getattr(cursor, "codec", None)
    known = {**types.string_types, **cursor.connection.string_types}
    never_fail = [driver.BINARY, types.BOOLEAN, types.DECIMAL, types.FLOAT, types.INTEGER, types.LONGINTEGER]
    if codec is None:
        never_fail += [driver.STRING, types.UNICODE]
    for oid in {column[1] for column in cursor.description or ()}:
        caster = known.get(oid, driver.STRING)
        if _is_among(caster, never_fail):
            continue
        if codec is None:
            read = partial(_cast, caster, encoding)
        elif _is_among(caster, [types.JSON, types.JSONB]):
            read = partial(_document, codec)
        else:
            read = partial(_cast_and_recode, caster, codec)
        types.register_type(types.new_type((oid,), f"reshape_{oid}", or_unreadable(read)), cursor)


def _is_among(caster: Any, casters: Sequence[Any]) -> bool:
    """Whether it is one of them; the driver's ``==`` compares the types of columns that they are for."""
    return any(caster is one for one in casters)


def _cast(caster: Read, encoding: str, value: str | None, cursor: Any) -> Any:
    """What a caster makes of a value; it takes the bytes that the server sent, or None."""
    return caster(value and value.encode(encoding), cursor)


def _cast_and_recode(caster: Read, codec: str, value: str | None, cursor: Any) -> Any:
    return _recoded(codec, _cast(caster, "latin-1", value, cursor))


def _document(codec: str, value: str | None, _cursor: Any) -> Any:
    """JSON; it may spell letters that LATIN1 does not have."""
    return None if value is None else json.loads(_recoded(codec, value))


def _recoded(codec: str, value: Any) -> Any:
    """A value with its texts, also those of an array, as they were meant.

    :raises UnicodeError: a text is not in that encoding.
    """
    if isinstance(value, str):
        return value.encode("latin-1").decode(codec)
    return [_recoded(codec, item) for item in value] if isinstance(value, list) else value


# --- MySQL ----------------------------------------------------------------------------------------------------------


def expect_mysqlclient(connection: Any) -> None:
    """Make a connection of mysqlclient give ``UNREADABLE`` for what its converters cannot read.

    Its converter of JSON is left alone: the server checks JSON, and the driver would decode it before ours.

    :param connection: of ``MySQLdb``.
    """
    codec = codecs.lookup(connection.encoding).name
    json_type = import_module("MySQLdb.constants.FIELD_TYPE").JSON

    def text(raw: bytes | str) -> str:
        return raw if isinstance(raw, str) else raw.decode(codec)

    def tolerant(converter: Any) -> Any:
        if converter is str:
            return or_unreadable(text)
        if isinstance(converter, (list, tuple)):  # one for each of a column's flags
            return tuple((flag, tolerant(one)) for flag, one in converter)
        return converter if converter in (bytes, *NUMBERS) else or_unreadable(converter)

    for kind, converter in connection.converter.items():
        if isinstance(kind, int) and kind != json_type:  # the others are Python's types, to be written
            connection.converter[kind] = tolerant(converter)


def expect_pymysql(cursor: Any) -> None:
    """Make a cursor of pymysql give ``UNREADABLE`` for a text that is not in its encoding.

    :param cursor: after its query.
    """
    # The driver decodes before it calls a converter, and only its result knows which columns are text.
    result = cursor._result  # noqa: SLF001  # it offers no other way
    result.converters = [_tolerant_pair(*pair) for pair in getattr(result, "converters", ())]


def _tolerant_pair(encoding: str | None, converter: Read | None) -> tuple[str | None, Read | None]:
    if encoding in (None, "ascii") and converter in (None, *NUMBERS):
        return encoding, converter

    def read(raw: bytes) -> Any:
        value = raw.decode(encoding) if encoding else raw
        return converter(value) if converter else value

    return None, or_unreadable(read)


def expect_mysql_connector(connection: Any) -> None:
    """Make a connection of mysql-connector give ``UNREADABLE`` for what its converter cannot read.

    Left alone it raises, gives bytes for a text, or question marks, depending on how it is installed.

    :param connection: of ``mysql.connector``, written in Python or in C.
    """
    base: Any = connection.converter_class or import_module("mysql.connector.conversion").MySQLConverter
    binary = 63  # the number of the character set of bytes

    read_cell, read_row = or_unreadable(base.to_python), or_unreadable(base.row_to_python)

    class Tolerant(base):  # type: ignore[misc]  # a class of an optional package
        def to_python(self, vtype: Any, value: Any) -> Any:
            """A cell, for the driver in C; ``UNREADABLE`` for a text that stays bytes."""
            made = read_cell(self, vtype, value)
            if not isinstance(made, (bytes, bytearray)):
                return made
            return bytes(made) if vtype[8] == binary or not self.use_unicode else UNREADABLE

        def row_to_python(self, row: Any, fields: Any) -> tuple[Any, ...]:
            """The cells of a row, for the driver in Python; one by one where something is wrong or may be."""
            made = read_row(self, row, fields)
            if made is UNREADABLE or bytes in map(type, made) or bytearray in map(type, made):
                return tuple(map(self.to_python, fields, row))
            return tuple(made)

    connection.converter_class = Tolerant
