"""The first run with ``baseline=True``: nothing is sent, and the next run sends only what is new since."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_reshape.exceptions import ReshapeFailedLeadsError
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.ledger.leads import leads
from tests.ledger.task import send_as

STAGES: dict[str, Any] = {
    "event": None,
    "stage_map": {"MQL": "lead_qualified", "SQL": "lead_qualified", "Lost": "lead_disqualified", "New": None},
}


def crm(count: int, **changed: Mapping[int, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Leads as the CRM has them: all qualified by marketing, but for what changed."""
    changes = {number: columns for each in changed.values() for number, columns in each.items()}
    for row in leads(0, count):
        number = row["lead_id"]
        yield {**row, "stage": "MQL", "disqualification_reason": None, **changes.get(number, {})}


@pytest.mark.parametrize(
    ("ledger_connection", "count"),
    [("sqlite", 5_000), pytest.param("sqlite", 50_000, marks=pytest.mark.crash), ("postgresql", 3_000)],
    indirect=["ledger_connection"],
)
def test_the_next_run_sends_only_what_is_new_since(sandbox: RunningSandbox, count: int) -> None:
    summary = send_as("first", 1, crm(count), baseline=True, **STAGES)
    assert summary["skipped_by"] == {"baseline": count}
    assert summary["read"] == count
    assert sandbox.summary()["requests"] == 0

    moved = {7: {"stage": "SQL"}, count // 2: {"stage": "SQL"}, count - 1: {"stage": "SQL"}}
    lost = {11: {"stage": "Lost", "disqualification_reason": "out_of_icp"}}
    dearer: dict[int, dict[str, Any]] = {13: {"value": 1_000_000}, 17: {"currency": "RON"}}
    back = {19: {"stage": "New"}}
    mail_changed = {23: {"email": "other@example.com"}}
    new = 5
    summary = send_as("second", 1, crm(count + new, a=moved, b=lost, c=dearer, d=back, e=mail_changed), **STAGES)

    assert summary["delivered"] == len(moved) + len(lost) + new
    assert summary["skipped_by"] == {
        "already_sent": count - len(moved) - len(lost) - len(dearer) - len(back),
        "changed": len(dearer),  # the event is the same one, with another value: it is told, and not sent again
        "stage_not_sent": len(back),
    }
    received = {(event["name"], event["id"]) for event in sandbox.received()}
    assert received == (
        {("lead_qualified", f"{number}:SQL") for number in moved}
        | {("lead_disqualified", str(number)) for number in lost}
        | {("lead_qualified", f"{count + n}:MQL") for n in range(new)}
    )
    assert sandbox.summary()["requests"] == len(received)

    again = crm(count + new, a=moved, b=lost, c=dearer, d=back, e=mail_changed)
    assert send_as("third", 1, again, **STAGES)["delivered"] == 0
    assert sandbox.summary()["requests"] == len(received)


def test_what_dev_knows_or_sent_is_new_for_prod(sandbox: RunningSandbox) -> None:
    assert send_as("a", 1, leads(0, 40), "reshape_dev", baseline=True)["skipped_by"] == {"baseline": 40}
    assert send_as("b", 1, leads(40, 60), "reshape_dev")["delivered"] == 20
    assert send_as("c", 1, leads(0, 60))["delivered"] == 60
    assert send_as("d", 1, leads(0, 60), "reshape_dev")["skipped_by"] == {"already_sent": 60}


def test_a_baseline_takes_what_was_rejected_and_not_what_was_sent(sandbox: RunningSandbox) -> None:
    sandbox.set_faults(ids=["3:qualified"], statuses={"422": 1.0})
    send_as("a", 1, leads(0, 10), max_rejected=1)
    sandbox.clear_faults()
    assert send_as("b", 1, leads(0, 12), baseline=True)["skipped_by"] == {"already_sent": 9, "baseline": 3}
    assert send_as("c", 1, leads(0, 12))["skipped_by"] == {"already_sent": 12}


def test_it_remembers_whatever_a_later_run_might_let_pass(sandbox: RunningSandbox) -> None:
    old, long_ago = {"occurred_at": datetime.now(UTC) - timedelta(days=5)}, {"occurred_at": "2020-01-01"}
    given = leads(0, 6)
    given[0] |= old
    given[1] |= long_ago
    given[2]["email"] = "tester@shop.test"
    given[3]["email"] = given[3]["phone"] = None
    strict: dict[str, Any] = {
        "require_consent": ["marketing"],
        "exclude_emails": ["*@shop.test"],
        "require_identifier": True,
        "mapping": {"consent.marketing": "newsletter"},
    }
    consents = [{**row, "newsletter": number == 4} for number, row in enumerate(given)]
    assert send_as("first", 1, consents, baseline=True, **strict)["skipped_by"] == {"baseline": 6}

    # Nobody is too old any more, all have consented, and the guards are gone.
    ages: dict[str, Any] = {"max_age": timedelta(days=10_000), "ledger_retention": timedelta(days=10_000)}
    assert send_as("second", 1, given, **ages)["skipped_by"] == {"already_sent": 6}
    assert sandbox.summary()["requests"] == 0


def test_a_wrong_time_zone_is_told_by_a_baseline_too(sandbox: RunningSandbox) -> None:
    ahead = {"occurred_at": datetime.now(UTC) + timedelta(hours=2)}
    given = leads(0, 3)
    given[1] |= ahead
    with pytest.raises(ReshapeFailedLeadsError) as error:
        send_as("first", 1, given, baseline=True)
    assert error.value.summary is not None
    assert error.value.summary["skipped_by"] == {"baseline": 2, "in_future": 1}
