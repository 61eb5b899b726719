"""A cell that the driver cannot read is UNREADABLE; all others of the query arrive, and nothing tells what it holds."""

from __future__ import annotations

import logging
import pickle
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.providers.sqlite.hooks.sqlite import SqliteHook

from airflow_reshape.mapping.values import UNREADABLE
from airflow_reshape.transfers.spool import Spool
from airflow_reshape.transfers.sql_cells import or_unreadable
from airflow_reshape.transfers.sql_errors import SqlRefused
from airflow_reshape.transfers.sql_stream import SqlStream
from tests.databases import DatabaseServer
from tests.sql.conftest import MYSQL, POSTGRES, SQLITE, MakeHook, drivers
from tests.sql.crm import CONN_ID, LEADS, Crm, environment

ROOT = Path(__file__).parents[2]
ROWS = 12
BAD = (1, 4, 5, 9)  # the first of all, neighbours in two batches, one before good rows
CHUNK = 4


def read(hook: DbApiHook, sql: str, parameters: Any = None, *, chunk_size: int = CHUNK) -> list[dict[str, Any]]:
    with SqlStream(hook, sql, parameters, chunk_size=chunk_size) as stream:
        chunks = list(stream)
    assert all(len(chunk) == chunk_size for chunk, _ in pairwise(chunks))
    return [row for chunk in chunks for row in chunk]


@contextmanager
def untold(caplog: pytest.LogCaptureFixture, *values: str) -> Iterator[None]:
    """What is logged quotes no value."""
    with caplog.at_level(logging.DEBUG):
        yield
    assert not [value for value in ("lead-", *values) if value in caplog.text]


def check(rows: list[dict[str, Any]], good: Any, bad: Any = UNREADABLE) -> None:
    """All rows are there, in order, and only the bad cells are unreadable."""
    assert [row["i"] for row in rows] == list(range(1, ROWS + 1))
    assert [row["name"] for row in rows] == [f"lead-{i}" for i in range(1, ROWS + 1)]
    assert [row["cell"] for row in rows] == [bad if i in BAD else good for i in range(1, ROWS + 1)]
    assert all(row["cell"] is UNREADABLE for row in rows if row["i"] in BAD) or bad is not UNREADABLE


DIGITS = "('1' || repeat('0', 5000))"  # Python reads no number of so many
DAY = "DATE '2026-03-29'"
# drivers: what they cannot read, its good neighbour, and what that is
POSTGRES_CELLS: dict[str, tuple[tuple[str, ...], str, str, Any]] = {
    "day BC": (POSTGRES, "DATE '0044-03-15 BC'", DAY, date(2026, 3, 29)),
    "moment BC": (POSTGRES, "TIMESTAMP '0044-03-15 BC'", "TIMESTAMP '2026-03-29 03:30'", datetime(2026, 3, 29, 3, 30)),
    "late day": (POSTGRES, "DATE '12026-01-01'", DAY, date(2026, 3, 29)),
    "late instant": (
        POSTGRES,
        "TIMESTAMPTZ '12026-01-01 00:00+00'",
        "TIMESTAMPTZ '2026-03-29 03:30+03'",
        datetime.fromisoformat("2026-03-29T00:30:00+00:00"),
    ),
    "days": (POSTGRES, "ARRAY[DATE '0044-03-15 BC', DATE '2026-01-01']", f"ARRAY[{DAY}]", [date(2026, 3, 29)]),
    "document": (POSTGRES, f"{DIGITS}::json", """'{"a": [1]}'::json""", {"a": [1]}),
    "documents": (POSTGRES, f"ARRAY[{DIGITS}::jsonb]", "ARRAY['[1]'::jsonb]", [[1]]),
    "clock": (("psycopg",), "TIME '24:00'", "TIME '09:15'", time(9, 15)),
    "clock with zone": (("psycopg",), "TIMETZ '24:00+00'", "NULL::timetz", None),
    "endless": (("psycopg",), "TIMESTAMP 'infinity'", "TIMESTAMP '2026-03-29'", datetime(2026, 3, 29)),
    "clocks": (("psycopg",), "ARRAY[[TIME '09:15'], [TIME '24:00']]", "ARRAY[TIME '09:15']", [time(9, 15)]),
    "ranges": (("psycopg",), "'{[0044-03-15 BC,2026-01-01)}'::datemultirange", "NULL", None),
    "span": (("psycopg2",), "INTERVAL '178000000 years'", "INTERVAL '36 hours'", timedelta(hours=36)),
}
POSTGRES_QUERY = """
    SELECT i, CASE WHEN i IN {bad} THEN {cell} ELSE {good} END AS cell, 'lead-' || i AS name
    FROM generate_series(1, {rows}) AS i ORDER BY i
"""


def postgres_query(cell: str, good: str) -> str:
    return POSTGRES_QUERY.format(bad=BAD, cell=cell, good=good, rows=ROWS)


@pytest.mark.parametrize(
    ("crm", "name"),
    [(driver, name) for name, (which, *_) in POSTGRES_CELLS.items() for driver in which],
    indirect=["crm"],
)
def test_postgresql(crm: Crm, make_hook: MakeHook, caplog: pytest.LogCaptureFixture, name: str) -> None:
    _, cell, good, value = POSTGRES_CELLS[name]
    with untold(caplog, "0044", "12026", "24:00", "178000000", "00000"):
        check(read(make_hook(), postgres_query(cell, good)), value)


@pytest.mark.parametrize(
    ("crm", "bounds"),
    [("psycopg", "'0044-03-15 BC', NULL"), ("psycopg", "NULL, 'infinity'"), ("psycopg2", "'0044-03-15 BC', NULL")],
    indirect=["crm"],
)
def test_a_range(crm: Crm, make_hook: MakeHook, bounds: str) -> None:
    rows = read(make_hook(), postgres_query(f"daterange({bounds})", "daterange('2026-03-29', NULL)"))
    assert [row["cell"] is UNREADABLE for row in rows] == [i in BAD for i in range(1, ROWS + 1)]
    assert rows[-1]["cell"].lower == date(2026, 3, 29)
    assert rows[-1]["cell"].upper_inf


@drivers(*POSTGRES)
def test_a_row_may_hold_several(crm: Crm, make_hook: MakeHook) -> None:
    sql = "SELECT DATE '0044-03-15 BC' AS a, 'lead' AS b, NULL::date AS c, DATE '12026-01-01' AS d, 0.5::float AS e"
    assert read(make_hook(), sql) == [{"a": UNREADABLE, "b": "lead", "c": None, "d": UNREADABLE, "e": 0.5}]


@drivers(*POSTGRES)
def test_what_a_batch_held_before_does_not_come_again(crm: Crm, make_hook: MakeHook) -> None:
    sql = postgres_query("DATE '0044-03-15 BC'", DAY).replace("ORDER BY i", "WHERE 60 / (9 - i) <> 0")
    with SqlStream(make_hook(), sql, chunk_size=CHUNK) as stream:
        chunks = iter(stream)
        assert [row["i"] for row in next(chunks)] == [1, 2, 3, 4]
        assert [row["i"] for row in next(chunks)] == [5, 6, 7, 8]
        with pytest.raises(SqlRefused, match="a value after row 8 cannot be computed or read"):
            next(chunks)


# A database that checks no text: what old CRMs were moved into.
@pytest.fixture(scope="session")
def any_bytes(postgres: DatabaseServer) -> str:
    name = "any_bytes"
    with psycopg.connect(postgres.uri, autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
        )
    with psycopg.connect(postgres.uri.rpartition("/")[0] + f"/{name}", client_encoding="utf8") as connection:
        connection.execute("CREATE TYPE stage AS ENUM ('MQL', 'Pierdut în van')")
    return name


BROKEN = r"convert_from('\xe981', 'SQL_ASCII')"
ANY_BYTES_CELLS: dict[str, tuple[str, str, Any]] = {
    "text": (BROKEN, "'Ștefania'", "Ștefania"),
    "varchar": (f"{BROKEN}::varchar(20)", "'Ștefania'::varchar(20)", "Ștefania"),
    "texts": (f"ARRAY['ok', {BROKEN}]", "ARRAY['Ștefania', NULL]", ["Ștefania", None]),
    "document": (f"""('"' || {BROKEN} || '"')::json""", r"""'{"ș": ["\u0219\u00e9"]}'::json""", {"ș": ["șé"]}),
    "day": ("DATE '0044-03-15 BC'", DAY, date(2026, 3, 29)),
    "enum": ("NULL", "'Pierdut în van'::stage", "Pierdut în van"),
}


@pytest.mark.parametrize("extra", [{}, {"client_encoding": "utf8"}], ids=str)
@pytest.mark.parametrize("name", ANY_BYTES_CELLS)
@drivers(*POSTGRES)
def test_a_database_of_any_bytes(
    crm: Crm, make_hook: MakeHook, any_bytes: str, name: str, extra: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    hook: Any = make_hook(**extra)
    hook.database = any_bytes
    cell, good, value = ANY_BYTES_CELLS[name]
    with untold(caplog, "é"):
        check(read(hook, postgres_query(cell, good)), value, None if cell == "NULL" else UNREADABLE)


@drivers(*POSTGRES)
def test_a_query_of_any_bytes_may_hold_any_letter(crm: Crm, make_hook: MakeHook, any_bytes: str) -> None:
    hook: Any = make_hook()
    hook.database = any_bytes
    sql = "SELECT 'Ș' || %(rest)s || '%%' AS \"cum îi zice\", 7 AS n"
    assert read(hook, sql, {"rest": "tefan"}) == [{"cum îi zice": "Ștefan%", "n": 7}]


@drivers(*POSTGRES)
def test_an_encoding_that_was_agreed_stays(crm: Crm, make_hook: MakeHook, any_bytes: str) -> None:
    hook: Any = make_hook(client_encoding="WIN1250")
    hook.database = any_bytes
    good = r"convert_from('\xbae9', 'SQL_ASCII')"
    check(read(hook, postgres_query(BROKEN, good)), "şé")  # WIN1250 has no character 0x81


@pytest.mark.parametrize("chunk_size", [1, 2, 5, 100])
@drivers(*SQLITE)
def test_sqlite(crm: Crm, make_hook: MakeHook, caplog: pytest.LogCaptureFixture, chunk_size: int) -> None:
    sql = f"""
        SELECT id AS i, CASE WHEN id IN {BAD} THEN CAST(x'ff' || 'Maria' AS TEXT) ELSE 'Ștefania' END AS cell,
               'lead-' || id AS name
        FROM leads WHERE id <= {ROWS} ORDER BY id
    """
    with untold(caplog, "Maria"):
        check(read(make_hook(), sql, chunk_size=chunk_size), "Ștefania")


@drivers(*SQLITE)
def test_every_text_of_sqlite_may_be_broken(crm: Crm, make_hook: MakeHook) -> None:
    sql = "SELECT id, CAST(x'ff' AS TEXT) AS a, x'ff' AS b, CAST(x'fe' AS TEXT) AS c FROM leads LIMIT 9"
    bad = {"a": UNREADABLE, "b": b"\xff", "c": UNREADABLE}
    assert read(make_hook(), sql) == [{"id": i, **bad} for i in range(1, 10)]


@drivers(*SQLITE)
def test_all_rows_of_sqlite_are_read_once(crm: Crm, make_hook: MakeHook) -> None:
    sql = "SELECT id, CASE WHEN id % 3 = 0 THEN CAST(x'ff' AS TEXT) ELSE email END AS email FROM leads ORDER BY id"
    rows = read(make_hook(), sql, chunk_size=500)
    assert [row["id"] for row in rows] == list(range(1, LEADS + 1))
    assert [row["id"] for row in rows if row["email"] is UNREADABLE] == list(range(3, LEADS + 1, 3))


def sqlite_hook(prepare: Callable[[sqlite3.Connection], object], **arguments: Any) -> DbApiHook:
    class OwnHook(SqliteHook):
        """A company's own."""

        def get_conn(self) -> sqlite3.Connection:
            connection: sqlite3.Connection = sqlite3.connect(":memory:", **arguments)
            prepare(connection)
            return connection

    return OwnHook(sqlite_conn_id=CONN_ID)


def test_how_a_hook_reads_texts_stays() -> None:
    def to_bytes(connection: sqlite3.Connection) -> None:
        connection.text_factory = bytes

    def to_number(connection: sqlite3.Connection) -> None:
        connection.text_factory = int

    sql = "SELECT CAST(x'ff' AS TEXT) AS a, '7' AS b UNION ALL SELECT '8', '9'"
    assert read(sqlite_hook(to_bytes), sql) == [{"a": b"\xff", "b": b"7"}, {"a": b"8", "b": b"9"}]
    assert read(sqlite_hook(to_number), sql) == [{"a": UNREADABLE, "b": 7}, {"a": 8, "b": 9}]


def test_rows_of_another_kind() -> None:
    def by_name(connection: sqlite3.Connection) -> None:
        connection.row_factory = sqlite3.Row

    sql = "SELECT 1 AS i, CAST(x'ff' AS TEXT) AS a UNION ALL SELECT 2, 'b'"
    assert read(sqlite_hook(by_name), sql) == [{"i": 1, "a": UNREADABLE}, {"i": 2, "a": "b"}]


def test_what_no_text_is_the_reason_of_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(raw: bytes) -> None:
        raise ValueError(raw)

    monkeypatch.setitem(sqlite3.converters, "NEVER", fail)
    hook = sqlite_hook(lambda _: None, detect_types=sqlite3.PARSE_COLNAMES)
    with pytest.raises(SqlRefused, match=r"a value after row 0 cannot be computed or read \(builtins.ValueError\)"):
        read(hook, "SELECT 'lead-1' AS \"a [never]\"")


MYSQL_TABLE = """
    CREATE OR REPLACE TABLE cells AS
    SELECT seq AS i, IF(seq IN {bad}, {cell}, {good}) AS cell, CONCAT('lead-', seq) AS name FROM seq_1_to_{rows}
"""
LATIN = "CONVERT(x'e9ff' USING latin1)"
MYSQL_CELLS = {
    "varchar": ("varchar(20)", "'Stefania'", "Stefania"),
    "text": ("text", "'Stefania'", "Stefania"),
    "enum": ("enum('ok','éÿ')", "'ok'", "ok"),
}


def raw_results(hook: DbApiHook, monkeypatch: pytest.MonkeyPatch) -> DbApiHook:
    """The server sends texts as they are stored, whatever the client can read."""
    connect = hook.get_conn

    def get_conn() -> Any:
        connection = connect()
        cursor = connection.cursor()
        cursor.execute("SET SESSION character_set_results = NULL")
        cursor.close()
        return connection

    monkeypatch.setattr(hook, "get_conn", get_conn)
    return hook


@pytest.mark.parametrize("name", MYSQL_CELLS)
@drivers(*MYSQL)
def test_mysql(
    crm: Crm, make_hook: MakeHook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    kind, good, value = MYSQL_CELLS[name]
    crm.run(f"CREATE OR REPLACE TABLE cells (i int, cell {kind} CHARACTER SET latin1, name text)")
    crm.run(
        f"INSERT INTO cells SELECT seq, IF(seq IN {BAD}, {LATIN}, {good}), CONCAT('lead-', seq) FROM seq_1_to_{ROWS}"
    )
    hook = raw_results(make_hook(), monkeypatch)
    with untold(caplog, "éÿ"):
        check(read(hook, "SELECT * FROM cells ORDER BY i"), value)


# What the drivers themselves make of dates that are none; nothing of it ends the query.
ODD = ("'2026-02-31'", "'0000-00-00 00:00:00'", "'2026-00-10'", "'838:59:59.999999'", "'-838:59:59'")
ODD_VALUES = {
    "MySQLdb": (None, None, None),
    "mysql.connector": (None, None, None),
    "pymysql": ("2026-02-31", "0000-00-00 00:00:00", "2026-00-10"),
}
LONGEST = timedelta(hours=838, minutes=59, seconds=59)


@drivers(*MYSQL)
def test_odd_times_of_mysql(crm: Crm, make_hook: MakeHook) -> None:
    crm.run("CREATE OR REPLACE TABLE odd (a date, b datetime, c date, d time(6), e time)")
    with closing(crm.connect()) as connection:
        cursor = connection.cursor()
        cursor.execute("SET SESSION sql_mode = 'ALLOW_INVALID_DATES'")
        cursor.execute(f"INSERT INTO odd VALUES ({', '.join(ODD)}), ('2026-01-01', NULL, NULL, NULL, '09:15')")
        connection.commit()
    odd, good = (tuple(row.values()) for row in read(make_hook(), "SELECT * FROM odd"))
    assert odd == (*ODD_VALUES[crm.driver], LONGEST + timedelta(microseconds=999_999), -LONGEST)
    assert good == (date(2026, 1, 1), None, None, None, timedelta(hours=9, minutes=15))


@drivers("mysql.connector")
def test_the_connector_in_c(crm: Crm) -> None:
    """In a process of its own: its library must come before Python's ssl."""
    command = [sys.executable, "-m", "tests.sql.connector_in_c"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(crm), check=False, capture_output=True, text=True, timeout=60
    )
    if done.returncode == 3:
        pytest.skip(done.stderr.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert "CMySQLConnection" in done.stdout


def test_it_stays_itself_on_its_way(tmp_path: Path) -> None:
    spool = Spool(folder=tmp_path)
    assert spool.put([{"a": UNREADABLE, "b": [UNREADABLE]}])
    ((row),) = spool.take()
    assert row["a"] is UNREADABLE  # type: ignore[index]
    assert row["b"][0] is UNREADABLE  # type: ignore[index]
    spool.close()
    assert all(pickle.loads(pickle.dumps(UNREADABLE, version)) is UNREADABLE for version in range(6))


def test_a_shortage_of_memory_is_not_the_cells_fault() -> None:
    def fail() -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        or_unreadable(fail)()
