"""Operators: what they refuse when the DAG is parsed, what they send, how they end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_reshape.events import LeadQualified
from airflow_reshape.exceptions import ReshapeConfigurationError, ReshapeFailedLeadsError
from airflow_reshape.operators.events import (
    ReshapeLeadDisqualifiedOperator,
    ReshapeLeadQualifiedOperator,
    ReshapeSendEventsOperator,
)
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.checkpoint.stores import Store

LEAD = {"lead_id": 7, "email": "Ana@Example.com", "phone": "0722 123 456", "currency": "eur", "value": "12.50"}


def send(operator: Any, ti: Any) -> dict[str, Any]:
    summary: dict[str, Any] = operator.execute({"ti": ti})
    return summary


def test_qualified(sandbox: RunningSandbox, ti: Any) -> None:
    summary = send(ReshapeLeadQualifiedOperator(task_id="t", leads=[LEAD], default_region="RO"), ti)

    (event,) = sandbox.received()
    assert summary["delivered"] == 1
    assert event["body"]["event"] == {
        "name": "lead_qualified", "value": 12.5, "currency": "EUR", "id": "7:qualified",
    }  # fmt: skip
    assert event["body"]["user"] == {"email": "ana@example.com", "phone": "+40722123456"}


def test_disqualified(sandbox: RunningSandbox, ti: Any) -> None:
    lead = {**LEAD, "value": 0, "disqualification_reason": "Too small"}
    operator = ReshapeLeadDisqualifiedOperator(
        task_id="t", leads=[lead], default_region="RO", reason_map={"too small": "out_of_icp"}
    )
    send(operator, ti)

    (event,) = sandbox.received(name="lead_disqualified")
    assert event["id"] == "7"
    assert event["body"]["event"]["properties"] == {"disqualification_reason": "out_of_icp"}


def test_events_as_leads(sandbox: RunningSandbox, ti: Any) -> None:
    event = LeadQualified(event={"id": "1", "currency": "EUR"})
    send(ReshapeSendEventsOperator(task_id="t", leads=[event]), ti)

    assert [one["id"] for one in sandbox.received()] == ["1"]


def test_rows_name_their_events(sandbox: RunningSandbox, ti: Any) -> None:
    rows = [{"event.name": "lead_created", "lead_id": 1}, {"event.name": "page_view", "products": [{"id": 1}]}]
    send(ReshapeSendEventsOperator(task_id="t", leads=rows), ti)

    assert sorted(one["name"] for one in sandbox.received()) == ["lead_created", "page_view"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"mapping": {"user.emial": "mail"}}, "did you mean 'user.email'"),
        ({"defaults": {"event.curency": "EUR"}}, "did you mean 'event.currency'"),
        ({"unknown_columns": "drop"}, "unknown_columns must be one of"),
        ({"unknown_columns": "event.properties"}, "property_columns"),
        ({"stage_map": {"MQL": "lead_qualified"}}, "not both"),
        ({"reason_map": {"x": "no_bugdet"}}, "not in the vocabulary"),
        ({"timezone": "Europe/Bukarest"}, "timezone must be"),
        ({"default_region": "XY"}, "default_region must be"),
        ({"max_age": 72}, "max_age must be a positive timedelta"),
        ({"max_rejected": -1}, "max_rejected must be"),
        ({"max_rejected": 1.5}, "max_rejected must be"),
        ({"require_consent": "marketing"}, "require_consent must be a list"),
        ({"concurrency": 0}, "concurrency must be"),
        ({"event_id": "fixed"}, "must name a column"),
    ],
)
def test_wrong_arguments_fail_when_the_dag_is_parsed(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ReshapeConfigurationError, match=told) as raised:
        ReshapeLeadQualifiedOperator(task_id="t", leads=[], **arguments)
    assert isinstance(raised.value, AirflowFailException)


def test_failed_leads_fail_the_task_after_the_summary_is_pushed(sandbox: RunningSandbox, ti: Any) -> None:
    operator = ReshapeLeadQualifiedOperator(
        task_id="t", leads=[LEAD, {**LEAD, "lead_id": 8, "currency": None}], default_region="RO"
    )
    with pytest.raises(ReshapeFailedLeadsError, match=r"event\.currency: is required"):
        send(operator, ti)

    assert ti.pushed["return_value"]["delivered"] == 1
    assert ti.pushed["return_value"]["invalid"] == 1
    assert len(sandbox.received()) == 1


@pytest.mark.parametrize("limit", [1, "1", 0.5, "0.5"])
def test_max_rejected_also_as_rendered_text(sandbox: RunningSandbox, ti: Any, limit: Any) -> None:
    leads = [LEAD, {**LEAD, "lead_id": 8, "currency": None}]
    operator = ReshapeLeadQualifiedOperator(task_id="t", leads=leads, default_region="RO", max_rejected=limit)
    assert send(operator, ti)["invalid"] == 1


@pytest.mark.parametrize("flag", [True, "True", "true", "1"])
def test_validate_only_sends_nothing(sandbox: RunningSandbox, ti: Any, flag: Any) -> None:
    leads = [LEAD, {**LEAD, "lead_id": 8, "currency": None}]
    summary = send(ReshapeLeadQualifiedOperator(task_id="t", leads=leads, default_region="RO", validate_only=flag), ti)

    assert sandbox.received() == []
    assert summary["skipped_by"] == {"validate_only": 1}
    assert summary["invalid"] == 1


def test_a_template_that_renders_to_nonsense_is_refused(sandbox: RunningSandbox, ti: Any) -> None:
    with pytest.raises(ReshapeConfigurationError, match="validate_only must be true or false"):
        send(ReshapeLeadQualifiedOperator(task_id="t", leads=[], validate_only="maybe"), ti)


def test_upstream_that_returned_nothing_is_told(sandbox: RunningSandbox, ti: Any) -> None:
    with pytest.raises(ReshapeConfigurationError, match="return an empty list"):
        send(ReshapeLeadQualifiedOperator(task_id="t", leads=None), ti)


def test_text_of_leads_shows_their_number_only() -> None:
    operator = ReshapeLeadQualifiedOperator(task_id="t", leads=[LEAD], max_age=timedelta(days=1))
    assert str(operator.leads) == repr(operator.leads) == "<list of 1, not shown>"


def test_on_kill_before_and_after_a_send_does_no_harm(sandbox: RunningSandbox, ti: Any) -> None:
    operator = ReshapeLeadQualifiedOperator(task_id="t", leads=[LEAD], default_region="RO")
    operator.on_kill()
    send(operator, ti)
    operator.on_kill()
    assert len(sandbox.received()) == 1


NOTICE = "Nothing remembers what is sent"


@pytest.mark.parametrize(
    ("options", "context", "told"),
    [
        ({}, {}, True),
        ({"resume": False}, {}, False),
        ({"validate_only": True}, {}, False),
        ({}, {"task_state_store": Store()}, False),
    ],
)
def test_an_older_airflow_is_told_what_is_missing(
    sandbox: RunningSandbox, ti: Any, capsys: Any, options: dict[str, Any], context: dict[str, Any], told: bool
) -> None:
    operator: Any = ReshapeLeadQualifiedOperator(task_id="t", leads=[LEAD], default_region="RO", **options)
    operator.execute({"ti": ti, **context})
    assert (NOTICE in capsys.readouterr().out) is told


def test_a_cleared_task_sends_the_mended_lead_only(sandbox: RunningSandbox, ti: Any) -> None:
    context: Any = {"ti": ti, "task_state_store": Store()}
    leads = [{"lead_id": n or "first", "currency": "EUR", "value": 1} for n in range(20)]
    leads[7]["currency"] = "euros"
    for _ in range(2):
        with pytest.raises(ReshapeFailedLeadsError):
            ReshapeLeadQualifiedOperator(task_id="t", leads=leads).execute(context)
    sandbox.clear()
    leads[7]["currency"] = "EUR"
    summary = ReshapeLeadQualifiedOperator(task_id="t", leads=leads).execute(context)
    (event,) = sandbox.received()
    assert event["id"] == "7:qualified"
    assert summary["over_tries"] == {"tries": 3, "delivered": 20, "requests": 20}
