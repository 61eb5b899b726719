"""The HubSpot recipe: its task reads a local HubSpot and sends to the sandbox, with a ledger between two runs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from airflow_reshape.exceptions import ReshapeFailedLeadsError
from airflow_reshape.sandbox.testing import RunningSandbox
from dags.hubspot_lead_sync import HubSpot, HubSpotRefusedError, HubSpotUnavailableError, lasting, stage_rows
from tests.recipes.hubspot_server import CONTACTS, MOST_RESULTS, Account, iso

NOW = datetime.now(UTC).replace(microsecond=0)
Sync = Callable[[], dict[str, Any]]


def ago(**units: float) -> datetime:
    return NOW - timedelta(**units)


@pytest.fixture
def sync(sync_hubspot: Sync) -> Sync:
    return sync_hubspot


def arrived(sandbox: RunningSandbox) -> list[tuple[str, str]]:
    """Names and ids in the order they came; all of them valid."""
    received = sandbox.received()
    assert all(one["valid"] for one in received), [one["violations"] for one in received]
    return [(one["name"], one["id"]) for one in received]


def body(sandbox: RunningSandbox, event_id: str) -> dict[str, Any]:
    (one,) = sandbox.received(id=event_id)
    found: dict[str, Any] = one["body"]
    return found


def qualified(account: Account, **more: str) -> int:
    contact = account.create(ago(days=9), lifecyclestage="lead", email="ana@example.com", **more)
    account.change(contact, ago(hours=9), lifecyclestage="marketingqualifiedlead")
    return contact


def disqualified(account: Account, **more: str) -> int:
    contact = account.create(ago(days=9), lifecyclestage="marketingqualifiedlead", email="dan@example.com")
    account.change(
        contact, ago(hours=8), hs_lead_status="UNQUALIFIED", **{"disqualification_reason": "No budget"} | more
    )
    return contact


def test_both_events_are_sent_and_nothing_by_a_second_run(
    account: Account, sandbox: RunningSandbox, sync: Sync
) -> None:
    good, bad = qualified(account), disqualified(account)
    account.change(good, ago(hours=5), lifecyclestage="salesqualifiedlead")
    late = account.create(ago(days=9), email="eva@example.com")
    account.change(late, ago(hours=4), hs_lead_status="BAD_TIMING")
    events = {
        ("lead_qualified", f"{good}:marketingqualifiedlead"),
        ("lead_qualified", f"{good}:salesqualifiedlead"),
        ("lead_disqualified", str(bad)),
        ("lead_disqualified", str(late)),
    }

    assert sync()["delivered"] == 4
    assert set(arrived(sandbox)) == events
    assert body(sandbox, str(late))["event"]["properties"]["disqualification_reason"] == "no_timing"

    again = sync()
    assert len(arrived(sandbox)) == 4
    assert again["skipped_by"] == {"already_sent": 4}


def test_events_carry_the_lead_and_its_id_of_lead_created(
    account: Account, sandbox: RunningSandbox, sync: Sync
) -> None:
    contact = disqualified(
        account,
        reshape_lead_id="web-77",
        firstname="Dan",
        lastname="Pop",
        mobilephone="0722 123 456",
        country="Romania",
    )
    good = qualified(account, reshape_lead_id="web-78", lead_value="450")
    sync()

    lost = body(sandbox, "web-77")
    assert lost["event"] == {
        "name": "lead_disqualified",
        "id": "web-77",
        "value": 0,
        "currency": "EUR",
        "properties": {"disqualification_reason": "no_budget", "disqualification_stage": "marketingqualifiedlead"},
    }
    created = account.contacts[contact].created
    assert lost["user"] == {
        "id": str(contact),
        "email": "dan@example.com",
        "phone": "+40722123456",
        "first_name": "Dan",
        "last_name": "Pop",
        "country": "Romania",
        "created_at": int(created.timestamp() * 1000),
    }
    won = body(sandbox, "web-78:marketingqualifiedlead")
    assert won["event"]["value"] == 450
    assert won["user"]["id"] == str(good)


def test_properties_that_an_account_has_not_defined(account: Account, sandbox: RunningSandbox, sync: Sync) -> None:
    account.custom.clear()
    contact = qualified(account)
    sync()
    assert arrived(sandbox) == [("lead_qualified", f"{contact}:marketingqualifiedlead")]


def test_all_contacts_are_found_beyond_ten_thousand(account: Account, sandbox: RunningSandbox, sync: Sync) -> None:
    first = qualified(account)
    for _ in range(MOST_RESULTS):
        account.create(ago(hours=2), lifecyclestage="lead")
    last = qualified(account)

    summary = sync()
    assert arrived(sandbox) == [
        ("lead_qualified", f"{first}:marketingqualifiedlead"),
        ("lead_qualified", f"{last}:marketingqualifiedlead"),
    ]
    assert summary["read"] == MOST_RESULTS + 2
    assert {status for _, status in account.answered} == {200}

    # The limit that the task has to get around.
    beyond = requests.post(
        f"http://127.0.0.1:{account.port}{CONTACTS}/search",
        json={"limit": 200, "after": str(MOST_RESULTS)},
        headers={"Authorization": f"Bearer {account.token}"},
        timeout=10,
    )
    assert (beyond.status_code, beyond.json()["category"]) == (400, "VALIDATION_ERROR")


def test_imports_are_counted_and_not_sent(account: Account, sandbox: RunningSandbox, sync: Sync) -> None:
    account.create(ago(hours=9), "IMPORT", email="ion@example.com", lifecyclestage="salesqualifiedlead")
    contact = account.create(ago(hours=9), "IMPORT", email="ina@example.com", lifecyclestage="lead")
    account.change(contact, ago(hours=7), lifecyclestage="salesqualifiedlead")

    summary = sync()
    assert arrived(sandbox) == [("lead_qualified", f"{contact}:salesqualifiedlead")]
    assert summary["stages"]["(imported)"] == {"stage_not_sent": 2}


def test_a_merge_sends_nothing_again(account: Account, sandbox: RunningSandbox, sync: Sync) -> None:
    one, other = qualified(account), qualified(account)
    sync()
    assert len(arrived(sandbox)) == 2

    merged = account.merge(one, other, ago(hours=2))
    summary = sync()
    assert len(arrived(sandbox)) == 2
    assert set(summary["stages"]) == {"(merged)"}

    account.change(merged, ago(hours=1), lifecyclestage="salesqualifiedlead")
    sync()
    assert arrived(sandbox)[2:] == [("lead_qualified", f"{merged}:salesqualifiedlead")]


def test_a_stage_that_a_merge_set_is_not_sent(account: Account, sandbox: RunningSandbox, sync: Sync) -> None:
    lead = account.create(ago(days=9), email="ana@example.com", lifecyclestage="lead")
    further = account.create(ago(days=9), email="ana@example.org", lifecyclestage="salesqualifiedlead")
    account.merge(lead, further, ago(hours=2))

    assert sync()["delivered"] == 0


def test_a_merge_whose_time_is_not_told_sends_nothing() -> None:
    change = {"value": "salesqualifiedlead", "timestamp": iso(ago(hours=3)), "sourceType": "CRM_UI"}
    contact = {
        "id": "9",
        "properties": {"hs_merged_object_ids": "1;2"},
        "propertiesWithHistory": {"lifecyclestage": [change], "hs_lead_status": None, "hs_merged_object_ids": None},
    }
    assert [row["stage"] for row in stage_rows(contact, ago(hours=71), NOW)] == ["(merged)"]


def test_contacts_merged_or_deleted_while_they_are_read(account: Account) -> None:
    one, other, deleted, left = (qualified(account) for _ in range(4))
    crm = HubSpot("hubspot")
    (ids,) = crm.modified(ago(hours=71))
    account.merge(one, other, ago(hours=2))
    del account.contacts[deleted]

    assert [contact["id"] for contact in crm.with_history(ids)] == [str(left)]
    assert account.answered["batch/read", 207] == 1


@pytest.mark.parametrize(
    ("statuses", "told"),
    [
        ("UNQUALIFIED@0", "UNQUALIFIED"),
        ("UNQUALIFIED@0 OPEN@31", "BACK OPEN"),
        ("UNQUALIFIED@0 OPEN@110", "BACK"),
        ("UNQUALIFIED@0 @60", "BACK"),
        ("UNQUALIFIED@0 BAD_TIMING@60", "UNQUALIFIED BAD_TIMING"),
        ("UNQUALIFIED@0 OPEN@100 BAD_TIMING@110", "UNQUALIFIED"),
        ("UNQUALIFIED@0 OPEN@40 UNQUALIFIED@80", "BACK OPEN UNQUALIFIED"),
        ("UNQUALIFIED@0 OPEN@40 UNQUALIFIED@110", "BACK OPEN"),
    ],
)
def test_who_is_no_longer_disqualified(statuses: str, told: str) -> None:
    begin = datetime(2026, 1, 5, 9, tzinfo=UTC)
    history = [
        {"value": value, "timestamp": iso(begin + timedelta(minutes=int(minute))), "sourceType": "CRM_UI"}
        for value, _, minute in (status.partition("@") for status in statuses.split())
    ]
    contact = {
        "id": "9",
        "properties": {"hs_lead_status": history[-1]["value"]},
        "propertiesWithHistory": {"hs_lead_status": history[::-1]},
    }
    rows = stage_rows(contact, begin, begin + timedelta(minutes=120))
    assert [row["stage"].replace("(no longer disqualified)", "BACK") for row in rows] == told.split()


def test_a_stage_is_sent_once_it_has_settled() -> None:
    contact = {
        "id": "9",
        "properties": {},
        "propertiesWithHistory": {
            "lifecyclestage": [{"value": "salesqualifiedlead", "timestamp": iso(NOW), "sourceType": "CRM_UI"}]
        },
    }
    assert stage_rows(contact, ago(hours=71), NOW + timedelta(minutes=29)) == []
    (row,) = stage_rows(contact, ago(hours=71), NOW + timedelta(minutes=30))
    assert (row["lead_id"], row["stage"]) == ("9", "salesqualifiedlead")
    assert stage_rows(contact, NOW + timedelta(seconds=1), NOW + timedelta(hours=1)) == []


@pytest.mark.parametrize(
    ("history", "lasted"),
    [
        ("", ""),
        ("A@0 B@60", "A@0 B@60"),
        ("A@0 B@60 A@70", "A@0"),
        ("A@0 B@40 A@80", "A@0 B@40 A@80"),
        ("A@0 B@60 A@100", "A@0 B@60"),
        ("A@0 B@60 C@70 B@80", "A@0 B@80"),
        ("A@0 A@10 A@20 B@40", "A@0 B@40"),
        ("A@0 B@60 C@60", "A@0 C@60"),
        ("A@0 B@20 A@40 C@60", "C@60"),
        ("A@0 B@110", "A@0"),
    ],
)
def test_stages_that_last(history: str, lasted: str) -> None:
    begin = datetime(2026, 1, 5, 9, tzinfo=UTC)
    told = [
        {"value": value, "timestamp": iso(begin + timedelta(minutes=int(minute)))}
        for value, _, minute in (entry.partition("@") for entry in history.split())
    ]
    found = lasting(told[::-1], begin + timedelta(minutes=120))
    assert [f"{change['value']}@{(at - begin).seconds // 60}" for at, change in found] == lasted.split()


def test_customers_and_duplicates_are_held_back(account: Account, sandbox: RunningSandbox, sync: Sync) -> None:
    customer = account.create(ago(days=9), email="ana@example.com", lifecyclestage="customer")
    account.change(customer, ago(hours=8), hs_lead_status="UNQUALIFIED", disqualification_reason="No budget")
    disqualified(account, disqualification_reason="Duplicate")

    summary = sync()
    assert arrived(sandbox) == []
    assert summary["skipped_by"] == {"stage_not_sent": 1, "reason_not_sent": 1}
    assert summary["stages"]["(no lead any more)"] == {"stage_not_sent": 1}


def test_a_reason_that_is_missing_is_told_and_sent_once_it_is_there(
    account: Account, sandbox: RunningSandbox, sync: Sync
) -> None:
    contact = account.create(ago(days=9), email="ana@example.com")
    account.change(contact, ago(hours=8), hs_lead_status="UNQUALIFIED")
    with pytest.raises(ReshapeFailedLeadsError, match="disqualification_reason"):
        sync()
    account.change(contact, ago(hours=1), disqualification_reason="No budget")

    sync()
    assert arrived(sandbox) == [("lead_disqualified", str(contact))]


def test_unknown_stages_are_named(account: Account, sync: Sync) -> None:
    for number in range(2):
        qualified(account)
        contact = account.create(ago(days=9), email=f"ana{number}@example.com")
        account.change(contact, ago(hours=8), lifecyclestage="nurture")
    with pytest.raises(ReshapeFailedLeadsError) as failed:
        sync()
    assert failed.value.summary is not None
    assert failed.value.summary["stages"]["nurture"] == {"unknown_stage": 2}


def test_rate_limits_are_waited_out(account: Account, sandbox: RunningSandbox, sync: Sync) -> None:
    account.searches_a_second, account.burst = 1, (2, 0.4)
    for _ in range(201):
        qualified(account)

    assert sync()["delivered"] == 201
    assert account.answered["search", 429] >= 1
    assert account.answered["batch/read", 429] >= 1
    assert (account.answered["search", 200], account.answered["batch/read", 200]) == (2, 5)


def test_bad_moments_are_waited_out(
    account: Account, sandbox: RunningSandbox, sync: Sync, caplog: pytest.LogCaptureFixture
) -> None:
    contact = qualified(account)
    account.faults.extend([502, 423])

    sync()
    assert arrived(sandbox) == [("lead_qualified", f"{contact}:marketingqualifiedlead")]
    assert (account.answered["search", 502], account.answered["search", 423]) == (1, 1)
    assert "ana@example.com" not in caplog.text
    assert account.token not in caplog.text


@pytest.mark.parametrize(("status", "told"), [(429, r"429 \(DAILY"), (477, r"477 \(MIGRATION")])
def test_what_lasts_for_hours_is_told_at_once(account: Account, sync: Sync, status: int, told: str) -> None:
    account.daily_limit_reached = status == 429
    account.faults.append(status)
    with pytest.raises(HubSpotUnavailableError, match=told):
        sync()
    assert account.answered == {("search", status): 1}


@pytest.mark.parametrize(("change", "cure"), [("token", "password"), ("scopes", "crm.objects.contacts.read")])
def test_a_key_that_is_refused(account: Account, sync: Sync, change: str, cure: str) -> None:
    setattr(account, change, "another" if change == "token" else ())
    with pytest.raises(HubSpotRefusedError, match=cure):
        sync()
    assert account.answered.total() == 1
