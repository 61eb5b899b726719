"""What can go wrong with a SQL source: three typed errors, and the tables that turn a driver's error into one.

Leads are personal data, and drivers quote values of the rows and of the parameters in their messages. So these
are only searched for fixed words and for words that the query's author wrote; what is shown is the error's class,
its code, and our own text with the cure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_reshape.transfers.sql_dialects import packages_of

Step = Literal["connect", "execute", "fetch"]


class SqlSourceLost(AirflowException):
    """The database or its connection went away, or was too busy. Retryable: the query itself is right."""


class SqlRefused(AirflowFailException):
    """The database refused the login or the query, or cannot compute a value. A retry cannot help."""


class SqlUnusable(AirflowFailException):
    """The SQL is not one query whose columns can name the fields of an event. A retry cannot help."""


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

# What the user reads, by what was being done.
LOST_TEXTS: Mapping[Step, str] = {
    "connect": "{source} cannot be reached ({kind}). A retry connects again; if that keeps failing, check host, "
    "port and network of the connection.",
    "execute": "{source} did not finish the query ({kind}). A retry runs it again.",
    "fetch": "{source} was lost after {rows} rows ({kind}). A retry reads them again. If that keeps happening, see "
    "the database's time limits for queries and idle transactions.",
}
REFUSED_TEXTS: Mapping[Step, str] = {
    "connect": "{source} cannot be opened: {why} ({kind}). Correct the Airflow connection.",
    "execute": "{source} refused the query: {why} ({kind}). What the database says is left out, for it may quote "
    "values: use a SQL client.",
    "fetch": "{source}: a value after row {rows} cannot be computed or read ({kind}). What the database says is left "
    "out, for it may quote values. Change the expression, or leave such rows out: a division by zero, a text that is "
    "no number; with a driver that we do not know also a date or a text that it cannot read.",
}


def failure(error: Exception, step: Step, *, source: str, dialect: str, sql: str, rows_read: int) -> AirflowException:
    """The typed error that a driver's error means, with the cure in its text and no value in it.

    :param error: what the driver raised. Do not chain it: its message would get into the log.
    :param step: what was being done.
    :param source: the connection's id.
    :param dialect: the database's name, as in ``DIALECTS``.
    :param sql: the query; its words may be shown, for its author wrote them.
    :param rows_read: how many rows were handed out before.
    :returns: ``SqlSourceLost`` where a retry may help, else ``SqlRefused``.
    """
    kind = _kind(error)
    if is_lost(error, step, dialect):
        return SqlSourceLost(LOST_TEXTS[step].format(source=source, kind=kind, rows=rows_read))
    why = _why(error, step, sql)
    return SqlRefused(REFUSED_TEXTS[step].format(source=source, kind=kind, rows=rows_read, why=why))


def is_lost(error: Exception, step: Step, dialect: str) -> bool:
    """Whether a retry may help, by the most exact thing that the driver tells.

    :param error: what the driver raised.
    :param step: what was being done.
    :param dialect: the database's name, as in ``DIALECTS``.
    """
    classes = {base.__name__ for base in type(error).__mro__}
    if isinstance(error, OSError):
        return True
    if "sqlite3" in packages_of(error):
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


def is_of_a_driver(error: Exception) -> bool:
    """Whether an error is PEP 249's, or the network's.

    :param error: what a call of the hook or of the driver raised.
    """
    return isinstance(error, OSError) or bool({base.__name__ for base in type(error).__mro__} & UNCLEAR)


def _why(error: Exception, step: Step, sql: str) -> str:
    """What was refused, in our words and those of the query's author; a value that cannot be read has no reason."""
    if step == "connect":
        return _meaning(error, LOGIN_REFUSED) or "see the error's class"
    if step == "execute":
        misfit = None if is_of_a_driver(error) else QUERY_REFUSED["parameter"]
        return (misfit or _meaning(error, QUERY_REFUSED) or "see the error's code") + _named_in(sql, error)
    return ""


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
