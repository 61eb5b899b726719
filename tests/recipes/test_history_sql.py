"""What the query over a history of stages gives, for the histories that real CRMs have."""

from __future__ import annotations

import random
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from tests.recipes.crm import NOW, StageHistory, ago, person
from tests.recipes.databases import Database
from tests.recipes.recipe import HISTORY, entered, rendered, rows

SEED = 20260131
SETTLING = 30
LIVE = " (owner has a live lead)"
BACK = "(no longer disqualified)"
BERLIN = ZoneInfo("Europe/Berlin")
Moves = list[tuple[str | None, float]]  # stage, and how many minutes ago

# The stages that count, when they were entered, and which stage counted before.
CASES: dict[str, tuple[Moves, list[tuple[str, float, str | None]]]] = {
    "straight on": ([("New", 120), ("MQL", 60)], [("New", 120, None), ("MQL", 60, "New")]),
    "created in a stage that counts": ([("MQL", 100)], [("MQL", 100, None)]),
    "not settled yet": ([("New", 120), ("MQL", 29)], [("New", 120, None)]),
    "settled to the second": ([("New", 120), ("MQL", 30)], [("New", 120, None), ("MQL", 30, "New")]),
    "disqualified by mistake": (
        [("New", 300), ("MQL", 200), ("Disqualified", 100), ("MQL", 80)],
        [("New", 300, None), ("MQL", 200, "New")],
    ),
    "disqualified and back after it settled": (
        [("New", 300), ("MQL", 200), ("Disqualified", 100), ("MQL", 60)],
        [("New", 300, None), ("MQL", 200, "New"), (BACK, 100, "MQL")],
    ),
    "disqualified, back, and nothing settled yet": (
        [("MQL", 200), ("Disqualified", 100), ("MQL", 10)],
        [("MQL", 200, None), (BACK, 100, "MQL")],
    ),
    "disqualified, and away for minutes": (
        [("MQL", 200), ("Disqualified", 100), ("MQL", 20), ("Disqualified", 10)],
        [("MQL", 200, None), ("Disqualified", 100, "MQL")],
    ),
    "disqualified, back, and disqualified minutes ago": (
        [("MQL", 300), ("Disqualified", 200), ("MQL", 100), ("Disqualified", 10)],
        [("MQL", 300, None), (BACK, 200, "MQL")],
    ),
    "back and on": (
        [("MQL", 300), ("Disqualified", 200), ("MQL", 150), ("SQL", 100)],
        [("MQL", 300, None), (BACK, 200, "MQL"), ("SQL", 100, "MQL")],
    ),
    "back and forth in minutes": (
        [("New", 300), ("MQL", 200), ("New", 190), ("MQL", 180), ("New", 170), ("MQL", 160)],
        [("New", 300, None), ("MQL", 160, "New")],
    ),
    "in and out again and again": (
        [("New", 400), ("MQL", 300), ("Disqualified", 240), ("MQL", 180), ("Disqualified", 120)],
        [("New", 400, None), ("MQL", 300, "New"), ("Disqualified", 120, "MQL")],
    ),
    "through a stage": (
        [("New", 100), ("MQL", 70), ("SQL", 65)],
        [("New", 100, None), ("SQL", 65, "New")],
    ),
    "two changes in one second": (
        [("New", 200), ("Contacted", 100), ("MQL", 100)],
        [("New", 200, None), ("MQL", 100, "New")],
    ),
    "a line that changes no stage": (
        [("New", 200), ("MQL", 100), ("MQL", 85), ("Disqualified", 65)],
        [("New", 200, None), ("MQL", 100, "New"), ("Disqualified", 65, "MQL")],
    ),
    "a line without a stage": ([("New", 200), (None, 100), ("MQL", 80)], [("New", 200, None), ("MQL", 80, "New")]),
    "a line of the future": ([("New", 200), ("MQL", -60)], [("New", 200, None)]),
    "a line of the future settles nothing": ([("New", 200), ("MQL", 10), ("SQL", -60)], [("New", 200, None)]),
}


def test_which_stages_count(database: Database) -> None:
    crm = StageHistory(database)
    for case, (moves, _) in CASES.items():
        crm.lead(case, *((stage, ago(minutes=minutes)) for stage, minutes in moves))

    found: dict[str, list[tuple[str, str, str | None]]] = {case: [] for case in CASES}
    for row in rows(HISTORY, NOW):
        found[row["lead_id"]].append((row["stage"], str(row["occurred_at"]), row["previous_stage"]))

    assert found == {
        case: [(stage, f"{ago(minutes=minutes):%Y-%m-%d %H:%M:%S}", before) for stage, minutes, before in expected]
        for case, (_, expected) in CASES.items()
    }


def test_any_history_gives_what_its_rules_say(database: Database) -> None:
    dice = random.Random(SEED)
    StageHistory(database)
    histories = {f"L{n}": random_history(dice) for n in range(250)}
    lines = [(lead_id, *line) for lead_id, history in histories.items() for line in history]
    dice.shuffle(lines)  # the table has no order
    database.insert("leads", *({"lead_id": lead_id, **person(lead_id)} for lead_id in histories))
    database.insert(
        "stage_history",
        *(
            {"id": number, "lead_id": lead_id, "to_stage": stage, "changed_at": ago(minutes=minutes)}
            for lead_id, number, stage, minutes in lines
        ),
    )

    found = sorted(entered(HISTORY, NOW))

    expected = sorted((lead_id, stage) for lead_id, history in histories.items() for stage in counting(history))
    assert found == expected, f"seed {SEED}"
    assert {stage for _, stage in found} == {"New", "MQL", "SQL", "Disqualified", BACK}
    assert len(found) < len(lines) / 2, "hardly a history was awkward"


def random_history(dice: random.Random) -> list[tuple[int, str, int]]:
    """Up to nine lines: id, stage, minutes ago. Many lie close together, some in one second."""
    minutes = 600
    history = []
    for _ in range(dice.randint(1, 9)):
        stage = dice.choice(("New", "MQL", "SQL", "Disqualified"))
        history.append((dice.randrange(10**9), stage, minutes))
        minutes -= dice.choice((0, 1, 10, 29, 30, 31, 90))
    numbers = sorted(number for number, _, _ in history)
    return [(number, stage, at) for number, (_, stage, at) in zip(numbers, history, strict=True)]


def counting(history: list[tuple[int, str, int]]) -> set[str]:
    """The stages of a history that are to be sent, found in another way than the query's."""
    stays = [next(lines) for _, lines in groupby(sorted(history, key=lambda line: (-line[2], line[0])), lambda x: x[1])]
    ends = [minutes for _, _, minutes in stays[1:]] + [0]
    lasted = [stage for (_, stage, since), end in zip(stays, ends, strict=True) if since - end >= SETTLING]
    out = lasted[-1:] == ["Disqualified"] and stays[-1][1] == "Disqualified"
    return {BACK if stage == "Disqualified" and not out else stage for stage in lasted}


def test_settling_time_is_a_parameter(database: Database) -> None:
    StageHistory(database).lead("L1", ("New", ago(minutes=100)), ("MQL", ago(minutes=20)), ("SQL", ago(minutes=10)))

    assert entered(HISTORY, NOW, settling_minutes=90) == []
    assert entered(HISTORY, NOW, settling_minutes=15) == [("L1", "New")]
    assert entered(HISTORY, NOW, settling_minutes=10) == [("L1", "New"), ("L1", "MQL"), ("L1", "SQL")]
    assert entered(HISTORY, NOW, settling_minutes=0) == [("L1", "New"), ("L1", "MQL"), ("L1", "SQL")]


def test_the_window_is_71_hours_or_what_is_asked_for(database: Database) -> None:
    crm = StageHistory(database)
    crm.lead("L1", ("MQL", ago(hours=100)), ("SQL", ago(hours=71)))
    crm.lead("L2", ("MQL", ago(hours=100)), ("Disqualified", ago(hours=80)), ("MQL", ago(hours=2)))

    assert entered(HISTORY, NOW) == [("L1", "SQL")]  # and no return to a stage entered before the window
    asked = {"since": ago(hours=90).isoformat(), "until": ago(hours=72).isoformat()}
    assert entered(HISTORY, NOW, **asked) == [("L2", "Disqualified")]


def test_a_moment_without_a_zone_is_utc(database: Database) -> None:
    StageHistory(database).lead("L1", ("MQL", ago(minutes=90)), ("SQL", ago(minutes=45)))
    for text in (ago(minutes=10), ago(minutes=10).replace(tzinfo=None), ago(minutes=10).astimezone(BERLIN)):
        assert entered(HISTORY, NOW, until=text.isoformat()) == [("L1", "MQL"), ("L1", "SQL")]
    for text in (ago(minutes=20), ago(minutes=20).replace(tzinfo=None), ago(minutes=20).astimezone(BERLIN)):
        assert entered(HISTORY, NOW, until=text.isoformat()) == [("L1", "MQL")]


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("until", ["'; DROP TABLE leads; --", "yesterday", 7])
def test_a_window_is_a_moment_and_nothing_else(until: Any) -> None:
    refused = (ValueError, AirflowException)  # of a parameter: no ValueError before Airflow 3.3
    with pytest.raises(refused, match=r"Invalid isoformat string|is not valid under|is not of type"):
        rendered(HISTORY, NOW, until=until)
    with pytest.raises(refused, match="is not of type"):
        rendered(HISTORY, NOW, settling_minutes="0) OR (1")


def test_deleted_leads_give_nothing(database: Database) -> None:
    StageHistory(database).lead("L1", ("MQL", ago(hours=5)))
    database.delete("leads", "L1")
    assert rows(HISTORY, NOW) == []


def duplicates(**who: Any) -> dict[str, Any]:
    return {"email": "Ana@Example.com ", "phone": "0722 000 111", **who}


# The stages of the other lead, how many hours ago, and whether it is live.
OTHERS: dict[str, tuple[list[tuple[str, float]], bool]] = {
    "no stage yet": ([], True),
    "open": ([("New", 50)], True),
    "qualified": ([("New", 50), ("SQL", 40)], True),
    "a customer": ([("New", 50), ("Won", 40)], True),
    "out": ([("New", 50), ("Disqualified", 40)], False),
    "out for minutes only": ([("New", 50), ("Disqualified", 0.2)], True),
    "out and back": ([("New", 50), ("Disqualified", 40), ("New", 20)], True),
}


@pytest.mark.parametrize("same", ["email", "phone"])
def test_duplicates_of_live_leads_are_marked(database: Database, same: str) -> None:
    crm = StageHistory(database)
    for number, (other, (stages, _)) in enumerate(OTHERS.items()):
        first = {"email": f"ana{number}@example.com", "phone": f"072200011{number}"}[same]
        again = {"email": f"Ana{number}@Example.com ", "phone": f"0722 000 11{number}"}[same]
        crm.lead(f"first: {other}", *((stage, ago(hours=hours)) for stage, hours in stages), **{same: first})
        way = (("New", ago(hours=10)), ("Disqualified", ago(hours=9)))
        crm.lead(other, *way, reason="Dupe", **{same: again})

    found = {row["lead_id"]: row["disqualification_reason"] for row in rows(HISTORY, NOW) if row["lead_id"] in OTHERS}
    assert found == {other: f"Dupe{LIVE if live else ''}" for other, (_, live) in OTHERS.items()}


def test_which_disqualified_leads_have_a_live_one(database: Database) -> None:
    crm = StageHistory(database)
    crm.lead("FIRST", ("SQL", ago(hours=50)), **duplicates())
    crm.lead("SECOND", ("Disqualified", ago(hours=9)), reason="No budget", **duplicates())
    crm.lead("NOBODY", ("Disqualified", ago(hours=9)), reason="Duplicate", email=None, phone=None)
    crm.lead("BLANK", ("Disqualified", ago(hours=9)), reason="Duplicate", email="", phone="")
    crm.lead("BLANK2", ("New", ago(hours=9)), email="", phone="")

    reasons = {row["lead_id"]: row["disqualification_reason"] for row in rows(HISTORY, NOW)}
    assert reasons == {
        "FIRST": None,
        "SECOND": f"No budget{LIVE}",
        "NOBODY": "Duplicate",
        "BLANK": "Duplicate",
        "BLANK2": None,
    }


def test_a_duplicate_that_came_back_itself_is_marked(database: Database) -> None:
    StageHistory(database).lead(
        "L1", ("New", ago(hours=9)), ("Disqualified", ago(hours=8)), ("New", ago(hours=1)), reason="Duplicate"
    )
    reasons = {row["stage"]: row["disqualification_reason"] for row in rows(HISTORY, NOW)}
    assert reasons == {"New": None, BACK: f"Duplicate{LIVE}"}
