"""A row with wrong columns is invalid, and all the same a lead's: it says whose, and which event it would be."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_reshape.events.prepared import InvalidLead, PreparedEvent
from tests.mapping.builders import builder

Told = tuple[str | None, str | None, str | None]
STAGES = {"SQL": "lead_qualified", "Lost": "lead_disqualified", "New": None}


def told(row: Any, **options: Any) -> Told:
    """Lead id, stage and event name of an invalid row."""
    lead = builder(**options)(row)
    assert isinstance(lead, InvalidLead), lead
    return lead.lead_id, lead.stage, lead.name


@pytest.mark.parametrize(
    "wrong",
    [
        {"devise": "EUR"},
        {"email": "a@example.com", "user.email": "b@example.com"},
        {"email": "a@example.com", "user": {"email": "b@example.com"}},
        {"user": {"emial": "a@example.com"}},
        {"id": 5, "score": None},
    ],
)
def test_wrong_columns_hide_neither_lead_nor_event(wrong: dict[str, Any]) -> None:
    row = {"lead_id": 7, "stage": " sql ", **wrong}
    assert told(row) == ("7", "sql", "lead_qualified")
    assert told(row, stage_map=STAGES) == ("7", "sql", "lead_qualified")
    assert told({**row, "stage": "Lost"}, stage_map=STAGES) == ("7", "Lost", "lead_disqualified")
    renamed = {"ref": 7, "status": "SQL", **wrong}
    mapping = {"lead_id": "ref", "stage": "status"}
    assert told(renamed, stage_map=STAGES, mapping=mapping) == ("7", "SQL", "lead_qualified")


@pytest.mark.parametrize(
    ("row", "options", "expected"),
    [
        ({"lead_id": 7, "x": 1}, {"stage_map": STAGES}, ("7", None, None)),
        ({"lead_id": 7, "x": 1, "stage": "New"}, {"stage_map": STAGES}, ("7", "New", None)),
        ({"lead_id": 7, "x": 1, "stage": "Nowhere"}, {"stage_map": STAGES}, ("7", "Nowhere", None)),
        ({"lead_id": 7, "x": 1, "event.name": "Lead_Created"}, {"event": None}, ("7", None, "lead_created")),
        ({"lead_id": 7, "x": 1}, {"event": None}, ("7", None, None)),
        ({"lead_id": 7, "x": 1, "event.name": "lead_created"}, {}, ("7", None, "lead_qualified")),
        ({"lead_id": 7, "event.name": "lead_created"}, {}, ("7", None, "lead_qualified")),
        ({"lead_id": object(), "x": 1, "stage": "SQL"}, {}, (None, "SQL", "lead_qualified")),
        ({"lead_id": object(), "stage": "SQL"}, {}, (None, "SQL", "lead_qualified")),
        ({"lead_id": 7, "stage": object()}, {}, ("7", None, "lead_qualified")),
        ({"x": 1}, {}, (None, None, "lead_qualified")),
        ("no row", {}, (None, None, "lead_qualified")),
        ("no row", {"stage_map": STAGES}, (None, None, None)),
    ],
)
def test_what_a_row_does_not_say_is_not_guessed(row: Any, options: dict[str, Any], expected: Told) -> None:
    assert told(row, **options) == expected


@pytest.mark.parametrize(
    ("first", "second", "lead_id"), [(7, 8, None), (7, 7, "7"), (None, 8, "8"), (7, None, "7"), (None, None, None)]
)
def test_of_two_lead_ids_neither_is_taken(first: Any, second: Any, lead_id: str | None) -> None:
    assert told({"lead_id": first, "LEAD_ID": second}) == (lead_id, None, "lead_qualified")


@pytest.mark.parametrize(
    ("row", "options", "event_id"),
    [
        ({"lead_id": 7}, {}, "7:qualified"),
        ({"lead_id": 7, "stage": "sql"}, {"stage_map": STAGES}, "7:SQL"),
        ({"lead_id": 7, "stage": "Lost"}, {"stage_map": STAGES}, "7"),
        ({"lead_id": 7, "stage": "Nowhere"}, {"stage_map": STAGES}, None),
        ({"lead_id": 7, "event.id": 8}, {}, "8"),
        ({"lead_id": 7, "event.id": 8, "event": {"id": 9}}, {}, None),
        ({"lead_id": 7, "LEAD_ID": 8}, {}, None),
        ({"lead_id": 7, "event.id": object()}, {}, None),
        ({"lead_id": 7}, {"event_id": "{lead_id}-{score}"}, "7-1"),
        ({"lead_id": 7}, {"event_id": "{lead_id}-{ref}"}, None),
        ({}, {}, None),
    ],
)
def test_the_event_has_the_id_that_it_will_have(row: dict[str, Any], options: dict[str, Any], event_id: Any) -> None:
    wrong = builder(**options)({"score": 1, "emial": "a@example.com", **row})
    assert isinstance(wrong, InvalidLead)
    assert wrong.event_id == event_id
    if event_id is not None:
        needed = {"currency": "EUR", "email": "a@example.com", "disqualification_reason": "no_budget"}
        mended = builder(**options, unknown_columns="ignore")({"score": 1, **needed, **row})
        assert isinstance(mended, PreparedEvent)
        assert (mended.id, mended.lead_id, mended.name) == (wrong.event_id, wrong.lead_id, wrong.name)
