"""Rows of one source that repeat an event id: told as such, in a dry run and in a send, with a ledger and without."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_reshape.delivery.repeats import MOST_REMEMBERED, EventIds, Repeat
from airflow_reshape.events.wire import to_bytes
from airflow_reshape.exceptions import ReshapeFailedLeadsError
from airflow_reshape.hooks.reshape import ReshapeHook
from tests.delivery.servers import ScriptedServer
from tests.mapping.builders import event

NOW = datetime.now(UTC).replace(microsecond=0)
EARLIER = NOW - timedelta(hours=5)


def row(lead: int, value: float = 1, at: datetime | None = None) -> dict[str, Any]:
    return {"lead_id": f"L-{lead}", "currency": "EUR", "value": value} | ({"occurred_at": at} if at else {})


# 46 leads in 77 rows: 31 repeat an id, 11 of them with other data, as a JOIN makes them.
FAN_OUT = [
    *(row(n) for n in range(1, 47)),
    *(row(n) for n in range(1, 21)),
    *(row(n, value=2) for n in range(21, 32)),
]
TOLD = "31 rows repeat an event id of this source, 11 of them with other data"


@pytest.fixture(params=[False, True], ids=["no ledger", "ledger"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    if not request.param:
        return {}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", f"sqlite:///{tmp_path / 'ledger.db'}")
    return {"ledger_conn_id": "ledger"}


@pytest.mark.parametrize("validate_only", [False, True])
def test_a_fan_out_is_told_and_fails(
    validate_only: bool,
    ledger: dict[str, Any],
    hook: ReshapeHook,
    receiver: ScriptedServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    arguments: dict[str, Any] = {"event": "lead_qualified", "validate_only": validate_only, **ledger}
    if validate_only:
        summary = hook.send_events(FAN_OUT, **arguments)
        assert sum(summary["would_send"]["lead_qualified"].values()) == 46
        assert receiver.requests == []
    else:
        with pytest.raises(ReshapeFailedLeadsError, match=r"11 of 77 leads failed.*a JOIN multiplies rows") as caught:
            hook.send_events(FAN_OUT, **arguments)
        assert caught.value.summary is not None
        summary = caught.value.summary
        assert sorted(request.body["event"]["value"] for request in receiver.requests) == [1] * 46
        assert len({request.id for request in receiver.requests}) == 46
    assert summary["repeated"] == {"rows": 31, "with_other_data": 11, "not_compared": 0}
    assert {why: summary["skipped_by"][why] for why in ("repeated", "fan_out")} == {"repeated": 20, "fan_out": 11}
    assert "already_sent" not in summary["skipped_by"]
    assert [each.levelno for each in caplog.records if TOLD in each.message] == [logging.WARNING]


def test_a_fan_out_may_be_allowed(ledger: dict[str, Any], hook: ReshapeHook, receiver: ScriptedServer) -> None:
    summary = hook.send_events(FAN_OUT, event="lead_qualified", allow_fan_out=True, **ledger)
    assert (summary["delivered"], summary["skipped"]) == (46, 31)
    assert len(receiver.requests) == 46


def test_a_leads_own_history_is_no_failure(ledger: dict[str, Any], hook: ReshapeHook, receiver: ScriptedServer) -> None:
    history = [row(1, 1, EARLIER), row(1, 2, EARLIER + timedelta(hours=1)), row(1, 3, NOW), row(2, 1, NOW)]
    summary = hook.send_events(history, event="lead_qualified", **ledger)
    assert summary["skipped_by"] == {"repeated_later": 2}
    assert summary["repeated"] == {"rows": 2, "with_other_data": 2, "not_compared": 0}
    assert sorted(request.id for request in receiver.requests) == ["L-1:qualified", "L-2:qualified"]


def test_a_fan_out_of_a_history_is_one(hook: ReshapeHook) -> None:
    history = [row(1, 1, EARLIER), row(1, 2, NOW), row(1, 3, NOW)]
    with pytest.raises(ReshapeFailedLeadsError) as caught:
        hook.send_events(history, event="lead_qualified")
    assert caught.value.summary is not None
    assert caught.value.summary["skipped_by"] == {"repeated_later": 1, "fan_out": 1}


def test_rows_that_a_guard_stops_are_no_first_rows(hook: ReshapeHook, receiver: ScriptedServer) -> None:
    rows = [row(1, 1, NOW - timedelta(days=9)), row(1, 2, NOW)]
    summary = hook.send_events(rows, event="lead_qualified", max_age=timedelta(hours=72))
    assert (summary["delivered"], summary["skipped_by"]) == (1, {"too_old": 1})
    assert receiver.requests[0].body["event"]["value"] == 2


def test_events_of_other_names_and_environments_are_others(hook: ReshapeHook, receiver: ScriptedServer) -> None:
    rows = [
        {"event.id": "7", "event.name": name, "currency": "EUR", "context.environment": environment}
        for name in ("lead_qualified", "lead_created")
        for environment in ("prod", "dev")
    ]
    assert hook.send_events(rows)["delivered"] == 4
    assert len(receiver.requests) == 4


def test_events_without_an_id_are_no_repeats(hook: ReshapeHook, receiver: ScriptedServer) -> None:
    assert hook.send_events([{"event.name": "page_view"}] * 3)["delivered"] == 3


def prepared(lead: int, value: int, at: datetime | None = None) -> tuple[Any, bytes]:
    made = event(row(lead, value, at))
    return made, to_bytes(made.body)


def test_beyond_the_bound_the_count_says_that_it_stopped_looking() -> None:
    seen = EventIds(most=2)
    assert [seen.look(*prepared(n, 1)) for n in (1, 2, 3, 3, 1)] == [None, None, None, None, Repeat.SAME]
    assert seen.not_compared == 2
    assert MOST_REMEMBERED == 100_000  # as docs/mapping.md says


def test_the_report_says_that_it_stopped_looking(
    hook: ReshapeHook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(EventIds.__init__, "__defaults__", (2,))
    summary = hook.send_events([row(n) for n in range(1, 6)], event="lead_qualified")
    assert summary["repeated"] == {"rows": 0, "with_other_data": 0, "not_compared": 3}
    assert "3 rows not compared with others" in caplog.text


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.sampled_from([None, EARLIER, NOW])), max_size=12))
def test_every_row_is_the_first_or_said_to_repeat(rows: list[tuple[int, int, datetime | None]]) -> None:
    """Against a plain model: the first row of an id is sent; the others are told by data and time."""
    seen = EventIds()
    first: dict[int, tuple[int, datetime | None]] = {}
    of_moment: dict[tuple[int, datetime | None], int] = {}
    for lead, value, at in rows:
        found = seen.look(*prepared(lead, value, at))
        if lead not in first:
            assert found is None
            first[lead] = (value, at)
        elif first[lead][0] == value:
            assert found is Repeat.SAME
        elif at is None or first[lead][1] in (None, at):
            assert found is Repeat.FAN_OUT
        else:
            assert found is (Repeat.HISTORY if of_moment.setdefault((lead, at), value) == value else Repeat.FAN_OUT)
