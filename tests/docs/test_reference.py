"""The reference knows everything that there is, and what the pages point to is there."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re

import pytest

from airflow_reshape.command_line.app import app
from airflow_reshape.decorators.reshape import ReshapeDecoratedOperator
from airflow_reshape.events import Event
from airflow_reshape.events.wire import WIRE_FORMS, to_wire
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.settings import EXTRAS
from airflow_reshape.operators.events import BaseReshapeOperator
from airflow_reshape.operators.replay import ReshapeReplayOperator
from airflow_reshape.transfers.sql_to_reshape import SqlToReshapeOperator
from docs import tables
from tests.docs.exceptions import EXCEPTIONS, exception_for
from tests.docs.pages import ROOT, Block, Command, blocks, commands, pages

LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(?:#[^)]*)?\)")
TEST = re.compile(r"`(tests/[\w/]+(?:\.py)?)`")


def test_every_argument_is_described() -> None:
    told = tables.arguments()
    for each in dataclasses.fields(SendPlan):
        if each.init:
            (row,) = [line for line in told.splitlines() if line.startswith(f"| `{each.name}`")]
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
            assert len(cells) == 5
            assert all(cells), row


@pytest.mark.parametrize("operator", [SqlToReshapeOperator, ReshapeReplayOperator, ReshapeDecoratedOperator])
def test_every_template_is_told(operator: type[BaseReshapeOperator]) -> None:
    rows = {
        who: set(re.findall(r"`(\w+)`", told)) for who, told in re.findall(r"\| (.+) \| (.+) \|", tables.templated())
    }
    name = getattr(operator, "custom_operator_name", operator.__name__)
    assert rows["all"] | rows[f"`{name}`"] == set(operator.template_fields)
    marked = set(re.findall(r"`(\w+)` \(templated\)", tables.arguments()))
    assert marked == rows["all"] - {"reshape_conn_id"}


@pytest.mark.parametrize("operator", [SqlToReshapeOperator, ReshapeReplayOperator])
def test_every_argument_of_an_operator_is_described(operator: type) -> None:
    own = {name for name in inspect.signature(vars(operator)["__init__"]).parameters if name != "self"}
    assert own <= tables.documented(operator.__doc__).keys()


def test_every_extra_is_described_with_its_default() -> None:
    lines = (ROOT / "docs/connection.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    told = {name.strip("`"): default.strip("`") for name, _, default in rows}
    assert told.keys() == EXTRAS.keys()
    shown = {name: json.dumps(extra.default) for name, extra in EXTRAS.items() if extra.default is not None}
    assert {name: json.dumps(_value(told[name])) for name in shown} == shown


def _value(written: str) -> object:
    """A default as the page writes it: text without quotes, anything else as JSON, seconds as a float."""
    try:
        value = json.loads(written)
    except ValueError:
        return written
    return value if isinstance(value, bool) else float(value)


def test_a_field_is_written_as_the_table_says() -> None:
    event = Event.model_validate(
        {
            "event": {"name": "any", "id": "1"},
            "context": {"override_ip": "8.8.8.8", "referrer_url": "https://example.com/"},
            "cookies": {"_ga": "GA1.1.2.3"},
        }
    )
    rows = {line.split("`")[1]: line for line in tables.event_fields().splitlines()[2:]}
    for number, generation in enumerate(WIRE_FORMS):
        context = to_wire(event, generation)["context"]
        for name in ("override_ip", "referrer_url"):
            written = rows[f"context.{name}"].split("|")[4 + number].strip().strip("`")
            assert (written.removeprefix("context.") or name) in context


def test_every_command_is_described() -> None:
    told = tables.commands()
    assert [each.name for each in app.registered_commands if f"airflow_reshape {each.name}`" not in told] == []


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    targets = LINK.findall(re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL))
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("page", pages())
def test_tests_that_are_named_are_there(page: str) -> None:
    named = TEST.findall((ROOT / page).read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_promise_names_a_test_that_runs() -> None:
    rows = [line for line in (ROOT / "docs/promises.md").read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    for row in rows[1:]:
        held_by = [ROOT / name for name in TEST.findall(row)]
        assert held_by, row
        for path in held_by:
            files = [path] if path.is_file() else sorted(path.glob("test_*.py"))
            assert any("def test_" in each.read_text(encoding="utf-8") for each in files), path


def test_no_exception_is_left_over() -> None:
    everything: list[Block | Command] = [*blocks(), *commands()]
    for page, start, why in EXCEPTIONS:
        assert any(exception_for(what) == why and what.text.startswith(start) for what in everything), (page, start)
