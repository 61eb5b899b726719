"""A window that slides over the leads, with one that stays bad: one red run, and then green ones that still tell it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_reshape.exceptions import ReshapeFailedLeadsError
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.ledger.leads import leads
from tests.ledger.task import send_as

WINDOW, STEP, RUNS = 100, 20, 5
BAD = 90  # in the window of every run


def window(run: int, of_bad: dict[str, Any]) -> list[dict[str, Any]]:
    rows = leads(run * STEP, run * STEP + WINDOW)
    for row in rows:
        if row["lead_id"] == BAD:
            row.update(of_bad)
    return rows


@pytest.mark.parametrize(
    ("of_bad", "faults", "why", "requests"),
    [
        pytest.param({"currency": "no currency"}, {}, "still_invalid", 0, id="invalid"),
        pytest.param({}, {"ids": [f"{BAD}:qualified"], "statuses": {"422": 1.0}}, "still_rejected", 1, id="rejected"),
    ],
)
def test_red_once_and_then_green(
    sandbox: RunningSandbox, of_bad: dict[str, Any], faults: dict[str, Any], why: str, requests: int
) -> None:
    sandbox.set_faults(**faults)
    with pytest.raises(ReshapeFailedLeadsError) as raised:
        send_as("run 0", 1, window(0, of_bad))
    assert raised.value.summary is not None
    assert raised.value.summary["delivered"] == WINDOW - 1

    for run in range(1, RUNS):
        summary = send_as(f"run {run}", 1, window(run, of_bad))
        assert summary["delivered"] == STEP, run
        assert summary["still_failing"] == 1, run
        assert summary["skipped_by"] == {"already_sent": WINDOW - STEP - 1, why: 1}, run
        assert summary["read"] == WINDOW

    received = sandbox.summary()
    assert received["distinct_taken"] == received["taken"] == WINDOW + (RUNS - 1) * STEP - 1
    assert len(sandbox.received(id=f"{BAD}:qualified")) == requests
