"""Texts of rows and arguments that are commands to a terminal, or markup, are shown as what they are."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest
from sqlalchemy import Engine, update

from airflow_reshape.command_line.visible import visible, visible_json
from airflow_reshape.delivery.ledger.tables import events, senders
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.command_line.conftest import Ask
from tests.ledger.leads import leads

# Red, markup of rich, an emoji's name, C1, a line of its own, a bell, right to left, nothing visible, a last backslash.
HOSTILE = "[/]\x1b[31m[red]a[/red]:warning:\x9b2J\r\nb\x07\u202ec\u200b\x7f\\"
SHOWN = r"[/]\x1b[31m[red]a[/red]:warning:\x9b2J\r\nb\x07\u202ec\u200b\x7f" + "\\"
LEDGER = ("--ledger-conn-id", "ledger")
RESHAPE = ("--reshape-conn-id", "reshape_default")


@pytest.fixture
def hostile(connected: RunningSandbox, ledger: Engine) -> Engine:
    """A ledger with an event of a lead of such a name; a former version, or another program, may have put it there."""
    ReshapeHook().send_events(leads(7, 8), event="lead_qualified", ledger_conn_id="ledger")
    with ledger.begin() as connection:
        texts = {"lead_id": HOSTILE, "event_id": HOSTILE, "event_name": HOSTILE, "reason": HOSTILE}
        connection.execute(update(events).values(state="rejected", http_status=422, **texts))
        connection.execute(update(senders).values(dag_id=HOSTILE, task_id=HOSTILE, run_id=HOSTILE))
    return ledger


def assert_plain(output: str) -> None:
    assert all(each.isprintable() or each == "\n" for each in output), ascii(output)


@pytest.mark.parametrize(
    ("arguments", "exit_code", "times"),
    [
        (("lead", HOSTILE, *LEDGER), 0, 7),
        (("lead", "[/]", *LEDGER), 1, 0),
        (("problems", *LEDGER), 0, 7),
        (("week", *LEDGER), 0, 3),
        (("forget", "--lead", HOSTILE, *RESHAPE, *LEDGER), 1, 8),
        (("forget", "--lead", HOSTILE, *RESHAPE, *LEDGER, "--yes"), 0, 10),
        (("unforget", "--lead", HOSTILE, *RESHAPE, *LEDGER), 1, 1),
    ],
    ids=lambda given: given[0] if isinstance(given, tuple) else "",
)
def test_every_command_shows_them_as_they_are(
    hostile: Engine, ask: Ask, arguments: tuple[str, ...], exit_code: int, times: int
) -> None:
    done = ask(*arguments, columns=1_000)
    assert_plain(done.output)
    assert (done.exit_code, done.output.count(SHOWN)) == (exit_code, times), done.output


def test_an_unknown_id_is_literal(hostile: Engine, ask: Ask) -> None:
    assert "knows nothing of '[/]'" in ask("lead", "[/]", *LEDGER).output


@pytest.mark.parametrize("command", ["problems", "week"])
def test_json_keeps_the_data(hostile: Engine, ask: Ask, command: str) -> None:
    done = ask(command, *LEDGER, "--json")
    assert_plain(done.stdout)
    told: Any = json.loads(done.stdout)
    if command == "problems":
        (problem,) = told["problems"]
        assert {problem[name] for name in ("lead_id", "event_id", "event_name", "reason", "dag_id")} == {HOSTILE}
    else:
        assert HOSTILE in told["events"]


@pytest.mark.parametrize("as_json", [False, True])
def test_reconcile(hostile: Engine, crm: sqlite3.Connection, ask: Ask, as_json: bool) -> None:
    crm.execute("INSERT INTO leads (lead_id, stage, currency) VALUES (?, 'SQL', 'EUR')", [f"8{HOSTILE}"])
    options = (
        "--sql-conn-id",
        "crm",
        "--sql",
        "SELECT * FROM leads",
        "--options",
        '{"stage_map": {"SQL": "x[/]\x7f"}}',
    )
    done = ask("reconcile", *LEDGER, *RESHAPE, *options, *(["--json"] if as_json else []), columns=1_000)
    assert done.exit_code == 1
    assert_plain(done.stdout)
    assert "[/]" in done.stdout


def test_an_event_that_is_shown_before_it_is_sent(connected: RunningSandbox, ask: Ask) -> None:
    row = {"lead_id": "[/]7", "currency": "EUR", "event.properties.note": "a\u202eb[/red]\x9b2J\U000e0041"}
    done = ask("try", "reshape_default", "--event", "lead_qualified", "--row", json.dumps(row))
    assert_plain(done.output)
    assert (done.exit_code, '"id": "[/]7' in done.output) == (0, True), done.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("lead", "[/]"),
        ("lead", "[/]", "[/red]", *LEDGER),
        ("[/]",),
        ("problems", "--[/]"),
        ("problems", *LEDGER, "--most", "[/]"),
        ("try", "reshape_default", "--row", "[/]"),
        ("check", "[/]"),
    ],
)
def test_wrong_arguments_are_told_and_not_read_as_markup(ask: Ask, arguments: tuple[str, ...]) -> None:
    done = ask(*arguments)
    assert isinstance(done.exception, SystemExit)
    assert done.exit_code in (1, 2)


@pytest.mark.parametrize("text", [HOSTILE, "\ud800 half a pair", "plain", "Ștefan 日本 é", "\u2028\u00a0\U000e0041"])
def test_json_means_the_same(text: str) -> None:
    shown = visible_json(json.dumps({"a": text}, ensure_ascii=False, indent=2))
    assert json.loads(shown) == {"a": text}
    assert_plain(shown)
    assert_plain(visible(text))


def test_what_shows_itself_stays() -> None:
    assert visible("Ștefan [/] 日本 é 🙂") == "Ștefan [/] 日本 é 🙂"
