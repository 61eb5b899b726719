"""The demo's check finds every kind of difference, so that its green line means something."""

from __future__ import annotations

import copy
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from demo.compare import differences, plainly
from demo.crm import make_crm
from demo.report import masked_email, masked_phone
from demo.truth import Expected, Policy, expected, facts_of

NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
RULES = {"missing": "is required", "wrong": "must be something else"}


@pytest.fixture(scope="module")
def rows() -> list[Expected]:
    return expected(make_crm(NOW, leads=300), Policy())


def body_of(row: Expected) -> dict[str, Any]:
    """The body that says what the row means, as the older generation writes it."""
    body: dict[str, Any] = {}
    for path, value in row.facts.items():
        *parents, last = path.split(".")
        if parents == ["cookies"]:
            body["cookies"] = [{"name": last, "value": value}]
            continue
        inner = body
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = value
    return body


@pytest.fixture
def received(rows: list[Expected]) -> list[dict[str, Any]]:
    """What a faultless package would have made the sandbox receive."""
    return [
        {
            "name": row.facts["event.name"],
            "id": row.facts["event.id"],
            "taken": True,
            "valid": True,
            "status": 200,
            "body": body_of(row),
        }
        for row in rows
        if row.outcome == "delivered"
    ]


@pytest.fixture
def summary(rows: list[Expected]) -> dict[str, Any]:
    """What a faultless package would have counted."""
    outcomes = Counter(row.outcome for row in rows)
    by_event: dict[str, Counter[str]] = {}
    for row in rows:
        by_event.setdefault(row.name or "(unknown)", Counter())[row.outcome] += 1
    problems = Counter(row.why for row in rows if row.outcome == "invalid")
    return {
        "read": len(rows),
        "delivered": outcomes["delivered"],
        "invalid": outcomes["invalid"],
        "skipped": outcomes["skipped"],
        "rejected": 0,
        "unsent": 0,
        "by_event": by_event,
        "invalid_by": {
            f"{field}: {RULES[kind]}": count
            for (field, kind), count in ((why.split(": "), count) for why, count in problems.items())
        },
        "skipped_by": Counter(row.why for row in rows if row.outcome == "skipped"),
        "sent_without": Counter(row.without for row in rows if row.without),
    }


def test_the_sample_has_every_outcome(rows: list[Expected]) -> None:
    assert {row.outcome for row in rows} == {"delivered", "invalid", "skipped"}
    assert {row.why for row in rows if row.outcome == "skipped"} == {
        "unknown_stage",
        "stage_not_sent",
        "reason_not_sent",
        "too_old",
        "in_future",
    }
    assert any(row.without for row in rows)


def test_agreement_is_silence(rows: list[Expected], received: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    assert differences(rows, received, summary) == []


def test_the_newer_form_of_cookies_says_the_same() -> None:
    assert facts_of({"cookies": {"_ga": "GA1.1.2.3"}}) == facts_of({"cookies": [{"name": "_ga", "value": "GA1.1.2.3"}]})


def test_a_lost_event_is_found(rows: list[Expected], received: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    lost = received.pop(7)
    assert differences(rows, received, summary) == [f"{lost['name']} {lost['id']}: did not arrive"]


def test_an_event_that_arrives_twice_is_found(
    rows: list[Expected], received: list[dict[str, Any]], summary: dict[str, Any]
) -> None:
    received.append(copy.deepcopy(received[3]))
    assert differences(rows, received, summary) == [f"{received[3]['name']} {received[3]['id']}: arrived 2 times"]


def test_an_event_that_nobody_wanted_is_found(
    rows: list[Expected], received: list[dict[str, Any]], summary: dict[str, Any]
) -> None:
    received.append({**copy.deepcopy(received[0]), "id": "L-99999:MQL"})
    (found,) = differences(rows, received, summary)
    assert found == f"{received[0]['name']} L-99999:MQL: should not have been sent"


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("user", "phone", "+40000000000"),
        ("user", "email", "someone.else@example.com"),
        ("user", "first_name", "rendered"),
        ("event", "currency", "XXX"),
        ("user", "street", "what the CRM does not have"),
    ],
)
def test_a_field_that_differs_is_found_and_its_value_not_told(
    rows: list[Expected], received: list[dict[str, Any]], summary: dict[str, Any], part: str, field: str, value: str
) -> None:
    received[5]["body"][part][field] = value
    (found,) = differences(rows, received, summary)
    assert found == f"{received[5]['name']} {received[5]['id']}: {part}.{field} is not what the CRM means"


def test_a_field_that_is_missing_is_found(
    rows: list[Expected], received: list[dict[str, Any]], summary: dict[str, Any]
) -> None:
    with_phone = next(request for request in received if "phone" in request["body"]["user"])
    del with_phone["body"]["user"]["phone"]
    (found,) = differences(rows, received, summary)
    assert found.endswith("user.phone is not what the CRM means")


def test_a_request_that_the_sandbox_refused_is_found(
    rows: list[Expected], received: list[dict[str, Any]], summary: dict[str, Any]
) -> None:
    received[2].update(taken=False, valid=False, status=400)
    assert differences(rows, received, summary) == [
        f"{received[2]['name']} {received[2]['id']}: the sandbox refused it (400)"
    ]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (("read",), "total read"),
        (("delivered",), "total delivered"),
        (("rejected",), "unsent or rejected rejected"),
        (("unsent",), "unsent or rejected unsent"),
        (("skipped_by", "too_old"), "skipped too_old"),
        (("skipped_by", "no_consent"), "skipped no_consent"),
        (("invalid_by", "event.currency: is required"), "invalid event.currency: missing"),
        (("sent_without", "user.phone"), "sent without user.phone"),
        (("by_event", "lead_qualified", "delivered"), "lead_qualified delivered"),
    ],
)
def test_a_count_that_is_off_by_one_is_found(
    rows: list[Expected],
    received: list[dict[str, Any]],
    summary: dict[str, Any],
    path: tuple[str, ...],
    named: str,
) -> None:
    *parents, last = path
    inner = summary
    for parent in parents:
        inner = inner[parent]
    inner[last] = inner.get(last, 0) + 1
    (found,) = differences(rows, received, summary)
    assert found.startswith(f"{named}: the package counts")


@pytest.mark.parametrize(
    ("problem", "plain"),
    [
        ("event.currency: is required", "event.currency: missing"),
        ("event.currency: must be a currency of ISO 4217", "event.currency: wrong"),
    ],
)
def test_a_problem_is_told_plainly(problem: str, plain: str) -> None:
    assert plainly(problem) == plain


def test_too_old_leads_are_failures_unless_the_age_was_chosen(rows: list[Expected]) -> None:
    too_old = next(row for row in rows if row.why == "too_old")
    assert too_old.is_failure(Policy())
    assert not too_old.is_failure(Policy(max_age_is_chosen=True))


def test_leads_without_consent_are_skipped_where_it_is_asked_for() -> None:
    crm = make_crm(NOW, leads=300)
    asked = {(row.lead_id, row.stage): row for row in expected(crm, Policy(require_consent=True))}
    for row in expected(crm, Policy()):
        consent = next(lead for lead in crm.leads if lead.id == row.lead_id).row["consent_marketing"]
        if row.outcome == "delivered" and consent != 1:
            assert asked[row.lead_id, row.stage].why == "no_consent"
        else:
            assert asked[row.lead_id, row.stage] == row


@pytest.mark.parametrize(
    ("phone", "masked"),
    [("+40721000023", "+40•••••••23"), ("(0721) 000-023", "(07••) •••-•23"), ("12", "12"), (None, None)],
)
def test_a_phone_is_masked_in_its_own_format(phone: str | None, masked: str | None) -> None:
    assert masked_phone(phone) == masked


def test_an_email_is_masked() -> None:
    assert masked_email(" Ana.Popescu+crm@Example.com ") == " A•••@Example.com "
    assert masked_email(None) is None
