"""What every type of column becomes, by driver. Normalising them is the mapping's business."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from ipaddress import ip_address
from math import inf, isnan, nan
from typing import Any
from uuid import UUID

import pytest

from airflow_reshape.mapping.values import UNREADABLE
from airflow_reshape.transfers.sql_stream import SqlStream
from tests.sql.conftest import MYSQL, POSTGRES, SQLITE, MakeHook, drivers
from tests.sql.crm import Crm

UID = "0b9f6a6e-5f0e-4c5e-9a55-1f2f0a4b7c11"
# column: (type, literal); the drivers' values are below
POSTGRES_TYPES = {
    "whole": ("bigint", "9007199254740993"),
    "exact": ("numeric(12,2)", "1500.50"),
    "not_a_number": ("numeric", "'NaN'"),
    "endless": ("numeric", "'Infinity'"),
    "rough": ("double precision", "0.1"),
    "rough_nan": ("double precision", "'NaN'"),
    "flag": ("boolean", "true"),
    "words": ("text", "'Ștefania ''Fany'' ✓'"),
    "padded": ("char(5)", "'RO'"),
    "day": ("date", "'2026-03-29'"),
    "moment": ("timestamp", "'2026-03-29 03:30:00.123456'"),
    "instant": ("timestamptz", "'2026-03-29 03:30:00+03'"),
    "clock": ("time", "'09:15'"),
    "span": ("interval", "'36 hours'"),
    "uid": ("uuid", f"'{UID}'"),
    "raw": ("bytea", r"'\x00ff'"),
    "doc": ("json", """'{"utm": {"source": "ads"}}'"""),
    "docb": ("jsonb", "'[1, null]'"),
    "tags": ("text[]", "ARRAY['a', NULL]"),
    "numbers": ("int[]", "ARRAY[1, 2]"),
    "address": ("inet", "'203.0.113.7'"),
}
POSTGRES_VALUES: dict[str, Any] = {
    "whole": 9007199254740993,
    "exact": Decimal("1500.50"),
    "not_a_number": Decimal("NaN"),
    "endless": Decimal("Infinity"),
    "rough": 0.1,
    "rough_nan": nan,
    "flag": True,
    "words": "Ștefania 'Fany' ✓",
    "padded": "RO   ",
    "day": date(2026, 3, 29),
    "moment": datetime(2026, 3, 29, 3, 30, 0, 123456),
    "instant": datetime(2026, 3, 29, 0, 30, tzinfo=UTC),
    "clock": time(9, 15),
    "span": timedelta(hours=36),
    "uid": UUID(UID),
    "raw": b"\x00\xff",
    "doc": {"utm": {"source": "ads"}},
    "docb": [1, None],
    "tags": ["a", None],
    "numbers": [1, 2],
    "address": ip_address("203.0.113.7"),
}
POSTGRES_VALUES_OF = {
    "psycopg": POSTGRES_VALUES,
    "psycopg2": {**POSTGRES_VALUES, "uid": UID, "raw": memoryview(b"\x00\xff"), "address": "203.0.113.7"},
}

MYSQL_TYPES = {
    "whole": ("bigint unsigned", "18446744073709551615"),
    "exact": ("decimal(12,2)", "1500.50"),
    "rough": ("double", "0.1"),
    "flag": ("boolean", "true"),
    "bits": ("bit(3)", "b'101'"),
    "words": ("varchar(40)", "'Ștefania ''Fany'' ✓'"),
    "stage": ("enum('MQL','SQL')", "'SQL'"),
    "day": ("date", "'2026-03-29'"),
    "no_day": ("date", "'0000-00-00'"),
    "moment": ("datetime(6)", "'2026-03-29 03:30:00.123456'"),
    "instant": ("timestamp null", "'2026-03-29 00:30:00'"),
    "clock": ("time", "'09:15'"),
    "year": ("year", "2026"),
    "uid": ("uuid", f"'{UID}'"),
    "raw": ("blob", "x'00ff'"),
    "fixed": ("binary(2)", "x'00ff'"),
    "doc": ("json", """'{"utm": {"source": "ads"}}'"""),
}
MYSQL_VALUES: dict[str, Any] = {
    "whole": 18446744073709551615,
    "exact": Decimal("1500.50"),
    "rough": 0.1,
    "flag": 1,
    "bits": b"\x05",
    "words": "Ștefania 'Fany' ✓",
    "stage": "SQL",
    "day": date(2026, 3, 29),
    "no_day": None,
    "moment": datetime(2026, 3, 29, 3, 30, 0, 123456),
    "instant": datetime(2026, 3, 29, 0, 30),
    "clock": timedelta(hours=9, minutes=15),
    "year": 2026,
    "uid": UID,
    "raw": b"\x00\xff",
    "fixed": b"\x00\xff",
    "doc": '{"utm": {"source": "ads"}}',
}
MYSQL_VALUES_OF = {
    "MySQLdb": MYSQL_VALUES,
    "mysql.connector": {**MYSQL_VALUES, "bits": 5},
    "pymysql": {**MYSQL_VALUES, "no_day": "0000-00-00"},
}

SQLITE_TYPES = {
    "whole": ("integer", "9007199254740993"),
    "rough": ("real", "0.1"),
    "endless": ("real", "9e999"),
    "flag": ("boolean", "true"),
    "words": ("text", "'Ștefania ''Fany'' ✓'"),
    "moment": ("datetime", "'2026-03-29 03:30:00'"),
    "raw": ("blob", "x'00ff'"),
}
SQLITE_VALUES = {
    "whole": 9007199254740993,
    "rough": 0.1,
    "endless": inf,
    "flag": 1,
    "words": "Ștefania 'Fany' ✓",
    "moment": "2026-03-29 03:30:00",
    "raw": b"\x00\xff",
}

TYPES = {"postgresql": POSTGRES_TYPES, "mysql": MYSQL_TYPES, "sqlite": SQLITE_TYPES}
VALUES = {**POSTGRES_VALUES_OF, **MYSQL_VALUES_OF, "sqlite3": SQLITE_VALUES}


def comparable(value: Any) -> tuple[str, Any]:
    """Type and value, with NaN equal to NaN, and bytes compared whatever their view is."""
    if isinstance(value, memoryview):
        return "memoryview", bytes(value)
    if isinstance(value, (float, Decimal)) and isnan(value):
        return type(value).__name__, "NaN"
    return type(value).__name__, value


@drivers(*SQLITE, *POSTGRES, *MYSQL)
def test_every_type(crm: Crm, make_hook: MakeHook) -> None:
    types = TYPES[crm.dialect]
    crm.run("DROP TABLE IF EXISTS every_type")
    crm.run(f"CREATE TABLE every_type ({', '.join(f'{name} {kind}' for name, (kind, _) in types.items())})")
    crm.run(f"INSERT INTO every_type VALUES ({', '.join(literal for _, literal in types.values())})")
    crm.run(f"INSERT INTO every_type VALUES ({', '.join('NULL' for _ in types)})")
    with SqlStream(make_hook(), "SELECT * FROM every_type") as stream:
        filled, empty = (row for chunk in stream for row in chunk)
    expected = VALUES[crm.driver]
    assert {name: comparable(value) for name, value in filled.items()} == {
        name: comparable(value) for name, value in expected.items()
    }
    assert empty == dict.fromkeys(types)


INFINITE_DATES = """
    SELECT 'infinity'::timestamptz AS instant, '-infinity'::timestamp AS moment, 'infinity'::date AS day,
           NULL::date AS nothing, '2026-03-29'::date AS known
"""


@pytest.mark.parametrize(
    ("crm", "values"),
    [
        ("psycopg", (UNREADABLE, UNREADABLE, UNREADABLE)),
        ("psycopg2", (datetime.max.replace(tzinfo=UTC), datetime.min, date.max)),  # noqa: DTZ901
    ],
    indirect=["crm"],
)
def test_an_infinite_date_does_not_stop_the_others(crm: Crm, make_hook: MakeHook, values: tuple[Any, ...]) -> None:
    with SqlStream(make_hook(), INFINITE_DATES) as stream:
        ((row,),) = list(stream)
    assert tuple(row.values()) == (*values, None, date(2026, 3, 29))
