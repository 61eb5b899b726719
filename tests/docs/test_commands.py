"""Each command of the pages is run, or read by the program that would run it."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import sqlite3
import tomllib
import urllib.request
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.error import HTTPError

import pytest
import typer
from typer.testing import CliRunner

from airflow_reshape.command_line.app import app
from airflow_reshape.exceptions import ReshapeConfigurationError, ReshapeFailedLeadsError
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.sandbox.__main__ import cli as sandbox_command
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.docs.exceptions import exception_for
from tests.docs.pages import ROOT, Command, commands
from tests.docs.reshape_connections import settings_of

TUTORIAL = "docs/tutorial.md"  # run to the letter by test_tutorial.py
ASSIGNMENT = re.compile(r"(AIRFLOW_CONN_\w+)=(.*)", re.DOTALL)


def send_the_crm() -> None:
    """What the ledger of the pages knows: three leads delivered, one invalid."""
    with closing(sqlite3.connect("crm.sqlite")) as crm:
        crm.row_factory = sqlite3.Row
        rows = [dict(row) for row in crm.execute(Path("leads.sql").read_text())]
    with pytest.raises(ReshapeFailedLeadsError):
        ReshapeHook().send_events(rows, stage_map={"SQL": "lead_qualified"}, ledger_conn_id="reshape_ledger")


def run_our_own(words: list[str], sandbox: RunningSandbox) -> None:
    send_the_crm()
    done = CliRunner().invoke(app, words, input="y\n")
    assert "Traceback" not in done.output
    assert done.exit_code == (1 if "--fail" in words else 0), done.output
    assert done.output.strip()
    assert sandbox.token not in done.output


def read_the_sandboxs_options(words: list[str], sandbox: RunningSandbox) -> None:
    typer.main.get_command(sandbox_command).make_context("sandbox", words).close()


def read_airflows_options(words: list[str], sandbox: RunningSandbox) -> None:
    from airflow.cli.cli_parser import get_parser

    assert callable(get_parser().parse_args(words).func)


def ask_the_sandbox(words: list[str], sandbox: RunningSandbox) -> None:
    parser = ArgumentParser()
    parser.add_argument("-X", dest="method", default="GET")
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("-d", dest="data")
    parser.add_argument("-s", action="store_true")
    parser.add_argument("url")
    given = parser.parse_args(words)
    url = re.sub(r"http://127\.0\.0\.1:8800", sandbox.url, given.url)
    assert url.startswith(sandbox.url), "the pages ask nobody but the sandbox"
    data = given.data.encode() if given.data is not None else None
    headers = dict(header.split(": ") for header in given.headers)
    with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=given.method)) as answer:
        json.loads(answer.read())


def find_the_target(words: list[str], sandbox: RunningSandbox) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        name, is_variable, _ = word.partition("=")
        named = rf"\$\([^()]*\$\({re.escape(name)}\)\)" if is_variable else rf"^{re.escape(name)}:"
        assert re.search(named, makefile, re.MULTILINE), word


def find_the_extras(words: list[str], sandbox: RunningSandbox) -> None:
    assert words.pop(0) == "install"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in words:
        if match := re.fullmatch(rf"{project['name']}\[([\w,-]+)\]", word):
            assert set(match[1].split(",")) <= project["optional-dependencies"].keys()
        else:
            assert word == project["name"] or word.startswith("apache-airflow-providers-"), word


def find_the_module(words: list[str], sandbox: RunningSandbox) -> None:
    assert words.pop(0) == "-m"
    assert importlib.util.find_spec(words[0]), words[0]


def read_the_connection(words: list[str], sandbox: RunningSandbox) -> None:
    for word in words:
        if (match := ASSIGNMENT.fullmatch(word)) and match[1] == "AIRFLOW_CONN_RESHAPE_DEFAULT":
            settings_of(match[2])


RUN: dict[str, Callable[[list[str], RunningSandbox], None]] = {
    "python -m airflow_reshape.sandbox": read_the_sandboxs_options,
    "python -m airflow_reshape": run_our_own,
    "airflow": read_airflows_options,
    "curl": ask_the_sandbox,
    "make": find_the_target,
    "pip": find_the_extras,
    ".venv/bin/python": find_the_module,
    "export": read_the_connection,
}
CHECKED = [each for each in commands() if each.block.page != TUTORIAL and not exception_for(each)]


@pytest.mark.parametrize("command", CHECKED, ids=str)
def test_it_can_be_typed(command: Command, world: RunningSandbox) -> None:
    words = shlex.split(command.text, comments=True)
    for start, run in RUN.items():
        first = start.split()
        if words[: len(first)] == first:
            run([os.path.expandvars(word) for word in words[len(first) :]], world)
            return
    pytest.fail(f"nobody knows how to check {command.text!r}: say it in RUN, or in exceptions.py with a reason")


def test_there_are_commands() -> None:
    assert len(CHECKED) > 20


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ("python -m airflow_reshape lead L-00004 --ledger-conn reshape_ledger", AssertionError),
        ("python -m airflow_reshape lead L-99999 --ledger-conn-id reshape_ledger", AssertionError),
        ("python -m airflow_reshape.sandbox --prot 8800", Exception),
        ("python -m airflow_reshape.sandbox --faults '{\"retry_after\": 1}'", typer.BadParameter),
        ("airflow pools sett reshape 2 x", SystemExit),
        ("make dmeo", AssertionError),
        ("pip install airflow-reshape[sandbocks]", AssertionError),
        ("curl -X PUT http://127.0.0.1:8800/control/fault -d '{}'", HTTPError),
        (
            "export AIRFLOW_CONN_RESHAPE_DEFAULT='reshape://:TOKEN@dre2.example.com/?script_id=short'",
            ReshapeConfigurationError,
        ),
        ("reshape check", pytest.fail.Exception),
    ],
)
def test_a_wrong_command_is_found(wrong: str, error: type[BaseException], world: RunningSandbox) -> None:
    with pytest.raises(error):
        test_it_can_be_typed(Command(CHECKED[0].block, wrong, ()), world)
