"""What hooks and operators tell Airflow's collector of lineage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_reshape.assets import reshape_asset
from airflow_reshape.exceptions import ReshapeFailedLeadsError
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.operators.events import ReshapeLeadQualifiedOperator
from airflow_reshape.sandbox.testing import RunningSandbox

Collector = Callable[[], Any]
GOOD = {"lead_id": 1, "currency": "EUR", "value": 5, "email": "ana@example.com"}
BAD = {"lead_id": 2, "value": 5}


def told(collector: Collector) -> list[tuple[str, Any]]:
    return [(output.asset.uri, output.asset.extra["delivered"]) for output in collector().collected_assets.outputs]


def uri(sandbox: RunningSandbox) -> str:
    return reshape_asset(sandbox.url, sandbox.script_id, "lead_qualified").uri


def test_the_hook(sandbox: RunningSandbox, collector: Collector) -> None:
    hook = ReshapeHook()
    hook.send_events([GOOD], event="lead_qualified")

    assert told(collector) == [(uri(sandbox), 1)]
    (output,) = collector().collected_assets.outputs
    assert output.context is hook
    assert "ana@" not in str(output.asset)


def test_an_operator(sandbox: RunningSandbox, collector: Collector) -> None:
    ReshapeLeadQualifiedOperator(task_id="t", leads=[GOOD]).execute({})
    assert told(collector) == [(uri(sandbox), 1)]


def test_what_a_failing_task_delivered(sandbox: RunningSandbox, collector: Collector) -> None:
    with pytest.raises(ReshapeFailedLeadsError):
        ReshapeLeadQualifiedOperator(task_id="t", leads=[GOOD, BAD]).execute({})
    assert told(collector) == [(uri(sandbox), 1)]


def test_validate_only_writes_to_nothing(sandbox: RunningSandbox, collector: Collector) -> None:
    ReshapeHook().send_events([GOOD], event="lead_qualified", validate_only=True)
    assert told(collector) == []
