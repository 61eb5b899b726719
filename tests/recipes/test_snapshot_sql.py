"""What the query over copies of a CRM's leads gives: stages by the loads that show them."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.recipes.crm import NOW, Snapshots, ago
from tests.recipes.databases import Database
from tests.recipes.recipe import SNAPSHOTS, entered, rows

Loads = list[tuple[float, str | None]]  # how many minutes ago, and the stage; None: not in that load

# The stages that count, when they were seen first, and which stage counted before. The first load is hours before.
CASES: dict[str, tuple[Loads, list[tuple[str, float, str | None]]]] = {
    "seen twice": ([(90, "MQL"), (60, "MQL"), (0.5, "MQL")], [("MQL", 90, None)]),
    "seen once": ([(90, "New"), (60, "New"), (0.5, "MQL")], [("New", 90, None)]),
    "seen twice within minutes": ([(90, "New"), (60, "New"), (29, "MQL"), (0.5, "MQL")], [("New", 90, None)]),
    "here for one load": ([(120, "MQL"), (90, "MQL"), (60, "Disqualified"), (30, "MQL")], [("MQL", 120, None)]),
    "here for two loads": (
        [(150, "MQL"), (120, "MQL"), (90, "Disqualified"), (60, "Disqualified"), (30, "MQL")],
        [("MQL", 150, None), ("(no longer disqualified)", 90, "MQL")],
    ),
    "out again, in one load": (
        [
            (120, "MQL"),
            (90, "MQL"),
            (80, "Disqualified"),
            (50, "Disqualified"),
            (40, "MQL"),
            (5, "MQL"),
            (1, "Disqualified"),
        ],
        [("MQL", 120, None), ("(no longer disqualified)", 80, "MQL")],
    ),
    "re-entry": (
        [(210, "MQL"), (180, "MQL"), (150, "New"), (120, "New"), (90, "MQL"), (60, "MQL")],
        [("MQL", 210, None), ("New", 150, "MQL")],
    ),
    "missing in a load": ([(120, "MQL"), (90, None), (60, "MQL"), (30, "MQL")], [("MQL", 120, None)]),
    "gone": ([(120, "MQL"), (90, "MQL"), (60, None), (30, None)], []),
}


@pytest.mark.parametrize("case", CASES)
def test_which_stages_count(database: Database, case: str) -> None:
    loads, expected = CASES[case]
    crm = Snapshots(database)
    crm.load(ago(hours=30), OTHER="New")
    for minutes, stage in loads:
        crm.load(ago(minutes=minutes), None, OTHER="New", **({"L1": stage} if stage else {}))

    found = [(row["stage"], str(row["occurred_at"]), row["previous_stage"]) for row in rows(SNAPSHOTS, NOW)]

    at = {minutes: ago(minutes=minutes).strftime("%Y-%m-%d %H:%M:%S") for _, minutes, _ in expected}
    assert found == [(stage, at[minutes], before) for stage, minutes, before in expected]


def test_the_first_load_is_known_already(database: Database) -> None:
    crm = Snapshots(database)
    for hours in (3, 2, 1):
        crm.load(ago(hours=hours), OLD="MQL", LOST="Disqualified", NEW="New")
    assert entered(SNAPSHOTS, NOW) == []

    for minutes in (50, 10):
        crm.load(ago(minutes=minutes), OLD="SQL", LOST="MQL", NEW="New", LATER="SQL")
    found = [("LATER", "SQL"), ("LOST", "MQL"), ("OLD", "SQL")]
    assert entered(SNAPSHOTS, NOW) == found

    for minutes in (8, 7):
        crm.load(ago(minutes=minutes), OLD="SQL", LOST="Disqualified", NEW="New", LATER="SQL")
    # LOST was disqualified before, too, but nobody was told; OLD and LATER stay what they were.
    assert entered(SNAPSHOTS, NOW, settling_minutes=1) == [*found, ("LOST", "Disqualified")]


def test_loads_that_stopped_settle_nothing(database: Database) -> None:
    crm = Snapshots(database)
    crm.load(ago(hours=30), L1="New")
    crm.load(ago(hours=20), L1="Disqualified")
    assert entered(SNAPSHOTS, NOW) == []
    assert entered(SNAPSHOTS, NOW, settling_minutes=0) == [("L1", "Disqualified")]


def test_an_empty_table_gives_nothing(database: Database) -> None:
    Snapshots(database)
    assert rows(SNAPSHOTS, NOW) == []


def test_a_load_that_was_written_twice_changes_nothing(database: Database) -> None:
    crm = Snapshots(database)
    crm.load(ago(hours=30), L1="New")
    for hours in (3, 2, 2, 1):
        crm.load(ago(hours=hours), L1="MQL")
    # once more, with another stage: the load that came between is there for no time at all
    crm.load(ago(hours=2), L1="SQL")
    assert entered(SNAPSHOTS, NOW) == [("L1", "MQL")]


@pytest.mark.parametrize(
    ("first", "marked"), [("New", True), ("SQL", True), ("Disqualified", False)], ids=["open", "qualified", "out"]
)
def test_duplicates_of_live_leads_are_marked(database: Database, first: str, marked: bool) -> None:
    crm = Snapshots(database)
    crm.load(ago(hours=30), AGAIN="New", FIRST="New")
    for hours in (3, 2, 1):
        crm.load(ago(hours=hours), AGAIN="Disqualified", FIRST=first, reasons={"AGAIN": "Duplicate"})
    database.update("lead_snapshots", "FIRST", email="AGAIN@example.com")

    reasons = {row["lead_id"]: row["disqualification_reason"] for row in rows(SNAPSHOTS, NOW)}
    assert reasons["AGAIN"] == ("Duplicate (owner has a live lead)" if marked else "Duplicate")


def test_a_reason_that_is_filled_in_later(database: Database) -> None:
    crm = Snapshots(database)
    crm.load(ago(hours=3), L1="New")
    crm.load(ago(hours=2), L1="Disqualified", reasons={"L1": None})
    crm.load(ago(hours=1), L1="Disqualified", reasons={"L1": "No budget"})
    (row,) = rows(SNAPSHOTS, NOW)
    assert row["disqualification_reason"] == "No budget"
    assert row["disqualification_stage"] is None  # it was seen as New only once


def test_until_hides_later_loads(database: Database) -> None:
    crm = Snapshots(database)
    moments: list[datetime] = [ago(hours=hours) for hours in (30, 3, 2)]
    for at, stage in zip(moments, ("New", "MQL", "MQL"), strict=True):
        crm.load(at, L1=stage)
    assert entered(SNAPSHOTS, NOW, until=ago(hours=2, minutes=30).isoformat()) == []
    assert entered(SNAPSHOTS, NOW, until=ago(hours=1).isoformat()) == [("L1", "MQL")]
