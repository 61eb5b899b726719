"""The made-up CRM is as messy as promised, the same every time, and its truth is true."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.crm import FLAWS, Crm, make_crm, write
from demo.truth import first_entries
from demo.vocabulary import LOST_REASONS, STAGES, UNKNOWN_STAGE

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)  # an hour that some clocks skip


@pytest.fixture(scope="module")
def crm() -> Crm:
    return make_crm(NOW)


@pytest.fixture(scope="module")
def file(crm: Crm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crm") / "crm.sqlite"
    write(crm, path)
    return path


def query(file: Path, sql: str, **parameters: Any) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(file)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(sql, parameters)]


def events(file: Path, since: str | None = None, until: str | None = None) -> list[dict[str, Any]]:
    sql = (ROOT / "dags" / "sql" / "crm_lead_events.sql").read_text()
    return query(file, sql, since=since, until=until)


def test_the_same_seed_and_moment_make_the_same_crm(crm: Crm) -> None:
    assert make_crm(NOW) == crm
    assert make_crm(NOW, seed=1) != crm


def test_another_moment_moves_times_only(crm: Crm) -> None:
    later = make_crm(NOW + timedelta(days=1))
    moving = ("created_at", "ga_client_id")
    for lead, same in zip(crm.leads, later.leads, strict=True):
        assert [change.to_stage for change in lead.history] == [change.to_stage for change in same.history]
        assert {k: v for k, v in lead.row.items() if k not in moving} == {
            k: v for k, v in same.row.items() if k not in moving
        }


def test_it_has_2000_leads_and_the_flaws_that_it_promises(crm: Crm) -> None:
    assert len(crm.leads) == 2000
    assert len({lead.id for lead in crm.leads}) == 2000
    assert Counter(lead.flaw for lead in crm.leads if lead.flaw) == FLAWS


def test_it_is_as_messy_as_real_ones(file: Path) -> None:
    leads = query(file, "SELECT * FROM leads")
    history = query(file, "SELECT * FROM stage_history ORDER BY id")
    phones = [row["phone"] for row in leads if row["phone"]]
    for shape in (r"^\d+$", r" ", r"/", r"-", r"\.", r"^\(", r"^\+", r"^00", r"\(0\)"):
        assert any(re.search(shape, phone) for phone in phones), shape
    emails = [row["email"] for row in leads]
    assert None in emails
    assert "" in emails
    assert any(email and email != email.strip() for email in emails)
    assert any(email and email != email.lower() for email in emails)
    assert {row["consent_marketing"] for row in leads} == {0, 1, None}
    assert {"ro", "RO", "Romania", "România", None} <= {row["country"] for row in leads}
    assert any(row["currency"] and row["currency"].islower() for row in leads)
    names = {row["first_name"] for row in leads} | {row["last_name"] for row in leads}
    assert {"O'Brien", "Dana 🦊", "{{ conn.reshape_default.password }}"} <= names
    assert UNKNOWN_STAGE in {row["to_stage"] for row in history}
    moves = Counter((row["lead_id"], row["from_stage"], row["to_stage"]) for row in history)
    assert any(count > 1 for count in moves.values())  # saved twice
    back = {lead for lead, was, now in moves if (was, now) == ("Disqualified", "MQL")}
    assert len(back) > 20
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row["changed_at"]) for row in history)


def test_every_stage_and_reason_that_it_uses_is_in_its_vocabulary(crm: Crm) -> None:
    for lead in crm.leads:
        for change in lead.history:
            assert change.to_stage in STAGES or lead.flaw == "unknown_stage"
            if change.to_stage == "Disqualified" and lead.flaw not in ("unmapped_reason", "no_reason"):
                assert change.lost_reason in LOST_REASONS


def test_nobody_in_it_exists(crm: Crm) -> None:
    for lead in crm.leads:
        if lead.meant.email:
            assert re.search(r"@(mail\.)?example\.(com|org)$", lead.meant.email)
        if lead.meant.phone:
            # Long enough for its country, so that it is sent; few of these are numbers that somebody could have.
            assert phonenumbers.is_possible_number(phonenumbers.parse(lead.meant.phone))


def test_what_is_meant_by_a_phone_is_what_its_digits_say(crm: Crm) -> None:
    for lead in crm.leads:
        if lead.meant.phone:
            typed = re.sub(r"\D", "", lead.row["phone"])
            national = re.sub(r"^(\+\d\d?)", "", lead.meant.phone)
            assert typed.endswith(national[-9:])


def test_only_the_first_entry_into_a_stage_counts(crm: Crm, file: Path) -> None:
    should = {
        (change.lead_id, change.to_stage): f"{change.changed_at:%Y-%m-%d %H:%M:%S}"
        for lead in crm.leads
        for change in first_entries(lead)
    }
    rows = events(file)
    assert {(row["lead_id"], row["stage"]): row["occurred_at"] for row in rows} == should
    assert len(rows) == len(should)


def test_the_query_keeps_a_stable_order(file: Path) -> None:
    rows = events(file)
    assert [row["occurred_at"] for row in rows] == sorted(row["occurred_at"] for row in rows)
    assert rows == events(file)


def test_the_window_has_its_start_but_not_its_end(file: Path) -> None:
    rows = events(file)
    middle = rows[len(rows) // 2]["occurred_at"]
    before, after = events(file, until=middle), events(file, since=middle.replace(" ", "T"))
    assert before + after == rows
    assert after[0]["occurred_at"] == middle
    assert events(file, since="", until="") == rows


def test_a_reentry_within_the_window_makes_no_second_event(crm: Crm, file: Path) -> None:
    lead = next(
        lead
        for lead in crm.leads
        if Counter(change.to_stage for change in lead.history if change.from_stage == "Disqualified")["MQL"]
    )
    reentry = next(change for change in lead.history if (change.from_stage, change.to_stage) == ("Disqualified", "MQL"))
    rows = events(file, since=f"{reentry.changed_at:%Y-%m-%d %H:%M:%S}")
    assert ("MQL", lead.id) not in {(row["stage"], row["lead_id"]) for row in rows}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(min_value=0, max_value=2**32), leads=st.integers(min_value=1, max_value=60))
def test_any_seed_makes_a_consistent_history(seed: int, leads: int) -> None:
    crm = make_crm(NOW, leads=leads, seed=seed)
    assert len(crm.leads) == leads
    ids = [change.id for lead in crm.leads for change in lead.history]
    assert ids == list(range(1, len(ids) + 1))
    for lead in crm.leads:
        times = [change.changed_at for change in lead.history]
        assert times == sorted(times)
        assert lead.history[0].from_stage is None
        entered = {None, *(change.to_stage for change in lead.history)}
        assert all(change.from_stage in entered for change in lead.history)
