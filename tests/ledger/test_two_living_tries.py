"""An earlier try of a task lives on in its process while the next one sends: what the server received decides."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from airflow_reshape.sandbox.testing import RunningSandbox
from tests.ledger.two_tries import two_living_tries


def see_that_it_was_fenced(figures: dict[str, Any]) -> None:
    assert figures["lost"] == 0
    assert figures["repeated"] <= figures["sent_again"] <= figures["most_in_flight"]
    assert figures["exit_codes"] == [1, 0]
    assert figures["errors"] == ["ReshapeLedgerError", None]
    assert "another try of this task, or another send, took its events over" in figures["told"][0]
    assert sum(figures["delivered"]) <= figures["events"] + figures["repeated"]


@pytest.mark.parametrize("ledger_connection", ["sqlite"], indirect=True)
def test_in_short(sandbox: RunningSandbox, ledger_connection: str) -> None:
    sandbox.set_faults(latency=0.01)
    see_that_it_was_fenced(two_living_tries(sandbox, ledger_connection, 600))


@pytest.mark.hostile
def test_at_length(
    sandbox: RunningSandbox, ledger_connection: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.set_faults(latency=0.005)
    figures = two_living_tries(sandbox, ledger_connection, 6_000)
    with capsys.disabled():
        sys.stdout.write(f"\n{request.node.callspec.id}: {json.dumps(figures)}\n")
    see_that_it_was_fenced(figures)
