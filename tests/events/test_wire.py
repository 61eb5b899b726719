"""How each generation wants the same event written."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest

from airflow_reshape.events import Consent, Context, LeadQualified, Rules, User, read_event, to_wire
from airflow_reshape.events.rules import GENERATIONS, Environment, Generation
from airflow_reshape.events.wire import WIRE_FORMS, to_bytes
from tests.events.oracle import refused
from tests.events.reading import Read, base, read

BOTH = pytest.mark.parametrize("generation", GENERATIONS)
REFERRER = "https://example.com/from"
SPELLINGS = {
    "standard": {"overide_ip": "8.8.8.8", "referring_url": REFERRER},
    "webhooks": {"override_ip": "8.8.8.8", "referrer_url": REFERRER},
}


def test_the_routes() -> None:
    assert {name: (form.path, form.test_path) for name, form in WIRE_FORMS.items()} == {
        "standard": ("/reshape/standard/event", None),
        "webhooks": ("/webhooks/reshape/event", "/webhooks/reshape/event/test"),
    }


@BOTH
@pytest.mark.parametrize("given", SPELLINGS.values())
def test_both_spellings_are_read_and_one_is_written(given: dict[str, str], generation: Generation) -> None:
    for context in (given, MappingProxyType(given), json.dumps(given), json.dumps(given).encode()):
        outcome = read("lead_qualified", generation, context=context)
        assert outcome.body is not None
        assert outcome.body["context"] == {**SPELLINGS[generation], "environment": "prod"}


@BOTH
def test_the_newer_spelling_wins_where_it_has_a_value(generation: Generation) -> None:
    written = {"standard": "overide_ip", "webhooks": "override_ip"}[generation]
    for newer, kept in (("1.1.1.1", "1.1.1.1"), (None, "8.8.8.8")):
        outcome = read("lead_qualified", generation, context={"override_ip": newer, "overide_ip": "8.8.8.8"})
        assert outcome.body is not None
        assert outcome.body["context"][written] == kept


COOKIES: list[tuple[Any, dict[str, str] | None]] = [
    ({"_ga": "GA1", "_fbp": "fb.1"}, {"_ga": "GA1", "_fbp": "fb.1"}),
    (
        [{"name": "_ga", "value": "GA1", "domain": "x"}, {"name": "_fbp", "value": "fb.1"}],
        {"_ga": "GA1", "_fbp": "fb.1"},
    ),
    ('[{"name": "_ga", "value": "GA1"}]', {"_ga": "GA1"}),
    ('{"_ga": "GA1"}', {"_ga": "GA1"}),
    ({"_ga": 12, " _gid ": " x "}, {"_ga": "12", "_gid": "x"}),
    ({"": "x", "_ga": None, "_gid": "y"}, {"_gid": "y"}),
    ([{"name": "", "value": "x"}, {"value": "y"}, {"name": "_ga"}], None),
    ([], None),
]


@BOTH
@pytest.mark.parametrize(("given", "kept"), COOKIES)
def test_cookies_of_any_shape(given: Any, kept: dict[str, str] | None, generation: Generation) -> None:
    outcome = read("lead_qualified", generation, cookies=given)
    wanted: Any = kept
    if kept and generation == "standard":
        wanted = [{"name": name, "value": value} for name, value in kept.items()]
    assert outcome.body is not None
    assert outcome.body.get("cookies") == wanted
    assert outcome.fields == []


@BOTH
@pytest.mark.parametrize(
    "given", [{"_ga": True, "_gid": "y"}, [{"name": "_ga", "value": []}, {"name": "_gid", "value": "y"}]]
)
def test_a_bad_cookie_costs_itself(given: Any, generation: Generation) -> None:
    outcome = read("lead_qualified", generation, cookies=given)
    assert outcome.body is not None
    assert outcome.body["cookies"] == ({"_gid": "y"} if generation == "webhooks" else [{"name": "_gid", "value": "y"}])
    assert outcome.fields == ["cookies._ga"]


@pytest.mark.parametrize("given", [["_ga"], [{"name": [1], "value": "x"}], "_ga", 5, [[]]])
def test_cookies_that_are_none_are_left_out(given: Any) -> None:
    outcome = read("lead_qualified", cookies=given)
    assert outcome.body is not None
    assert "cookies" not in outcome.body
    assert outcome.fields == ["cookies"]


@BOTH
def test_consent_is_read_by_both_and_sent_by_the_newer_generation(generation: Generation) -> None:
    given = {"analytics": 1, "personalization": "no", "marketing": True, "id": 7}
    outcome = read("lead_qualified", generation, consent=given)
    assert outcome.body is not None
    wanted = {"analytics": True, "personalization": False, "marketing": True, "id": "7"}
    assert outcome.body.get("consent") == (wanted if generation == "webhooks" else None)


@BOTH
@pytest.mark.parametrize("missing", ["analytics", "personalization", "marketing"])
def test_all_three_answers_are_needed_once_consent_is_given(missing: str, generation: Generation) -> None:
    answers = dict.fromkeys(("analytics", "personalization", "marketing"), True)
    del answers[missing]
    assert read("lead_qualified", generation, consent=answers).fields == [f"consent.{missing}"]


@pytest.mark.parametrize(
    ("connection", "own", "written"),
    [
        ("prod", None, "prod"),
        ("prod", "prod", "prod"),
        ("prod", "dev", "dev"),
        ("prod", " DEV ", "dev"),
        ("dev", None, "dev"),
        ("dev", "prod", "dev"),
        ("dev", "dev", "dev"),
    ],
)
@BOTH
def test_dev_wins(connection: Environment, own: str | None, written: str, generation: Generation) -> None:
    event = read_event("lead_qualified", base("lead_qualified", context__environment=own), Rules(generation)).event
    body = to_wire(event, generation, connection)
    assert body["context"] == {"environment": written}
    assert refused(body, generation) == ()


@BOTH
@pytest.mark.parametrize("environment", ["staging", "test", "", 1, True, b"qa"])
def test_an_event_of_an_unknown_environment_is_not_sent_as_a_real_one(environment: Any, generation: Generation) -> None:
    outcome = read("lead_qualified", generation, context={"environment": environment, "page_type": "form"})
    assert (outcome.body, outcome.fields) == (None, ["context.environment"])


@BOTH
def test_the_connections_data_source_is_for_events_without_one(generation: Generation) -> None:
    for own, written in (({}, "crm"), ({"data_source": "phone"}, "phone")):
        event = LeadQualified.model_validate(base("lead_qualified", context=own))
        assert to_wire(event, generation, data_source="crm")["context"]["data_source"] == written
        assert "data_source" not in to_wire(event, generation)["context"] or own


@BOTH
def test_empty_parts_are_left_out(generation: Generation) -> None:
    outcome = read("lead_qualified", generation, event__properties={}, user={"properties": {}}, context={}, cookies={})
    assert outcome.body == {
        "event": {"name": "lead_qualified", "currency": "EUR", "id": "q-1"},
        "context": {"environment": "prod"},
    }


@BOTH
def test_parts_made_as_models_are_read_by_the_rules_of_the_send(generation: Generation) -> None:
    data = base("lead_qualified")
    data |= {
        "user": User(email=["a@example.com", "b@example.com"], first_name="Ana"),
        "context": Context(page_type="form"),
        "consent": Consent(analytics=True, personalization=True, marketing=False),
    }
    outcome = Read(data, generation)
    assert outcome.body is not None
    assert outcome.body["user"].get("email") == (
        ["a@example.com", "b@example.com"] if generation == "standard" else "a@example.com"
    )
    assert outcome.body["user"]["first_name"] == "Ana"
    assert outcome.fields == []
    assert outcome.cleaned == (() if generation == "standard" else ("user.email",))


def test_bytes_are_json_in_utf_8() -> None:
    outcome = read("lead_qualified", user__first_name="Ștefan 😀", event__value=750.0)
    assert outcome.body is not None
    raw = to_bytes(outcome.body)
    assert "Ștefan 😀".encode() in raw
    assert json.loads(raw) == outcome.body


@BOTH
@pytest.mark.parametrize("part", ["user", "context", "event"])
def test_a_misspelt_field_is_left_out_and_told(part: str, generation: Generation) -> None:
    data = base("lead_qualified", **{f"{part}__emial": "x"})
    outcome = Read(data, generation)
    assert outcome.body is not None
    assert outcome.problems == {f"{part}.emial": "is not part of this event"}
    assert Read(data, generation, on_bad_field="reject").body is None


@BOTH
def test_an_object_given_as_json_text_loses_its_bad_field_only(generation: Generation) -> None:
    outcome = read("lead_qualified", generation, user='{"id": 5, "phone": "junk"}')
    assert outcome.body is not None
    assert outcome.body["user"] == {"id": "5"}
    assert outcome.fields == ["user.phone"]
