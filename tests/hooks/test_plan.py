"""The arguments of a send: each rule is told when the DAG is parsed."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_reshape.delivery.guards import DEFAULT_MAX_AGE
from airflow_reshape.exceptions import ReshapeConfigurationError
from airflow_reshape.hooks.plan import ARGUMENT_RULES, SendPlan

pytestmark = pytest.mark.timeout(30)

STAGES = {"SQL": "lead_qualified", "Lost": "lead_disqualified", "New": None}

ACCEPTED: list[dict[str, Any]] = [
    {},
    {"event": "lead_qualified"},
    {"event": "my_own_event"},
    {"stage_map": STAGES},
    {"stage_map": {1: "lead_qualified", 2: None}},
    {"reason_map": {"Too small": "out_of_icp", "Merged": None}},
    {"reason_map": {"Too small": "small"}, "allow_other_reasons": True},
    {"mapping": {"user.email": "mail", "event.value": "deal.amount"}},
    {"defaults": {"event.currency": "EUR"}},
    {"unknown_columns": "ignore"},
    {"unknown_columns": "event.properties", "property_columns": ["tier"]},
    {"event_id": "{lead_id}-{stage}"},
    {"disqualified_value": 0},
    {"disqualified_value": 12.5},
    {"disqualified_value": "row"},
    {"default_region": "RO"},
    {"default_region": "ro"},
    {"timezone": "Europe/Bucharest"},
    {"on_bad_field": "reject"},
    {"max_age": timedelta(days=7)},
    {"require_consent": ["marketing", "analytics"]},
    {"require_consent": ("personalization",)},
    {"require_identifier": True},
    {"exclude_emails": ["*@example.com"]},
    {"exclude_emails": {"a@example.com"}},
    {"concurrency": 1},
    {"concurrency": 1024},
    {"rate_limit": 100},
    {"rate_limit": 0.5},
    {"rate_limit": None},
    {"max_outage": timedelta(seconds=1)},
    {"max_rejected": 5},
    {"max_rejected": 0.05},
    {"max_rejected": 1.0},
    {"validate_only": True},
    {"ledger_retention": timedelta(days=30)},
    {"resume": False},
    {"retry_rejected": True},
    {"failures_path": "file:///tmp/failures", "failures_retention": timedelta(days=1)},
    {"max_events": 1},
]
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"event": 5}, "event "),
    ({"event": " "}, "event "),
    ({"event": "lead_qualified", "stage_map": STAGES}, "event or stage_map"),
    ({"stage_map": {}}, "stage_map"),
    ({"stage_map": ["SQL"]}, "stage_map"),
    ({"stage_map": {"SQL": 5}}, "stage_map"),
    ({"reason_map": {"Too small": "small"}}, "reason_map"),
    ({"reason_map": "too small"}, "reason_map"),
    ({"mapping": "user.email"}, "mapping"),
    ({"mapping": {5: "mail"}}, "mapping"),
    ({"mapping": {"user.email": ""}}, "mapping"),
    ({"mapping": {"user.emial": "mail"}}, "user.email"),
    ({"defaults": ["EUR"]}, "defaults"),
    ({"defaults": {"event.curency": "EUR"}}, "event.currency"),
    ({"defaults": {"consent.marketing": True}}, "consent"),
    ({"unknown_columns": "drop"}, "unknown_columns"),
    ({"unknown_columns": ["ignore"]}, "unknown_columns"),
    ({"unknown_columns": "event.properties"}, "property_columns"),
    ({"property_columns": "tier"}, "property_columns"),
    ({"property_columns": None}, "property_columns"),
    ({"event_id": "fixed"}, "event_id"),
    ({"event_id": "{lead_id"}, "event_id"),
    ({"event_id": 7}, "event_id"),
    ({"disqualified_value": "zero"}, "disqualified_value"),
    ({"disqualified_value": float("nan")}, "disqualified_value"),
    ({"disqualified_value": float("inf")}, "disqualified_value"),
    ({"disqualified_value": True}, "disqualified_value"),
    ({"disqualified_value": [0]}, "disqualified_value"),
    ({"default_region": "Romania"}, "default_region"),
    ({"default_region": "XX"}, "default_region"),
    ({"default_region": 40}, "default_region"),
    ({"timezone": "Bucharest"}, "timezone"),
    ({"timezone": ""}, "timezone"),
    ({"timezone": "Europe"}, "timezone"),
    ({"timezone": 3600}, "timezone"),
    ({"timezone": UTC}, "timezone"),
    ({"timezone": None}, "timezone"),
    ({"on_bad_field": "drop"}, "on_bad_field"),
    ({"on_bad_field": None}, "on_bad_field"),
    ({"max_age": 72}, "max_age"),
    ({"max_age": timedelta(0)}, "max_age"),
    ({"max_age": timedelta(hours=-1)}, "max_age"),
    ({"require_consent": "marketing"}, "require_consent"),
    ({"require_consent": ["marketting"]}, "require_consent"),
    ({"require_consent": ["id"]}, "require_consent"),
    ({"require_consent": None}, "require_consent"),
    ({"exclude_emails": "*@example.com"}, "exclude_emails"),
    ({"exclude_emails": [""]}, "exclude_emails"),
    ({"exclude_emails": [None]}, "exclude_emails"),
    ({"exclude_emails": None}, "exclude_emails"),
    ({"exclude_emails": (x for x in ["a@example.com"])}, "exclude_emails"),
    ({"concurrency": 0}, "concurrency"),
    ({"concurrency": 1025}, "concurrency"),
    ({"concurrency": "16"}, "concurrency"),
    ({"concurrency": True}, "concurrency"),
    ({"concurrency": None}, "concurrency"),
    ({"rate_limit": 0}, "rate_limit"),
    ({"rate_limit": -1.5}, "rate_limit"),
    ({"rate_limit": float("inf")}, "rate_limit"),
    ({"rate_limit": float("nan")}, "rate_limit"),
    ({"rate_limit": True}, "rate_limit"),
    ({"rate_limit": "100"}, "rate_limit"),
    ({"max_outage": timedelta(0)}, "max_outage"),
    ({"max_outage": timedelta(seconds=-1)}, "max_outage"),
    ({"max_outage": 300}, "max_outage"),
    ({"max_outage": None}, "max_outage"),
    ({"max_rejected": -1}, "max_rejected"),
    ({"max_rejected": 1.5}, "max_rejected"),
    ({"max_rejected": float("nan")}, "max_rejected"),
    ({"max_rejected": True}, "max_rejected"),
    ({"max_rejected": "5"}, "max_rejected"),
    ({"max_rejected": None}, "max_rejected"),
    ({"require_reason": "yes"}, "require_reason"),
    ({"allow_other_reasons": 1}, "allow_other_reasons"),
    ({"require_identifier": None}, "require_identifier"),
    ({"validate_only": "true"}, "validate_only"),
    ({"ledger_retention": timedelta(0)}, "ledger_retention"),
    ({"ledger_retention": 30}, "ledger_retention"),
    ({"ledger_retention": timedelta(hours=71)}, "max_age"),
    ({"ledger_retention": timedelta(days=30), "max_age": timedelta(days=31)}, "max_age"),
    ({"resume": "yes"}, "resume"),
    ({"retry_rejected": "yes"}, "retry_rejected"),
    ({"failures_path": " "}, "failures_path"),
    ({"failures_path": 5}, "failures_path"),
    ({"failures_retention": timedelta(0)}, "failures_retention"),
    ({"max_events": 0}, "max_events"),
    ({"max_events": True}, "max_events"),
    ({"max_events": 1.5}, "max_events"),
    ({"baseline": True}, "baseline needs ledger_conn_id"),
    ({"baseline": 1, "ledger_conn_id": "ledger"}, "baseline"),
    ({"ledger_conn_id": 7}, "ledger_conn_id"),
    ({"consent_map": ["granted"]}, "consent_map must be a dict of purposes"),
    ({"consent_map": {"marketing": {"granted": 1}}}, "must be True for a yes, or False for a no"),
    ({"consent_map": {"marketing": {"no": True}}}, "'no' is a no, and cannot be made a yes"),
    ({"consent_map": {" No\u200b": True}}, "is a no, and cannot be made a yes"),
    ({"consent_map": {0: True}}, "0 is a no, and cannot be made a yes"),
    ({"consent_map": {"sales": {"granted": True}}}, "'sales' is no purpose; there are analytics"),
    ({"consent_map": {"marketing": {"Granted": True, "granted ": False}}}, "says two things for"),
    ({"consent_map": {(1, 2): True}}, "must be a word of the CRM"),
    ({"allow_fan_out": "yes"}, "allow_fan_out must be True or False"),
    ({"event": "lead_qualfied"}, "did you mean 'lead_qualified'"),
]


@pytest.mark.parametrize("arguments", ACCEPTED, ids=str)
def test_accepted(arguments: dict[str, Any]) -> None:
    plan = SendPlan(**arguments)
    assert replace(plan, validate_only=True).validate_only
    for name, value in arguments.items():
        assert getattr(plan, name) == value


def without_address(value: object) -> str:
    """Processes that share the tests must give them the same names."""
    return re.sub(r" at 0x\w+", "", str(value))


@pytest.mark.parametrize(("arguments", "told"), REFUSED, ids=without_address)
def test_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ReshapeConfigurationError) as caught:
        SendPlan(**arguments)
    assert told in str(caught.value)
    assert caught.value.__cause__ is None


def test_every_argument_has_a_case_that_is_refused() -> None:
    arguments = {field.name for field in fields(SendPlan) if field.init}
    assert arguments == {name for refused, _ in REFUSED for name in refused}
    assert set(ARGUMENT_RULES) <= arguments


anything = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.integers() | st.text())
    | st.dictionaries(st.text(), st.text())
)


@given(st.dictionaries(st.sampled_from([field.name for field in fields(SendPlan) if field.init]), anything, max_size=3))
def test_any_arguments_make_a_plan_or_a_typed_error(arguments: dict[str, Any]) -> None:
    try:
        SendPlan(**arguments)
    except ReshapeConfigurationError:
        return


@pytest.mark.parametrize(
    ("limit", "failures", "read", "allowed"),
    [
        (0, 0, 10, True),
        (0, 1, 10, False),
        (1, 1, 1, True),
        (1, 2, 1000, False),
        (0.0, 0, 0, True),
        (0.0, 1, 1000, False),
        (0.001, 1, 1000, True),
        (0.001, 1, 999, False),
        (0.29, 29, 100, True),
        (0.29, 30, 100, False),
        (0.07, 7, 100, True),
        (1.0, 10, 10, True),
        (0.5, 0, 0, True),
    ],
)
def test_how_many_may_fail(limit: float, failures: int, read: int, allowed: bool) -> None:
    assert SendPlan(max_rejected=limit).allows(failures, read) is allowed


def test_every_share_of_a_hundred_is_exact() -> None:
    for percent in range(101):
        plan = SendPlan(max_rejected=percent / 100)
        assert plan.allows(percent, 100)
        assert percent == 100 or not plan.allows(percent + 1, 100)


def test_guards_of_a_plan() -> None:
    default = SendPlan().guards()
    assert (default.max_age, default.max_age_is_chosen) == (DEFAULT_MAX_AGE, False)
    chosen = SendPlan(max_age=timedelta(days=2), require_consent=["marketing"], exclude_emails=["x@y.z"]).guards()
    assert (chosen.max_age, chosen.max_age_is_chosen) == (timedelta(days=2), True)
    assert (chosen.require_consent, chosen.exclude_emails) == (("marketing",), ("x@y.z",))


def test_days_are_those_of_the_plans_zone() -> None:
    late = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
    assert SendPlan(timezone="Europe/Bucharest").tally().day_of(late) == "2026-03-02"
    assert SendPlan().tally().day_of(late) == "2026-03-01"
    assert SendPlan().tally().day_of(None) == datetime.now(UTC).strftime("%Y-%m-%d")
