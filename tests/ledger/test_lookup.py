"""``python -m airflow_reshape lead``."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner, Result

from airflow_reshape.__main__ import app
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.ledger.leads import leads


def ask(lead_id: str) -> Result:
    return CliRunner().invoke(app, ["lead", lead_id, "--ledger-conn-id", "ledger"])


def test_a_lead_is_told_with_state_and_answer(sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_reshape.__main__.console.width", 250)
    assert "knows nothing" in ask("7").stdout  # before there is a ledger

    ReshapeHook().send_events(leads(0, 10), event="lead_qualified", ledger_conn_id="ledger")
    done = ask("7")
    assert done.exit_code == 0, done.stdout
    for shown in ("lead_qualified", "7:qualified", "delivered", "200", f"{sandbox.script_id}:prod"):
        assert shown in done.stdout
    assert ask("7:qualified").exit_code == 0

    done = ask("999")
    assert done.exit_code == 1
    assert "the ledger knows nothing of '999'" in done.stdout
