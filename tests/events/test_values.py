"""Single values: text, numbers, flags, currencies, addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pycountry
import pytest
from pydantic_core import PydanticCustomError

from airflow_reshape.events import formats, numbers
from airflow_reshape.events import text as texts
from tests.events.reading import Read, base, read, user_field


def refuses(check: Callable[[Any], Any], value: Any) -> str:
    with pytest.raises(PydanticCustomError) as refusal:
        check(value)
    return refusal.value.type


TEXTS = [
    ("x", "x"),
    ("  two words\t", "two words"),
    (b"bytes", "bytes"),
    (12, "12"),
    (-5, "-5"),
    (2**63 - 1, "9223372036854775807"),  # BIGINT ids
    (10**37, str(10**37)),
    (12.0, "12"),
    (1.5, "1.5"),
    (Decimal("12.00"), "12"),
    (Decimal("1.10"), "1.1"),
    (Decimal(100), "100"),
    (Decimal("1E+5"), "100000"),
    (Decimal("0E-500"), "0"),
    (Decimal(10**38 - 1), "9" * 38),  # NUMBER(38)
    (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
    (date(2024, 5, 1), "2024-05-01"),
    (datetime(2024, 5, 1, 10), "2024-05-01T10:00:00"),
    ("{{ conn.reshape_default.password }}", "{{ conn.reshape_default.password }}"),
]
NO_TEXTS = [
    ("", "text_empty"),
    (" \n", "text_empty"),
    (b"", "text_empty"),
    (b"\xff", "text_encoding"),
    ("\ud800", "text_encoding"),
    (True, "text_type"),
    (None, "text_type"),
    ([], "text_type"),
    ({}, "text_type"),
    (object(), "text_type"),
    (float("nan"), "number_finite"),
    (float("inf"), "number_finite"),
    (Decimal("sNaN"), "number_finite"),
    (1e22, "number_range"),
    pytest.param(10**5000, "number_range", id="more digits than Python prints"),
    (Decimal("1E+5000"), "number_range"),
    (Decimal("1E-5000"), "number_range"),
]


@pytest.mark.parametrize(("given", "written"), TEXTS)
def test_text(given: Any, written: str) -> None:
    assert texts.text(given) == written


@pytest.mark.parametrize(("given", "rule"), NO_TEXTS)
def test_no_text(given: Any, rule: str) -> None:
    assert refuses(texts.text, given) == rule


NUMBERS = [
    (0, 0),
    (750.0, 750),
    (0.92, 0.92),
    (-1.5, -1.5),
    (1e300, 1e300),
    (2**53, 2**53),
    (Decimal("750.50"), 750.5),
    (Decimal("750.00"), 750),
    (Decimal("1E-400"), 0),
    ("12", 12),
    (" 12.50 ", 12.5),
    ("1e5", 100_000),
    ("-3", -3),
    (b"12.50", 12.5),
]
NO_NUMBERS = [
    ("", "number_type"),
    ("1,5", "number_type"),
    ("1.234,50", "number_type"),
    ("12 EUR", "number_type"),
    ("0x10", "number_type"),
    (True, "number_type"),
    ([], "number_type"),
    (None, "number_type"),
    ({}, "number_type"),
    ("NaN", "number_finite"),
    ("-Infinity", "number_finite"),
    (float("nan"), "number_finite"),
    (Decimal("sNaN"), "number_finite"),
    (Decimal("Infinity"), "number_finite"),
    (2**53 + 1, "number_range"),
    ("9007199254740993", "number_range"),
    (Decimal("1E+400"), "number_range"),
    ("1e999999999", "number_range"),
    (b"\xff", "number_type"),
    ("3.000", "number_ambiguous"),
    ("-12.500", "number_ambiguous"),
]


@pytest.mark.parametrize(("given", "written"), NUMBERS)
def test_number(given: Any, written: float) -> None:
    number = numbers.number(given)
    assert number == written
    assert type(number) is type(written)


@pytest.mark.parametrize(("given", "rule"), NO_NUMBERS)
def test_no_number(given: Any, rule: str) -> None:
    assert refuses(numbers.number, given) == rule


FLAGS = [
    *(
        (value, True)
        for value in (True, 1, 1.0, Decimal(1), "1", "true", " TRUE ", "t", "Yes", "y", "on", b"1", b"\x01")
    ),
    *((value, False) for value in (False, 0, 0.0, Decimal(0), "0", "false", "F", "no", "n", "OFF", b"no", b"\x00")),
]
NO_FLAGS = [
    2,
    -1,
    0.5,
    "",
    "maybe",
    "granted",
    None,
    [],
    {},
    float("nan"),
    Decimal("NaN"),
    Decimal("sNaN"),
    b"\x02",
    object(),
]


@pytest.mark.parametrize(("given", "written"), FLAGS)
def test_flag(given: Any, written: bool) -> None:
    assert formats.flag(given) is written


@pytest.mark.parametrize("given", NO_FLAGS)
def test_no_flag(given: Any) -> None:
    assert refuses(formats.flag, given) in {"flag_type", "text_binary"}


@pytest.mark.parametrize("given", ["EUR", " eur", b"ron", "Usd"])
def test_currency(given: Any) -> None:
    text = given.decode() if isinstance(given, bytes) else given
    assert formats.currency(given) == text.strip().upper()


# Codes for no currency, for tests, bonds, metals and special drawing rights.
NOBODY_PAYS_IN = {"XXX", "XTS", "XBA", "XBB", "XBC", "XBD", "XAG", "XAU", "XPD", "XPT", "XDR"}


def test_all_currencies_of_the_standard() -> None:
    for currency in pycountry.currencies:
        if currency.alpha_3 in NOBODY_PAYS_IN:
            assert refuses(formats.currency, currency.alpha_3) == "currency"
        else:
            assert formats.currency(currency.alpha_3) == currency.alpha_3


@pytest.mark.parametrize("given", ["EURO", "EU", "€", "ABC", "978", 978, "", None, True, "lei", "ｅｕｒ"])
def test_no_currency(given: Any) -> None:
    assert refuses(formats.currency, given) in {"currency", "text_type", "text_empty"}


ADDRESSES = [
    ("203.145.67.89", "203.145.67.89"),
    (" 8.8.8.8 ", "8.8.8.8"),
    ("2001:4860:4860:0::8888", "2001:4860:4860::8888"),
    ("2001:4860:4860::8888%eth0", "2001:4860:4860::8888"),
    ("::ffff:8.8.8.8", "8.8.8.8"),
    ("8.8.8.8:443", "8.8.8.8"),
    ("[2001:4860:4860::8888]:443", "2001:4860:4860::8888"),
    ("10.0.0.1, 8.8.8.8, 1.1.1.1", "8.8.8.8"),
    ("unknown, 8.8.8.8", "8.8.8.8"),
    ('for=10.0.0.1;proto=https, for="[2001:4860:4860::8888]:4711"', "2001:4860:4860::8888"),
    (ipaddress.ip_address("8.8.8.8"), "8.8.8.8"),
    (ipaddress.ip_address("2001:4860:4860::8888"), "2001:4860:4860::8888"),
    *(
        (private, None)
        for private in (
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1%eth0",
            "fc00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
        )
    ),
]


@pytest.mark.parametrize(("given", "written"), ADDRESSES)
def test_private_addresses_are_dropped_and_counted(given: Any, written: str | None) -> None:
    outcome = read("lead_qualified", "webhooks", context__override_ip=given)
    assert outcome.body is not None
    assert outcome.body["context"].get("override_ip") == written
    assert (outcome.fields, outcome.cleaned) == ([], () if written else ("context.override_ip",))


@pytest.mark.parametrize(
    "given", ["8.8.8", "8.8.8.8:https", "unknown, _hidden", "localhost", "8.8.8.8/24", 134744072, b"\x08", "", "::g"]
)
def test_no_address(given: Any) -> None:
    outcome = read("lead_qualified", context__override_ip=given)
    assert outcome.body is not None
    assert outcome.fields == ["context.override_ip"]


PROPERTIES = [
    ("text", "text"),
    ("  cleaned \u200bas\r\nall texts ", "cleaned as all texts"),
    ("350.00", "350.00"),
    (350.0, 350),
    (Decimal("0.92"), 0.92),
    (True, True),
    (["a", "b"], ["a", "b"]),
    (("a",), ["a"]),
    ([1, 2.5, True, None, UUID(int=1)], ["1", "2.5", "true", "00000000-0000-0000-0000-000000000001"]),
    ([], []),
    (date(2024, 5, 1), "2024-05-01"),
    (b"bytes", "bytes"),
    (None, None),
    ({"nested": 1}, None),
    ([["a"]], None),
    ([{"a": 1}], None),
    (2**53 + 1, None),
    (float("inf"), None),
    ("\ud800", None),
    (object(), None),
]


@pytest.mark.parametrize(("given", "written"), PROPERTIES)
@pytest.mark.parametrize("part", ["event", "user"])
def test_properties_are_texts_numbers_booleans_and_lists_of_texts(part: str, given: Any, written: Any) -> None:
    outcome = Read(base("lead_qualified", **{f"{part}__properties": {"x": given, "other": 1}}))
    assert outcome.body is not None
    assert outcome.body[part]["properties"] == {"other": 1} | ({} if written is None else {"x": written})
    assert outcome.fields == ([f"{part}.properties.x"] if written is None and given is not None else [])


@pytest.mark.parametrize("field", ["orders_total_number", "orders_total_value", "predicted_value"])
def test_numbers_of_the_user(field: str) -> None:
    assert user_field(field, Decimal("12.50")) == 12.5
    assert user_field(field, "5") == 5
    assert user_field(field, "five") is None


@pytest.mark.parametrize("field", ["id", "first_name", "last_name", "region", "city", "street", "postal_code"])
def test_texts_of_the_user(field: str) -> None:
    assert user_field(field, 10001.0) == "10001"
    assert user_field(field, " a ") == "a"
    assert user_field(field, True) is None


def test_new_customer_is_a_flag() -> None:
    assert user_field("new_customer", 0) is False
    assert user_field("new_customer", b"\x01") is True
    assert user_field("new_customer", "perhaps") is None
