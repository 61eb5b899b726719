"""A week in figures, against figures worked out here from the leads themselves."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from airflow_reshape.delivery.ledger.figures import EventFigures, Figures, figures
from airflow_reshape.delivery.ledger.lookup import database_now
from airflow_reshape.delivery.ledger.tables import events, senders
from airflow_reshape.exceptions import ReshapeError
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.ledger.conftest import NewEngine
from tests.ledger.leads import leads

SEED = 20260131
STAGES = {"SQL": "lead_qualified", "Lost": "lead_disqualified", "New": None}
REASONS = ("no_budget", "out_of_icp", "no_timing")
WEEK = timedelta(days=7)


def crm(count: int) -> list[dict[str, Any]]:
    """Leads of all kinds; what becomes of each follows from its columns."""
    rng = random.Random(SEED)
    rows = []
    for n in range(count):
        stage = rng.choices(["SQL", "Lost", "New", "Nurture"], [60, 30, 5, 5])[0]
        rows.append(
            {
                "lead_id": f"L{n}",
                "stage": stage,
                "occurred_at": datetime.now(UTC) - timedelta(minutes=rng.randint(1, 4000)),
                "event.value": rng.randint(1, 100_000) / 100,
                "event.currency": rng.choices(["EUR", "RON", None], [60, 30, 10])[0],
                "user.email": f"person{n}@example.com" if rng.random() < 0.8 else None,
                "user.phone": "+40722123456" if rng.random() < 0.4 else None,
                "user.id": f"L{n}",
                "cookies._ga": f"GA1.1.{n}" if rng.random() < 0.3 else None,
                "context.landing_url": "https://example.com/?gclid=abc" if rng.random() < 0.2 else None,
                "disqualification_reason": rng.choice(REASONS) if stage == "Lost" else None,
            }
        )
    return rows


def send(rows: list[dict[str, Any]], **options: Any) -> None:
    options = {"stage_map": STAGES, "disqualified_value": "row", "ledger_conn_id": "ledger", **options}
    ReshapeHook().send_events([row.copy() for row in rows], **options)


def told(new_engine: NewEngine, back: timedelta = timedelta(0), **chosen: Any) -> Figures:
    with new_engine().connect() as connection:
        until = database_now(connection) + timedelta(seconds=1) - back
        return figures(connection, until - WEEK, until, **chosen)


def test_the_figures_are_those_of_the_leads(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    rows = crm(300)
    rejected = next(row["lead_id"] for row in rows if row["stage"] == "SQL" and row["event.currency"])
    sandbox.set_faults(ids=[f"{rejected}:SQL"], statuses={"422": 1.0})
    for _ in range(3):  # the second and the third read what the first has dealt with
        with pytest.raises(ReshapeError):  # unknown stages stay failures
            send(rows)
    week = told(new_engine)

    sent = defaultdict(list)
    invalid: Counter[str] = Counter()
    for row in rows:
        name = STAGES.get(row["stage"])
        if name and row["event.currency"]:
            if row["lead_id"] != rejected:
                sent[name].append(row)
        elif name:
            invalid[name] += 1
    for name in ("lead_qualified", "lead_disqualified"):
        event, delivered = week.events[name], sent[name]
        failed = {"rejected": 1} if name == "lead_qualified" else {}
        assert event.new == {"delivered": len(delivered), "invalid": invalid[name], **failed}, f"seed {SEED}"
        assert event.known == {
            "already_sent": 2 * len(delivered),
            "still_invalid": 2 * invalid[name],
            **({"still_rejected": 2} if failed else {}),
        }
        sums: dict[str, Decimal] = defaultdict(Decimal)
        for row in delivered:
            sums[row["event.currency"]] += Decimal(str(row["event.value"]))
        assert {currency: Decimal(str(value)) for currency, value in event.value.items()} == sums
        assert event.counted == len(delivered)
        assert event.identifiers == {
            kind: count
            for kind, column in (
                ("email", "user.email"),
                ("phone", "user.phone"),
                ("user_id", "user.id"),
                ("browser_cookie", "cookies._ga"),
                ("click_id", "context.landing_url"),
            )
            if (count := sum(row[column] is not None for row in delivered))
        }
    assert week.disqualified_by == Counter(row["disqualification_reason"] for row in sent["lead_disqualified"])
    assert week.unknown_stages == {"Nurture": 3 * sum(row["stage"] == "Nurture" for row in rows)}
    assert week.skipped_by == {
        "unknown_stage": week.unknown_stages["Nurture"],
        "stage_not_sent": 3 * sum(row["stage"] == "New" for row in rows),
    }
    assert week.still_failing == 2 * (invalid.total() + 1)
    assert week.open_problems == {"invalid": invalid.total(), "rejected": 1}
    assert (week.sends, week.unfinished, week.sent_again) == (3, 0, 0)
    assert sandbox.summary()["requests"] == sum(map(len, sent.values())) + 1


@pytest.mark.parametrize("count", [1, 2, 19, 20, 21, 101])
def test_lags_are_percentiles_by_nearest_rank(new_engine: NewEngine, sandbox: RunningSandbox, count: int) -> None:
    send(leads(0, 1), stage_map=None, event="lead_qualified", disqualified_value=None)  # makes the tables
    rng = random.Random(SEED + count)
    lags = [rng.randint(1, 500_000) / 10 for _ in range(count)]
    settled = datetime(2026, 3, 1, 12)
    with new_engine().begin() as connection:
        for n, lag in enumerate(lags):
            connection.execute(
                insert(events).values(
                    key=f"{n:064}",
                    destination="AB12CD34:prod",
                    event_name="lead_qualified",
                    state="delivered",
                    owner="nobody",
                    attempts=1,
                    occurred_at=settled - timedelta(seconds=lag),
                    claimed_at=settled,
                    settled_at=settled,
                )
            )
        connection.execute(
            insert(events).values(
                key="undated",
                destination="AB12CD34:prod",
                event_name="lead_qualified",
                state="delivered",
                owner="nobody",
                attempts=1,
                claimed_at=settled,
                settled_at=settled,
            )
        )
        week = figures(connection, settled - WEEK, settled + timedelta(seconds=1))
    event = week.events["lead_qualified"]
    assert event.undated == 1
    for name, percent in (("p50", 50), ("p95", 95)):
        expected = sorted(lags)[math.ceil(percent * count / 100) - 1]
        assert event.lag_seconds[name] == pytest.approx(expected, abs=0.01), f"seed {SEED + count}"


def test_a_week_ends_where_the_next_begins(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    send(leads(0, 4), stage_map=None, event="lead_qualified", disqualified_value=None)
    with new_engine().begin() as connection:
        now = database_now(connection)
        connection.execute(update(events).where(events.c.lead_id == "first").values(settled_at=now - 8 * WEEK / 7))
        connection.execute(
            insert(senders).values(id="died", started_at=now - timedelta(days=1), lease_until=now - timedelta(days=1))
        )
    assert told(new_engine).events["lead_qualified"].new == {"delivered": 3}
    assert told(new_engine).unfinished == 1
    before = told(new_engine, WEEK)
    assert before.events["lead_qualified"].new == {"delivered": 1}
    assert (before.sends, before.unfinished) == (0, 0)
    assert told(new_engine, 2 * WEEK).events == {}


def test_what_a_dead_send_left_is_told_as_repeated(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    options = {"event": "lead_qualified", "ledger_conn_id": "ledger"}
    ReshapeHook().send_events(leads(0, 6), **options)
    with new_engine().begin() as connection:  # as if it had been killed before it settled two of them
        connection.execute(
            update(events).where(events.c.lead_id.in_(["2", "3"])).values(state="claimed", settled_at=None)
        )
        connection.execute(update(senders).values(ended_at=None, summary=None, lease_until=datetime(2026, 1, 1)))
    died = told(new_engine)
    assert died.events["lead_qualified"].new == {"delivered": 4, "claimed": 2}
    assert (died.sends, died.unfinished, died.open_problems) == (0, 1, {"in_doubt": 2})
    assert died.oldest_undelivered is not None
    assert died.oldest_undelivered["lead_id"] in ("2", "3")

    ReshapeHook().send_events(leads(0, 6), **options)
    week = told(new_engine)
    assert week.events["lead_qualified"].new == {"delivered": 6}
    assert (week.sends, week.unfinished, week.sent_again, week.open_problems) == (1, 1, 2, {})
    assert sandbox.summary()["duplicates"] == 2


def test_dev_and_other_script_ids_are_apart(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    options = {"event": "lead_qualified", "ledger_conn_id": "ledger"}
    ReshapeHook("reshape_dev").send_events(leads(0, 2), **options)
    ReshapeHook().send_events(leads(0, 5), **options)

    cases: list[tuple[dict[str, Any], int, int]] = [
        ({}, 5, 10),
        ({"environment": "dev"}, 2, 1),
        ({"script_id": sandbox.script_id}, 5, 10),
    ]
    for chosen, count, value in cases:
        week = told(new_engine, **chosen)
        assert week.events["lead_qualified"].new == {"delivered": count}
        assert week.events["lead_qualified"].value == {"EUR": value}
        assert week.sends == 1
    assert told(new_engine, script_id="ZZ99ZZ99").events == {}


def test_a_baseline_is_known_and_nothing_new(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    ReshapeHook().send_events(leads(0, 7), event="lead_qualified", ledger_conn_id="ledger", baseline=True)
    event: EventFigures = told(new_engine).events["lead_qualified"]
    assert event.known == {"baseline": 7}
    assert event.new.get("delivered", 0) == 0
    assert event.value == {}


def test_what_is_kept_of_a_send_names_nobody(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    rows = crm(60)
    rows[0] |= {"stage": "Lost", "event.currency": "EUR", "disqualification_reason": "Ana Pop has left"}
    with pytest.raises(ReshapeError):
        send(rows, allow_other_reasons=True)
    with new_engine().connect() as connection:
        (kept,) = connection.scalars(select(senders.c.summary)).all()
    assert "outside the vocabulary" in kept
    for personal in ("Ana", "@", "722123456", "GA1.1", "L1", "gclid=abc"):
        assert personal not in kept
