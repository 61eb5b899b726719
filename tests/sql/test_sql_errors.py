"""What the user is told when the database refuses or goes away: which cure, whether to retry, and nobody's data."""

from __future__ import annotations

import logging
import sqlite3
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.providers.sqlite.hooks.sqlite import SqliteHook

from airflow_reshape.transfers.sql_errors import SqlRefused, SqlSourceLost
from airflow_reshape.transfers.sql_stream import SqlStream
from tests.databases import DatabaseServer, mariadb_server, postgres_server
from tests.sql.conftest import MYSQL, POSTGRES, SQLITE, MakeHook, drivers
from tests.sql.crm import CONN_ID, READ_LEADS, VARIABLE, Crm, hook_for, wait_until

EVERY = (*SQLITE, *POSTGRES, *MYSQL)
NAME = "maria"
PERSON = "maria.pop@example.com"
# Far more than any buffer between server and client holds.
LARGE = {
    "postgresql": "SELECT generate_series(1, 2000000) AS i, repeat('.', 200) AS notes",
    "mysql": "SELECT seq, REPEAT('.', 200) AS notes FROM seq_1_to_2000000",
}


def read(hook: DbApiHook, sql: str, parameters: Any = None) -> int:
    """How many rows a query gives."""
    with SqlStream(hook, sql, parameters) as stream:
        return sum(len(chunk) for chunk in stream)


@contextmanager
def refused(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.ExceptionInfo[SqlRefused]]:
    """The query is refused for good, and no value shows in the error, its traceback or the log."""
    with caplog.at_level(logging.DEBUG), pytest.raises(SqlRefused) as raised:
        yield raised
    assert isinstance(raised.value, AirflowFailException)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    shown = "".join(traceback.format_exception(raised.value)) + repr(raised.value) + caplog.text
    assert NAME not in shown
    assert "@example.com" not in shown


MISTAKES = {
    "syntax": ("SELECT id FORM leads WHERE email = {}", "refused the query: a syntax error"),
    "table": ("SELECT id FROM leadz WHERE email = {}", ", near leadz ("),
    "column": ("SELECT id FROM leads WHERE emial = {}", ", near emial ("),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@drivers(*EVERY)
def test_a_mistake_in_the_query_is_named(
    crm: Crm, make_hook: MakeHook, caplog: pytest.LogCaptureFixture, mistake: str
) -> None:
    sql, told = MISTAKES[mistake]
    with refused(caplog) as raised:
        read(make_hook(), sql.format("?" if crm.driver == "sqlite3" else "%s"), [PERSON])
    assert told in str(raised.value)
    assert f"({crm.driver.partition('.')[0]}" in str(raised.value)  # the driver's class


# The database's message quotes the parameter.
QUOTING = {
    "postgresql": "SELECT CAST(%s AS int) AS n",
    "mysql": "SELECT id FROM leads WHERE email === %s",
}


@drivers(*POSTGRES, *MYSQL)
def test_a_parameter_that_the_database_quotes(crm: Crm, make_hook: MakeHook, caplog: pytest.LogCaptureFixture) -> None:
    with refused(caplog):
        read(make_hook(), QUOTING[crm.dialect], [NAME])


@pytest.mark.parametrize("parameters", [[PERSON, PERSON], {"other": PERSON}])
@drivers(*EVERY)
def test_parameters_that_do_not_fit(
    crm: Crm, make_hook: MakeHook, caplog: pytest.LogCaptureFixture, parameters: Any
) -> None:
    named = isinstance(parameters, dict)
    marks = {"sqlite3": ":who" if named else "?"}
    mark = marks.get(crm.driver, "%(who)s" if named else "%s")
    with refused(caplog):
        read(make_hook(), f"SELECT id FROM leads WHERE email = {mark}", parameters)


# A value that the server cannot compute, in the middle of the result; PostgreSQL's message quotes it.
NOT_COMPUTED = {
    "postgresql": f"SELECT CASE WHEN i > 700 THEN '{PERSON}' ELSE '1' END::int AS n FROM generate_series(1, 900) i",
    "sqlite": "SELECT CASE WHEN id > 700 THEN abs(-9223372036854775808) ELSE id END AS n, email FROM leads",
}


@drivers(*SQLITE, *POSTGRES)
def test_a_value_that_cannot_be_computed(crm: Crm, make_hook: MakeHook, caplog: pytest.LogCaptureFixture) -> None:
    with refused(caplog) as raised:
        read(make_hook(), NOT_COMPUTED[crm.dialect])
    assert "crm_db: a value after row 500 cannot be computed or read" in str(raised.value)


@drivers(*POSTGRES, *MYSQL)
def test_a_wrong_password_is_no_reason_to_retry(crm: Crm, monkeypatch: pytest.MonkeyPatch, make_hook: MakeHook) -> None:
    hook = make_hook()
    assert isinstance(crm.place, DatabaseServer)
    monkeypatch.setenv(VARIABLE, Crm(crm.driver, replace(crm.place, password="wrong")).airflow_connection())
    with pytest.raises(SqlRefused, match="crm_db cannot be opened: the login or the password is wrong") as raised:
        read(hook, READ_LEADS)
    assert raised.value.__context__ is None


@contextmanager
def lost() -> Iterator[pytest.ExceptionInfo[SqlSourceLost]]:
    """The database is lost, and a retry may help."""
    with pytest.raises(SqlSourceLost) as raised:
        yield raised
    assert isinstance(raised.value, AirflowException)
    assert not isinstance(raised.value, AirflowFailException)
    assert raised.value.__context__ is None


@drivers(*POSTGRES, *MYSQL)
def test_a_server_that_is_away(crm: Crm, make_hook: MakeHook, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = make_hook()
    assert isinstance(crm.place, DatabaseServer)
    monkeypatch.setenv(VARIABLE, Crm(crm.driver, replace(crm.place, port=1)).airflow_connection())
    with lost() as raised:
        read(hook, READ_LEADS)
    assert "crm_db cannot be reached" in str(raised.value)


@drivers(*POSTGRES, *MYSQL)
def test_a_server_that_dies_while_rows_are_read(crm: Crm, make_hook: MakeHook, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = make_hook()
    start = {"postgresql": postgres_server, "mysql": mariadb_server}[crm.dialect]
    with start() as server:
        monkeypatch.setenv(VARIABLE, Crm(crm.driver, server).airflow_connection())
        with lost() as raised, SqlStream(hook, LARGE[crm.dialect]) as stream:
            for chunk in stream:
                if stream.rows_read == len(chunk):
                    server.crash()
        assert stream.rows_read >= 500
        assert f"crm_db was lost after {stream.rows_read} rows" in str(raised.value)


END_SESSION = {
    "postgresql": ("SELECT pg_backend_pid() AS me", "SELECT pg_terminate_backend({})"),
    "mysql": ("SELECT connection_id() AS me", "KILL {}"),
}


@drivers(*POSTGRES, *MYSQL)
def test_a_session_that_is_ended_by_the_administrator(crm: Crm, make_hook: MakeHook) -> None:
    who, end = END_SESSION[crm.dialect]
    sql = LARGE[crm.dialect].replace("SELECT", f"{who},", 1)
    with lost(), SqlStream(make_hook(), sql) as stream:
        for chunk in stream:
            if stream.rows_read == len(chunk):
                crm.run(end.format(chunk[0]["me"]))


@drivers(*MYSQL)
def test_a_query_that_is_ended_by_the_administrator(crm: Crm, make_hook: MakeHook) -> None:
    sql = LARGE["mysql"].replace("SELECT", "SELECT connection_id() AS me,", 1)
    with lost(), SqlStream(make_hook(), sql) as stream:
        for chunk in stream:
            if stream.rows_read == len(chunk):
                crm.run(f"KILL QUERY {chunk[0]['me']}")


@drivers(*POSTGRES)
def test_a_query_that_takes_too_long(crm: Crm, make_hook: MakeHook) -> None:
    with lost() as raised:
        read(make_hook(options="-c statement_timeout=1"), "SELECT count(*) AS n FROM leads a, leads b")
    assert "57014" in str(raised.value)


@drivers(*POSTGRES)
def test_a_transaction_that_idles_too_long(crm: Crm, make_hook: MakeHook) -> None:
    hook = make_hook(options="-c idle_in_transaction_session_timeout=300")
    with lost(), SqlStream(hook, READ_LEADS) as stream:
        for _ in stream:
            assert wait_until(lambda: crm.sessions() == 0)


@drivers(*SQLITE)
def test_a_locked_file(crm: Crm, make_hook: MakeHook) -> None:
    make_hook()

    class HastyHook(SqliteHook):
        """Does not wait for the lock."""

        def get_conn(self) -> sqlite3.Connection:
            connection = super().get_conn()
            connection.execute("PRAGMA busy_timeout = 0")
            return connection

    with closing(crm.connect()) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with lost() as raised:
            read(HastyHook(sqlite_conn_id=CONN_ID), READ_LEADS)
    assert "SQLITE_BUSY" in str(raised.value)


def test_a_folder_that_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv(VARIABLE, Crm("sqlite3", tmp_path / "missing" / "crm.db").airflow_connection())
    with lost() as raised:
        read(hook_for("sqlite3"), READ_LEADS)
    assert "SQLITE_CANTOPEN" in str(raised.value)


def test_what_the_hook_itself_says_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    # Outside a task, as here, Airflow 3.1.0 does not get as far as to name the connection.
    with pytest.raises((AirflowException, ImportError)) as own:
        hook_for("sqlite3").get_conn()
    with pytest.raises(type(own.value)) as raised:
        read(hook_for("sqlite3"), READ_LEADS)
    assert type(raised.value) is type(own.value)
    assert str(raised.value) == str(own.value)
