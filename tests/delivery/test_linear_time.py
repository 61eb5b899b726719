"""A text of a server or of a row costs time that grows with its length only: no text may stop a send."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import pytest

from airflow_reshape.delivery import privacy, server_words
from airflow_reshape.delivery.answer_text import decoded_answer, said
from airflow_reshape.delivery.hidden_token import TokenFinder
from airflow_reshape.delivery.ledger.plain import plain
from airflow_reshape.delivery.retry import retry_after_seconds
from airflow_reshape.delivery.spellings import folded, unescaped
from airflow_reshape.delivery.transport import Answer
from airflow_reshape.delivery.verdict import judge
from airflow_reshape.events import cleaning, contacts, json_values, numbers, phones, text, times, web
from airflow_reshape.events.countries import country_in, region_of
from airflow_reshape.events.rules import Rules, shown
from airflow_reshape.mapping import EventBuilder, FieldMap, Steering
from tests.delivery.leads import lead

pytestmark = pytest.mark.timeout(60)

PIECES = (
    *("x", "7", "@", "+", " ", "'", '"', "{", "[", "<", ";", "-", "\\", "0", "\n", "é", "\u200d"),
    *("a.", "1 ", "a@", "@a", "a@b.co;", "7/", "%25", "\\u00", "&#9", "&amp;", '"a"b', ";sess", "a=?", "?a&", "ab-"),
    *(
        "1(",
        ",ext",
        "a\u0301\u0323",
        "\u0301\u0323",
        "f" * 63 + "-",
        "\nWarning: ",
        "<br>",
        "=41",
        "[{",
        "(1) ",
        "ext1",
    ),
)
SMALL, MIDDLE, LARGE, WHOLE = 500, 4_000, 64_000, 1_000_000
MOST_TIMES_LINEAR = 4
SHORTEST_MEASURED = 0.0002
"""Seconds of CPU for the shorter text; less is mostly chance."""
TOKEN = "Ab+9/xQ7~kLm=Zr4"
BODY = {"event": {"id": "e-1"}, "user": {"email": "ana@example.com", "first_name": "Xxxxxxxx", "phone": "+40722123456"}}
PREPARE = EventBuilder(FieldMap(), Steering(stage_map={"SQL": "lead_disqualified"}), Rules(default_region="RO"))
Reader = Callable[[str], object]

READERS: Mapping[str, Reader] = {
    "redacted": lambda given: privacy.redacted(given, BODY),
    "redacted, many values": lambda given: privacy.redacted(given[:2000], _values(given)),
    "redacted, long value": lambda given: privacy.redacted(given[:5000], {"event": {"properties": {"a": given}}}),
    "label": privacy.label,
    "words_told": lambda given: privacy.words_told({given: 5}),
    "event_label": privacy.event_label,
    "free_key_hidden": lambda given: privacy.free_key_hidden(f"user.properties.{given}"),
    "masked": lambda given: privacy.masked(
        {"user": {"first_name": given, given: 1}, "context": {"environment": given}}
    ),
    "told": server_words.told,
    "judge, detail": lambda given: judge(Answer(400, "application/json", text=json.dumps({"detail": given}))),
    "judge, text": lambda given: judge(Answer(200, "application/json", text=given)),
    "said": lambda given: said(given, is_json=False, is_cut=False),
    "decoded_answer": lambda given: decoded_answer(given.encode(), "utf-8"),
    "token": TokenFinder(TOKEN).is_in,
    "Retry-After": lambda given: retry_after_seconds(given, 0),
    "unescaped": unescaped,
    "folded": folded,
    "shown": shown,
    "clean": cleaning.clean,
    "clean_code": cleaning.clean_code,
    "text": text.text,
    "identifier": text.identifier,
    "proper_name": text.proper_name,
    "url": web.url,
    "address": web.address,
    "cookies": web.cookies,
    "email": contacts.email,
    "split_emails": contacts.split_emails,
    "phone": lambda given: phones.phone(given, "RO"),
    "split_phones": phones.split_phones,
    "country": lambda given: region_of(str(country_in(given))),
    "number": numbers.number,
    "time": lambda given: times.moment(given, "UTC"),
    "json": json_values.json_object,
    "json value": json_values.json_value,
    "plain": plain,
    "emails": lambda given: contacts.contacts(given, contacts.email, contacts.split_emails, takes_hashes=True),
    "phones": lambda given: contacts.contacts(given, _phone, phones.split_phones, takes_hashes=True),
}
BY_NAME = EventBuilder(FieldMap(unknown_columns="ignore"), Steering(), Rules())
KEYS: Mapping[str, Reader] = {
    "a column": lambda given: BY_NAME({**lead(1), "event.name": "lead_qualified", given: 1}),
    "a key of the user": lambda given: PREPARE({**lead(1, stage="SQL"), "user": {given: 1}}),
    "a property's key": lambda given: PREPARE({**lead(1, stage="SQL"), "event.properties": {given: {"a": 1}}}),
    "a cookie's name": lambda given: PREPARE({**lead(1, stage="SQL"), "cookies": {given: given}}),
    "an event's name": lambda given: BY_NAME({**lead(1), "event.name": given}),
}
FIELDS = (
    *("event.id", "event.value", "event.currency", "event.exchange_rate", "event.properties", "event.properties.x"),
    *("stage", "lead_id", "occurred_at", "disqualification_reason", "user.id", "user.email", "user.phone"),
    *("user.first_name", "user.country", "user.postal_code", "user.created_at", "user.properties"),
    *("user.new_customer", "context.url", "context.override_ip", "context.user_agent", "cookies", "cookies._ga"),
    *("consent.marketing",),
)


def _values(given: str) -> Mapping[str, Any]:
    return {"user": {"properties": {str(at): given[at : at + 150] for at in range(0, len(given), 150)}}}


def _phone(value: object) -> str:
    return phones.phone(value, "RO").e164


@pytest.mark.parametrize("name", READERS)
def test_a_million_characters_are_read_in_time_that_grows_with_them(name: str) -> None:
    _check(READERS[name], WHOLE)


@pytest.mark.parametrize("name", KEYS)
def test_no_name_in_a_row_takes_longer_than_its_length(name: str) -> None:
    _check(KEYS[name], LARGE)


@pytest.mark.parametrize("name", FIELDS)
def test_no_field_of_a_row_takes_longer_than_its_length(name: str) -> None:
    _check(lambda given: PREPARE({**lead(1, stage="SQL"), name: given}), LARGE)


def test_the_check_finds_a_square() -> None:
    with pytest.raises(AssertionError, match="grows"):
        _check(re.compile(r"[^\s@]+@x").search, LARGE)


def _check(read: Reader, whole: int) -> None:
    """What grows with more than the length shows with few characters already; of the slowest piece, all are read."""
    taken = {piece: _compared(read, piece, SMALL, MIDDLE) for piece in PIECES}
    _compared(read, max(taken, key=taken.__getitem__), LARGE if whole > LARGE else MIDDLE, whole)


def _compared(read: Reader, piece: str, small: int, large: int) -> float:
    taken, most = _seconds(read, piece, large), MOST_TIMES_LINEAR * large / small
    if taken > most * SHORTEST_MEASURED:
        before = min(_seconds(read, piece, small) for _ in range(3))
        allowed = most * max(before, SHORTEST_MEASURED)
        taken = taken if taken <= allowed else min(taken, _seconds(read, piece, large))
        assert taken <= allowed, f"grows: {piece!r}, {taken / before:.0f} times"
    return taken


def _seconds(read: Reader, piece: str, length: int) -> float:
    given: Any = "1" + piece * (length // len(piece))
    begin = time.process_time()
    with suppress(ValueError):  # so is a PydanticCustomError
        read(given)
    return time.process_time() - begin
