"""What drivers, client libraries, numpy and pandas return, as values of fields."""

from __future__ import annotations

import ipaddress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd  # type: ignore[import-untyped, unused-ignore]
import pytest

from airflow_reshape.mapping.paths import resolve
from airflow_reshape.mapping.values import MISSING, UNREADABLE, plain
from tests.mapping.builders import LEAD, body, event, invalid
from tests.mapping.strategies import (
    Grade,
    Kind,
    Level,
    Loud,
    LoudMap,
    LoudNumber,
    LoudText,
    deep,
    endless,
)

AT = datetime(2024, 5, 1, 10, 0, 0, 123456, tzinfo=UTC)

MISSING_VALUES = [
    None,
    "",
    " \n\t",
    "\u00a0",
    b"",
    b"  ",
    bytearray(),
    float("nan"),
    Decimal("NaN"),
    Decimal("sNaN"),
    np.float64("nan"),
    np.float32("nan"),
    np.datetime64("NaT"),
    np.timedelta64("NaT"),
    np.ma.masked,
    np.str_(""),
    pd.NA,
    pd.NaT,
]
SCALARS = [
    ("x", "x"),
    (" x ", " x "),
    (0, 0),
    (False, False),
    (float("inf"), float("inf")),
    (Decimal("1.50"), Decimal("1.50")),
    (date(2024, 5, 1), date(2024, 5, 1)),
    (AT, AT),
    (time(10), time(10)),
    (timedelta(1), timedelta(1)),
    (UUID(int=1), UUID(int=1)),
    (bytearray(b"x"), b"x"),
    (memoryview(b"x"), b"x"),
    (Grade.A, "a"),
    (Level.LOW, 1),
    (Kind.SQL, "SQL"),
    (LoudText("x"), "x"),
    (LoudNumber(5), 5),
    (np.int64(5), 5),
    (np.uint8(5), 5),
    (np.float32(1.5), 1.5),
    (np.float64(1.5), 1.5),
    (np.longdouble(3), 3.0),
    (np.bool_(True), True),
    (np.str_("x"), "x"),
    (np.bytes_(b"x"), b"x"),
    (np.array(5), 5),
    (np.array([1, 2]), [1, 2]),
    (np.datetime64("2024-05-01"), datetime(2024, 5, 1)),
    (np.datetime64("2024-05-01T10:00:00.123456789"), datetime(2024, 5, 1, 10, 0, 0, 123456)),
    (np.timedelta64(5, "s"), timedelta(seconds=5)),
    (np.timedelta64(5_000, "ns"), timedelta(microseconds=5)),
    (pd.Timestamp("2024-05-01"), datetime(2024, 5, 1)),
    (pd.Timestamp("2024-05-01", tz="Europe/Bucharest"), datetime(2024, 5, 1, tzinfo=ZoneInfo("Europe/Bucharest"))),
    (pd.Timedelta("1D"), timedelta(1)),
    (pd.Series([1, None]), [1.0]),
    (pd.Categorical(["a", "b"]), ["a", "b"]),
    (ipaddress.ip_address("8.8.8.8"), "8.8.8.8"),
    (("a", None, ""), ["a"]),
    ({"b", "a", "c"}, ["a", "b", "c"]),
    (frozenset({2, 1}), [1, 2]),
    ({"a": None, "b": "", "c": float("nan"), "d": 0}, {"d": 0}),
    ({1: "a", None: "b", ("x",): "c", b"y": "d"}, {"1": "a", "None": "b", "('x',)": "c", "b'y'": "d"}),
    ({"\ud800": 1}, {"?": 1}),
    (MappingProxyType({"a": [None, {"b": pd.NA}]}), {"a": [{}]}),
    (Grade.NESTED, {"email": "ana@example.com"}),
]
UNREADABLE_VALUES = [
    object(),
    Loud(),
    LoudMap(),
    2j,
    np.complex128(1),
    range(2),
    iter("x"),
    pd.Period("2024-05"),
    pd.DataFrame({"a": [1]}),
    pd.Interval(0, 1),
    endless(),
    deep(100),
    {Loud(): 1},
    type,
]


@pytest.mark.parametrize("value", MISSING_VALUES, ids=repr)
def test_missing(value: Any) -> None:
    assert plain(value) is MISSING
    assert plain({"x": value}) == {}
    assert plain([value]) == []


@pytest.mark.parametrize(("value", "read"), SCALARS, ids=lambda value: type(value).__name__)
def test_plain(value: Any, read: Any) -> None:
    given = plain(value)
    assert given == read
    assert type(given) is type(read) or isinstance(value, pd.Timestamp | pd.Timedelta)
    assert plain(given) == read


@pytest.mark.parametrize("value", UNREADABLE_VALUES, ids=lambda value: type(value).__name__)
def test_unreadable(value: Any) -> None:
    assert plain(value) is UNREADABLE


def test_what_cannot_be_read_does_not_spoil_its_neighbours() -> None:
    assert plain({"a": Loud(), "b": 1, "c": [object(), 2]}) == {"a": UNREADABLE, "b": 1, "c": [UNREADABLE, 2]}
    assert plain(deep(30)) != UNREADABLE


def test_a_released_buffer_is_unreadable() -> None:
    buffer = memoryview(b"x")
    buffer.release()
    assert plain(buffer) is UNREADABLE


# column, value as it comes, value as it is sent
SENT = [
    ("value", Decimal("750.50"), 750.5),
    ("value", np.float64(750), 750),
    ("value", "750.5", 750.5),
    ("value", b"750.5", 750.5),
    ("value", True, None),
    ("value", Decimal("Infinity"), None),
    ("value", float("-inf"), None),
    ("user.new_customer", 1, True),
    ("user.new_customer", 0.0, False),
    ("user.new_customer", "true", True),
    ("user.new_customer", b"\x00", False),
    ("user.new_customer", np.bool_(False), False),
    ("user.new_customer", Decimal(1), True),
    ("user.new_customer", 2, None),
    ("postal_code", 10001.0, "10001"),
    ("postal_code", np.int32(10001), "10001"),
    ("postal_code", memoryview(b"010101"), "010101"),
    ("user.id", UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ("user.id", 2**63 - 1, "9223372036854775807"),
    ("user.id", Kind.SQL, "SQL"),
    ("user.id", Level.LOW, "1"),
    ("user.city", Loud(), None),
    ("user.id", LoudText(" x "), "x"),
    ("user.id", LoudNumber(7), "7"),
    ("user.id", {"x": 1}, None),
    ("user.first_name", date(2024, 5, 1), "2024-05-01"),
    ("user.first_name", b"\xff", None),
    ("user.first_name", "{{ conn.reshape_default.password }}", "{{ conn.reshape_default.password }}"),
    ("created_at", AT, 1_714_557_600_123),
    ("created_at", pd.Timestamp(AT), 1_714_557_600_123),
    ("created_at", np.datetime64("2024-05-01T13:00:00.123456789"), 1_714_557_600_123),
    ("created_at", datetime(2024, 5, 1, 13, 0, 0, 123456), 1_714_557_600_123),
    ("created_at", pd.Timestamp("2024-05-01 13:00:00.123456"), 1_714_557_600_123),
    ("created_at", "2024-05-01T13:00:00.123456", 1_714_557_600_123),
    ("created_at", np.int64(1_714_557_600), 1_714_557_600_000),
    ("created_at", Decimal("1714557600.123"), 1_714_557_600_123),
    ("created_at", timedelta(1), None),
    ("created_at", time(10), None),
    ("email", np.array(["a@example.com", "b@example.com"]), ["a@example.com", "b@example.com"]),
    ("email", '["a@example.com", "b@example.com"]', ["a@example.com", "b@example.com"]),
    ("email", {"b@example.com", "a@example.com"}, ["a@example.com", "b@example.com"]),
    ("email", pd.Series(["a@example.com", None]), ["a@example.com"]),
    ("email", [None, "a@example.com"], ["a@example.com"]),
    ("email", b"A@example.com ", "a@example.com"),
    ("email", endless(), None),
    ("phone", np.int64(40722123456), "+40722123456"),
    ("phone", 722123456.0, "+40722123456"),
    ("context.override_ip", ipaddress.ip_address("8.8.8.8"), "8.8.8.8"),
    ("event.properties.x", Decimal("0.920"), 0.92),
    ("event.properties.x", AT, "2024-05-01T10:00:00.123456+00:00"),
    ("event.properties.x", time(10), "10:00:00"),
    ("event.properties.x", timedelta(hours=1), 3600),
    ("event.properties.x", np.timedelta64(5, "s"), 5),
    ("event.properties.x", np.bool_(True), True),
    ("event.properties.x", np.array([1, 2]), ["1", "2"]),
    ("event.properties.x", {"b", "a"}, ["a", "b"]),
    ("event.properties.x", UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ("event.properties.x", Grade.A, "a"),
    ("event.properties.x", Grade.NESTED, None),
    ("event.properties.x", Loud(), None),
    ("event.properties.x", [Loud()], None),
    ("event.properties.x", 10**400, None),
    ("event.properties.x", "\ud800", None),
    ("event.properties.x", deep(3), None),
    ("cookies._ga", 5, "5"),
    ("cookies._ga", True, None),
]


def at(data: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        data = data.get(key, {})
    return None if data == {} else data


@pytest.mark.parametrize(("column", "value", "sent"), SENT, ids=lambda value: type(value).__name__)
def test_values_of_fields(column: str, value: Any, sent: Any) -> None:
    prepared = event({**LEAD, column: value}, timezone="Europe/Bucharest", default_region="RO")
    written = at(prepared.event.model_dump(exclude_none=True), resolve(column))
    assert written == sent
    assert type(written) is type(sent)
    assert bool(prepared.left_out) is (sent is None)


@pytest.mark.parametrize("value", MISSING_VALUES, ids=repr)
@pytest.mark.parametrize(
    "column", ["email", "phone", "value", "created_at", "user.new_customer", "user.properties", "context.url"]
)
def test_missing_values_are_left_out_without_a_word(column: str, value: Any) -> None:
    prepared = event({**LEAD, column: value})
    assert prepared.left_out == ()
    assert prepared.body == {
        "event": {"name": "lead_qualified", "id": "L-1:qualified", "currency": "EUR"},
        "context": {"environment": "prod"},
    }


def test_a_row_of_a_data_frame() -> None:
    frame = pd.DataFrame(
        {
            "lead_id": [1, 2],
            "currency": ["EUR", None],
            "value": [5.0, float("nan")],
            "created_at": pd.to_datetime(["2024-05-01", None]),
            "user.new_customer": pd.array([True, None], dtype="boolean"),
            "user.orders_total_number": pd.array([3, None], dtype="Int64"),
            "user.city": pd.array(["Iași", None], dtype="string"),
        }
    )
    first, second = frame.to_dict(orient="records")
    assert body(first)["user"] == {
        "created_at": 1_714_521_600_000,
        "new_customer": True,
        "orders_total_number": 3,
        "city": "Iași",
    }
    assert "user" not in body(second, defaults={"event.currency": "EUR"})


@pytest.mark.parametrize("row", [MappingProxyType({**LEAD}), pd.Series(LEAD).to_dict()])
def test_rows_that_are_mappings(row: Any) -> None:
    assert event(row).id == "L-1:qualified"


def test_a_mapping_that_cannot_be_read() -> None:
    assert invalid(LoudMap()) == {"lead": "cannot be read"}
