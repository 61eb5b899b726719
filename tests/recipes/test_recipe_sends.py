"""The recipes' DAGs run by run, with a ledger, against the sandbox: what it received."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_reshape.sandbox.testing import RunningSandbox
from tests.recipes.crm import NOW, Snapshots, StageHistory, ago
from tests.recipes.databases import Database
from tests.recipes.odoo import QUALIFIED, Odoo, lead_42
from tests.recipes.recipe import HISTORY, ODOO, SNAPSHOTS, send


def received(sandbox: RunningSandbox) -> list[tuple[str, str]]:
    """Names and ids of all events so far, in order of their ids. Each must be valid."""
    events = sandbox.received()
    assert all(event["valid"] for event in events), [event["violations"] for event in events]
    return sorted((event["name"], event["id"]) for event in events)


def bodies(sandbox: RunningSandbox) -> dict[tuple[str, str], dict[str, Any]]:
    return {(event["name"], event["id"]): event["body"] for event in sandbox.received()}


def test_history_twice_and_a_lead_changed_in_between(database: Database, sandbox: RunningSandbox) -> None:
    crm = StageHistory(database)
    crm.lead("L1", ("New", ago(hours=9)), ("MQL", ago(hours=8)))
    crm.lead("L2", ("New", ago(hours=9)), ("Disqualified", ago(hours=7)), reason="No budget")
    crm.lead("L3", ("New", ago(hours=9)))
    first = [("lead_disqualified", "L2"), ("lead_qualified", "L1:MQL")]

    assert send(HISTORY, "first", ago(hours=3))["delivered"] == 2
    assert received(sandbox) == first
    again = send(HISTORY, "second", ago(hours=2))
    assert (again["delivered"], again["skipped_by"]["already_sent"]) == (0, 2)
    assert received(sandbox) == first

    crm.move("L1", "SQL", ago(hours=2))
    assert send(HISTORY, "third", ago(hours=1))["delivered"] == 1
    assert send(HISTORY, "fourth", NOW)["delivered"] == 0
    assert received(sandbox) == [*first, ("lead_qualified", "L1:SQL")]

    lost = bodies(sandbox)["lead_disqualified", "L2"]
    assert lost["event"]["value"] == 0
    assert lost["event"]["properties"] == {"disqualification_reason": "no_budget", "disqualification_stage": "New"}
    assert lost["user"]["id"] == "L2"


def test_history_disqualified_and_back(database: Database, sandbox: RunningSandbox) -> None:
    crm = StageHistory(database)
    crm.lead("SOON", ("MQL", ago(hours=9)))
    crm.lead("LATE", ("MQL", ago(hours=9)))
    late, soon = ("lead_qualified", "LATE:MQL"), ("lead_qualified", "SOON:MQL")
    lost = ("lead_disqualified", "LATE")
    send(HISTORY, "before", ago(hours=8))
    assert received(sandbox) == [late, soon]

    for lead in ("SOON", "LATE"):
        crm.move(lead, "Disqualified", ago(hours=7), "Bad timing")
    send(HISTORY, "not settled", ago(hours=6, minutes=40))
    assert received(sandbox) == [late, soon]

    crm.move("SOON", "MQL", ago(hours=6, minutes=35))  # after 25 minutes
    send(HISTORY, "settled", ago(hours=6))
    assert received(sandbox) == [lost, late, soon]

    # What was sent cannot be taken back, the stage to which the lead returns was sent, and the next one is new.
    crm.move("LATE", "MQL", ago(hours=5))
    send(HISTORY, "back", ago(hours=4))
    assert received(sandbox) == [lost, late, soon]
    crm.move("LATE", "SQL", ago(hours=3))
    send(HISTORY, "on", ago(hours=2))
    assert received(sandbox) == [lost, late, ("lead_qualified", "LATE:SQL"), soon]

    # The second time its id is known.
    crm.move("LATE", "Disqualified", ago(hours=2), "Competitor")
    summary = send(HISTORY, "out again", NOW)
    assert (summary["delivered"], len(received(sandbox))) == (0, 4)


def test_history_of_a_lead_that_was_back_before_a_run_saw_it_out(database: Database, sandbox: RunningSandbox) -> None:
    crm = StageHistory(database)
    crm.lead("L1", ("MQL", ago(hours=9)), ("Disqualified", ago(hours=8)), ("MQL", ago(hours=7)), reason="Bad timing")
    summary = send(HISTORY, "late", ago(hours=6))
    assert summary["stages"]["(no longer disqualified)"] == {"stage_not_sent": 1}
    assert received(sandbox) == [("lead_qualified", "L1:MQL")]

    crm.move("L1", "Disqualified", ago(hours=5), "Competitor")
    send(HISTORY, "out again", NOW)
    assert received(sandbox) == [("lead_disqualified", "L1"), ("lead_qualified", "L1:MQL")]
    lost = bodies(sandbox)["lead_disqualified", "L1"]["event"]["properties"]
    assert lost == {"disqualification_reason": "competitor", "disqualification_stage": "MQL"}


def test_history_holds_a_duplicate_back_until_the_other_is_out(database: Database, sandbox: RunningSandbox) -> None:
    crm = StageHistory(database)
    way = (("New", ago(hours=9)), ("Disqualified", ago(hours=8)))
    crm.lead("FIRST", ("New", ago(hours=20)), email="ana@example.com")
    crm.lead("AGAIN", *way, reason=" DUPE", email="Ana@Example.com")
    crm.lead("POOR", *way, reason="no  budget", email="ana@example.com")

    summary = send(HISTORY, "open", ago(hours=5))
    assert summary["skipped_by"]["reason_not_sent"] == 1
    assert received(sandbox) == [("lead_disqualified", "POOR")]

    crm.move("FIRST", "Disqualified", ago(hours=4), "No budget")
    assert send(HISTORY, "out", ago(hours=3))["delivered"] == 2
    assert received(sandbox) == [("lead_disqualified", lead) for lead in ("AGAIN", "FIRST", "POOR")]
    reasons = {key: body["event"]["properties"]["disqualification_reason"] for key, body in bodies(sandbox).items()}
    assert reasons == {
        ("lead_disqualified", "AGAIN"): "duplicate",
        ("lead_disqualified", "FIRST"): "no_budget",
        ("lead_disqualified", "POOR"): "no_budget",
    }


def test_history_from_a_baseline_on(database: Database, sandbox: RunningSandbox) -> None:
    crm = StageHistory(database)
    crm.lead("OLD", ("MQL", ago(hours=9)))
    assert send(HISTORY, "install", ago(hours=5), baseline=True)["skipped_by"] == {"baseline": 1}
    crm.lead("NEW", ("MQL", ago(hours=4)))
    send(HISTORY, "first", ago(hours=3))
    assert received(sandbox) == [("lead_qualified", "NEW:MQL")]


def test_snapshots_load_by_load(database: Database, sandbox: RunningSandbox) -> None:
    crm = Snapshots(database)
    crm.load(ago(hours=9), L1="New", L2="New", OLD="MQL")
    send(SNAPSHOTS, "first", ago(hours=8, minutes=50))
    crm.load(ago(hours=8), L1="MQL", L2="Disqualified", OLD="MQL")
    send(SNAPSHOTS, "second", ago(hours=7, minutes=50))
    assert received(sandbox) == []  # seen once

    crm.load(ago(hours=7), L1="MQL", L2="New", OLD="MQL")  # L2 is back
    assert send(SNAPSHOTS, "third", ago(hours=6, minutes=50))["delivered"] == 1
    assert send(SNAPSHOTS, "again", ago(hours=6, minutes=40))["delivered"] == 0
    assert received(sandbox) == [("lead_qualified", "L1:MQL")]

    for hours in (6, 5):
        crm.load(ago(hours=hours), L1="Disqualified", L2="New", OLD="SQL")
    send(SNAPSHOTS, "fourth", ago(hours=4, minutes=50))
    for hours in (4, 3):
        crm.load(ago(hours=hours), L1="MQL", L2="New", OLD="SQL")  # L1 is back, after it settled
    assert send(SNAPSHOTS, "fifth", NOW)["delivered"] == 0
    assert received(sandbox) == [
        ("lead_disqualified", "L1"),
        ("lead_qualified", "L1:MQL"),
        ("lead_qualified", "OLD:SQL"),
    ]


def test_odoo_run_by_run(database: Database, sandbox: RunningSandbox) -> None:
    odoo = Odoo(database)
    lead_42(odoo)
    odoo.lead(43, ago(hours=9))
    odoo.lead(44, ago(hours=9), company_id=None)
    odoo.lose(43, ago(hours=8))
    odoo.lose(44, ago(hours=8), reason=None)

    summary = send(ODOO, "first", ago(hours=6))
    assert summary["skipped_by"] == {"stage_not_sent": 3, "reason_not_sent": 1}
    assert received(sandbox) == [("lead_disqualified", "43"), ("lead_qualified", "42:2")]
    assert send(ODOO, "second", ago(hours=5))["delivered"] == 0

    odoo.lose(42, ago(hours=5))
    odoo.restore(42, ago(hours=4, minutes=40))  # within the settling time
    odoo.restore(43, ago(hours=4))
    odoo.move(43, QUALIFIED, ago(hours=3))
    odoo.move(44, QUALIFIED, ago(hours=3))  # still lost
    assert send(ODOO, "third", NOW)["delivered"] == 1
    assert received(sandbox) == [("lead_disqualified", "43"), ("lead_qualified", "42:2"), ("lead_qualified", "43:2")]

    qualified = bodies(sandbox)["lead_qualified", "42:2"]
    assert qualified["event"]["value"] == 1200.5
    assert qualified["event"]["currency"] == "RON"
    assert qualified["user"]["email"] == "lead.42@example.com"


@pytest.mark.parametrize("name", [HISTORY, SNAPSHOTS, ODOO])
def test_validating_sends_nothing_and_changes_nothing(database: Database, sandbox: RunningSandbox, name: str) -> None:
    StageHistory(database).lead("L1", ("MQL", ago(hours=9)))
    crm = Snapshots(database)
    for hours, stage in ((9, "New"), (8, "MQL"), (7, "MQL")):
        crm.load(ago(hours=hours), L1=stage)
    lead_42(Odoo(database))

    trial = send(name, "trial", NOW, validate_only=True)
    assert sum(sum(days.values()) for days in trial["would_send"].values()) == 1
    assert sandbox.summary()["requests"] == 0
    assert send(name, "run", NOW)["delivered"] == 1
