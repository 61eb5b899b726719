"""The table in docs/mapping.md is what happens: each line is sent as the page shows it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.values.conftest import Send

PAGE = Path(__file__).resolve().parents[2] / "docs" / "mapping.md"
LINE = re.compile(r"^\| (?P<kind>[^|]+) \| `(?P<row>\{.+?\})` \| (?P<becomes>.+) \|$", re.MULTILINE)
SENT = re.compile(r"`(?P<path>[\w.]+)`: `(?P<value>.+)`")
LEFT_OUT = re.compile(r"`(?P<path>[\w.]+)` left out")


class Line(NamedTuple):
    kind: str
    row: dict[str, Any]
    becomes: str


def lines() -> list[Line]:
    page = PAGE.read_text(encoding="utf-8").partition("### What is read")[2].partition("\n### ")[0]
    return [Line(found["kind"], json.loads(found["row"]), found["becomes"]) for found in LINE.finditer(page)]


LINES = lines()


def test_the_table_is_there() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("| Kind | Columns | Becomes |")[2].partition("\n\n")[0]
    assert len(LINES) == len(text.strip().splitlines()) - 1 >= 50


@pytest.mark.parametrize("line", LINES, ids=[line.kind for line in LINES])
def test_a_line(line: Line, send: Send) -> None:
    sent = send(line.row)
    if line.becomes == "invalid":
        assert (sent.body, sent.summary["invalid"]) == (None, 1)
    elif found := SENT.fullmatch(line.becomes):
        assert sent.at(found["path"]) == json.loads(found["value"])
    else:
        left_out = LEFT_OUT.fullmatch(line.becomes)
        assert left_out, line.becomes
        assert sent.body is not None
        assert sent.at(left_out["path"]) is None
        assert sent.summary["sent_without"][left_out["path"]] == 1
