"""Contacts as CRMs hold them: what a server receives of each. Whoever matches, it is the right person or nobody."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_reshape.mapping.values import UNREADABLE
from tests.values.conftest import Send

# value, country of the row, E.164s that are right; none at all is right everywhere
PHONES: list[tuple[Any, Any, set[str]]] = [
    ("1711234567.0", "DE", {"+491711234567"}),
    (1711234567.0, "DE", {"+491711234567"}),
    ("43664123456.0", "AT", {"+43664123456"}),
    ("0171 1234567 (Ana)", "DE", {"+491711234567"}),
    ("+40721eeasd0", None, set()),
    ("0722HELLO1", None, set()),
    ("040 123456/57", "DE", {"+4940123456"}),
    ("061234567", "FR", set()),
    ("+33061234567", None, set()),
    ("009 40 722 123 456", "CO", {"+40722123456"}),
    ("+40722***456", None, set()),
    ("07221234XX", None, set()),
    ("0722 123 45#", None, set()),
    ("0722123456 0733123456", None, set()),
    ("07221234560733123456", None, set()),
    ("4.0722E+10", None, set()),
    ("+40\ufffd722123456", None, set()),
    ("fax 0722123456", None, set()),
]
READ: list[tuple[Any, Any, str]] = [
    ("+40\ufe0f-722-123-456", None, "+40722123456"),
    ("06\u202f12\u202f34\u202f56\u202f78", "FR", "+33612345678"),
    ("\u202a+40 722 123 456\u202c", None, "+40722123456"),
    ("tel: 0722 123 456", None, "+40722123456"),
    ("+44 (0)20 7946 0958", "DE", "+442079460958"),
    ("0722\u2011123\u2011456", None, "+40722123456"),
    ("011 40 722 123 456", "US", "+40722123456"),
    ("0011 40 722 123 456", "AU", "+40722123456"),
    ("0040 722 123 456", None, "+40722123456"),
    ("(212) 555-0142 ext. 12", "US", "+12125550142"),
    ("\uff10\uff17\uff12\uff12 \uff11\uff12\uff13 \uff14\uff15\uff16", None, "+40722123456"),
    (722123456, None, "+40722123456"),
]


@pytest.mark.parametrize(("phone", "country", "right"), PHONES)
def test_a_phone_is_the_right_one_or_nobodys(phone: Any, country: Any, right: set[str], send: Send) -> None:
    sent = send({"phone": phone, "country": country, "first_name": "Ana"})
    assert sent.at("user.first_name") == "Ana"
    assert sent.at("user.phone") in {None, *right}
    if sent.at("user.phone") is None:
        assert "user.phone" in sent.counted
    assert sent.summary["doubtful"] == {}


@pytest.mark.parametrize(("phone", "country", "e164"), READ)
def test_a_phone_is_read(phone: Any, country: Any, e164: str, send: Send) -> None:
    assert send({"phone": phone, "country": country}).at("user.phone") == e164


COUNTRIES: list[tuple[Any, str, str | None]] = [
    (["DE"], "0171 1234567", "+491711234567"),
    ({"code": "DE"}, "0171 1234567", "+491711234567"),
    ([57, "Germany"], "0171 1234567", "+491711234567"),
    ('[57, "Germany"]', "0171 1234567", "+491711234567"),
    (b"\xff\xfe", "0722 123 456", None),
    ([57], "0722 123 456", None),
    ({"id": 57}, "0722 123 456", None),
    (UNREADABLE, "0722 123 456", None),
    (["DE", "RO"], "0722 123 456", None),
    (57, "0722 123 456", None),
    ("Elbonia", "0722 123 456", None),
    ("U.S.A.", "(212) 555-0142", "+12125550142"),
    ("The Netherlands", "06 12345678", "+31612345678"),
    ("Bolivia (Plurinational State of)", "71234567", "+59171234567"),
    ("Republica Moldova", "0650 12 345", "+37365012345"),
    ("Roma\u0302nia", "0722 123 456", "+40722123456"),
    ("Franta", "06 12 34 56 78", "+33612345678"),
    ("Elvetia", "078 123 45 67", "+41781234567"),
    ("SUA", "(212) 555-0142", "+12125550142"),
    ("Korea South", "010-2000-0000", "+821020000000"),
    ("N/A", "0722 123 456", "+40722123456"),
    ("-", "0722 123 456", "+40722123456"),
    ("null", "0722 123 456", "+40722123456"),
    (False, "0722 123 456", "+40722123456"),
]


@pytest.mark.parametrize(("country", "phone", "e164"), COUNTRIES, ids=lambda value: ascii(value)[:40])
def test_a_country_of_any_shape(country: Any, phone: str, e164: str | None, send: Send) -> None:
    sent = send({"country": country, "phone": phone, "first_name": "Ana"})
    assert sent.at("user.first_name") == "Ana"
    assert sent.at("user.phone") == e164
    if e164 is None:
        assert "user.phone" in sent.counted


def test_a_placeholder_is_not_sent_as_a_country(send: Send) -> None:
    sent = send({"country": "N/A", "first_name": "Ana"})
    assert sent.at("user.country") is None
    assert sent.summary["cleaned_by"] == {"user.country: a placeholder, taken for no country": 1}


SEVERAL: list[tuple[str, Any, list[str]]] = [
    ("email", "a@x.example;b@x.example", ["a@x.example", "b@x.example"]),
    ("email", "a@x.example, b@x.example", ["a@x.example", "b@x.example"]),
    ("email", '"Ana Pop" <ana@x.example>', ["ana@x.example"]),
    ("email", "mailto:ana@x.example?subject=Hi", ["ana@x.example"]),
    (
        "email",
        [{"label": "work", "value": "b@x.example", "primary": False}, {"value": "a@x.example", "primary": True}],
        ["a@x.example", "b@x.example"],
    ),
    ("email", '[{"value": "a@x.example", "primary": true}]', ["a@x.example"]),
    ("phone", "0722123456;0733123456", ["+40722123456", "+40733123456"]),
    ("phone", "0722123456 / 0733123456", ["+40722123456", "+40733123456"]),
    ("phone", "0722123456\n0733123456", ["+40722123456", "+40733123456"]),
    (
        "phone",
        [{"value": "0733123456", "primary": False}, {"value": "0722123456", "primary": True}],
        ["+40722123456", "+40733123456"],
    ),
]


@pytest.mark.parametrize(("field", "value", "contacts"), SEVERAL, ids=lambda value: ascii(value)[:40])
def test_several_contacts_in_one_cell(field: str, value: Any, contacts: list[str], send: Send) -> None:
    sent = send({field: value}).at(f"user.{field}")
    assert ([sent] if isinstance(sent, str) else sent) == contacts


@pytest.mark.parametrize(("field", "value", "contacts"), SEVERAL, ids=lambda value: ascii(value)[:40])
def test_an_event_that_takes_one_gets_the_primary_or_first(
    field: str, value: Any, contacts: list[str], send: Send
) -> None:
    lead = {"user.id": "c-1", "value": 0, "disqualification_reason": "no_budget"}
    sent = send({**lead, field: value}, event="lead_disqualified")
    assert sent.at(f"user.{field}") == contacts[0]
    assert sent.summary["cleaned"].get(f"user.{field}", 0) == (1 if len(contacts) > 1 else 0)


EMAILS: list[tuple[Any, str | None]] = [
    ("\u200bana.one@example.com", "ana.one@example.com"),
    ("ana\xad.three@example.com", "ana.three@example.com"),
    ("ana@example.com\u2060", "ana@example.com"),
    ("ana\x00@example.com", "ana@example.com"),
    ("\ufeffANA@EXAMPLE.COM\r\n", "ana@example.com"),
    ("an\ufffda@example.com", None),
    ("ana@example.com.invalid", None),
    ("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", None),
    ("E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855", None),
    (False, None),
    ("test@test.com", "test@test.com"),
]


@pytest.mark.parametrize(("email", "written"), EMAILS)
def test_an_address_is_read_or_nobodys(email: Any, written: str | None, send: Send) -> None:
    sent = send({"email": email, "first_name": "Ana"})
    assert sent.at("user.email") == written
    assert sent.at("user.first_name") == "Ana"
    assert sent.summary["sent_without"] == ({} if written or email is False else {"user.email": 1})


@pytest.mark.parametrize("email", ["qa@example.com", "\u200bqa@example.com", "QA@exam\xadple.com\u200e"])
@pytest.mark.parametrize("pattern", ["qa@*", " QA@Example.com", "qa\u200b@example.com"])
def test_nobody_gets_past_an_exclusion_by_what_is_invisible(email: str, pattern: str, send: Send) -> None:
    sent = send({"email": email}, exclude_emails=[pattern])
    assert sent.body is None
    assert sent.summary["skipped_by"] == {"excluded": 1}
