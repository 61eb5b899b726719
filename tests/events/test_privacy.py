"""No error, no problem and no repr shows a value of a lead."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_reshape.events import (
    Consent,
    Context,
    Event,
    InvalidEvent,
    LeadDisqualified,
    LeadQualified,
    Rules,
    User,
    read_event,
)
from airflow_reshape.events.models import EVENT_MODELS, BaseEvent
from airflow_reshape.events.rules import shown
from airflow_reshape.mapping import EventBuilder, FieldMap, Steering
from airflow_reshape.mapping.paths import PATHS, RESERVED
from tests.events.reading import BASES, base

FIXED = settings(derandomize=True, database=None, deadline=None, print_blob=True)
MARKER = "Zyxw"
# Around the marker stands what makes a value right, nearly right or quite wrong for one field or another.
SHAPES = (
    "{}",
    " {} ",
    "{}@example.com",
    "{}@",
    "+40722{}",
    "https://{}.example.com/?email={}@example.com",
    "https://{0}:{0}@example.com/",
    "http://[{}",
    "2024-05-01T{}",
    '{{"id": "{}", "email": "{}", "x": ["{}"]}}',
    '["{}@example.com", "{}"]',
    '[{{"name": "{}", "value": {{}}}}]',
    "{{{{ {} }}}}",
    "{}\ud800",
)
TEXTS = [shape.replace("{}", MARKER).replace("{0}", MARKER) for shape in SHAPES]
VALUES: st.SearchStrategy[Any] = st.sampled_from([*TEXTS, *(text.encode("utf-8", "replace") for text in TEXTS)])
NESTED = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=2) | st.dictionaries(st.sampled_from(("id", "x")), inner, min_size=1)
    ),
    max_leaves=3,
)
FIELDS = sorted(name for name, path in PATHS.items() if path[0] not in RESERVED and name != "event.name")


def told(thing: object) -> Iterator[str]:
    """All that is shown of something when it is printed, logged or raised."""
    yield from (str(thing), repr(thing), f"{thing}")
    if isinstance(thing, BaseException):
        yield from traceback.format_exception(thing)
        yield from map(str, thing.args)


def silent(*things: object) -> None:
    assert [text for thing in things for text in told(thing) if MARKER in text] == []


@settings(FIXED, max_examples=400)
@given(
    st.sampled_from(sorted(BASES)),
    st.dictionaries(st.sampled_from(FIELDS), NESTED, min_size=1, max_size=3),
    st.sampled_from(("leave_out", "reject")),
    st.sampled_from(("standard", "webhooks")),
)
def test_reading(name: str, values: dict[str, Any], on_bad_field: Any, generation: Any) -> None:
    data = base(name)
    for path, value in values.items():
        part, _, field = path.partition(".")
        if isinstance(data.get(part, {}), dict) and field and "." not in field:
            data.setdefault(part, {})[field] = value
        elif not field:
            data[part] = value
    try:
        read = read_event(name, data, Rules(generation, "RO", on_bad_field=on_bad_field))
    except InvalidEvent as invalid:
        silent(invalid, *invalid.problems)
    else:
        silent(read, read.event, read.event.event, read.event.user, read.event.context, *read.left_out, *read.cleaned)


@settings(FIXED, max_examples=400)
@given(
    st.dictionaries(st.sampled_from([*FIELDS, *RESERVED]), NESTED, max_size=4),
    st.sampled_from((Steering(), Steering(event="lead_qualified"), Steering(stage_map={"SQL": "lead_qualified"}))),
)
def test_mapping(values: dict[str, Any], steering: Steering) -> None:
    row = {
        "lead_id": MARKER,
        "stage": "SQL",
        "currency": "EUR",
        "occurred_at": datetime(2024, 5, 1, tzinfo=UTC),
        **values,
    }
    field_map = FieldMap(unknown_columns="ignore")
    prepared = EventBuilder(field_map, steering, Rules())(row)
    silent(prepared, field_map.map_row(row), getattr(prepared, "event", None))


@pytest.mark.parametrize("model", [*EVENT_MODELS.values(), Event, User, Context, Consent])
@settings(FIXED, max_examples=60)
@given(NESTED)
def test_making_a_model_by_hand(model: type[Any], value: Any) -> None:
    for name in model.model_fields:
        try:
            silent(model.model_validate({name: value}))
        except ValidationError as error:
            silent(error)


def test_an_event_can_be_logged() -> None:
    user = User(id=MARKER, email=f"{MARKER}@example.com", first_name=MARKER, properties={"x": MARKER})
    qualified = LeadQualified.model_validate(base("lead_qualified", event__id=MARKER, user=user, cookies={"x": MARKER}))
    disqualified = LeadDisqualified.model_validate(base("lead_disqualified", event__properties__x=MARKER, user=user))
    events: list[BaseEvent] = [qualified, disqualified]
    silent(user, *events, *(EventBuilder(FieldMap(), Steering(), Rules())(event) for event in events))
    assert "email" in repr(user)


@pytest.mark.parametrize(
    ("name", "told_as"),
    [
        ("user.email", "user.email"),
        ("Lead Source (original)", "Lead Source (original)"),
        ("ștampilă", "ștampilă"),
        ("utm_2024_q1", "utm_2024_q1"),
        (5, "5"),
        ("", "(no name)"),
        (" ", "(no name)"),
        (None, "(NoneType)"),
        (("a", "b"), "(tuple)"),
        ("ana@example.com", "…"),
        ("0722 123 456", "…"),
        ("x" * 61, "…"),
        ("\ud800", "…"),
        ("a\nb", "…"),
    ],
)
def test_names_are_told_unless_they_look_like_a_persons(name: Any, told_as: str) -> None:
    assert shown(name) == told_as


def test_a_key_that_is_a_person_is_not_told() -> None:
    builder = EventBuilder(FieldMap(), Steering(event="lead_qualified"), Rules())
    person = f"{MARKER}@example.com"
    rows: list[dict[str, Any]] = [
        {"lead_id": 1, "currency": "EUR", person: 1},
        {"lead_id": 1, "currency": "EUR", "user": {person: 1}},
        {"lead_id": 1, "currency": "EUR", "user": {"properties": {person: {"x": 1}}}},
    ]
    silent(*map(builder, rows))
