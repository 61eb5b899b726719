"""``python -m airflow_reshape forget``: gone from ledger and kept failures, and never sent again."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from airflow_reshape.delivery.ledger.tables import events, forgotten
from airflow_reshape.exceptions import ReshapeError
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.command_line.conftest import Ask
from tests.ledger.leads import leads

FORGET = ("forget", "--lead", "7", "--reshape-conn-id", "reshape_default", "--ledger-conn-id", "ledger")


def send() -> dict[str, object]:
    return ReshapeHook().send_events(leads(5, 10), event="lead_qualified", ledger_conn_id="ledger")


def known(ledger: Engine) -> set[str | None]:
    with ledger.connect() as connection:
        return set(connection.scalars(select(events.c.lead_id)))


def test_it_tells_what_was_sent_removes_it_and_keeps_it_from_being_sent(
    connected: RunningSandbox, ledger: Engine, ask: Ask
) -> None:
    send()
    done = ask(*FORGET, "--yes", columns=120)
    assert done.exit_code == 0, done.output
    assert "1 row removed from the ledger" in done.stdout
    asked_to_erase = done.stdout[done.stdout.index("Ask Reshape") :]
    for shown in ("7:qualified", f"{connected.script_id}:prod", "delivered"):
        assert shown in asked_to_erase
    assert "keyed digest" in done.stdout
    assert known(ledger) == {"5", "6", "8", "9"}

    again = send()
    assert (again["delivered"], again["skipped_by"]) == (0, {"already_sent": 4, "forgotten": 1})
    assert connected.summary()["requests"] == 5
    assert known(ledger) == {"5", "6", "8", "9"}


def test_it_asks_first(connected: RunningSandbox, ledger: Engine, ask: Ask) -> None:
    send()
    done = ask(*FORGET, input="n\n")
    assert done.exit_code == 1
    assert "7:qualified" in done.stdout
    assert "7" in known(ledger)
    assert ask(*FORGET, input="y\n").exit_code == 0
    assert "7" not in known(ledger)


def test_a_lead_that_was_never_sent_is_forgotten_before_it_comes(
    connected: RunningSandbox, ledger: Engine, ask: Ask
) -> None:
    done = ask(*FORGET, "--yes", "--even-if-unknown")
    assert done.exit_code == 0, done.output
    assert "knows nothing of '7'" in done.stdout
    assert "Nothing of it was sent, as far as the ledger knows." in done.stdout
    with ledger.connect() as connection:
        (mark,) = connection.execute(select(forgotten)).mappings()
    assert "7:qualified" not in repr(mark)

    assert send()["skipped_by"] == {"forgotten": 1}
    assert connected.summary()["requests"] == 4


def test_an_unknown_id_may_be_a_typing_error(connected: RunningSandbox, ledger: Engine, ask: Ask) -> None:
    assert ask(*FORGET, "--yes").exit_code == 1  # no ledger yet
    send()
    typo = [*FORGET[:2], "77", *FORGET[3:]]
    done = ask(*typo, "--yes")
    assert done.exit_code == 1
    assert "--even-if-unknown" in " ".join(done.stdout.split())
    assert ask(*typo, input="n\n").exit_code == 1
    with ledger.connect() as connection:
        assert connection.execute(select(forgotten)).all() == []

    # Who was forgotten is known, though by the mark only: a send that was running may have brought a row back.
    assert ask(*FORGET, "--yes").exit_code == 0
    done = ask(*FORGET, "--yes")
    assert done.exit_code == 0
    assert "'7' was forgotten before" in done.stdout


def test_a_wrong_id_is_unforgotten(connected: RunningSandbox, ledger: Engine, ask: Ask) -> None:
    unforget = ("unforget", *FORGET[1:])
    done = ask(*unforget, "--yes")
    assert done.exit_code == 1
    assert "there is no ledger" in done.stdout
    send()
    done = ask(*unforget, "--yes")
    assert done.exit_code == 1
    assert "'7' was not forgotten" in done.stdout

    ask(*FORGET, "--yes")
    assert ask("forget", "--lead", "8", *FORGET[3:], "--yes").exit_code == 0
    assert send()["skipped_by"] == {"already_sent": 3, "forgotten": 2}
    assert ask(*unforget, input="n\n").exit_code == 1
    assert send()["skipped_by"] == {"already_sent": 3, "forgotten": 2}

    done = ask(*unforget, "--yes")
    assert done.exit_code == 0, done.output
    assert "may be sent again" in done.stdout
    again = send()
    assert (again["delivered"], again["skipped_by"]) == (1, {"already_sent": 3, "forgotten": 1})


def test_kept_failures_of_the_lead_go_too(connected: RunningSandbox, ledger: Engine, ask: Ask, tmp_path: Path) -> None:
    given = leads(5, 10)
    given[1]["currency"] = given[2]["currency"] = None  # 6 and 7
    folder = tmp_path / "failures"
    with pytest.raises(ReshapeError):
        ReshapeHook().send_events(
            given, event="lead_qualified", ledger_conn_id="ledger", failures_path=f"file://{folder}"
        )

    def kept() -> str:
        return "".join(file.read_text() for file in folder.rglob("*") if file.is_file())

    assert "Person7@Example.com" in kept()
    done = ask(*FORGET, "--failures-path", f"file://{folder}", "--yes")
    assert done.exit_code == 0, done.output
    assert "1 kept row removed" in done.stdout
    assert "Person7@Example.com" not in kept()
    assert "Person6@Example.com" in kept()


def test_a_lead_that_only_the_kept_failures_know_is_no_unknown_one(
    connected: RunningSandbox, ledger: Engine, ask: Ask, tmp_path: Path
) -> None:
    given = leads(5, 10)
    given[2]["currency"] = None
    folder = tmp_path / "failures"
    with pytest.raises(ReshapeError):  # with another ledger, or none
        ReshapeHook().send_events(given, event="lead_qualified", failures_path=f"file://{folder}")

    path = ("--failures-path", f"file://{folder}")
    assert ask("forget", "--lead", "77", *FORGET[3:], *path, "--yes").exit_code == 1

    done = ask(*FORGET, *path, input="n\n")
    assert done.exit_code == 1
    assert "failures_path keeps 1 row of '7'" in done.stdout
    assert "Person7@Example.com" in "".join(file.read_text() for file in folder.rglob("*.jsonl"))

    done = ask(*FORGET, *path, "--yes")
    assert done.exit_code == 0, done.output
    assert "1 kept row removed" in done.stdout
    assert list(folder.rglob("*.jsonl")) == []
    assert send()["skipped_by"] == {"forgotten": 1}
