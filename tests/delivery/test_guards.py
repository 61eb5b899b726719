"""Leads that are valid and yet not sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_reshape.delivery.guards import CLOCKS_MAY_DIFFER, GUARDS, Guards, stopped_by
from airflow_reshape.delivery.ledger.claims import Claim
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.repeats import Repeat
from airflow_reshape.delivery.report import report
from airflow_reshape.events.prepared import PreparedEvent
from tests.delivery.leads import builder, lead, send
from tests.delivery.servers import scripted

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MARKETING = Guards(require_consent=("marketing",))
BOTH = Guards(require_consent=("marketing", "analytics"))
TESTERS = Guards(exclude_emails=("*@Example.COM ", "boss@*", "one@shop.test"))
IDENTIFIED = Guards(require_identifier=True)
DAY = Guards(max_age=timedelta(days=1), max_age_is_chosen=True)
LAST = Guards(validate_only=True)
KNOWN = Guards(baseline=True, require_consent=("marketing",), exclude_emails=("*",), require_identifier=True)


def prepared(**columns: Any) -> PreparedEvent:
    event = builder("webhooks")(lead(1, **columns))
    assert isinstance(event, PreparedEvent), event
    return event


@pytest.mark.parametrize(
    ("guards", "columns", "why"),
    [
        (Guards(), {}, None),
        (Guards(), {"occurred_at": NOW}, None),
        (Guards(), {"occurred_at": NOW - timedelta(hours=72)}, None),
        (Guards(), {"occurred_at": NOW - timedelta(hours=72, seconds=1)}, "too_old"),
        (Guards(), {"occurred_at": "2020-01-01"}, "too_old"),
        (DAY, {"occurred_at": NOW - timedelta(hours=25)}, "too_old"),
        (DAY, {"occurred_at": NOW - timedelta(hours=23)}, None),
        (DAY, {}, None),
        # The same moment in another zone.
        (DAY, {"occurred_at": (NOW - timedelta(hours=23)).astimezone(timezone(timedelta(hours=9)))}, None),
        (Guards(), {"occurred_at": NOW + CLOCKS_MAY_DIFFER}, None),
        (Guards(), {"occurred_at": NOW + CLOCKS_MAY_DIFFER + timedelta(seconds=1)}, "in_future"),
        (MARKETING, {}, "no_consent"),
        (MARKETING, {"consent.marketing": None}, "no_consent"),
        (MARKETING, {"consent.marketing": ""}, "no_consent"),
        (MARKETING, {"consent.marketing": "maybe"}, "unreadable_consent"),
        (BOTH, {"consent.marketing": "maybe", "consent.analytics": "no"}, "no_consent"),
        (BOTH, {"consent.marketing": "maybe", "consent.analytics": True}, "unreadable_consent"),
        (MARKETING, {"consent.marketing": 0}, "no_consent"),
        (MARKETING, {"consent.analytics": True}, "no_consent"),
        (MARKETING, {"consent.marketing": "yes"}, None),
        (BOTH, {"consent.marketing": True}, "no_consent"),
        (BOTH, {"consent.marketing": True, "consent.analytics": 1}, None),
        (KNOWN, {"occurred_at": "2020-01-01", "user.email": "ana@example.com"}, None),
        (KNOWN, {"occurred_at": NOW + timedelta(hours=1)}, "in_future"),
        (TESTERS, {}, None),
        (TESTERS, {"user.email": "Ana@example.com"}, "excluded"),
        (TESTERS, {"user.email": "BOSS@shop.test"}, "excluded"),
        (TESTERS, {"user.email": "one@shop.test"}, "excluded"),
        (TESTERS, {"user.email": "another.one@shop.test"}, None),
        (TESTERS, {"user.email": "ana@example.com.test"}, None),
        (IDENTIFIED, {}, "no_identifier"),
        (IDENTIFIED, {"user.first_name": "Ana"}, "no_identifier"),
        (IDENTIFIED, {"user.id": "c-1"}, None),
        (IDENTIFIED, {"user.email": "ana@shop.test"}, None),
        (IDENTIFIED, {"user.phone": "+40722123456"}, None),
        (IDENTIFIED, {"user.phone": "junk"}, "no_identifier"),
        (LAST, {}, "validate_only"),
        (LAST, {"occurred_at": "2020-01-01"}, "too_old"),
    ],
)
def test_the_table(guards: Guards, columns: dict[str, Any], why: str | None) -> None:
    assert stopped_by(prepared(**columns), guards, NOW) == why


def test_one_of_several_addresses_is_enough_to_exclude() -> None:
    event = builder("standard")({**lead(1), "user.email": ["ana@shop.test", "tester@example.com"]})
    assert isinstance(event, PreparedEvent)
    assert stopped_by(event, TESTERS, NOW) == "excluded"


def test_the_consent_is_read_on_both_generations_and_sent_on_one() -> None:
    for generation, sent in (("standard", False), ("webhooks", True)):
        event = builder(generation)(lead(1, **{"consent.marketing": False}))  # type: ignore[arg-type]
        assert isinstance(event, PreparedEvent)
        assert stopped_by(event, MARKETING, NOW) == "no_consent"
        assert ("consent" in event.body) is sent


ALWAYS_FAILING = {"in_future", "unknown_stage", "rejected_in_this_run", "unreadable_consent"}


@pytest.mark.parametrize(
    ("guards", "failing"),
    [
        (Guards(), {"too_old", "fan_out", *ALWAYS_FAILING}),
        (Guards(allow_fan_out=True), {"too_old", *ALWAYS_FAILING}),
        (Guards(max_age_is_chosen=True), {"fan_out", *ALWAYS_FAILING}),
        (Guards(validate_only=True, require_identifier=True), {"too_old", "fan_out", *ALWAYS_FAILING}),
    ],
)
def test_which_count_as_failures(guards: Guards, failing: set[str]) -> None:
    assert guards.failing == failing
    assert failing <= {*GUARDS, "unknown_stage", Repeat.FAN_OUT.value, Claim.REJECTED_THIS_RUN.value}


def test_what_a_guard_stops_is_not_sent() -> None:
    rows = [
        lead(1, occurred_at="2020-01-01"),
        lead(2, **{"user.email": "x@example.com"}),
        lead(3, **{"user.email": "ana@shop.test"}),
    ]
    with scripted() as server:
        sent = send(server.url, rows, guards=TESTERS)
    assert server.ids == ["e3"]
    assert sent.tally.skipped_by == {"too_old": 1, "excluded": 1}
    assert sent.tally.positions(Kind.SKIPPED) == [1, 2]
    assert sent.tally.failures == 1
    assert [(e.position, e.kind, e.why) for e in sent.tally.examples] == [(1, Kind.SKIPPED, "too_old")]


def test_a_few_rows_of_each_reason_are_named() -> None:
    old = [lead(n, occurred_at="2020-01-01") for n in range(1, 9)]
    future = [lead(n, occurred_at="2098-01-01") for n in (9, 10)]
    with scripted() as server:
        sent = send(server.url, [*old, *future])
    told = [(example.position, example.why) for example in sent.tally.examples]
    assert told == [(1, "too_old"), (2, "too_old"), (9, "in_future"), (10, "in_future")]
    lines = report(sent.tally, environment="dev", validate_only=False, seconds=1).splitlines()
    assert lines[-1] == "  and 6 skipped rows more that count as failures"


def test_validate_only_sends_nothing_and_shows_what_would_go() -> None:
    with scripted() as server:
        sent = send(server.url, [lead(n, **{"user.email": "ana@shop.test"}) for n in range(1, 8)], guards=LAST)
        assert server.connections == 0
    assert sent.counts == {"skipped": 7}
    assert sent.tally.failures == 0
    summary = sent.tally.summary()
    assert summary["would_send"] == {"lead_qualified": {"today": 7}}
    assert summary["fields_found"]["user.email"] == 7
    assert len(sent.tally.payloads) == 3
