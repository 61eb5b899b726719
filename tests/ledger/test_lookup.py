"""``python -m airflow_reshape lead | week | problems`` on each database."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import inspect, update
from typer.testing import CliRunner, Result

from airflow_reshape.command_line.app import app
from airflow_reshape.delivery.ledger.lookup import timeline
from airflow_reshape.delivery.ledger.tables import events
from airflow_reshape.exceptions import ReshapeError
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.ledger.conftest import NewEngine
from tests.ledger.leads import leads
from tests.ledger.task import send_as


def ask(*arguments: str) -> Result:
    done = CliRunner().invoke(app, [*arguments, "--ledger-conn-id", "ledger"])
    assert "Traceback" not in done.output
    return done


def send(sandbox: RunningSandbox) -> None:
    """Ten leads: 3 is rejected, 4 is invalid."""
    given = leads(0, 10)
    given[4]["currency"] = None
    sandbox.set_faults(ids=["3:qualified"], statuses={"422": 1.0})
    with pytest.raises(ReshapeError):
        ReshapeHook().send_events(given, event="lead_qualified", ledger_conn_id="ledger")
    sandbox.clear_faults()


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_a_lead_is_told_with_state_and_answer(sandbox: RunningSandbox) -> None:
    assert "there is no ledger at 'ledger' yet" in ask("lead", "7").stdout

    send(sandbox)
    done = ask("lead", "7")
    assert done.exit_code == 0, done.stdout
    for shown in ("lead_qualified", "7:qualified", "delivered 200", f"{sandbox.script_id} prod"):
        assert shown in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "7:qualified" in ask("lead", "7:qualified").stdout
    assert "rejected 422" in ask("lead", "3").stdout
    assert "invalid event.currency:" in ask("lead", "4").stdout

    done = ask("lead", "999")
    assert done.exit_code == 1
    assert "the ledger knows nothing of '999', or it was forgotten" in done.stdout


def test_ids_can_be_copied_from_narrow_tables(sandbox: RunningSandbox, ledger_connection: str) -> None:
    run, long_id = (
        "scheduled__2026-03-01T00:00:00+00:00_of_a_run_with_a_long_name",
        "1f0e3dad-9990-8345-f743-9f8ffabdffc4",
    )
    rows = [row | {"lead_id": f"{long_id}-{row['lead_id']}"} for row in leads(0, 2)]
    rows[0]["currency"] = None
    with pytest.raises(ReshapeError):
        send_as(run, 1, rows)
    for told in (ask("problems").stdout, ask("lead", f"{long_id}-first").stdout, ask("lead", f"{long_id}-1").stdout):
        assert run in told
        assert long_id in told
    assert f"{long_id}-1:qualified" in ask("lead", f"{long_id}-1").stdout
    # What is no id is folded into the room that is left, not mid-word.
    assert "event.currency:" in ask("problems").stdout


def test_case_tells_leads_apart_whatever_the_collation(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    given = [lead | {"lead_id": name} for lead, name in zip(leads(0, 2), ("abc", "ABC"), strict=True)]
    ReshapeHook().send_events(given, event="lead_qualified", ledger_conn_id="ledger")
    with new_engine().connect() as connection:
        assert [row["event_id"] for row in timeline(connection, "abc")] == ["abc:qualified"]
        assert [row["lead_id"] for row in timeline(connection, "ABC:qualified")] == ["ABC"]


def test_problems_are_listed_with_their_cure(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    send(sandbox)
    with new_engine().begin() as connection:
        for event_id, state in (("5:qualified", "released"), ("6:qualified", "claimed")):
            connection.execute(update(events).where(events.c.event_id == event_id).values(state=state))
    done = ask("problems")
    assert done.exit_code == 0
    words = " ".join(done.stdout.split())
    for shown in (
        "1 rejected: Reshape refused it.",
        "1 invalid: The row could not be made into an event.",
        "1 in_doubt: Its send died",
        "1 unsent: It was not sent.",
        "event.currency: is",
    ):
        assert shown in words
    assert ask("problems", "--fail").exit_code == 1
    assert "3 more are not listed" in ask("problems", "--most", "1").stdout

    told = json.loads(ask("problems", "--json").stdout)
    assert told["counts"] == {"rejected": 1, "invalid": 1, "in_doubt": 1, "unsent": 1}
    assert {row["lead_id"]: row["problem"] for row in told["problems"]} == {
        "3": "rejected",
        "4": "invalid",
        "5": "unsent",
        "6": "in_doubt",
    }
    assert [row["since"] for row in told["problems"]] == sorted(row["since"] for row in told["problems"])

    none = ask("problems", "--fail", "--environment", "dev")
    assert (none.exit_code, none.stdout.strip()) == (0, "No open problems (dev).")


def test_a_week_is_told(sandbox: RunningSandbox) -> None:
    send(sandbox)
    ReshapeHook().send_events(leads(0, 3), event="lead_qualified", ledger_conn_id="ledger")
    done = ask("week")
    assert done.exit_code == 0, done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["lead_qualified", "8", "1", "1", "0", "0"] in lines  # delivered, rejected, invalid, unsent, in doubt
    assert ["lead_qualified", "3", "0", "0", "0"] in lines  # already sent, changed, still failing, baseline
    assert ["lead_qualified", "EUR", f"{sum(n for n in range(10) if n not in (3, 4)):.2f}"] in lines
    assert "2 sends" in done.stdout

    told = json.loads(ask("week", "--json").stdout)
    assert told["events"]["lead_qualified"]["new"] == {"delivered": 8, "rejected": 1, "invalid": 1}
    assert told["oldest_undelivered"]["lead_id"] in ("3", "4")
    assert json.loads(ask("week", "--json", "--weeks-back", "1").stdout)["events"] == {}
    assert "No events." in ask("week", "--script-id", "ZZ99ZZ99").stdout


def test_a_question_writes_nothing(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    for command in (("lead", "1"), ("week",), ("problems",)):
        done = ask(*command)
        assert done.exit_code == 1
        assert "there is no ledger at 'ledger' yet" in done.stdout
    assert inspect(new_engine()).get_table_names() == []
