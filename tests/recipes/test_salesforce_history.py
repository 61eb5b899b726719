"""What the Salesforce recipe makes of a lead's history, without Salesforce."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dags.salesforce_lead_sync import Record, counts_as, in_order

START = datetime(2026, 1, 31, 8, tzinfo=UTC)
STATUSES = ["New", "Nurturing", "Qualified", "Unqualified"]


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Record], str, str]:
    """Changes sorted by time, those of one second in any order; the first status and the last."""
    status = first = draw(st.sampled_from(STATUSES))
    changes: list[Record] = []
    for second, many in enumerate(draw(st.lists(st.integers(1, 5), min_size=1, max_size=6))):
        within: list[Record] = []
        for _ in range(many):
            new = draw(st.sampled_from([name for name in STATUSES if name != status]))
            at = (START + timedelta(seconds=second)).isoformat()
            within.append({"CreatedDate": at, "OldValue": status, "NewValue": new})
            status = new
        Random(draw(st.integers())).shuffle(within)
        changes += within
    return changes, first, status


@given(histories())
def test_changes_of_one_second_are_put_in_an_order_that_can_be(history: tuple[list[Record], str, str]) -> None:
    changes, first, last = history
    ordered = in_order(changes, last)

    assert sorted(map(id, ordered)) == sorted(map(id, changes))
    assert [one["CreatedDate"] for one in ordered] == [one["CreatedDate"] for one in changes]
    assert [first, *(one["NewValue"] for one in ordered)] == [*(one["OldValue"] for one in ordered), last]


@pytest.mark.parametrize(
    ("stage", "since_then", "told"),
    [
        ("Unqualified", ["Unqualified"], "Unqualified"),
        ("Unqualified", ["Unqualified", "Closed - Not Converted"], "Unqualified"),
        ("Unqualified", ["Unqualified", "New"], "(no longer disqualified)"),
        # However it is spelt.
        ("unqualified ", ["unqualified ", "New"], "(no longer disqualified)"),
        ("Unqualified", ["Unqualified", "UNQUALIFIED"], "Unqualified"),
        # Perhaps another word for disqualified.
        ("Unqualified", ["Unqualified", "UNQ"], "UNQ"),
        ("Qualified", ["Qualified", "UNQ"], "Qualified"),
        ("Qualified", ["Qualified", "New"], "Qualified"),
    ],
)
def test_who_is_no_longer_disqualified(stage: str, since_then: list[str], told: str) -> None:
    assert counts_as(stage, since_then) == told


def test_a_gap_in_the_history_stops_nothing() -> None:
    at = START.isoformat()
    changes = [
        {"CreatedDate": at, "OldValue": "Qualified", "NewValue": "Nurturing"},
        {"CreatedDate": at, "OldValue": "New", "NewValue": "Unqualified"},
    ]
    assert len(in_order(changes, "Unqualified")) == 2
