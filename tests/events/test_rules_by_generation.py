"""The table of the two events and two generations, cell by cell."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from airflow_reshape.events import LeadClosed, LeadCreated, LeadDisqualified, LeadQualified
from airflow_reshape.events.models import EVENT_MODELS, BaseEvent, Event, model_for
from airflow_reshape.events.rules import GENERATIONS, Generation
from tests.events.reading import ABSENT, BASES, Read, base, read

HASH = sha256(b"ana@example.com").hexdigest()
BOTH = pytest.mark.parametrize("generation", GENERATIONS)

REQUIRED = {
    "lead_qualified": {"event.currency", "event.id"},
    "lead_disqualified": {
        "event.value",
        "event.currency",
        "event.id",
        "event.properties.disqualification_reason",
        "user",
    },
    "lead_created": {"event.id"},
    "lead_closed": {"event.value", "event.currency", "event.id"},
    "page_view": {"event.name"},
}
BAD: dict[str, Any] = {
    "event.value": "much",
    "event.currency": "EURO",
    "event.exchange_rate": "one",
    "event.id": {},
    "event.properties": "none",
    "event.properties.score": {"nested": 1},
    "user": "ana",
    "context": "here",
    "context.url": "ftp://example.com",
    "cookies": "none",
    "cookies._ga": True,
    "consent": "yes",
}


@BOTH
@pytest.mark.parametrize(("name", "field"), [(name, field) for name in REQUIRED for field in sorted(REQUIRED[name])])
def test_without_a_required_field_there_is_no_event(name: str, field: str, generation: Generation) -> None:
    missing = "" if field == "event.name" else ABSENT
    outcome = Read(base(name, **{field.replace(".", "__"): missing}), generation)
    assert (outcome.body, outcome.fields) == (None, [field])


# The reason stands in the properties: without them it is missing too.
ENDING = {
    **REQUIRED,
    "lead_disqualified": REQUIRED["lead_disqualified"] | {"event.properties"},
    "page_view": {"event.id"},  # not required, but an event with a bad one must not go out without any
}


@BOTH
@pytest.mark.parametrize(("name", "field"), [(name, field) for name in BASES for field in BAD])
def test_a_bad_value_ends_a_required_field_and_costs_a_recommended_one(
    name: str, field: str, generation: Generation
) -> None:
    outcome = read(name, generation, **{field.replace(".", "__"): BAD[field]})
    assert (outcome.body is None) is (field in ENDING[name])
    assert field in outcome.fields


@BOTH
@pytest.mark.parametrize("name", BASES)
def test_reject_makes_every_bad_field_end_the_event(name: str, generation: Generation) -> None:
    assert read(name, generation, user__id="c", user__phone="junk").body is not None
    outcome = read(name, generation, "reject", user__id="c", user__phone="junk")
    assert (outcome.body, outcome.fields) == (None, ["user.phone"])


ONE = {"email": "ana@example.com", "phone": "+40722123456"}
SEVERAL = {"email": ["ana@example.com", "ion@example.com"], "phone": ["+40722123456", "+40722123457"]}
# event × generation: whether hashes and several contacts are right
CONTACTS = [
    (name, generation, generation == "standard" and name != "lead_disqualified")
    for name in BASES
    for generation in GENERATIONS
]


@pytest.mark.parametrize("contact", ["email", "phone"])
@pytest.mark.parametrize(("name", "generation", "many"), CONTACTS)
def test_contacts(name: str, generation: Generation, many: bool, contact: str) -> None:
    def written(value: Any) -> Any:
        outcome = read(name, generation, user__id="c", **{f"user__{contact}": value})
        assert outcome.body is not None
        assert outcome.fields == ([] if contact in outcome.body["user"] else [f"user.{contact}"])
        return outcome.body["user"].get(contact)

    one, several = ONE[contact], SEVERAL[contact]
    assert written(one) == one
    assert written([one]) == ([one] if many else one)
    assert written([one, one]) == ([one] if many else one)
    assert written(several) == (several if many else one)
    assert written(HASH) == (HASH if many else None)
    assert written(HASH.upper()) == (HASH if many else None)
    assert written([HASH]) == ([HASH] if many else None)
    assert written(HASH[:-1]) is None
    assert written(HASH + "0") is None


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize("contact", ["email", "phone"])
def test_a_disqualified_lead_known_by_a_hash_only_is_nobody(generation: Generation, contact: str) -> None:
    outcome = read("lead_disqualified", generation, user={contact: HASH})
    assert outcome.body is None
    assert outcome.problems == {
        "user": "needs at least one of id, email, phone",
        f"user.{contact}": "must be plain text, not a hash",
    }


@BOTH
@pytest.mark.parametrize("identifier", [{"id": 5}, {"email": "a@example.com"}, {"phone": "+40722123456"}])
def test_a_disqualified_lead_needs_one_identifier(identifier: dict[str, Any], generation: Generation) -> None:
    assert read("lead_disqualified", generation, user=identifier).body is not None
    assert read("lead_disqualified", generation, user={"first_name": "Ana"}).fields == ["user"]
    assert read("lead_qualified", generation, user={"first_name": "Ana"}).body is not None


@BOTH
def test_a_bad_item_costs_itself_and_not_the_others(generation: Generation) -> None:
    outcome = read("lead_qualified", generation, user__phone=["+40712345678", "+4079876543"])
    assert outcome.body is not None
    assert outcome.body["user"]["phone"] == (["+40712345678"] if generation == "standard" else "+40712345678")
    assert outcome.fields == ["user.phone"]
    assert read("lead_qualified", generation, "reject", user__phone=["+40712345678", "+4079876543"]).body is None


@BOTH
@pytest.mark.parametrize(("name", "kept"), [(name, name != "lead_disqualified") for name in BASES])
def test_exchange_rate(name: str, kept: bool, generation: Generation) -> None:
    outcome = read(name, generation, event__exchange_rate="4.97")
    assert outcome.body is not None
    assert outcome.body["event"].get("exchange_rate") == (4.97 if kept else None)
    assert outcome.fields == ([] if kept else ["event.exchange_rate"])


@BOTH
@pytest.mark.parametrize("name", BASES)
def test_shop_lists_are_for_events_without_a_page_of_their_own(name: str, generation: Generation) -> None:
    lists = {
        "products": [{"id": "p-1", "price": 9.5, "properties": {"nested": {"deep": [1, None, True]}}}],
        "shipping": [{"method": "courier"}],
        "payments": [{"method": "card"}, {"method": "voucher"}],
        "coupons": [],
    }
    outcome = Read({**base(name), **lists}, generation)
    assert outcome.body is not None
    carried = {part: outcome.body[part] for part in lists if part in outcome.body}
    assert carried == ({part: value for part, value in lists.items() if value} if name == "page_view" else {})
    assert sorted(outcome.fields) == ([] if name == "page_view" else sorted(lists))


@pytest.mark.parametrize("wrong", ["[1]", '{"id": 1}', 5, ["p-1"], "p-1", [{"id": object()}]])
def test_a_shop_list_that_is_none_is_left_out(wrong: Any) -> None:
    outcome = Read({**base("page_view"), "products": wrong})
    assert outcome.body == {"event": {"name": "page_view"}, "context": {"environment": "prod"}}
    assert outcome.fields == ["products"]


def test_a_shop_list_may_be_json_text() -> None:
    outcome = Read({**base("page_view"), "products": '[{"id": "p-1"}]'})
    assert outcome.body is not None
    assert outcome.body["products"] == [{"id": "p-1"}]


REASONS = ("out_of_icp", "no_budget", "no_authority", "no_timing", "duplicate", "invalid_contact", "competitor")


@BOTH
@pytest.mark.parametrize("reason", REASONS)
def test_the_vocabulary(reason: str, generation: Generation) -> None:
    for given in (reason, reason.upper(), f"  {reason} ", reason.encode()):
        outcome = read("lead_disqualified", generation, event__properties={"disqualification_reason": given})
        assert outcome.body is not None
        assert outcome.body["event"]["properties"] == {"disqualification_reason": reason}


@BOTH
def test_a_reason_is_needed_unless_switched_off_and_the_list_is_closed_unless_opened(generation: Generation) -> None:
    def outcome(properties: Any, **rules: Any) -> Read:
        return Read(base("lead_disqualified", event__properties=properties), generation, **rules)

    reason = "event.properties.disqualification_reason"
    none: dict[str, Any] = {}
    other = {"disqualification_reason": "Prea mic"}
    assert outcome(none).problems == {reason: "is required: without it the event is useless"}
    assert outcome(ABSENT).fields == [reason]
    assert outcome({"disqualification_reason": None}).fields == [reason]
    assert outcome(none, require_reason=False).body is not None
    assert "properties" not in outcome(ABSENT, require_reason=False).body["event"]  # type: ignore[index]
    assert outcome(other).fields == [reason]
    assert outcome(other, require_reason=False).body["event"].get("properties") is None  # type: ignore[index]
    assert outcome(other, allow_other_reasons=True).body["event"]["properties"] == other  # type: ignore[index]
    assert outcome(none, allow_other_reasons=True).fields == [reason]


@BOTH
def test_what_goes_with_the_reason(generation: Generation) -> None:
    properties = {
        "disqualification_reason": "no_timing",
        "disqualification_detail": 2027,
        "disqualification_stage": "SQL",
        "score": 12,
        "calls": ["first", 2],
        "mood": {"of": "the lead"},
        "none": None,
    }
    outcome = read("lead_disqualified", generation, event__properties=properties)
    assert outcome.body is not None
    assert outcome.body["event"]["properties"] == {
        "disqualification_reason": "no_timing",
        "disqualification_detail": "2027",
        "disqualification_stage": "SQL",
        "score": 12,
        "calls": ["first", "2"],
    }
    assert outcome.fields == ["event.properties.mood"]


def test_models_by_name() -> None:
    models: list[type[BaseEvent]] = [LeadQualified, LeadDisqualified, LeadCreated, LeadClosed]
    assert [model_for(name) for name in EVENT_MODELS] == models
    assert model_for("lead_converted") is Event


@BOTH
@pytest.mark.parametrize("name", [name for name in BASES if name != "page_view"])
def test_the_name_is_fixed(name: str, generation: Generation) -> None:
    model = EVENT_MODELS[name]
    data = base(name, event__name=ABSENT)
    assert model.model_validate(data).event.name == name
    with pytest.raises(ValueError, match=r"event\.name"):
        model.model_validate(base(name, event__name="lead_converted"))
