"""Texts, ids, times, numbers and what browsers leave behind, as CRMs hold them: what a server receives of each."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest

from airflow_reshape.mapping.values import UNREADABLE
from tests.values.conftest import Send

PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
NIL = "00000000-0000-0000-0000-000000000000"
TEXTS: list[tuple[str, Any, Any]] = [
    ("user.first_name", "Ana\x00 Maria", "Ana Maria"),
    ("user.first_name", "Ana\r\n\tMaria", "Ana Maria"),
    ("user.first_name", " Ana\u00a0\u2003Maria\u2028", "Ana Maria"),
    ("user.first_name", "Ana\u200b\u00ad", "Ana"),
    ("user.first_name", "S\u0326tefania", "\u0218tefania"),
    ("user.first_name", PERSIAN, PERSIAN),
    ("user.first_name", "\u0915\u094d\u200d\u0937", "\u0915\u094d\u200d\u0937"),
    ("user.first_name", "An\u200da", "Ana"),
    ("user.first_name", "NULL", None),
    ("user.first_name", "None", None),
    ("user.last_name", "-", None),
    ("user.last_name", "[not provided]", None),
    ("user.city", "N/A", None),
    ("user.first_name", "test", "test"),
    ("user.last_name", "Na", "Na"),
    ("user.last_name", "Null", "Null"),
    ("user.first_name", "Nan", "Nan"),
    ("user.first_name", "NaN", None),
    ("user.first_name", False, None),
    ("user.id", "c-\u200b1", "c-1"),
    ("user.id", "nan", None),
    ("user.id", "0", None),
    ("user.id", False, None),
    ("event.properties.note", "  call\r\nher  back ", "call her back"),
    ("event.properties.flag", False, False),
    ("event.properties.k\u200bey", "x", None),
    ("event.value", np.float32(19.99), 19.99),
    ("event.value", "3.000", None),
    ("event.value", "3000.00", 3000),
    ("event.exchange_rate", 0, None),
    ("event.exchange_rate", "-1", None),
    ("event.exchange_rate", 4.97, 4.97),
    ("user.created_at", "2025-08-11 12:00:00 UTC", 1754913600000),
    ("user.created_at", "2025-08-11 05:00:00.000 -0700", 1754913600000),
    ("user.created_at", "2025-08-11 12:00:00.123456 UTC", 1754913600123),
    ("user.created_at", "2025-08-11 14:00:00 +02", 1754913600000),
    ("user.created_at", 253402300799, None),
    ("user.created_at", "253402300799", None),
    ("user.created_at", False, None),
    ("context.overide_ip", "8.8.8.8:5555", "8.8.8.8"),
    ("context.overide_ip", "10.0.0.1, 8.8.8.8, 1.1.1.1", "8.8.8.8"),
    ("context.overide_ip", "[2001:4860:4860::8888]:443", "2001:4860:4860::8888"),
    ("context.overide_ip", "10.0.0.1, 192.168.0.1", None),
    ("context.url", "www.example.com/lp?gclid=Cj0K", "https://www.example.com/lp?gclid=Cj0K"),
    ("context.url", "https://example.com/u/ana%40example.com/stop?gclid=1", "https://example.com/u/stop?gclid=1"),
    ("context.url", "https://example.com/u/ana@example.com", "https://example.com/u"),
    ("context.url", "https://example.com/call/+40722123456/now", "https://example.com/call/now"),
    ("context.url", "https://example.com/?fname=Ana&lname=Pop&utm_source=x", "https://example.com/?utm_source=x"),
    ("context.url", "https://exam\u200bple.com/a", "https://example.com/a"),
]


@pytest.mark.parametrize(("column", "given", "written"), TEXTS, ids=lambda value: ascii(value)[:40])
def test_a_field(column: str, given: Any, written: Any, send: Send) -> None:
    sent = send({column: given, "user.region": "Cluj"})
    assert sent.at("user.region") == "Cluj"
    value = sent.at(column)
    assert value == written
    assert type(value) is type(written)


def test_what_is_left_out_is_counted_and_what_is_empty_is_not(send: Send) -> None:
    sent = send({"first_name": "NULL", "user.id": "nan", "event.value": "3.000", "city": False, "street": None})
    assert sent.summary["left_out_by"] == {
        "user.first_name: must not be a placeholder such as NULL or N/A": 1,
        "user.id: must be an id, not a placeholder such as null, nan or 0": 1,
        "event.value: may be decimals or thousands: give a number, not text such as 3.000": 1,
    }


def test_cookies_as_the_header_has_them(send: Send) -> None:
    sent = send({"cookies": "_fbp=fb.1.1.2; _ga=GA1.1.2.3;empty=; "})
    assert sent.at("cookies") == [{"name": "_fbp", "value": "fb.1.1.2"}, {"name": "_ga", "value": "GA1.1.2.3"}]


def test_a_short_float_of_a_frame_keeps_its_digits(hook: Any, receiver: Any) -> None:
    frame = pd.DataFrame({"lead_id": ["a"], "currency": ["EUR"], "value": np.array([19.99], dtype="float32")})
    hook.send_events(frame, event="lead_qualified")
    assert receiver.requests[0].body["event"]["value"] == 19.99


@pytest.mark.parametrize(
    "given",
    [
        "nan",
        "NaN",
        "null",
        "None",
        "undefined",
        "0",
        0,
        0.0,
        "\u200b",
        "-",
        "N/A",
        "00000000-0000-0000-0000-000000000000",
    ],
)
@pytest.mark.parametrize("column", ["lead_id", "event.id"])
def test_an_id_that_is_none_makes_the_lead_invalid(column: str, given: Any, send: Send) -> None:
    sent = send({column: given})
    assert sent.body is None
    assert sent.summary["invalid"] == 1
    assert all(told.startswith((column, "event.id")) for told in sent.summary["invalid_by"])


def test_an_id_of_bytes_that_are_no_text_makes_the_lead_invalid(send: Send) -> None:
    sent = send({"lead_id": bytes(15) + b"A"})
    assert (sent.body, sent.summary["invalid"]) == (None, 1)
    assert list(sent.summary["invalid_by"]) == [
        "lead_id: must be text, but holds bytes that are none: convert it in the query, as HEX(…)"
    ]


@pytest.mark.parametrize(("given", "written"), [("EU\u200bR", "EUR"), ("eur\x00", "EUR"), ("XXX", None), ("XTS", None)])
def test_a_currency(given: str, written: str | None, send: Send) -> None:
    sent = send({"currency": given})
    assert sent.at("event.currency") == written
    assert sent.summary["invalid"] == (0 if written else 1)


@pytest.mark.parametrize(
    "reason", ["no_budget", "no_\u200bbudget", " NO_BUDGET\x00", "Too\u00a0small", "too  sm\u00adall"]
)
def test_a_reason(reason: str, send: Send) -> None:
    row = {"user.id": "c", "value": 0, "disqualification_reason": reason}
    sent = send(row, event="lead_disqualified", reason_map={"Too small": "no_budget"})
    assert sent.at("event.properties.disqualification_reason") == "no_budget"


@pytest.mark.parametrize("stage", ["SQL", " sql\u200b", "S\u00adQL", "\ufeffSQL"])
@pytest.mark.parametrize("spelled", ["SQL", "\u200bSQL"])
def test_a_stage(stage: str, spelled: str, send: Send) -> None:
    sent = send({"stage": stage}, event=None, stage_map={spelled: "lead_qualified"})
    assert sent.at("event.id") == "L-1:SQL"


@pytest.mark.parametrize(
    "shape", ["{:%Y-%m-%d %H:%M:%S} UTC", "{:%Y-%m-%d %H:%M:%S.%f} +0000", "{:%Y-%m-%dT%H:%M:%S}\u200bZ"]
)
def test_a_time_with_its_zone_is_an_age(shape: str, send: Send) -> None:
    now = datetime.now(UTC)
    assert send({"occurred_at": shape.format(now - timedelta(hours=1))}).summary["delivered"] == 1


def test_a_time_that_is_too_old_is_too_old_in_these_forms_too(send: Send) -> None:
    old = datetime.now(UTC) - timedelta(hours=73)
    assert send({"occurred_at": f"{old:%Y-%m-%d %H:%M:%S} UTC"}).summary["skipped_by"] == {"too_old": 1}


@pytest.mark.parametrize(
    "email", ["a@x.example;qa@corp.example", [{"value": "qa@corp.example"}, {"value": "a@x.example", "primary": True}]]
)
def test_an_address_that_the_event_has_no_place_for_is_excluded_too(email: Any, send: Send) -> None:
    row = {"user.id": "c", "value": 0, "disqualification_reason": "no_budget", "email": email}
    sent = send(row, event="lead_disqualified", exclude_emails=["*@corp.example"])
    assert (sent.body, sent.summary["skipped_by"]) == (None, {"excluded": 1})


NESTED = [
    {"user": {"id": UNREADABLE}},
    {"user": {"id": "c", "email": UNREADABLE}},
    {"email": ["a@x.example", UNREADABLE]},
]


@pytest.mark.parametrize("row", NESTED, ids=str)
def test_an_unreadable_value_inside_takes_no_guard_with_it_either(row: Any, send: Send) -> None:
    assert send(row, exclude_emails=["*@corp.example"]).body is None


@pytest.mark.parametrize("column", ["lead_id", "event.id"])
def test_an_id_of_a_short_float_has_lost_its_digits(column: str, send: Send) -> None:
    assert send({column: np.float32(123456789)}).body is None
    assert send({column: np.float32(16777)}).body is not None


CRUCIAL = [
    "lead_id",
    "stage",
    "previous_stage",
    "occurred_at",
    "event.id",
    "user.id",
    "consent.marketing",
    "consent",
    "user",
]


@pytest.mark.parametrize("column", [*CRUCIAL, "consent", "user"])
def test_an_unreadable_cell_takes_no_guard_with_it(column: str, send: Send) -> None:
    sent = send({column: UNREADABLE, "email": "ana@example.com"} if column != "user" else {column: UNREADABLE})
    assert (sent.body, sent.summary["invalid"]) == (None, 1)


def test_an_unreadable_reason_makes_the_lead_invalid_even_where_none_is_needed(send: Send) -> None:
    row = {"user.id": "c", "value": 0, "disqualification_reason": UNREADABLE}
    assert send(row, event="lead_disqualified", require_reason=False).body is None


def test_an_unreadable_address_does_not_get_past_an_exclusion(send: Send) -> None:
    row = {"email": UNREADABLE, "first_name": "Tester"}
    assert send(row, exclude_emails=["*@example.com"]).body is None
    assert send(row).at("user.first_name") == "Tester"


@pytest.mark.parametrize("column", ["phone", "first_name", "context.url", "event.value", "event.properties.x"])
def test_an_unreadable_cell_elsewhere_is_left_out_and_counted(column: str, send: Send) -> None:
    sent = send({column: UNREADABLE, "email": "ana@example.com"})
    assert sent.at("user.email") == "ana@example.com"
    assert len(sent.summary["sent_without"]) == 1
