"""The Salesforce recipe, over HTTP with the provider's hook, into the sandbox."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_reshape.exceptions import ReshapeFailedLeadsError
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.recipes.salesforce_org import Org, case_safe
from tests.recipes.salesforce_server import SECRET, Salesforce

MARK = "zqmarker"
Sync = Callable[..., Any]


@pytest.fixture
def org(salesforce: Salesforce) -> Org:
    return salesforce.org


@pytest.fixture
def sync(sync_salesforce: Sync) -> Sync:
    return sync_salesforce


def ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


def sent(sandbox: RunningSandbox) -> list[tuple[str, str]]:
    """Names and ids of what arrived, sorted; all of it is valid."""
    received = sandbox.received()
    assert all(one["valid"] for one in received), [one["violations"] for one in received]
    return sorted((one["name"], one["id"]) for one in received)


def qualified(lead_id: str, stage: str = "Qualified") -> tuple[str, str]:
    return "lead_qualified", f"{lead_id}:{stage}"


def disqualified(lead_id: str) -> tuple[str, str]:
    return "lead_disqualified", lead_id


def lead(org: Org, number: int, *statuses: str, **fields: Any) -> str:
    """A lead that was created a week ago and entered the statuses an hour apart, the last one an hour ago."""
    lead_id = org.create(f"00Q000000{number:06d}", "New", ago(days=7))
    for hours, status in zip(range(len(statuses), 0, -1), statuses, strict=True):
        org.change(lead_id, status, ago(hours=hours), **fields)
    return lead_id


def test_both_events_and_what_is_in_them(org: Org, sandbox: RunningSandbox, sync: Sync) -> None:
    person = {"FirstName": "Ana", "LastName": "Pop", "Email": "Ana.Pop@Example.com", "Phone": "0722 123 456"}
    good = lead(org, 1, "Working - Contacted", "Qualified", **person, Country="Romania")
    lost = lead(org, 2, "Working - Contacted", "Unqualified", Disqualification_Reason__c="No budget")

    summary = sync()

    assert sent(sandbox) == [disqualified(lost), qualified(good)]
    bodies = {one["name"]: one["body"] for one in sandbox.received()}
    user = bodies["lead_qualified"]["user"]
    assert user["id"] == good
    assert (user["email"], user["phone"], user["first_name"]) == ("ana.pop@example.com", "+40722123456", "Ana")
    assert user["created_at"] == int(org.leads[good]["CreatedDate"].timestamp()) * 1000
    assert user["properties"] == {"company": "ACME"}
    event = bodies["lead_disqualified"]["event"]
    assert (event["value"], event["currency"]) == (0, "EUR")
    assert event["properties"] == {
        "disqualification_reason": "no_budget",
        "disqualification_stage": "Working - Contacted",
    }
    assert summary["stages"].keys() == {"Working - Contacted", "Qualified", "Unqualified"}
    assert summary["skipped_by"] == {"stage_not_sent": 2}


def test_a_second_run_sends_nothing_and_a_change_between_is_sent_once(
    org: Org, sandbox: RunningSandbox, sync: Sync
) -> None:
    first = [lead(org, number, "Qualified") for number in range(5)]
    waiting = lead(org, 9, "Nurturing")
    sync()
    assert sent(sandbox) == [qualified(one) for one in first]

    sandbox.clear()
    assert sync()["skipped_by"] == {"already_sent": 5, "stage_not_sent": 1}
    assert sent(sandbox) == []

    org.change(waiting, "Unqualified", ago(minutes=40), Disqualification_Reason__c="Too small")
    sync()
    sync()
    assert sent(sandbox) == [disqualified(waiting)]


def test_leads_that_were_created_in_a_target_status(org: Org, sandbox: RunningSandbox, sync: Sync) -> None:
    stayed = org.create("00Q000000000001", "Qualified", ago(hours=3))
    went_on = org.create("00Q000000000002", "Qualified", ago(hours=3))
    org.change(went_on, "Closed - Converted", ago(hours=1))
    old = org.create("00Q000000000003", "Qualified", ago(days=30))
    org.change(old, "Closed - Converted", ago(hours=1))
    ordinary = org.create("00Q000000000004", "New", ago(hours=3))
    org.change(ordinary, "Qualified", ago(hours=1))

    sync()

    assert sent(sandbox) == sorted(
        [
            qualified(stayed),
            qualified(went_on),
            qualified(went_on, "Closed - Converted"),
            qualified(old, "Closed - Converted"),
            qualified(ordinary),
        ]
    )


def test_a_lead_whose_first_status_was_changed_while_it_was_saved(
    org: Org, sandbox: RunningSandbox, sync: Sync
) -> None:
    at = ago(hours=1)
    new = org.create("00Q000000000001", None, at)
    org.change(new, "Unqualified", at)  # what was typed, in the history although it was never stored
    org.change(new, "Qualified", at)
    sync()
    assert sent(sandbox) == [qualified(new)]


def test_a_status_that_changes_between_the_questions_is_as_old_as_its_change(
    salesforce: Salesforce, sandbox: RunningSandbox, sync: Sync
) -> None:
    new = salesforce.org.create("00Q000000000001", "New", ago(hours=5))
    salesforce.meanwhile = lambda: salesforce.org.change(new, "Qualified", ago(seconds=1))
    sync()
    assert sent(sandbox) == []

    salesforce.org.age(timedelta(hours=1))
    sync()
    assert sent(sandbox) == [qualified(new)]


@pytest.mark.parametrize("keeps_history", [False, True])
def test_deleted_and_merged_leads_are_not_sent(
    org: Org, sandbox: RunningSandbox, sync: Sync, keeps_history: bool
) -> None:
    org.keeps_history = keeps_history
    deleted, merged, remaining = (lead(org, number, "Qualified") for number in range(3))
    fresh = org.create("00Q000000000007", "Qualified", ago(hours=2))
    org.delete(deleted, ago(minutes=50))
    org.delete(fresh, ago(minutes=50))
    org.merge(remaining, merged, ago(minutes=50))

    sync()

    assert sent(sandbox) == [qualified(remaining)]


def test_a_status_taken_over_in_a_merge_is_the_merged_leads_event(
    org: Org, sandbox: RunningSandbox, sync: Sync
) -> None:
    known, unknown = lead(org, 1, "Qualified"), lead(org, 2, "Nurturing")
    masters = [lead(org, number, "Nurturing") for number in (3, 4)]
    sync()
    assert sent(sandbox) == [qualified(known)]

    org.change(unknown, "Qualified", ago(minutes=41))
    org.merge(masters[0], known, ago(minutes=40), status="Qualified")
    org.merge(masters[1], unknown, ago(minutes=40), status="Qualified")
    sync()
    sync()

    # Nobody counts twice, and nobody is forgotten.
    assert sent(sandbox) == [qualified(known), qualified(unknown)]
    assert {one["body"]["user"]["id"] for one in sandbox.received(id=f"{unknown}:Qualified")} == {masters[1]}


def test_a_merge_that_changes_nothing_leaves_the_id_alone(org: Org, sandbox: RunningSandbox, sync: Sync) -> None:
    master = lead(org, 1, "Qualified")
    sync()
    other = lead(org, 2)
    org.change(other, "Qualified", ago(minutes=20))
    org.merge(master, other, ago(minutes=15), status="Qualified")
    org.age(timedelta(hours=1))

    assert sync()["skipped_by"] == {"already_sent": 1}
    assert sent(sandbox) == [qualified(master)]


@pytest.mark.parametrize("length", [15, 18])
def test_ids_that_differ_in_their_capitals_only(org: Org, sandbox: RunningSandbox, sync: Sync, length: int) -> None:
    short = ["00QAb00000xYzAb", "00QaB00000xYzAb", "00QAb00000XyzaB"]
    for one in short:
        lead_id = org.create(one, "New", ago(days=2))
        org.change(lead_id, "Unqualified", ago(hours=1), Disqualification_Reason__c="Bad timing")
    sync(lead_id_length=length)
    sync(lead_id_length=length)

    assert sent(sandbox) == sorted(disqualified(case_safe(one)[:length]) for one in short)


def test_the_id_that_lead_created_was_sent_with(org: Org, sandbox: RunningSandbox, sync: Sync) -> None:
    of_form = lead(org, 1, "Qualified", "Unqualified", Disqualification_Reason__c="Too small", Web_Lead_Id__c="web-77")
    by_hand = lead(org, 2, "Unqualified", Disqualification_Reason__c="Too small")

    sync(lead_id_field="Web_Lead_Id__c")

    assert sent(sandbox) == sorted([qualified("web-77"), disqualified("web-77"), disqualified(by_hand)])
    assert sandbox.received(id="web-77")[0]["body"]["user"]["id"] == of_form


def test_changes_in_one_second(org: Org, sandbox: RunningSandbox, sync: Sync) -> None:
    at = ago(hours=1)
    one, other = lead(org, 1), lead(org, 2)
    for status in ("Nurturing", "Unqualified", "Qualified"):
        org.change(one, status, at)
    for status in ("Qualified", "Nurturing", "Unqualified"):
        org.change(other, status, at, Disqualification_Reason__c="No authority")
    # Salesforce gives them in any order.
    org.history.reverse()
    for number, change in enumerate(org.history):
        change["Id"] = case_safe(f"017000000{number:06d}")

    sync()

    assert sent(sandbox) == sorted([qualified(one), disqualified(other)])


def test_there_and_back(org: Org, sandbox: RunningSandbox, sync: Sync) -> None:
    why = {"Disqualification_Reason__c": "No budget"}
    shortly = lead(org, 1, "Qualified", "Nurturing")
    org.change(shortly, "Unqualified", ago(minutes=55), **why)
    org.change(shortly, "Nurturing", ago(minutes=45), Disqualification_Reason__c=None)
    unseen = lead(org, 2)
    org.change(unseen, "Unqualified", ago(minutes=59), **why)
    org.change(unseen, "Qualified", ago(minutes=20), Disqualification_Reason__c=None)
    seen = lead(org, 3, "Unqualified", **why)
    # Away too shortly to have left it.
    interrupted = lead(org, 4)
    org.change(interrupted, "Unqualified", ago(hours=3), **why)
    org.change(interrupted, "Nurturing", ago(minutes=50))
    org.change(interrupted, "Unqualified", ago(minutes=45))

    sync()
    assert sent(sandbox) == sorted([qualified(shortly), disqualified(seen), disqualified(interrupted)])
    (once,) = sandbox.received(id=interrupted)
    assert once["body"]["event"]["properties"]["disqualification_stage"] == "New"

    sandbox.clear()
    org.change(seen, "Qualified", ago(minutes=1), Disqualification_Reason__c=None)
    org.age(timedelta(hours=1))
    summary = sync()
    assert sent(sandbox) == sorted([qualified(unseen), qualified(seen)])
    assert summary["invalid"] == 0

    # Once more: the event of a lead's disqualification has one id, and was sent.
    sandbox.clear()
    org.age(timedelta(hours=1))
    org.change(seen, "Unqualified", ago(minutes=40), **why)
    assert sync()["skipped_by"]["already_sent"] == 5
    assert sent(sandbox) == []


def test_a_status_waits_until_it_has_settled(org: Org, sandbox: RunningSandbox, sync: Sync) -> None:
    fresh = lead(org, 1)
    org.change(fresh, "Qualified", ago(minutes=29))
    assert sync()["read"] == 0

    org.age(timedelta(minutes=1))
    sync()
    assert sent(sandbox) == [qualified(fresh)]


def test_answers_in_pages(salesforce: Salesforce, sandbox: RunningSandbox, sync: Sync) -> None:
    leads = [lead(salesforce.org, number, "Working - Contacted", "Qualified") for number in range(25)]
    created = [salesforce.org.create(f"00Q000001{n:06d}", "Qualified", ago(hours=2)) for n in range(25)]
    salesforce.page = 7

    sync()

    assert sent(sandbox) == sorted(qualified(one) for one in leads + created)
    pages = Counter(path.split("/")[4] for path, _ in salesforce.asked)
    assert pages == {"query": 4 + 8, "queryAll": 1}  # 25 new leads, 50 changes, no merged lead


@pytest.mark.parametrize(("status", "code"), [(403, "REQUEST_LIMIT_EXCEEDED"), (503, "SERVER_UNAVAILABLE")])
@pytest.mark.parametrize("answered", [0, 2, 3])
def test_refusals_lose_nothing(
    salesforce: Salesforce, sandbox: RunningSandbox, sync: Sync, status: int, code: str, answered: int
) -> None:
    from simple_salesforce.exceptions import SalesforceError

    salesforce.page = 5
    leads = [lead(salesforce.org, n, "Qualified", Email=f"{MARK}.{n}@example.com") for n in range(12)]
    salesforce.failures.extend([None] * answered + [(status, code)])

    with pytest.raises(SalesforceError, match=code) as raised:
        sync()
    assert MARK not in str(raised.value)
    assert sent(sandbox) == []

    sync()
    assert sent(sandbox) == [qualified(one) for one in leads]


def test_a_session_that_ends_is_renewed(salesforce: Salesforce, sandbox: RunningSandbox, sync: Sync) -> None:
    known = lead(salesforce.org, 1, "Qualified")
    logins = salesforce.logins
    salesforce.failures.extend([None, (401, "INVALID_SESSION_ID")])
    sync()
    assert sent(sandbox) == [qualified(known)]
    assert salesforce.logins == logins + 2


def test_wrong_credentials(salesforce: Salesforce, sync: Sync, monkeypatch: pytest.MonkeyPatch) -> None:
    from simple_salesforce.exceptions import SalesforceAuthenticationFailed

    wrong = salesforce.connection(consumer_secret=SECRET + "?")
    monkeypatch.setenv("AIRFLOW_CONN_SALESFORCE_DEFAULT", wrong)
    with pytest.raises(SalesforceAuthenticationFailed, match="invalid_client") as raised:
        sync()
    assert SECRET not in str(raised.value)


def test_a_field_that_the_org_does_not_have_is_named(org: Org, sync: Sync) -> None:
    from simple_salesforce.exceptions import SalesforceMalformedRequest

    org.hidden.add("Disqualification_Reason__c")
    with pytest.raises(SalesforceMalformedRequest, match="No such column 'Disqualification_Reason__c'"):
        sync()


def test_an_unknown_status_fails_the_task_and_sends_the_rest(org: Org, sandbox: RunningSandbox, sync: Sync) -> None:
    known = [lead(org, number, "Qualified") for number in (1, 2)]
    for number in (3, 4):
        lead(org, number, "Recycled")
    with pytest.raises(ReshapeFailedLeadsError) as raised:
        sync()
    assert raised.value.summary is not None
    assert raised.value.summary["stages"]["Recycled"] == {"unknown_stage": 2}
    assert sorted(sent(sandbox)) == sorted(map(qualified, known))


def test_reasons_that_hold_a_lead_back(org: Org, sandbox: RunningSandbox, sync: Sync) -> None:
    lead(org, 1, "Unqualified", Disqualification_Reason__c="Duplicate")
    assert sync()["skipped_by"] == {"reason_not_sent": 1}
    assert sent(sandbox) == []


def test_baseline_and_validate_only(org: Org, sandbox: RunningSandbox, sync: Sync) -> None:
    lead(org, 1, "Qualified")
    summary = sync(validate_only=True)
    assert sum(sum(days.values()) for days in summary["would_send"].values()) == 1
    assert sync(baseline=True)["skipped_by"] == {"baseline": 1}
    later = lead(org, 2, "Qualified")
    sync()
    assert sent(sandbox) == [qualified(later)]


def test_since(org: Org, sandbox: RunningSandbox, sync: Sync) -> None:
    lead(org, 1, "Qualified", "Nurturing")
    late = lead(org, 2, "Qualified")
    sync(since=f"{ago(hours=1.5):%Y-%m-%dT%H:%M}")
    assert sent(sandbox) == [qualified(late)]


def test_no_person_is_in_the_log(
    org: Org, sync: Sync, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    lead(org, 1, "Qualified", Email=f"{MARK}@example.com", Phone="0722 123 456", LastName=MARK)
    sync()
    told = (caplog.text + "".join(capfd.readouterr())).lower()
    assert "received results" in told  # the hook's own line
    assert MARK not in told
    assert "722123456" not in told.replace(" ", "")
