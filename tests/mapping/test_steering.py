"""Reserved columns decide which event a lead makes, with which reason, value and id."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd  # type: ignore[import-untyped, unused-ignore]
import pytest

from airflow_reshape.events import DisqualificationReason, Event, LeadDisqualified, LeadQualified, User
from airflow_reshape.mapping import MappingError, Steering, default_paths
from tests.events.reading import base
from tests.mapping.builders import LEAD, body, builder, event, invalid, skipped

BOTH = {"SQL": "lead_qualified", "Disqualified": "lead_disqualified", "New": None, "Won": "lead_closed"}
LOST = {"lead_id": 7, "currency": "EUR", "value": 0, "user.id": "c-7", "disqualification_reason": "no_budget"}


class Stage(StrEnum):
    SQL = "SQL"


# reserved columns


def test_reserved_columns_are_not_sent() -> None:
    row = {**LEAD, "stage": "SQL", "previous_stage": "MQL", "occurred_at": "2024-05-01T10:00:00"}
    sent = event(row, timezone="Europe/Bucharest")
    assert sent.body == {
        "event": {"name": "lead_qualified", "id": "L-1:SQL", "currency": "EUR"},
        "context": {"environment": "prod"},
    }
    assert (sent.lead_id, sent.stage, sent.occurred_at) == ("L-1", "SQL", datetime(2024, 5, 1, 7, tzinfo=UTC))


@pytest.mark.parametrize("value", ["soon", "12:30", 0, True, "1900-01-01", datetime(1, 1, 1), [1]])
def test_a_lead_at_no_known_time_is_invalid(value: Any) -> None:
    assert list(invalid({**LEAD, "occurred_at": value})) == ["occurred_at"]


@pytest.mark.parametrize("value", [None, "", pd.NaT, float("nan"), np.datetime64("NaT")])
def test_a_lead_without_a_time_has_none(value: Any) -> None:
    assert event({**LEAD, "occurred_at": value}).occurred_at is None


@pytest.mark.parametrize("column", ["lead_id", "stage", "previous_stage"])
@pytest.mark.parametrize("value", [True, [1], {"id": 1}, float("inf"), b"\xff", object()])
def test_reserved_columns_hold_text(column: str, value: Any) -> None:
    assert list(invalid({**LEAD, "event.id": "e", column: value})) == [column]


@pytest.mark.parametrize(
    ("row", "key"),
    [
        ({"lead_id": 1, "user.id": 2, "event.id": 3}, "1"),
        ({"user.id": 2, "event.id": 3}, "2"),
        ({"event.id": 3}, "3"),
    ],
)
def test_order_key(row: dict[str, Any], key: str) -> None:
    assert event({"currency": "EUR", **row}).order_key == key


# which event


@pytest.mark.parametrize(
    ("stage", "name"),
    [(" sql ", "lead_qualified"), ("DISQUALIFIED", "lead_disqualified"), (Stage.SQL, "lead_qualified")],
)
def test_stages_are_compared_without_case_and_blanks(stage: str, name: str) -> None:
    assert event({**LOST, "stage": stage}, stage_map=BOTH).name == name


@pytest.mark.parametrize("spelling", ["SQL", "sql", " Sql ", Stage.SQL])
@pytest.mark.parametrize(("recipe", "made"), [(None, "7:SQL"), ("{stage}/{lead_id}", "SQL/7")])
def test_another_spelling_of_the_stage_makes_no_other_id(spelling: str, recipe: str | None, made: str) -> None:
    assert event({**LOST, "stage": spelling}, stage_map=BOTH, event_id=recipe).id == made


def test_without_a_map_the_stage_is_spelt_as_the_crm_does() -> None:
    assert event({**LOST, "stage": "sql"}, event="lead_qualified").id == "7:sql"


def test_stages_that_make_no_event() -> None:
    assert skipped({**LOST, "stage": "new"}, stage_map=BOTH) == "stage_not_sent"
    assert skipped({**LOST, "stage": "Unheard of"}, stage_map=BOTH) == "unknown_stage"
    assert invalid({**LOST, "stage": None}, stage_map=BOTH) == {"stage": "is required by stage_map"}


@pytest.mark.parametrize("stage", [3, 3.0, Decimal(3), "3", b"3", np.int64(3)])
def test_stages_may_be_numbers(stage: Any) -> None:
    assert event({**LOST, "stage": stage}, stage_map={3: "lead_qualified"}).id == "7:3"


@pytest.mark.parametrize(("stage", "previous"), [("SQL", "SQL"), ("SQL", " sql"), ("Unheard of", "unheard  of")])
def test_a_stage_that_did_not_change(stage: str, previous: str) -> None:
    row = {**LOST, "stage": stage, "previous_stage": previous}
    assert skipped(row, event="lead_qualified") == "stage_unchanged"
    assert skipped(row, stage_map=BOTH) == ("stage_unchanged" if stage == "SQL" else "unknown_stage")


@pytest.mark.parametrize("previous", ["MQL", None, "", "Disqualified"])
def test_a_stage_that_changed(previous: Any) -> None:
    assert event({**LOST, "stage": "SQL", "previous_stage": previous}, stage_map=BOTH).id == "7:SQL"


@pytest.mark.parametrize("given", ["lead_qualified", " LEAD_QUALIFIED", b"Lead_Qualified"])
def test_the_row_may_name_the_event(given: Any) -> None:
    row = {**LEAD, "event.name": given}
    assert event(row, event=None).name == "lead_qualified"
    assert event(row, event="lead_qualified").name == "lead_qualified"
    assert invalid(row, event="lead_created") == {"event.name": "must be lead_created, as the operator sends it"}


def test_other_names_are_taken_as_they_are() -> None:
    sent = event({"event.name": " Lead_Requalified ", "event.id": 1, "products": '[{"id": 1, "x": null}]'}, event=None)
    assert sent.body == {
        "event": {"name": "Lead_Requalified", "id": "1"},
        "context": {"environment": "prod"},
        "products": [{"id": 1}],
    }


@pytest.mark.parametrize("value", [None, "", float("nan")])
def test_a_row_without_a_name(value: Any) -> None:
    assert list(invalid({**LEAD, "event.name": value}, event=None)) == ["event.name"]


@pytest.mark.parametrize("value", [["lead_qualified"], {"x": 1}, True, object()])
def test_a_name_that_is_no_text(value: Any) -> None:
    assert list(invalid({**LEAD, "event.name": value}, event=None)) == ["event.name"]


# ids


@pytest.mark.parametrize(
    ("name", "stage", "made"),
    [
        ("lead_qualified", "MQL", "L-1:MQL"),
        ("lead_qualified", "SQL", "L-1:SQL"),
        ("lead_qualified", None, "L-1:qualified"),
        ("lead_disqualified", "SQL", "L-1"),
        ("lead_created", "SQL", "L-1"),
        ("lead_closed", "Won", "L-1"),
        ("page_view", None, "L-1"),
    ],
)
def test_recipes(name: str, stage: str | None, made: str) -> None:
    assert event({**LOST, "lead_id": "L-1", "stage": stage}, event=name).id == made


@pytest.mark.parametrize(
    ("lead_id", "written"),
    [
        (12, "12"),
        (12.0, "12"),
        (Decimal(12), "12"),
        (2**63 - 1, "9223372036854775807"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (b"L-1", "L-1"),
        (memoryview(b"L-1"), "L-1"),
        (" L-1 ", "L-1"),
        (np.int64(5), "5"),
        (np.str_("L-1"), "L-1"),
        (Stage.SQL, "SQL"),
    ],
)
def test_the_id_of_a_lead_in_any_type(lead_id: Any, written: str) -> None:
    assert event({**LOST, "lead_id": lead_id}, event="lead_disqualified").id == written


def test_a_row_with_its_own_event_id_keeps_it() -> None:
    assert event({**LEAD, "event.id": "own"}, event_id="{lead_id}-x").id == "own"
    assert event({**LEAD, "event.id": None}, event_id="{lead_id}-x").id == "L-1-x"


@pytest.mark.parametrize("name", ["lead_qualified", "lead_disqualified", "page_view"])
def test_an_event_without_an_id_is_invalid(name: str) -> None:
    row = {key: value for key, value in LOST.items() if key != "lead_id"}
    assert invalid(row, event=name) == {"event.id": "is required: map event.id or lead_id"}


@pytest.mark.parametrize(
    ("event_id", "made"),
    [
        ("{lead_id}-{stage}", "L-1-SQL"),
        ("{LEAD_ID}/{Stage}", "L-1/SQL"),
        ("{event}:{lead_id}", "lead_qualified:L-1"),
        ("{deal}", "d-5"),
        ("{DEAL}.{Amount}", "d-5.12"),
        ("{{{lead_id}}}", "{L-1}"),
        ("crm:{when}", "crm:2024-05-01"),
    ],
)
def test_event_id_formats(event_id: str, made: str) -> None:
    row = {**LEAD, "stage": "SQL", "Deal": "d-5", "amount": np.float64(12), "when": datetime(2024, 5, 1).date()}
    assert event(row, event_id=event_id, unknown_columns="ignore").id == made


def test_columns_of_the_event_id_are_no_unknown_ones() -> None:
    row = {**LEAD, "Deal": "d-5", "id": 7, "email": "ana@example.com"}
    sent = event(row, event_id="{deal}-{ID}-{EMAIL}")
    assert sent.id == "d-5-7-ana@example.com"
    assert sent.body["user"] == {"email": "ana@example.com"}
    assert list(invalid(row, event_id="{deal}")) == ["id"]


@pytest.mark.parametrize("value", [None, "", pd.NaT, float("nan")])
def test_an_event_id_of_an_empty_column_is_invalid(value: Any) -> None:
    row = {**LEAD, "deal": value}
    told = {"event.id": "cannot be made: the column deal is missing or empty"}
    assert invalid(row, event_id="{deal}", unknown_columns="ignore") == told
    assert invalid(LEAD, event_id="{deal}") == told
    assert list(invalid({**LEAD, "deal": [1]}, event_id="{deal}")) == ["deal"]


@pytest.mark.parametrize(
    "event_id", ["", "x", "{}", "{}-{lead_id}", "{lead_id", "{lead_id!r}", "{lead_id:>5}", "{{lead_id}}", 5]
)
def test_event_ids_that_make_no_sense(event_id: Any) -> None:
    with pytest.raises(MappingError, match="event_id"):
        Steering(event="lead_qualified", event_id=event_id)


# reasons


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("Too small", "out_of_icp"),
        ("  TOO   SMALL ", "out_of_icp"),
        (3, "no_timing"),
        ("3", "no_timing"),
        (b"too small", "out_of_icp"),
        ("No_Budget", "no_budget"),
        (DisqualificationReason.COMPETITOR, "competitor"),
    ],
)
def test_reasons_are_folded(given: Any, sent: str) -> None:
    reasons = {"Too small": DisqualificationReason.OUT_OF_ICP, 3: "no_timing"}
    row = {**LOST, "disqualification_reason": given}
    assert event(row, event="lead_disqualified", reason_map=reasons).body["event"]["properties"] == {
        "disqualification_reason": sent
    }


def test_reasons_in_nested_properties() -> None:
    row = {key: value for key, value in LOST.items() if key != "disqualification_reason"}
    for properties in ({"disqualification_reason": "Merged"}, '{"Disqualification_Reason": "merged"}'):
        options = {"event": "lead_disqualified", "reason_map": {"Merged": "duplicate"}}
        sent = event({**row, "event.properties": properties}, **options)
        assert sent.body["event"]["properties"] == {"disqualification_reason": "duplicate"}


def test_reasons_that_are_not_sent_or_not_known() -> None:
    options = {"event": "lead_disqualified", "reason_map": {"Merged": None}}
    field = "event.properties.disqualification_reason"
    assert skipped({**LOST, "disqualification_reason": "merged "}, **options) == "reason_not_sent"
    assert list(invalid({**LOST, "disqualification_reason": "Prea mic"}, **options)) == [field]
    assert list(invalid({**LOST, "disqualification_reason": None}, **options)) == [field]
    assert list(invalid({**LOST, "disqualification_reason": [1]}, **options)) == [field]
    sent = event({**LOST, "disqualification_reason": "Prea mic"}, **options, allow_other_reasons=True)
    assert sent.body["event"]["properties"] == {"disqualification_reason": "Prea mic"}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"reason_map": {"x": "no_money"}}, "'no_money' is not in the vocabulary"),
        ({"reason_map": {"x": ["no_budget"]}}, "is not in the vocabulary"),
        ({"reason_map": {"x": "no_money "}, "allow_other_reasons": True}, None),
        ({"reason_map": {"x": " "}, "allow_other_reasons": True}, "is not in the vocabulary"),
        ({"reason_map": {"X": None, "x ": "no_budget"}}, "says two things"),
        ({"reason_map": {"X": "no_budget", "x ": "no_budget"}}, None),
        ({"reason_map": {None: "no_budget"}}, "must be text"),
        ({"stage_map": {}}, "stage_map is empty"),
        ({"stage_map": {"SQL": ""}}, "must be an event name or None"),
        ({"stage_map": {"SQL": 5}}, "must be an event name or None"),
        ({"stage_map": {"SQL": "lead_qualified", "sql": None}}, "says two things"),
        ({"stage_map": {"": "lead_qualified"}}, "must be text"),
        ({"stage_map": {"SQL": "lead_qualified"}, "event": "lead_qualified"}, "not both"),
        ({"disqualified_value": "none"}, "disqualified_value"),
        ({"disqualified_value": True}, "disqualified_value"),
        ({"disqualified_value": float("nan")}, "disqualified_value"),
        ({"disqualified_value": "row"}, None),
        ({"disqualified_value": -5.5}, None),
    ],
)
def test_settings(settings: Any, told: str | None) -> None:
    if told is None:
        Steering(**settings)
    else:
        with pytest.raises(MappingError, match=told):
            Steering(**settings)


# sends that make both kinds


def test_both_kinds_share_their_columns() -> None:
    row = {
        **LOST,
        "value": 500,
        "event.exchange_rate": 4.97,
        "disqualification_detail": "x",
        "disqualification_stage": "SQL",
        "event.properties.score": 5,
    }
    options = {"stage_map": BOTH, "on_bad_field": "reject"}
    qualified = event({**row, "stage": "SQL"}, **options).body["event"]
    disqualified = event({**row, "stage": "Disqualified"}, **options).body["event"]
    assert qualified == {
        "name": "lead_qualified",
        "id": "7:SQL",
        "currency": "EUR",
        "value": 500,
        "exchange_rate": 4.97,
        "properties": {"score": 5},
    }
    assert disqualified == {
        "name": "lead_disqualified",
        "id": "7",
        "currency": "EUR",
        "value": 0,
        "properties": {
            "score": 5,
            "disqualification_reason": "no_budget",
            "disqualification_detail": "x",
            "disqualification_stage": "SQL",
        },
    }


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"stage_map": BOTH}, 0),
        ({"stage_map": BOTH, "disqualified_value": "row"}, 500),
        ({"stage_map": BOTH, "disqualified_value": -10}, -10),
        ({"stage_map": {"Disqualified": "lead_disqualified"}}, 500),
        ({"event": "lead_disqualified"}, 500),
        ({"event": "lead_disqualified", "disqualified_value": 0}, 0),
    ],
)
def test_the_value_of_a_disqualified_lead(options: dict[str, Any], value: float) -> None:
    row = {**LOST, "stage": "Disqualified", "value": 500}
    assert event(row, **options).body["event"]["value"] == value


def test_a_disqualified_lead_alone_needs_its_value() -> None:
    row = {key: value for key, value in LOST.items() if key != "value"}
    assert invalid(row, event="lead_disqualified") == {"event.value": "is required"}
    assert event({**row, "stage": "Disqualified"}, stage_map=BOTH).body["event"]["value"] == 0


# defaults


def test_defaults_fill_what_is_missing_and_are_counted() -> None:
    defaults = {
        "currency": "ron",
        "event.value": 5,
        "user.country": "Romania",
        "user.properties": {"source": "crm", "tags": ["a"]},
        "context.data_source": None,
    }
    given = event(
        {"lead_id": 1, "value": 7, "user.properties.source": "fair", "phone": "0722123456"}, defaults=defaults
    )
    assert given.body["event"] == {"name": "lead_qualified", "id": "1:qualified", "currency": "RON", "value": 7}
    assert given.body["user"] == {
        "country": "Romania",
        "phone": "+40722123456",
        "properties": {"source": "fair", "tags": ["a"]},
    }
    assert given.defaulted == ("event.currency", "user.country", "user.properties.tags")


@pytest.mark.parametrize("missing", [{}, {"currency": None}, {"currency": " "}, {"currency": float("nan")}])
def test_defaults_are_for_nulls_too(missing: dict[str, Any]) -> None:
    assert event({"lead_id": 1, **missing}, defaults={"event.currency": "EUR"}).body["event"]["currency"] == "EUR"


def test_a_default_is_no_cure_for_a_bad_value() -> None:
    assert list(invalid({"lead_id": 1, "currency": "EURO"}, defaults={"event.currency": "EUR"})) == ["event.currency"]


def test_defaults_are_the_same_for_each_lead() -> None:
    build = builder(
        stage_map=BOTH,
        reason_map={"Too small": "out_of_icp"},
        defaults={"event.properties": {"disqualification_reason": "Too small", "by": "crm"}},
    )
    row = {key: value for key, value in LOST.items() if key != "disqualification_reason"}
    stages = ("Disqualified", "SQL", "Disqualified")
    sent = [build({**row, "stage": stage}) for stage in stages]
    assert [prepared.body["event"]["properties"] for prepared in sent] == [  # type: ignore[union-attr]
        {"disqualification_reason": "out_of_icp", "by": "crm"},
        {"by": "crm"},
        {"disqualification_reason": "out_of_icp", "by": "crm"},
    ]
    assert [prepared.defaulted for prepared in sent][1] == ("event.properties.by",)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("defaults", "told"),
    [
        ({"event.curency": "EUR"}, "defaults: 'event.curency' is no field of Reshape: did you mean 'event.currency'"),
        ({"id": "x"}, "is ambiguous"),
        ({"user": {"id": 1}}, "must be a single field"),
        ({"cookies": {"_ga": 1}}, "must be a single field"),
        ({"products": []}, "must be a single field"),
        ({"lead_id": 1}, "must be a single field"),
        ({"stage": "SQL"}, "must be a single field"),
        ({"consent.marketing": True}, "consent is given by the lead"),
        ({"event.id": "x"}, "all events would share one id"),
        ({"event.name": "lead_qualified"}, "set event or stage_map"),
        ({"currency": "EUR", "event.currency": "RON"}, "is given twice"),
        ({"event.properties": {"a": 1}, "event.properties.a": 2}, "is given twice"),
        ({"event.properties": "a"}, "must be a dict"),
    ],
)
def test_defaults_that_make_no_sense(defaults: dict[str, Any], told: str) -> None:
    with pytest.raises(MappingError, match=told):
        default_paths(defaults)


# consent

ANSWERS: list[tuple[dict[str, Any], tuple[bool, bool, bool] | None, tuple[str, ...]]] = [
    ({}, None, ()),
    ({"consent.marketing": True}, (False, False, True), ()),
    ({"consent.marketing": None}, (False, False, False), ()),
    ({"consent.marketing": "yes", "consent.analytics": 1, "consent.personalization": b"\x01"}, (True, True, True), ()),
    ({"consent.marketing": "granted"}, (False, False, False), ("consent.marketing",)),
    ({"consent.marketing": float("nan")}, (False, False, False), ()),
    ({"consent": {"marketing": True, "analytics": None}}, (False, False, True), ()),
    ({"consent": '{"marketing": true}'}, (False, False, True), ()),
    ({"consent": {}}, (False, False, False), ()),
    ({"consent": None}, (False, False, False), ()),
    ({"consent": ""}, (False, False, False), ()),
    ({"consent": "yes"}, (False, False, False), ("consent",)),
    ({"consent": True}, (False, False, False), ("consent",)),
    ({"consent.id": "c-1"}, (False, False, False), ()),
]


@pytest.mark.parametrize(("columns", "answers", "left_out"), ANSWERS)
def test_what_is_not_a_yes_is_a_no(
    columns: dict[str, Any], answers: tuple[bool, bool, bool] | None, left_out: tuple[str, ...]
) -> None:
    for generation in ("standard", "webhooks"):
        sent = event({**LEAD, **columns}, generation=generation)
        consent = sent.event.consent
        read = (consent.analytics, consent.personalization, consent.marketing) if consent else None
        assert (read, tuple(problem.field for problem in sent.left_out)) == (answers, left_out)
        assert ("consent" in sent.body) is (answers is not None and generation == "webhooks")


def test_a_consent_that_is_mapped_but_absent_is_a_no() -> None:
    sent = event(LEAD, generation="webhooks", mapping={"consent.marketing": "gdpr"})
    assert sent.body["consent"] == {"analytics": False, "personalization": False, "marketing": False}


def test_a_consent_that_is_neither_may_end_the_lead() -> None:
    row = {**LEAD, "consent.marketing": "granted"}
    assert list(invalid(row, on_bad_field="reject")) == ["consent.marketing"]


# events instead of rows


def test_events_are_read_by_the_rules_of_the_send() -> None:
    made = LeadQualified.model_validate(base("lead_qualified", user=User(email=["a@example.com", "b@example.com"])))
    assert event(made).body["user"] == {"email": ["a@example.com", "b@example.com"]}
    sent = event(made, generation="webhooks", environment="dev", defaults={"event.value": 5, "user.city": "Iași"})
    assert sent.body["context"] == {"environment": "dev"}
    assert sent.body["user"] == {"city": "Iași", "email": "a@example.com"}
    assert sent.body["event"]["value"] == 5
    assert [problem.field for problem in sent.cleaned] == ["user.email"]
    assert sent.defaulted == ("event.value", "user.city")
    made = LeadQualified.model_validate(base("lead_qualified", user=User(email="ab" * 32)))
    assert list(invalid(made, generation="webhooks", on_bad_field="reject")) == ["user.email"]


def test_events_of_another_kind_than_the_operators_are_invalid() -> None:
    made = LeadDisqualified.model_validate(base("lead_disqualified"))
    told = {"event.name": "must be lead_qualified, as the operator sends it"}
    assert invalid(made, event="lead_qualified") == told
    assert event(made, stage_map=BOTH).name == event(made, event=None).name == "lead_disqualified"


def test_a_generic_event_with_the_name_of_a_lead_event_is_held_to_its_page() -> None:
    made = Event.model_validate({"event": {"name": "lead_qualified", "id": 1}})
    assert list(invalid(made)) == ["event.currency"]


def test_rows_may_hold_parts_made_as_models() -> None:
    row = {**LEAD, "user": User(id=5, email=["a@example.com", "b@example.com"])}
    assert body(row)["user"] == {"id": "5", "email": ["a@example.com", "b@example.com"]}
    assert body(row, generation="webhooks")["user"] == {"id": "5", "email": "a@example.com"}
