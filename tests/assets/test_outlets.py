"""What the operators write into their task's asset events. Airflow's own accessors, a real server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import Asset, AssetAlias
from airflow.sdk.execution_time.context import OutletEventAccessors

from airflow_reshape.assets import reshape_asset
from airflow_reshape.exceptions import ReshapeFailedLeadsError
from airflow_reshape.operators.events import ReshapeSendEventsOperator
from airflow_reshape.operators.outlets import tell_outlets
from airflow_reshape.sandbox.testing import RunningSandbox

STAGES = {"MQL": "lead_qualified", "Lost": "lead_disqualified", "New": None}
ROWS = [
    {"lead_id": 1, "stage": "MQL", "currency": "EUR", "value": 5},
    {"lead_id": 2, "stage": "MQL", "currency": "EUR", "value": 5},
    {"lead_id": 3, "stage": "New"},
    {"lead_id": 4, "stage": "MQL", "value": 5},
]
COUNTS = {"delivered": 2, "rejected": 0, "invalid": 1, "skipped": 0, "unsent": 0}


def send(*outlets: Any, **arguments: Any) -> OutletEventAccessors:
    operator = ReshapeSendEventsOperator(
        task_id="t", leads=ROWS, stage_map=STAGES, outlets=list(outlets), **{"max_rejected": 1, **arguments}
    )
    events = OutletEventAccessors()
    operator.execute({"outlet_events": events})
    return events


def asset(sandbox: RunningSandbox, event: str) -> Asset:
    return reshape_asset(sandbox.url, sandbox.script_id, event)


def test_a_declared_outlet_gets_the_counts_of_its_event(sandbox: RunningSandbox) -> None:
    outlet = asset(sandbox, "lead_qualified")
    extra = send(outlet)[outlet].extra

    assert {name: extra[name] for name in COUNTS} == COUNTS
    assert sum(json.loads(extra["days"]).values()) == 2  # type: ignore[arg-type]
    assert (extra["environment"], extra["validate_only"]) == ("prod", False)


def test_an_outlet_may_have_a_name_of_its_own(sandbox: RunningSandbox) -> None:
    outlet = Asset(name="qualified leads", uri=asset(sandbox, "lead_qualified").uri)
    assert send(outlet)[outlet].extra["delivered"] == 2


def test_an_outlet_that_nothing_is_sent_to_says_so(sandbox: RunningSandbox) -> None:
    elsewhere = reshape_asset("dre2.example.com", "AB12CD34", "lead_qualified")
    assert send(elsewhere)[elsewhere].extra == {"delivered": 0}


def test_a_wrong_outlet_is_told_with_the_right_ones(sandbox: RunningSandbox) -> None:
    lines: list[str] = []

    class Log:
        def warning(self, message: str, /, *args: Any) -> None:
            lines.append(message % args)

    sent = asset(sandbox, "lead_qualified")
    wrong = asset(sandbox, "lead_closed")
    tell_outlets({"outlet_events": OutletEventAccessors()}, [wrong], lambda: [sent], Log())
    assert lines == [f"Nothing is sent to the outlet {wrong.uri}, but to {sent.uri}"]


def test_an_alias_gets_an_event_for_each_asset_that_may_be_sent_to(sandbox: RunningSandbox) -> None:
    alias = AssetAlias("leads")
    events = {event.dest_asset_key.uri: event for event in send(alias)[alias].asset_alias_events}

    qualified, lost = asset(sandbox, "lead_qualified"), asset(sandbox, "lead_disqualified")
    assert set(events) == {qualified.uri, lost.uri}
    assert events[qualified.uri].dest_asset_key.name == qualified.name
    assert {name: events[qualified.uri].extra[name] for name in COUNTS} == COUNTS
    assert frozenset(events[qualified.uri].extra.items())  # as Airflow before 3.1.3 does, which takes nothing nested
    # As with any declared outlet, the event says that the task succeeded; the counts say what it did.
    assert events[lost.uri].extra["delivered"] == 0


def test_events_that_only_the_rows_name(sandbox: RunningSandbox) -> None:
    alias, events = AssetAlias("leads"), OutletEventAccessors()
    rows = [{"event.name": "lead_created", "lead_id": 1}, {"event.name": "page_view", "products": [{"id": 1}]}]
    operator = ReshapeSendEventsOperator(task_id="t", leads=rows, outlets=[alias])
    operator.execute({"outlet_events": events})

    told = {event.dest_asset_key.uri.rpartition("/")[2] for event in events[alias].asset_alias_events}
    assert told == {"lead_created"}  # who knows what a column of names holds


def test_a_name_that_no_uri_takes_is_no_asset(sandbox: RunningSandbox) -> None:
    alias, events = AssetAlias("leads"), OutletEventAccessors()
    operator = ReshapeSendEventsOperator(task_id="t", leads=[{"lead_id": 1}], event="a custom name", outlets=[alias])
    summary = operator.execute({"outlet_events": events})

    assert summary["delivered"] == 1
    assert events[alias].asset_alias_events == []


def test_validate_only_changes_no_asset(sandbox: RunningSandbox) -> None:
    alias, outlet = AssetAlias("leads"), asset(sandbox, "lead_qualified")
    events = send(alias, outlet, validate_only=True)

    assert events[alias].asset_alias_events == []
    assert events[outlet].extra["delivered"] == 0
    assert events[outlet].extra["validate_only"] is True


def test_other_outlets_are_left_alone(sandbox: RunningSandbox) -> None:
    other = Asset("warehouse")
    assert send(other)[other].extra == {}


def test_a_failing_task_writes_nothing(sandbox: RunningSandbox) -> None:
    alias, events = AssetAlias("leads"), OutletEventAccessors()
    operator = ReshapeSendEventsOperator(task_id="t", leads=ROWS, stage_map=STAGES, outlets=[alias])
    with pytest.raises(ReshapeFailedLeadsError):
        operator.execute({"outlet_events": events})
    assert events[alias].asset_alias_events == []
