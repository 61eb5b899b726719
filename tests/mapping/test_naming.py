"""Event fields are given by naming: the five rules, in their order."""

from __future__ import annotations

import json
from collections import OrderedDict
from types import MappingProxyType
from typing import Any

import pytest

from airflow_reshape.events.prepared import InvalidLead
from airflow_reshape.mapping import FieldMap, MappingError
from airflow_reshape.mapping.paths import BARE_NAMES, NEVER_BARE, PATHS, RESERVED, resolve
from tests.mapping.builders import LEAD, body, builder, event, invalid
from tests.mapping.strategies import Loud, LoudMap

NO_FIELD = "is no field of Reshape: map it, name it event.properties.…, leave it out or set unknown_columns"


# 1. mapping


def test_mapping_renames_columns() -> None:
    sent = body({"mail": "ana@example.com", "wert": "5"}, mapping={"user.email": "mail", "value": "WERT"})
    assert sent["user"] == {"email": "ana@example.com"}
    assert sent["event"]["value"] == 5


def test_mapping_reaches_into_nested_rows() -> None:
    hubspot = {
        "id": "77",
        "properties": {"email": "ana@example.com", "lifecyclestage": "SQL", "Annual Revenue": "10"},
        "associations": '{"company": {"name": "Acme"}}',
        "owner": b'{"Team": {"name": "north"}}',
    }
    sent = event(
        {**hubspot, "currency": "EUR"},
        mapping={
            "lead_id": "id",
            "stage": "properties.lifecyclestage",
            "user.email": "properties.email",
            "event.value": "properties.Annual Revenue",
            "user.properties.company": "associations.company.name",
            "user.properties.team": "owner.team.NAME",
            "user.phone": "properties.phone",
            "user.city": "associations.company.address.city",
            "user.region": "nowhere.at.all",
        },
    )
    assert sent.body["event"] == {"name": "lead_qualified", "id": "77:SQL", "currency": "EUR", "value": 10}
    assert sent.body["user"] == {"email": "ana@example.com", "properties": {"company": "Acme", "team": "north"}}
    assert sent.left_out == ()


@pytest.mark.parametrize(
    "crm", [LoudMap(), {"a": LoudMap()}, {"a": {Loud(): 1}}, {"a": Loud()}, [1], "[1]", "x", 5, None]
)
def test_a_nested_source_in_what_is_no_row(crm: Any) -> None:
    assert "user" not in body({"crm": crm}, mapping={"user.email": "crm.a.b"})


def test_a_nested_source_in_any_mapping() -> None:
    crm = MappingProxyType({"a": OrderedDict(b=memoryview(b'{"c": "ana@example.com"}'))})
    assert body({"crm": crm}, mapping={"user.email": "crm.a.b.c"})["user"] == {"email": "ana@example.com"}


def test_a_column_of_the_very_name_comes_before_a_nested_one() -> None:
    row = {"a.b": "flat", "a": {"b": "nested"}}
    assert body(row, mapping={"user.first_name": "a.b"}, unknown_columns="ignore")["user"] == {"first_name": "flat"}


def test_one_column_may_make_two_fields() -> None:
    sent = event({"contact": 5, "currency": "EUR"}, mapping={"user.id": "contact", "lead_id": "contact"})
    assert (sent.body["user"], sent.id) == ({"id": "5"}, "5:qualified")


@pytest.mark.parametrize(
    "user", [{"email": "ana@example.com", "crm_id": 9}, '{"email": "ana@example.com", "CRM_ID": 9}']
)
def test_an_object_keeps_what_mapping_does_not_take_out_of_it(user: Any) -> None:
    sent = event({"currency": "EUR", "User": user}, mapping={"event.id": "user.crm_id"})
    assert sent.id == "9"
    assert sent.body["user"] == {"email": "ana@example.com"}


def test_an_object_mapped_whole_is_taken_once() -> None:
    nested = {"person": {"email": "ana@example.com"}, "other": 1}
    assert body({"user": nested}, mapping={"user": "user.person"})["user"] == {"email": "ana@example.com"}


def test_a_source_that_a_row_lacks_is_missing_and_no_clash() -> None:
    assert body({"email": "ana@example.com"}, mapping={"user.email": "mail"})["user"] == {"email": "ana@example.com"}


# 2. dotted paths


@pytest.mark.parametrize("path", [path for path in PATHS if PATHS[path][0] not in {*RESERVED, "products", "coupons"}])
def test_every_path_means_itself_in_any_case_and_with_underscores(path: str) -> None:
    target = PATHS[path]
    underscored = path.replace(".", "__")
    assert {resolve(name) for name in (path, path.upper(), path.title(), f" {path} ")} == {target}
    assert {resolve(name) for name in (underscored, underscored.upper())} == {target}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("event.properties.Lead Score", ("event", "properties", "Lead Score")),
        ("event.properties.a.b.c", ("event", "properties", "a.b.c")),
        ("event__properties__a__b", ("event", "properties", "a__b")),
        ("EVENT__PROPERTIES__SCORE", ("event", "properties", "score")),
        ("EVENT.PROPERTIES.SCORE", ("event", "properties", "score")),
        ("user.properties.Plan", ("user", "properties", "Plan")),
        ("user__properties__plan_name", ("user", "properties", "plan_name")),
        ("cookies._ga", ("cookies", "_ga")),
        ("cookies___ga", ("cookies", "_ga")),
        ("cookies._ga_ABC", ("cookies", "_ga_ABC")),
        ("event.properties.Disqualification_Reason", ("event", "properties", "disqualification_reason")),
        ("context.overide_ip", ("context", "override_ip")),
        ("context__referring_url", ("context", "referrer_url")),
        ("overide_ip", ("context", "override_ip")),
    ],
)
def test_paths_with_keys_of_ones_own_and_older_names(name: str, path: tuple[str, ...]) -> None:
    assert resolve(name) == path


def test_columns_of_a_query() -> None:
    row = {
        "LEAD_ID": 5,
        "STAGE": "SQL",
        "USER__EMAIL": "Ana@Example.com",
        "EVENT__PROPERTIES__LEAD_SCORE": 95,
        "COOKIES___GA": "GA1",
        "Context.Page_Type": "form",
        "EVENT__CURRENCY": "eur",
    }
    assert event(row).body == {
        "event": {"name": "lead_qualified", "id": "5:SQL", "currency": "EUR", "properties": {"lead_score": 95}},
        "context": {"environment": "prod", "page_type": "form"},
        "user": {"email": "ana@example.com"},
        "cookies": [{"name": "_ga", "value": "GA1"}],
    }


# 3. nested objects


@pytest.mark.parametrize("pack", [dict, json.dumps, lambda value: json.dumps(value).encode()])
def test_nested_objects_as_the_api_wants_them(pack: Any) -> None:
    nested = {
        "event": {"id": "e-1", "currency": "EUR", "Value": 5, "properties": {"Score": 1, "none": None}},
        "user": {"EMAIL": "ana@example.com", "properties.plan": "pro", "phone": None, "city": " "},
        "context": {"overide_ip": "8.8.8.8", "page_type": "form"},
        "cookies": {"_ga": "GA1"},
    }
    assert event({key: pack(value) for key, value in nested.items()}).body == {
        "event": {"name": "lead_qualified", "id": "e-1", "currency": "EUR", "value": 5, "properties": {"Score": 1}},
        "user": {"email": "ana@example.com", "properties": {"plan": "pro"}},
        "context": {"environment": "prod", "overide_ip": "8.8.8.8", "page_type": "form"},
        "cookies": [{"name": "_ga", "value": "GA1"}],
    }


def test_nested_and_flat_together() -> None:
    row = {
        "user": {"email": "ana@example.com"},
        "phone": "+40722123456",
        "event.properties": {"a": 1},
        "event.properties.b": 2,
        "cookies": [{"name": "_ga", "value": "GA1"}],
        "cookies._fbp": "fb",
    }
    sent = body(row)
    assert sent["user"] == {"email": "ana@example.com", "phone": "+40722123456"}
    assert sent["event"]["properties"] == {"a": 1, "b": 2}
    assert sent["cookies"] == [{"name": "_ga", "value": "GA1"}, {"name": "_fbp", "value": "fb"}]


def test_misspelt_keys_of_nested_objects_are_told_unless_ignored() -> None:
    row = {**LEAD, "user": {"emial": "ana@example.com"}}
    assert invalid(row) == {
        "user.emial": f"is no field of Reshape: did you mean 'user.email'? {NO_FIELD.partition(': ')[2]}"
    }
    assert "user" not in body({"user": {"emial": "x"}}, unknown_columns="ignore")


@pytest.mark.parametrize("column", ["user", "context", "cookies", "event.properties", "user.properties"])
@pytest.mark.parametrize("value", ["jsmith", "[1]", "5", 5, [1], True])
def test_what_is_no_object_is_left_out(column: str, value: Any) -> None:
    sent = event({**LEAD, column: value})
    assert sent.body["event"] == {"name": "lead_qualified", "id": "L-1:qualified", "currency": "EUR"}
    assert [problem.field for problem in sent.left_out] == [column]


@pytest.mark.parametrize("column", ["user", "context", "cookies", "event.properties", "user.properties"])
@pytest.mark.parametrize("value", [None, "", "null", "{}", {}, {"x": None}, float("nan")])
def test_what_is_empty_is_missing(column: str, value: Any) -> None:
    sent = event({**LEAD, column: value}, unknown_columns="ignore")
    assert sent.left_out == ()
    assert sent.body.keys() == {"event", "context"}


def test_an_event_that_is_no_object_is_invalid() -> None:
    assert invalid({**LEAD, "event": "click"}) == {"event": "is given twice, by two columns"}
    assert invalid({"lead_id": 1, "event": "click"}) == {"event": "must be an object"}


# 4. bare names


@pytest.mark.parametrize(
    "name", sorted(name for name, meant in BARE_NAMES.items() if len(meant) == 1 and meant[0] not in NEVER_BARE)
)
def test_bare_names_that_mean_one_path(name: str) -> None:
    assert resolve(name) == resolve(name.upper()) == PATHS[BARE_NAMES[name][0]]


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("id", "is ambiguous: write event.id or user.id or consent.id"),
        ("properties", "is ambiguous: write event.properties or user.properties"),
        ("name", "is ambiguous: write event.name or user.first_name or user.last_name"),
        ("marketing", "is not taken by its bare name: write consent.marketing"),
        ("ANALYTICS", "is not taken by its bare name: write consent.analytics"),
        ("personalization", "is not taken by its bare name: write consent.personalization"),
        ("environment", "is not taken by its bare name: write context.environment"),
    ],
)
def test_bare_names_that_mean_several_or_too_much(name: str, advice: str) -> None:
    with pytest.raises(MappingError) as error:
        FieldMap().check_columns([name])
    assert str(error.value) == f"column {name!r} {advice}"
    assert invalid({**LEAD, name: 1}) == {name: advice}
    with pytest.raises(MappingError, match=advice):
        FieldMap({name: "x"})


# two columns for one path


@pytest.mark.parametrize(
    "columns",
    [
        ("email", "user.email"),
        ("Email", "EMAIL"),
        ("user__email", "user.email"),
        ("context.overide_ip", "context.override_ip"),
        ("overide_ip", "context__overide_ip"),
        ("event.properties.Score", "event__properties__Score"),
        ("lead_id", "LEAD_ID"),
        ("user", "USER"),
    ],
)
def test_two_columns_for_one_path(columns: tuple[str, str]) -> None:
    told = f"columns {columns[0]!r} and {columns[1]!r} both make "
    with pytest.raises(MappingError, match=told):
        FieldMap().check_columns(columns)
    assert invalid(dict.fromkeys(columns, "x"))["columns"].startswith(told)


def test_two_columns_for_one_path_are_told_once() -> None:
    row = {**LEAD, "email": "a@example.com", "user.email": "b@example.com", "Value": 1, "event.value": 2}
    prepared = builder()(row)
    assert isinstance(prepared, InvalidLead)
    assert [str(problem).partition(":")[0] for problem in prepared.problems] == ["columns", "columns"]
    with pytest.raises(MappingError, match=r"both make user\.email: .*; columns 'Value' and 'event.value' both make"):
        FieldMap().check_columns(row)


@pytest.mark.parametrize("column", ["email", "EMAIL", "user.email", "user__email"])
@pytest.mark.parametrize("source", ["mail", "crm.mail"])
def test_a_mapping_wins_over_a_column_for_the_same_path(column: str, source: str) -> None:
    row = {column: "old@example.com", "mail": "new@example.com", "crm": {"mail": "new@example.com"}}
    row.pop("crm" if source == "mail" else "mail")
    for given in (row, dict(reversed(row.items()))):
        assert body(given, mapping={"user.email": source})["user"] == {"email": "new@example.com"}
        FieldMap({"user.email": source}).check_columns(given)


@pytest.mark.parametrize(
    ("mapping", "row"),
    [
        ({"event.currency": "devise"}, {"currency": "EUR", "devise": "RON"}),
        ({"event.currency": "devise"}, {"event": {"currency": "EUR"}, "devise": "RON"}),
        ({"event.currency": "devise"}, {"event": '{"CURRENCY": "EUR"}', "devise": "RON"}),
        ({"event.currency": "event.devise"}, {"event": {"currency": "EUR", "devise": "RON"}}),
        ({"event": "crm"}, {"event": {"currency": "EUR"}, "crm": {"currency": "RON"}}),
    ],
)
def test_a_mapping_wins_wherever_else_the_field_stands(mapping: dict[str, str], row: dict[str, Any]) -> None:
    assert event({"lead_id": 1, **row}, mapping=mapping).body["event"]["currency"] == "RON"


def test_what_a_mapping_displaced_is_not_sent_in_its_place() -> None:
    row = {"lead_id": "old", "ref": "new", "email": "old@example.com", "mail": None, "currency": "EUR"}
    sent = event(row, mapping={"user.email": "mail", "lead_id": "ref"})
    assert (sent.id, sent.lead_id, "user" in sent.body) == ("new:qualified", "new", False)
    # A source that is not among the columns displaces nothing.
    assert body({"email": "a@example.com"}, mapping={"user.email": "mail"})["user"] == {"email": "a@example.com"}


def test_a_consent_that_is_mapped_is_the_only_one() -> None:
    row = {**LEAD, "gdpr": None, "consent": {"marketing": True, "analytics": True}, "consent.marketing": True}
    sent = event(row, mapping={"consent.marketing": "gdpr"}, generation="webhooks")
    assert sent.body["consent"] == {"analytics": True, "personalization": False, "marketing": False}


def test_two_sources_of_a_mapping_for_one_path() -> None:
    with pytest.raises(MappingError, match=r"'user\.email' and 'EMAIL' are the same path"):
        FieldMap({"user.email": "a", "EMAIL": "b"})


@pytest.mark.parametrize(
    "row",
    [
        {"user": {"email": "a@example.com"}, "email": "b@example.com"},
        {"email": "b@example.com", "user": {"email": "a@example.com"}},
        {"email": "b@example.com", "user": "jsmith"},
        {"user": "jsmith", "email": "b@example.com"},
        {"event.properties.a": 1, "event.properties": {"a": 2}},
        {"event.properties.a": 1, "event.properties": "text"},
        {"event": {"properties": "text"}, "event.properties.a": 1},
        {"cookies._ga": "x", "cookies": "text"},
        {"user": {"email": "a@example.com", "EMAIL": "b@example.com"}},
    ],
)
def test_two_values_for_one_path_in_a_row(row: dict[str, Any]) -> None:
    assert set(invalid({**row, "lead_id": 1}).values()) == {"is given twice, by two columns"}


def test_a_value_and_a_null_for_one_path_are_one_value() -> None:
    assert body({"user": {"email": None}, "email": "b@example.com"})["user"] == {"email": "b@example.com"}


# wrong paths


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("user.emial", "user.email"),
        ("user.e_mail", "user.email"),
        ("user.firstname", "user.first_name"),
        ("event.curency", "event.currency"),
        ("event.propertie", "event.properties"),
        ("context.user_agnet", "context.user_agent"),
        ("context.overideip", "context.overide_ip"),
        ("consent.marketting", "consent.marketing"),
        ("lead", "lead_id"),
        ("ocurred_at", "occurred_at"),
        ("previousstage", "previous_stage"),
        ("postcode", "user.postal_code"),
        ("phone_number", "user.phone"),
        ("contact_email_address", "user.email"),
        ("zip_postal_code", "user.postal_code"),
    ],
)
def test_a_wrong_path_fails_with_the_nearest_right_one(wrong: str, right: str) -> None:
    with pytest.raises(MappingError, match=f"mapping: '{wrong}' is no field of Reshape: did you mean '{right}'"):
        FieldMap({wrong: "x"})


@pytest.mark.parametrize(
    "wrong", ["", " ", "x", "event.", "event.properties.", "cookies.", "user.email.x", "_id", "products.id"]
)
def test_a_name_that_is_like_none(wrong: str) -> None:
    with pytest.raises(MappingError, match="is no field of Reshape"):
        FieldMap({wrong: "x"})


@pytest.mark.parametrize("source", ["", None, 5, ["mail"]])
def test_a_source_is_a_columns_name(source: Any) -> None:
    with pytest.raises(MappingError, match="must be a column's name"):
        FieldMap({"user.email": source})


# 5. everything else


def test_unknown_columns_are_errors() -> None:
    with pytest.raises(MappingError) as error:
        FieldMap().check_columns(["email", "score", "Sales Rep"])
    assert str(error.value) == f"column 'score' {NO_FIELD}; column 'Sales Rep' {NO_FIELD}"
    assert invalid({**LEAD, "score": 1}) == {"score": NO_FIELD}
    assert invalid({**LEAD, "score": None}) == {"score": NO_FIELD}


def test_unknown_columns_may_be_ignored() -> None:
    FieldMap(unknown_columns="ignore").check_columns(["score", "id", "name"])
    assert body({"score": 1, "id": 2, "user": {"x": 3}}, unknown_columns="ignore") == {
        "event": {"name": "lead_qualified", "id": "L-1:qualified", "currency": "EUR"},
        "context": {"environment": "prod"},
    }


@pytest.mark.parametrize("into", ["event.properties", "user.properties"])
def test_unknown_columns_may_become_properties_if_they_are_allowed(into: Any) -> None:
    options = {"unknown_columns": into, "property_columns": ["Score", "id", "SalesRep"]}
    root = into.partition(".")[0]
    assert body({"SCORE": 1, "Id": 2, "salesrep": "x"}, **options)[root]["properties"] == {
        "score": 1,
        "Id": 2,
        "salesrep": "x",
    }
    assert invalid({**LEAD, "zzz": 1}, **options) == {"zzz": NO_FIELD}
    with pytest.raises(MappingError, match=f"columns 'score' and '{into}.score' both make {into}.score"):
        FieldMap(**options).check_columns(["score", f"{into}.score"])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"unknown_columns": "event.properties"}, "needs property_columns"),
        ({"unknown_columns": "user.properties", "property_columns": []}, "needs property_columns"),
        ({"unknown_columns": "anywhere"}, "unknown_columns must be one of error, ignore, event.properties, user.prop"),
        ({"unknown_columns": None}, "unknown_columns must be one of"),
        ({"property_columns": ["score"]}, "needs unknown_columns="),
        ({"property_columns": ["score"], "unknown_columns": "ignore"}, "needs unknown_columns="),
        ({"property_columns": "score", "unknown_columns": "event.properties"}, "must be a list"),
    ],
)
def test_contradicting_settings(options: Any, told: str) -> None:
    with pytest.raises(MappingError, match=told):
        FieldMap(**options)


def test_a_mapped_source_that_a_query_does_not_have() -> None:
    field_map = FieldMap({"user.email": "mail", "user.phone": "crm.phone"})
    field_map.check_columns(["MAIL", "crm", "lead_id"])
    with pytest.raises(MappingError, match=r"the source has no column 'crm\.phone'; it has mail, lead_id"):
        field_map.check_columns(["mail", "lead_id"])


@pytest.mark.parametrize("column", ["full_name", "lead_name", "environmental"])
def test_no_hint_leads_to_what_no_column_is_called(column: str) -> None:
    (told,) = invalid({**LEAD, column: "Ana Pop"}).values()
    assert "is no field of Reshape" in told
    assert not [name for name in NEVER_BARE if name in told]


@pytest.mark.parametrize("key", [None, 5, 2.5, True, ("a", "b"), b"email", frozenset("x"), "\ud800"])
def test_columns_with_weird_names_are_unknown(key: Any) -> None:
    assert list(invalid({**LEAD, key: 1}).values()) == [NO_FIELD]
    assert body({key: 1}, unknown_columns="ignore")["event"]["id"] == "L-1:qualified"


@pytest.mark.parametrize("row", [None, 5, "text", b"x", [1], [("lead_id", 1)], object()])
def test_what_is_no_row(row: Any) -> None:
    assert invalid(row) == {"lead": "must be a dict of columns or an event"}


def test_one_builder_takes_rows_of_different_columns() -> None:
    build = builder()
    first, second = build({**LEAD, "email": "a@example.com"}), build({**LEAD, "phone": "+40722123456"})
    assert [prepared.body["user"] for prepared in (first, second)] == [  # type: ignore[union-attr]
        {"email": "a@example.com"},
        {"phone": "+40722123456"},
    ]
