"""What docs/recipes/rules.md promises of syncs that run again and again.

The tasks of the Salesforce and the HubSpot DAG, each with its CRM on loopback, a sandbox of Reshape and a ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_reshape.sandbox.testing import RunningSandbox
from tests.recipes.api_crms import BACK, Crm, ago, hubspot_crm, salesforce_crm

Sent = Callable[[], list[tuple[str, str]]]
Sync = Callable[[], dict[str, Any]]


@pytest.fixture(params=["salesforce", "hubspot"])
def crm(request: pytest.FixtureRequest) -> Crm:
    if request.param == "salesforce":
        return salesforce_crm(request.getfixturevalue("salesforce").org)
    return hubspot_crm(request.getfixturevalue("account"))


@pytest.fixture
def sync(request: pytest.FixtureRequest, crm: Crm) -> Sync:
    """Run the DAG's task once more; gives its summary."""
    name = request.node.callspec.params["crm"]
    run: Sync = request.getfixturevalue(f"sync_{name}")
    return run


@pytest.fixture
def sent(sandbox: RunningSandbox) -> Sent:
    """Names and ids of what arrived since it was last asked for; all of it is valid."""

    def take() -> list[tuple[str, str]]:
        received = sandbox.received()
        assert all(one["valid"] for one in received), [one["violations"] for one in received]
        sandbox.clear()
        return sorted((one["name"], one["id"]) for one in received)

    return take


def test_a_second_run_sends_nothing(crm: Crm, sync: Sync, sent: Sent) -> None:
    good, bad = crm.create(), crm.create()
    crm.put(good, "qualified", ago(hours=5))
    crm.put(bad, "disqualified", ago(hours=4))

    assert sync()["delivered"] == 2
    assert sent() == [("lead_disqualified", bad), ("lead_qualified", f"{good}:{crm.qualified}")]

    assert sync()["skipped_by"]["already_sent"] == 2
    assert sent() == []


def test_a_lead_changed_in_between_is_sent_once(crm: Crm, sync: Sync, sent: Sent) -> None:
    known, changed = crm.create(), crm.create()
    crm.put(known, "qualified", ago(hours=5))
    sync()
    assert sent() == [("lead_qualified", f"{known}:{crm.qualified}")]

    crm.put(changed, "disqualified", ago(hours=1))
    sync()
    assert sent() == [("lead_disqualified", changed)]
    sync()
    assert sent() == []


@pytest.mark.parametrize("a_run_in_between", [True, False])
def test_disqualified_and_back_within_the_settling_time_sends_nothing(
    crm: Crm, sync: Sync, sent: Sent, a_run_in_between: bool
) -> None:
    lead = crm.create()
    crm.put(lead, "disqualified", ago(minutes=29))
    if a_run_in_between:
        sync()
        assert sent() == []
    crm.put(lead, "open", ago(minutes=1))

    sync()
    assert sent() == []


def test_disqualified_and_back_after_a_run_saw_it_was_sent_once(crm: Crm, sync: Sync, sent: Sent) -> None:
    lead = crm.create()
    crm.put(lead, "disqualified", ago(hours=3))
    sync()
    assert sent() == [("lead_disqualified", lead)]

    crm.put(lead, "open", ago(hours=2))
    assert sync()["stages"][BACK] == {"stage_not_sent": 1}
    crm.put(lead, "disqualified", ago(hours=1))
    sync()
    assert sent() == []  # the id was sent

    crm.put(lead, "qualified", ago(minutes=40))
    sync()
    assert sent() == [("lead_qualified", f"{lead}:{crm.qualified}")]


@pytest.mark.parametrize("minutes_back", [1, 60])
def test_disqualified_and_back_before_any_run_saw_it_is_sent_once_it_is_out_again(
    crm: Crm, sync: Sync, sent: Sent, minutes_back: float
) -> None:
    lead = crm.create()
    crm.put(lead, "disqualified", ago(hours=3))
    crm.put(lead, "open", ago(minutes=minutes_back))
    assert sync()["stages"][BACK] == {"stage_not_sent": 1}
    assert sent() == []

    crm.put(lead, "disqualified", ago(seconds=30))
    sync()
    # A minute away does not count, so it was never back; an hour does, so it is out for half a minute only.
    assert sent() == ([("lead_disqualified", lead)] if minutes_back == 1 else [])


def test_a_duplicate_is_held_back(crm: Crm, sync: Sync, sent: Sent) -> None:
    lead = crm.create()
    crm.put(lead, "disqualified", ago(hours=3), reason="Duplicate")
    assert sync()["skipped_by"]["reason_not_sent"] == 1
    assert sent() == []
