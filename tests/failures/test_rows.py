"""A kept row makes the event that it made, or fails as it failed."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pandas as pd  # type: ignore[import-untyped, unused-ignore]
import pytest
from hypothesis import given, settings

from airflow_reshape.delivery.failures.rows import Unreadable, decoded_row, encoded_row, holds_unreadable, row_text
from airflow_reshape.events import LeadDisqualified, LeadQualified, User
from airflow_reshape.events.models import BaseEvent, Event
from airflow_reshape.events.rules import Rules
from airflow_reshape.mapping import EventBuilder
from airflow_reshape.mapping.values import UNREADABLE, plain
from tests.mapping.strategies import Loud, LoudMap, endless, rows
from tests.mapping.test_any_row import FIXED, body_or_none, builders

AT = datetime(2024, 10, 27, 3, 30, 5, 123456)
DRIVER_VALUES: list[Any] = [
    None,
    "",
    "  blanks stay  ",
    "\ud800 half a character",
    True,
    0,
    -(2**63),
    10**400,
    1.5,
    1e308,
    float("inf"),
    float("-inf"),
    Decimal("750.50"),
    Decimal("1E+999"),
    AT,
    AT.replace(fold=1),
    AT.replace(tzinfo=UTC),
    AT.replace(tzinfo=timezone(timedelta(hours=5, minutes=30, seconds=7))),
    date(1, 1, 1),
    time(12, 30, 0, 5),
    time(12, 30, tzinfo=UTC),
    timedelta(days=-3, microseconds=7),
    UUID(int=7),
    b"\xff\xfe",
    ["a", 1, None],
    ("a", ("b",)),
    {"a", "b"},
    frozenset({1, (2, 3)}),
    {"nested": {"deeper": [Decimal("0.1")]}},
    {1: "a", None: "b", ("x", 1): "c", b"y": "d", 2.5: "e"},
    {"$": "looks like a tag", "v": 1},
]


def kept(row: object) -> Any:
    """A row after it was written to a file and read."""
    return decoded_row(json.loads(row_text(encoded_row(row, plain))))


@pytest.mark.parametrize("value", DRIVER_VALUES, ids=lambda value: f"{type(value).__name__}")
def test_values_of_drivers_keep_value_and_type(value: Any) -> None:
    read = kept({"x": value})["x"]
    assert read == value or (isinstance(value, frozenset) and set(read) == value)
    assert type(read) is type(value) or isinstance(value, set)
    if isinstance(value, datetime):
        assert (read.utcoffset(), read.fold) == (value.utcoffset(), value.fold)


def test_the_second_of_two_equal_hours_keeps_its_offset() -> None:
    twice = AT.replace(tzinfo=ZoneInfo("Europe/Bucharest"))
    assert kept({"x": twice})["x"].utcoffset() == timedelta(hours=3)
    assert kept({"x": twice.replace(fold=1)})["x"].utcoffset() == timedelta(hours=2)


def test_a_nanosecond_is_told_as_before() -> None:
    precise = pd.Timestamp("2024-05-01 10:00:00.123456789", tz="Europe/Bucharest")
    assert kept({"x": precise})["x"] == precise.isoformat()


@settings(FIXED, max_examples=400)
@given(builders(), rows())
def test_a_kept_row_makes_the_same_event(built: tuple[EventBuilder, Rules], row: Any) -> None:
    builder, _ = built
    assert body_or_none(builder, kept(row)) == body_or_none(builder, row)


@pytest.mark.parametrize("value", [Loud(), LoudMap(), endless(), 2j, object()], ids=lambda v: type(v).__name__)
def test_what_cannot_be_kept_is_marked_and_stays_unreadable(value: Any) -> None:
    content = encoded_row({"lead_id": 5, "x": value}, plain)
    assert holds_unreadable(content)
    row: Any = decoded_row(content)
    assert row["lead_id"] == 5
    assert plain(row["x"]) is UNREADABLE


def test_what_the_driver_could_not_read_stays_that() -> None:
    row = kept({"lead_id": 5, "x": UNREADABLE, "y": [UNREADABLE, {"z": UNREADABLE}], "w": (UNREADABLE,)})
    assert row["x"] is row["y"][0] is row["y"][1]["z"] is row["w"][0] is UNREADABLE
    content = encoded_row({"x": UNREADABLE}, plain)
    assert holds_unreadable(content)
    assert encoded_row(decoded_row(content), plain) == content


def test_its_text_is_kept() -> None:
    row = kept({"x": 2j})
    assert row["x"].type == "builtins.complex"
    assert row["x"].text == "2j"
    assert "2j" not in repr(row)


@pytest.mark.parametrize("row", [None, 5, "text", [1], LoudMap(), Loud()], ids=lambda v: type(v).__name__)
def test_what_is_no_row_is_read_as_no_row(row: Any) -> None:
    assert isinstance(kept(row), Unreadable)


EVENTS: list[BaseEvent] = [
    LeadQualified.model_validate(
        {"event": {"id": "42:MQL", "currency": "EUR", "value": 5}, "user": {"email": ["a@example.com"]}}
    ),
    LeadDisqualified.model_validate(
        {
            "event": {
                "id": "42",
                "value": 0,
                "currency": "EUR",
                "properties": {"disqualification_reason": "no_budget"},
            },
            "user": {"id": "c-7"},
            "consent": {"analytics": True, "personalization": False, "marketing": False},
        }
    ),
    Event.model_validate(
        {"event": {"name": "purchase", "id": "5"}, "products": [{"sku": "a", "price": 5}], "cookies": {"_ga": "x"}}
    ),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.event.name)
def test_events_are_read_back_as_events(event: BaseEvent) -> None:
    read = kept(event)
    assert type(read) is type(event)
    assert read == event


def test_an_event_of_an_own_class_becomes_the_row_of_its_parts() -> None:
    class Own(LeadQualified):
        shade: str

    own = Own.model_validate({"event": {"id": "1", "currency": "EUR"}, "user": User(id="c"), "shade": "red"})
    assert kept(own)["shade"] == "red"
