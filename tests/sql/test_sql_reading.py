"""Reading a CRM through every driver: chunks, columns, row types, early ends, log and lineage."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from itertools import islice
from typing import Any

import pytest
from airflow.providers.sqlite.hooks.sqlite import SqliteHook

from airflow_reshape.transfers.sql_dialects import MYSQL_NET_WRITE_TIMEOUT
from airflow_reshape.transfers.sql_errors import SqlUnusable
from airflow_reshape.transfers.sql_stream import SqlStream
from tests.airflow_versions import collected_lineage, needs_sql_lineage
from tests.sql.conftest import MYSQL, POSTGRES, SQLITE, MakeHook, drivers
from tests.sql.crm import CONN_ID, LEADS, READ_LEADS, Crm, wait_until

EVERY = (*SQLITE, *POSTGRES, *MYSQL)
FIRST_LEAD = {
    "id": 1,
    "email": "lead-1@example.com",
    "first_name": "Ștefania",
    "stage": "MQL",
    "score": 0.25,
    "notes": "." * 120,
}


@drivers(*EVERY)
def test_every_lead_arrives_once_and_in_chunks(crm: Crm, make_hook: MakeHook) -> None:
    with SqlStream(make_hook(), READ_LEADS, chunk_size=30_000) as stream:
        assert stream.columns == tuple(FIRST_LEAD)
        assert stream.dialect == crm.dialect
        sizes, ids, first = [], 0, None
        for chunk in stream:
            first = first or chunk[0]
            sizes.append(len(chunk))
            assert [row["id"] for row in chunk] == list(range(ids + 1, ids + len(chunk) + 1))
            ids += len(chunk)
    assert first == FIRST_LEAD
    assert sizes == [30_000] * 6 + [20_000]
    assert stream.rows_read == LEADS


@drivers(*EVERY)
def test_an_empty_result_has_columns_and_no_chunks(crm: Crm, make_hook: MakeHook) -> None:
    with SqlStream(make_hook(), "SELECT id, email FROM leads WHERE id < 0;") as stream:
        assert stream.columns == ("id", "email")
        assert list(stream) == []


@drivers(*POSTGRES)
def test_columns_are_known_before_a_row_is_computed(crm: Crm, make_hook: MakeHook) -> None:
    failing_at_once = "SELECT 1 / (id - id) AS impossible FROM leads"
    with SqlStream(make_hook(), failing_at_once) as stream:
        assert stream.columns == ("impossible",)


@drivers(*EVERY)
def test_parameters_are_bound_by_the_driver(crm: Crm, make_hook: MakeHook) -> None:
    mark = "?" if crm.driver == "sqlite3" else "%s"
    sql = f"SELECT id FROM leads WHERE email = {mark} OR id = {mark};  -- two"
    with SqlStream(make_hook(), sql, ["lead-7@example.com", 9]) as stream:
        assert sorted(row["id"] for chunk in stream for row in chunk) == [7, 9]


@drivers(*EVERY)
def test_a_percent_sign_is_no_placeholder_without_parameters(crm: Crm, make_hook: MakeHook) -> None:
    with SqlStream(make_hook(), "SELECT id FROM leads WHERE email LIKE 'lead-12345%'", {}) as stream:
        assert stream.columns == ("id",)
        assert [len(chunk) for chunk in stream] == [11]


# The connection's extra `cursor`, as the PostgreSQL and MySQL hooks offer it.
@pytest.mark.parametrize(
    ("crm", "cursor"),
    [
        ("psycopg", "dictcursor"),
        ("psycopg", "namedtuplecursor"),
        ("psycopg2", "dictcursor"),
        ("psycopg2", "realdictcursor"),
        ("psycopg2", "namedtuplecursor"),
        pytest.param("MySQLdb", "dictcursor", marks=pytest.mark.mysql),
        pytest.param("MySQLdb", "ssdictcursor", marks=pytest.mark.mysql),
    ],
    indirect=["crm"],
)
def test_cursor_classes_of_the_connection_change_nothing(crm: Crm, cursor: str, make_hook: MakeHook) -> None:
    with SqlStream(make_hook(cursor=cursor), READ_LEADS, chunk_size=2) as stream:
        assert next(iter(stream))[0] == FIRST_LEAD


def as_dict(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> dict[str, Any]:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


@pytest.mark.parametrize("row_factory", [sqlite3.Row, as_dict])
@drivers(*SQLITE)
def test_rows_of_any_type_become_dicts(crm: Crm, make_hook: MakeHook, row_factory: Any) -> None:
    make_hook()

    class RowHook(SqliteHook):
        def get_conn(self) -> sqlite3.Connection:
            connection = super().get_conn()
            connection.row_factory = row_factory
            return connection

    with SqlStream(RowHook(sqlite_conn_id=CONN_ID), READ_LEADS, chunk_size=2) as stream:
        assert next(iter(stream))[0] == FIRST_LEAD


@drivers("psycopg")
def test_a_connection_in_autocommit_streams_too(crm: Crm, make_hook: MakeHook) -> None:
    with SqlStream(make_hook(autocommit=True), READ_LEADS, chunk_size=2) as stream:
        assert next(iter(stream))[0] == FIRST_LEAD


@drivers(*MYSQL)
def test_mysql_is_told_to_wait_for_a_slow_reader(crm: Crm, make_hook: MakeHook) -> None:
    with SqlStream(make_hook(), "SELECT @@session.net_write_timeout AS seconds") as stream:
        assert list(stream) == [[{"seconds": MYSQL_NET_WRITE_TIMEOUT}]]


@drivers(*EVERY)
def test_columns_named_twice_are_named(crm: Crm, make_hook: MakeHook) -> None:
    sql = "SELECT a.id, a.email, b.id, b.email, 1 AS one FROM leads a, leads b WHERE a.id = 1 AND b.id = 1"
    with pytest.raises(SqlUnusable, match="more than one column named email, id"):
        SqlStream(make_hook(), sql).__enter__()
    assert_given_back(crm)


@drivers(*SQLITE, *MYSQL)
def test_a_statement_without_rows_is_refused(crm: Crm, make_hook: MakeHook) -> None:
    sql = {"sqlite": "PRAGMA shrink_memory", "mysql": "SET @stage = 1"}[crm.dialect]
    with pytest.raises(SqlUnusable, match="gives no rows"):
        SqlStream(make_hook(), sql).__enter__()
    assert_given_back(crm)


@pytest.mark.parametrize("ending", ["to the end", "with", "loop", "error"])
@drivers(*EVERY)
def test_the_connection_is_given_back(crm: Crm, make_hook: MakeHook, ending: str) -> None:
    stream = SqlStream(make_hook(), READ_LEADS, chunk_size=1_000)
    if ending == "to the end":
        with stream:
            assert sum(len(chunk) for chunk in stream) == LEADS
            assert_given_back(crm)  # at the end of the loop already
    elif ending == "with":
        with stream:
            chunks = iter(stream)
            assert len(next(chunks)) == 1_000
    elif ending == "loop":
        stream.__enter__()
        with closing(iter(stream)) as generator:  # type: ignore[type-var]  # it is one
            assert len(list(islice(generator, 2))) == 2
    else:
        with pytest.raises(ZeroDivisionError):
            fail_while_reading(stream)
    assert_given_back(crm)
    with pytest.raises(RuntimeError, match="only inside"):
        next(iter(stream))


def fail_while_reading(stream: SqlStream) -> None:
    with stream:
        for chunk in stream:
            len(chunk) / 0


def assert_given_back(crm: Crm) -> None:
    if crm.dialect == "sqlite":
        with closing(crm.connect()) as writer:  # waits for nobody: any open reader would make it fail
            writer.execute("BEGIN EXCLUSIVE")
    else:
        assert wait_until(lambda: crm.sessions() == 0)


@drivers(*SQLITE)
def test_sqlite_is_locked_while_rows_are_read(crm: Crm, make_hook: MakeHook) -> None:
    """Else the check above could not fail."""
    with SqlStream(make_hook(), READ_LEADS) as stream, closing(crm.connect()) as writer:
        chunks = iter(stream)
        next(chunks)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            writer.execute("BEGIN EXCLUSIVE")


@drivers(*POSTGRES, *MYSQL)
def test_the_session_exists_while_rows_are_read(crm: Crm, make_hook: MakeHook) -> None:
    """As above, for the servers."""
    with SqlStream(make_hook(), READ_LEADS) as stream:
        chunks = iter(stream)  # kept: dropping it would end the stream
        next(chunks)
        assert wait_until(lambda: crm.sessions() == 1)  # those of earlier tests may still be leaving


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
@drivers(*MYSQL)
def test_an_early_end_does_not_read_the_rest(crm: Crm, make_hook: MakeHook) -> None:
    def bytes_sent() -> int:
        return int(crm.run("SHOW GLOBAL STATUS LIKE 'Bytes_sent'")[0][1])

    before = bytes_sent()
    with SqlStream(make_hook(), "SELECT a.* FROM leads a JOIN seq_1_to_10") as stream:
        chunks = iter(stream)
        next(chunks)
    assert_given_back(crm)
    whole_result = 10 * LEADS * len("".join(map(str, FIRST_LEAD.values())))
    assert bytes_sent() - before < whole_result / 10


@drivers(*POSTGRES, *MYSQL)
def test_what_a_query_writes_is_rolled_back(crm: Crm, make_hook: MakeHook) -> None:
    language, returns = (
        ("LANGUAGE sql AS $$ INSERT INTO seen VALUES (1) RETURNING 1 $$", "int")
        if crm.dialect == "postgresql"
        else ("MODIFIES SQL DATA BEGIN INSERT INTO seen VALUES (1); RETURN 1; END", "int")
    )
    for sql in (
        "DROP TABLE IF EXISTS seen",
        "DROP FUNCTION IF EXISTS see",
        "CREATE TABLE seen (id int)",
        f"CREATE FUNCTION see() RETURNS {returns} {language}",
    ):
        crm.run(sql)
    with SqlStream(make_hook(), "SELECT see() AS saw") as stream:
        assert list(stream) == [[{"saw": 1}]]
    assert crm.run("SELECT count(*) FROM seen")[0][0] == 0


@drivers(*EVERY)
def test_the_log_counts_and_names_nobody(crm: Crm, make_hook: MakeHook, caplog: pytest.LogCaptureFixture) -> None:
    mark = "?" if crm.driver == "sqlite3" else "%s"
    sql = f"SELECT email FROM leads WHERE email <> {mark} AND id <= 700"
    with (
        caplog.at_level(logging.DEBUG),
        SqlStream(make_hook(), sql, ["maria.pop@example.com"], chunk_size=300) as stream,
    ):
        assert [len(chunk) for chunk in stream] == [300, 300, 100]
    ours = [record.getMessage() for record in caplog.records if "airflow_reshape.transfers" in record.name]
    cursor = "the driver's own cursor" if crm.driver == "sqlite3" else "server-side cursor"
    assert ours == [
        f"Reading rows from crm_db ({crm.dialect}, {cursor}), 300 at a time",
        "Read 700 rows from crm_db to the end",
    ]
    assert "@example.com" not in caplog.text


@needs_sql_lineage
@drivers(*EVERY)
def test_lineage_is_reported_without_parameters_and_literals(
    crm: Crm, make_hook: MakeHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    with collected_lineage(monkeypatch) as collector:
        hook = make_hook()
        mark = "?" if crm.driver == "sqlite3" else "%s"
        sql = f"SELECT id FROM leads WHERE email <> {mark} AND id <= 20"
        with SqlStream(hook, sql + ";", ["maria.pop@example.com"]) as stream:
            assert sum(len(chunk) for chunk in stream) == 20
        (extra,) = collector().collected_assets.extra
    assert extra.key == "sql_job"
    assert extra.context is hook
    assert extra.value == {"sql": "SELECT id FROM leads WHERE email <> '?' AND id <= 0", "row_count": 20}


@drivers(*SQLITE)
def test_chunks_hold_at_least_a_row(crm: Crm, make_hook: MakeHook) -> None:
    with pytest.raises(ValueError, match="chunk_size must be at least 1"):
        SqlStream(make_hook(), READ_LEADS, chunk_size=0)


@drivers(*SQLITE)
def test_a_stream_is_read_inside_its_with(crm: Crm, make_hook: MakeHook) -> None:
    with pytest.raises(RuntimeError, match="only inside"):
        next(iter(SqlStream(make_hook(), READ_LEADS)))
