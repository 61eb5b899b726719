"""Rows as databases, CRM clients and bad luck make them."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any, NoReturn
from uuid import UUID

import numpy as np
import pandas as pd  # type: ignore[import-untyped, unused-ignore]
from hypothesis import strategies as st

from airflow_reshape.events import User
from airflow_reshape.mapping.paths import BARE_NAMES, PATHS

Grade = Enum("Grade", {"A": "a", "NESTED": {"email": "ana@example.com"}})


class Level(IntEnum):
    LOW = 1


class Kind(StrEnum):
    SQL = "SQL"


class LoudText(str):
    """Text whose own methods are of no use."""

    __slots__ = ()

    def strip(self, *_: Any) -> NoReturn:
        raise RuntimeError("strip")

    def isspace(self) -> NoReturn:
        raise RuntimeError("isspace")

    def __str__(self) -> NoReturn:
        raise RuntimeError("str")

    def __repr__(self) -> str:
        return "LoudText()"


class LoudNumber(int):
    def __int__(self) -> NoReturn:
        raise RuntimeError("int")

    def __abs__(self) -> NoReturn:
        raise RuntimeError("abs")


class Loud:
    """Raises at whatever is asked."""

    def __str__(self) -> NoReturn:
        raise RuntimeError("str")

    def __repr__(self) -> str:
        return "Loud()"  # hypothesis shows it

    def __bool__(self) -> NoReturn:
        raise RuntimeError("bool")

    def __eq__(self, other: object) -> NoReturn:
        raise RuntimeError("eq")

    def __hash__(self) -> int:
        return id(self)


class LoudMap(Mapping[str, Any]):
    def __getitem__(self, key: str) -> NoReturn:
        raise KeyError(key)

    def __iter__(self) -> NoReturn:
        raise RuntimeError("iter")

    def __len__(self) -> int:
        return 1

    def __repr__(self) -> str:
        return "LoudMap()"


def endless() -> list[Any]:
    """A list that holds itself, ten times."""
    own: list[Any] = []
    own.extend([own] * 10)
    return own


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"deeper": value}
    return value


# Without a zone, as drivers give them.
EARLIEST, LATEST = datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999)

ODDITIES: tuple[Any, ...] = (
    Loud(),
    LoudText("ana@example.com"),
    LoudNumber(7),
    LoudMap(),
    endless(),
    deep(5),
    deep(200),
    object(),
    Grade.A,
    Grade.NESTED,
    Level.LOW,
    Kind.SQL,
    User(id="c-7", email="ana@example.com"),
    ipaddress.ip_address("8.8.8.8"),
    ipaddress.ip_interface("8.8.8.8/24"),
    MappingProxyType({"email": "ana@example.com"}),
    OrderedDict(email="ana@example.com"),
    2j,
    range(3),
    b"\xff\xfe",
    b"\x01",
    b"",
    bytearray(b"ana@example.com"),
    memoryview(b"0722123456"),
    UUID(int=7),
    10**400,
    -(2**63),
    1e308,
    float("inf"),
    float("-inf"),
    float("nan"),
    Decimal("NaN"),
    Decimal("sNaN"),
    Decimal("Infinity"),
    Decimal("1E+999"),
    Decimal("12.50"),
    Decimal("0E-500"),
    EARLIEST,
    LATEST,
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    datetime(2024, 3, 31, 3, 30),
    datetime(2024, 10, 27, 3, 30, fold=1, tzinfo=UTC),
    date(2024, 5, 1),
    date.max,
    time(12, 30),
    timedelta(days=2),
    np.int64(5),
    np.float32(1.5),
    np.float64("nan"),
    np.longdouble(3),
    np.bool_(True),
    np.str_("ana@example.com"),
    np.bytes_(b"x"),
    np.datetime64("NaT"),
    np.datetime64("2024-05-01T10:00:00.123456789"),
    np.timedelta64(5, "ns"),
    np.array([1, 2]),
    np.array(["a@example.com", "b@example.com"]),
    np.ma.masked,
    np.complex128(1),
    pd.NA,
    pd.NaT,
    pd.Timestamp("2024-05-01 10:00"),
    pd.Timestamp("2024-05-01 10:00:00.123456789", tz="Europe/Bucharest"),
    pd.Timedelta("1D"),
    pd.Period("2024-05"),
    pd.Series([1, 2]),
    pd.DataFrame({"a": [1]}),
    pd.Interval(0, 1),
)

# Values that look like what a field wants, right and wrong.
NEAR_MISSES: tuple[Any, ...] = (
    "ana@example.com",
    " ANA@Example.COM ",
    "ana@",
    "@",
    "a@b",
    "ana@exa_mple.com",
    ".ana@example.com",
    "ana@192.168.1.1",
    "ünï@exämple.com",
    "a" * 64 + "1",
    "0" * 64,
    "0722 123 456",
    "+40 (0)722 123 456",
    "0040722123456",
    "+1555987654",
    "+10000000000",
    "+4400289267211",
    "+49115",
    "+4912345678901234567",
    "tel:0722123456",
    "EUR",
    "eur ",
    "EURO",
    "XXX",
    "2024-05-01",
    "2024-05-01T10:00:00Z",
    "2024-03-31 03:30",
    "now",
    "12:30",
    "6:",
    "2024-050/PT",
    "9999-12-31",
    "0001-01-01T00:00:00+14:00",
    1_714_550_400,
    1_714_550_400_123,
    "1714550400",
    45_413,
    20_240_501,
    "https://example.com/?email=ana@example.com&utm_source=x",
    "https://u:p@example.com:99999/a b?x=%40#?token=1",
    "http://[::1",
    "//example.com",
    "ftp://example.com",
    "8.8.8.8",
    "10.0.0.1",
    "::ffff:10.0.0.1",
    "224.0.0.1",
    "2001:4860:4860::8888%eth0",
    "true",
    "no",
    "maybe",
    "prod",
    "DEV",
    "staging",
    "lead_qualified",
    "Lead_Disqualified",
    "page_view",
    "SQL",
    "sql",
    "New",
    "Lost",
    "Too  small",
    "merged",
    "no_budget",
    "Romania",
    "România",
    "Antarctica",
    "XK",
    "1,234.50",
    "1e5",
    "١٢٣",
    "\ud800",
    "\x00",
    " ",
    "",
    "{}",
    "[]",
    "null",
    "NaN",
    '{"email": "ana@example.com", "phone": null}',
    '["a@example.com", "b@example.com"]',
    '[{"name": "_ga", "value": "x"}, {"name": "", "value": 1}]',
    '{"a": NaN, "b": [1, null, "x"], "c": {"d": 1}}',
    "[" * 2000,
    "{{ conn.reshape_default.password }}",
)

ZONES: st.SearchStrategy[Any] = st.one_of(st.none(), st.timezones())
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.decimals(allow_nan=True, allow_infinity=True),
    st.text(max_size=12),
    # Half characters too, as a broken export has them.
    st.text(st.characters(codec=None, exclude_categories=()), max_size=4),
    st.binary(max_size=6),
    st.datetimes(timezones=ZONES),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.ip_addresses(),
    st.emails(),
    st.sampled_from(ODDITIES),
    st.sampled_from(NEAR_MISSES),
)

LEAVES = [name.rpartition(".")[2] for name in PATHS]
KEYS = st.one_of(
    st.sampled_from(LEAVES),
    st.sampled_from(("name", "value", "x", "", "a.b", "disqualification_reason", "\ud800", "ana@example.com")),
    st.text(max_size=5),
)
WEIRD_KEYS: tuple[Any, ...] = (None, 5, True, 2.5, ("a", "b"), b"email", Kind.SQL, Loud(), frozenset({"x"}))

NESTED = st.recursive(
    JUNK,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(KEYS | st.sampled_from(WEIRD_KEYS), inner, max_size=4),
        st.tuples(inner, inner),
    ),
    max_leaves=6,
)

# Fields that may hold anything without making the lead invalid, plain and nested.
FIELD_COLUMNS = [
    *(name for name, path in sorted(PATHS.items()) if path[0] in ("user", "context", "consent") and len(path) > 1),
    *("user", "context", "cookies", "consent", "event.properties", "event.value", "event.exchange_rate"),
]
COLUMNS = st.one_of(
    st.sampled_from(sorted(PATHS)),
    st.sampled_from(sorted(BARE_NAMES)),
    st.sampled_from([name.upper().replace(".", "__") for name in sorted(PATHS)]),
    st.sampled_from(("event.properties.score", "user__properties__Plan", "cookies._ga", "crm", "Score", "deal_id")),
    st.text(max_size=6),
    st.sampled_from(WEIRD_KEYS),
)


TIMES = st.datetimes(datetime(1980, 1, 1), datetime(2090, 1, 1), timezones=ZONES)


def good_rows() -> st.SearchStrategy[dict[Any, Any]]:
    """Rows that would make an event, so that junk beside them reaches the last step too."""
    return st.fixed_dictionaries(
        {
            "lead_id": st.integers(1, 10**18) | st.uuids() | st.sampled_from(("a-1", Decimal(12))),
            "stage": st.sampled_from(("SQL", "sql ", "Lost", "New", "Unheard of", Kind.SQL)),
            "currency": st.sampled_from(("EUR", " ron")),
            "value": st.integers(0, 10_000) | st.decimals(0, 1000, places=2) | st.floats(0, 1e6),
            "disqualification_reason": st.sampled_from(("no_budget", "Too small", "Merged", "other", None)),
            "user.id": st.integers(1, 10**6).map(str),
        },
        optional={
            "email": st.emails() | st.sampled_from(NEAR_MISSES),
            "phone": st.sampled_from(NEAR_MISSES) | st.from_regex(r"\A\+?[0-9 ()-]{5,16}\Z"),
            "country": st.sampled_from(("Romania", "DE", "Ungaria", "xyz")),
            "context.url": st.sampled_from(NEAR_MISSES),
            "context.override_ip": st.ip_addresses() | st.ip_addresses().map(str),
            "cookies": st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3),
            "event.properties": st.dictionaries(KEYS, JUNK, max_size=4),
            "user.properties": st.dictionaries(st.text(max_size=6), st.lists(JUNK, max_size=3) | JUNK, max_size=3),
            "user.created_at": TIMES | st.integers(0, 4 * 10**12) | st.sampled_from(NEAR_MISSES),
            "occurred_at": TIMES,
            "consent.marketing": st.booleans() | st.none() | st.sampled_from(("yes", 0, "granted")),
            "event.exchange_rate": st.floats(0.1, 10),
            "context.environment": st.sampled_from(("dev", "PROD", None, "staging")),
        },
    )


def rows() -> st.SearchStrategy[Any]:
    """Any row: a good one with junk written over it, junk alone, or no row at all."""
    wrong_values = st.dictionaries(st.sampled_from(FIELD_COLUMNS), NESTED, max_size=4)
    wrong_columns = st.dictionaries(COLUMNS, NESTED, max_size=4)
    spoilt = [st.builds(lambda good, bad: {**good, **bad}, good_rows(), bad) for bad in (wrong_values, wrong_columns)]
    return st.one_of(good_rows(), *spoilt, wrong_columns, NESTED)
