"""Answers about consent: never granted by guess, never unread in silence."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from typing import Any

import pytest

from airflow_reshape.exceptions import ReshapeConfigurationError, ReshapeFailedLeadsError
from airflow_reshape.hooks.reshape import ReshapeHook
from tests.delivery.servers import ScriptedServer

NEEDED: dict[str, Any] = {"event": "lead_qualified", "require_consent": ["marketing"]}
WORDS = {"marketing": {"granted": True, "Denied": False, "opted_in": True}}


def leads(*answers: Any, purpose: str = "marketing") -> list[dict[str, Any]]:
    return [
        {"lead_id": f"L-{n}", "currency": "EUR", f"consent.{purpose}": answer} for n, answer in enumerate(answers, 1)
    ]


def told_by(caught: pytest.ExceptionInfo[Any]) -> dict[str, Any]:
    summary: dict[str, Any] = caught.value.summary
    return summary


def ids(receiver: ScriptedServer) -> set[str]:
    return {request.id.partition(":")[0] for request in receiver.requests}


@pytest.mark.parametrize(
    "answer",
    ["granted", "accepted", "da", "ja", "opted_in", "2024-05-01T10:00:00Z", datetime(2024, 5, 1, tzinfo=UTC), 2],
)
def test_an_answer_that_nobody_can_read_is_no_consent_and_a_failure(
    answer: Any, hook: ReshapeHook, receiver: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ReshapeFailedLeadsError, match="consent neither yes nor no") as caught:
        hook.send_events(leads("yes", answer, None, "no"), **NEEDED)
    assert ids(receiver) == {"L-1"}
    assert told_by(caught)["skipped_by"] == {"no_consent": 2, "unreadable_consent": 1}
    assert told_by(caught)["unreadable_consent"] == {"consent.marketing": 1}
    told = [each for each in caplog.records if "answers of consent.marketing are neither yes nor no" in each.message]
    assert [each.levelno for each in told] == [logging.WARNING]


def test_a_lead_that_said_no_to_something_else_is_no_failure(hook: ReshapeHook, receiver: ScriptedServer) -> None:
    rows = [{**leads("granted")[0], "consent.analytics": "no"}]
    summary = hook.send_events(rows, event="lead_qualified", require_consent=["marketing", "analytics"])
    assert summary["skipped_by"] == {"no_consent": 1}
    assert receiver.requests == []


def test_a_crms_own_words(hook: ReshapeHook, receiver: ScriptedServer) -> None:
    rows = leads("granted", " GRANTED\u200b", "denied", "opted_in", "yes", "no", 0, None)
    summary = hook.send_events(rows, **NEEDED, consent_map=WORDS)
    assert ids(receiver) == {"L-1", "L-2", "L-4", "L-5"}
    assert summary["skipped_by"] == {"no_consent": 4}
    assert summary["unreadable_consent"] == {}


def test_words_hold_for_the_purpose_that_they_are_given_for(hook: ReshapeHook, receiver: ScriptedServer) -> None:
    with pytest.raises(ReshapeFailedLeadsError):
        hook.send_events(
            leads("granted", purpose="analytics"),
            event="lead_qualified",
            require_consent=["analytics"],
            consent_map=WORDS,
        )
    assert receiver.requests == []
    hook.send_events(
        leads("granted", purpose="analytics"),
        event="lead_qualified",
        require_consent=["analytics"],
        consent_map={"granted": True},
    )
    assert ids(receiver) == {"L-1"}


def test_a_map_may_make_a_yes_a_no_and_never_a_no_a_yes(hook: ReshapeHook, receiver: ScriptedServer) -> None:
    summary = hook.send_events(leads("on"), **NEEDED, consent_map={"marketing": {"on": False}})
    assert summary["skipped_by"] == {"no_consent": 1}
    for no in ("no", " NO ", "f", "0", 0, "off\u200b"):
        with pytest.raises(ReshapeConfigurationError, match="cannot be made a yes"):
            hook.send_events(leads("on"), **NEEDED, consent_map={"marketing": {no: True}})
    assert receiver.requests == []


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("granted", "text"),
        ("2024-05-01 10:00:00 UTC", "timestamp"),
        (datetime(2024, 5, 1, tzinfo=UTC), "timestamp"),
        (date(2024, 5, 1), "timestamp"),
        (7, "number"),
        (["ads"], "list"),
    ],
)
@pytest.mark.parametrize("validate_only", [False, True])
def test_a_column_that_nobody_can_read_stops_the_send_before_its_first_event(
    answer: Any, kind: str, validate_only: bool, hook: ReshapeHook, receiver: ScriptedServer
) -> None:
    rows = leads(*[answer] * 20, None, None)
    with pytest.raises(ReshapeConfigurationError) as caught:
        hook.send_events(rows, **NEEDED, validate_only=validate_only)
    assert receiver.requests == []
    told = str(caught.value)
    assert f"none of the first 20 answers of consent.marketing is a yes or a no; the column holds {kind}" in told
    assert "consent_map" in told
    assert "granted_at IS NOT NULL AND (withdrawn_at IS NULL OR withdrawn_at < granted_at)" in told
    assert "2024" not in told
    assert told_by(caught)["delivered"] == 0


def test_also_where_consent_is_only_sent(receiver: ScriptedServer, hook: ReshapeHook) -> None:
    with pytest.raises(ReshapeConfigurationError, match="none of the first 30 answers"):
        hook.send_events(leads(*["granted"] * 30), event="lead_qualified")
    assert receiver.requests == []


@pytest.mark.parametrize(
    "answers", [["granted"] * 19, ["granted"] * 30 + ["no"], ["yes"] + ["granted"] * 40, [None] * 30 + ["granted"]]
)
def test_some_answers_that_can_be_read_or_too_few_stop_nothing(
    answers: list[Any], hook: ReshapeHook, receiver: ScriptedServer
) -> None:
    with pytest.raises(ReshapeFailedLeadsError):
        hook.send_events(leads(*answers), **NEEDED)
    assert len(receiver.requests) == answers.count("yes")


def test_a_slow_source_is_looked_at_until_there_are_enough(hook: ReshapeHook, receiver: ScriptedServer) -> None:
    def pages() -> Any:
        for first in range(0, 40, 5):
            yield leads(*["granted"] * (first + 5))[first:]

    with pytest.raises(ReshapeConfigurationError, match="none of the first"):
        hook.send_events(pages(), **NEEDED)
    assert receiver.requests == []


@pytest.mark.parametrize("answer", [True, 1, "1", "true", b"\x01"])
@pytest.mark.parametrize("word", ["true", "1", 1, True])
def test_a_column_that_means_no_by_yes(answer: Any, word: Any, hook: ReshapeHook, receiver: ScriptedServer) -> None:
    """An opt-out column: True is also written 1."""
    summary = hook.send_events(leads(answer), **NEEDED, consent_map={"marketing": {word: False}})
    assert summary["skipped_by"] == {"no_consent": 1}
    assert receiver.requests == []


@pytest.mark.parametrize("word", ["0.0", "00", "null", "nan", "N/A", False, "-"])
def test_what_stands_for_nothing_or_zero_is_no_yes(word: Any, hook: ReshapeHook) -> None:
    with pytest.raises(ReshapeConfigurationError, match="cannot be made a yes"):
        hook.send_events(leads("on"), **NEEDED, consent_map={"marketing": {word: True}})
