"""What the query over Odoo's tables gives, for what happens to leads in Odoo."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.recipes.crm import NOW, ago
from tests.recipes.databases import Database
from tests.recipes.odoo import (
    ACTIVE,
    NEW,
    PROPOSITION,
    QUALIFIED,
    REVENUE,
    STAGE,
    STAGE_OF_A_TASK,
    WON,
    Odoo,
    lead_42,
)
from tests.recipes.recipe import ODOO, entered, rows

BACK = "(no longer disqualified)"


@pytest.fixture
def odoo(database: Database) -> Odoo:
    return Odoo(database)


def test_stages_are_ids_and_the_first_is_not_tracked(odoo: Odoo) -> None:
    lead_42(odoo)
    odoo.lead(43, ago(hours=5), QUALIFIED)  # created in a stage that counts
    odoo.lead(44, ago(hours=4), None)  # in none
    assert entered(ODOO, NOW) == [("42", "1"), ("42", "2"), ("43", "2")]


def test_a_row_has_what_an_event_needs(odoo: Odoo) -> None:
    lead_42(odoo)
    odoo.lose(42, ago(hours=2))

    *_, lost = rows(ODOO, NOW)

    assert str(lost.pop("occurred_at")) == str(ago(hours=2).replace(tzinfo=None))
    assert str(lost.pop("user__created_at")).startswith(str(ago(hours=10).replace(tzinfo=None)))
    assert Decimal(str(lost.pop("event__value"))) == Decimal("1200.5")
    assert lost == {
        "lead_id": 42,
        "stage": "lost",
        "previous_stage": "2",
        "event__currency": "RON",
        "disqualification_reason": "1",
        "disqualification_stage": "2",
        "user__id": 42,
        "user__email": "lead.42@example.com",
        "user__phone": "+40722120042",
        "user__country": "RO",
        "user__city": "Cluj",
        "user__postal_code": "400001",
    }


def test_a_lead_that_moves_within_the_second_of_its_creation(odoo: Odoo) -> None:
    odoo.lead(42, ago(hours=3))
    odoo.move(42, QUALIFIED, ago(hours=3))  # create_date has fractions, which would put it later
    odoo.lead(43, ago(hours=3))
    odoo.track(43, ago(hours=2), (STAGE, NEW, QUALIFIED), (ACTIVE, 1, 0), (REVENUE, 1, 2))  # in one message
    odoo.database.update("crm_lead", 43, key="id", active=False, probability=0, stage_id=QUALIFIED)
    assert entered(ODOO, NOW) == [("43", "1"), ("42", "2"), ("43", "lost")]


def test_only_stage_and_active_of_leads_are_read(odoo: Odoo) -> None:
    odoo.lead(42, ago(hours=10))
    odoo.track(42, ago(hours=8), (STAGE_OF_A_TASK, NEW, QUALIFIED), model="project.task")
    odoo.track(42, ago(hours=7), (REVENUE, 1, QUALIFIED))
    odoo.track(42, ago(hours=6), (STAGE_OF_A_TASK, NEW, QUALIFIED))  # told in the lead's chatter
    assert entered(ODOO, NOW) == [("42", "1")]


def test_lost_is_inactive_with_probability_0(odoo: Odoo) -> None:
    lead_42(odoo)
    odoo.archive(42, ago(hours=3))
    assert entered(ODOO, NOW) == [("42", "1"), ("42", "2")]
    odoo.database.update("crm_lead", 42, key="id", probability=0)
    assert entered(ODOO, NOW) == [("42", "1"), ("42", "2"), ("42", "lost")]


def test_lost_and_restored_within_the_settling_time(odoo: Odoo) -> None:
    lead_42(odoo)
    odoo.lose(42, ago(hours=3))
    odoo.restore(42, ago(hours=2, minutes=45))
    assert entered(ODOO, NOW) == [("42", "1"), ("42", "2")]


def test_lost_and_restored_later(odoo: Odoo) -> None:
    lead_42(odoo)
    odoo.lose(42, ago(hours=3))
    assert entered(ODOO, NOW, until=ago(hours=2).isoformat()) == [("42", "1"), ("42", "2"), ("42", "lost")]
    odoo.restore(42, ago(hours=2))
    odoo.move(42, PROPOSITION, ago(hours=1))
    found = [(row["stage"], row["previous_stage"]) for row in rows(ODOO, NOW)]
    assert found == [("1", None), ("2", "1"), (BACK, "2"), ("3", "2")]


def test_lost_again_counts_from_then_on(odoo: Odoo) -> None:
    lead_42(odoo)
    odoo.lose(42, ago(hours=5))
    odoo.restore(42, ago(hours=4))
    odoo.lose(42, ago(minutes=45))
    found = [(row["stage"], str(row["occurred_at"])) for row in rows(ODOO, NOW)]
    assert found[2:] == [("lost", f"{ago(minutes=45):%Y-%m-%d %H:%M:%S}")]


def test_stages_that_a_lost_lead_passes_are_none(odoo: Odoo) -> None:
    lead_42(odoo)
    odoo.lose(42, ago(hours=5))
    odoo.move(42, PROPOSITION, ago(hours=4))
    assert entered(ODOO, NOW) == [("42", "1"), ("42", "2"), ("42", "lost")]
    odoo.restore(42, ago(hours=3))
    assert entered(ODOO, NOW) == [("42", "1"), ("42", "2"), ("42", BACK), ("42", "3")]


def test_created_lost(odoo: Odoo) -> None:
    odoo.lead(42, ago(hours=5), active=False, probability=0, lost_reason_id=1)
    assert entered(ODOO, NOW) == [("42", "lost")]


def test_merged_leads_leave_their_history_behind(odoo: Odoo) -> None:
    lead_42(odoo)
    odoo.lead(43, ago(hours=9))
    odoo.move(43, WON, ago(hours=7))
    odoo.lose(43, ago(hours=6))
    odoo.merge(43, into=42)
    assert entered(ODOO, NOW) == [("42", "1"), ("42", "2")]


def test_a_stage_that_is_taken_away(odoo: Odoo) -> None:
    lead_42(odoo)
    odoo.move(42, None, ago(hours=2))
    assert entered(ODOO, NOW) == [("42", "1"), ("42", "2")]


def test_without_a_reason(odoo: Odoo) -> None:
    odoo.lead(42, ago(hours=10))
    odoo.lose(42, ago(hours=9), reason=None)
    assert [row["disqualification_reason"] for row in rows(ODOO, NOW)] == [None, "none"]


@pytest.mark.parametrize(
    ("fate", "marked"), [("open", True), ("archived", True), ("lost", False)], ids=["open", "archived", "lost"]
)
def test_duplicates_of_live_leads_are_marked(odoo: Odoo, fate: str, marked: bool) -> None:
    odoo.lead(41, ago(hours=90), email_normalized=None, phone_sanitized="+40722120042")
    {"open": lambda *_: None, "archived": odoo.archive, "lost": odoo.lose}[fate](41, ago(hours=80))
    lead_42(odoo)
    odoo.lose(42, ago(hours=2), reason=7)

    assert rows(ODOO, NOW)[-1]["disqualification_reason"] == ("7 (owner has a live lead)" if marked else "7")
