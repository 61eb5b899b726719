"""No pattern that reads a text of a server or of a row tries all ways to part it."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import re._parser as parser  # type: ignore[import-not-found]
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import airflow_reshape.delivery
import airflow_reshape.events
import airflow_reshape.mapping


def _modules() -> Iterator[Any]:
    for package in (airflow_reshape.delivery, airflow_reshape.events, airflow_reshape.mapping):
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            yield importlib.import_module(found.name)


PATTERNS = {
    f"{module.__name__}.{name}": pattern
    for module in _modules()
    for name, pattern in vars(module).items()
    if isinstance(pattern, re.Pattern)
}
GREEDY = {"MAX_REPEAT", "MIN_REPEAT"}
"""Repeats that give back what they took. Possessive ones and atomic groups do not."""


def _has_nested(parsed: Any, *, within: bool = False) -> bool:
    """Whether a repeat without an end, which gives back, stands within another one."""
    for operation, argument in parsed:
        name = str(operation)
        endless = name in GREEDY and argument[1] == parser.MAXREPEAT
        if endless and within:
            return True
        atomic = name in ("POSSESSIVE_REPEAT", "ATOMIC_GROUP")
        inner = (within and not atomic) or (endless and any(_widths(argument[2])))
        if any(_has_nested(each, within=inner) for each in _parts(argument)):
            return True
    return False


def _widths(parsed: Any) -> Iterator[bool]:
    """Whether each part of a repeat is more than one character."""
    yield len(parsed) > 1 or str(parsed[0][0]) not in ("IN", "LITERAL", "NOT_LITERAL", "ANY")


def _parts(argument: Any) -> Iterator[Any]:
    if isinstance(argument, parser.SubPattern):
        yield argument
    elif isinstance(argument, (tuple, list)):
        for each in argument:
            yield from _parts(each)


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_no_pattern_tries_all_ways_to_part_a_text(name: str) -> None:
    pattern = PATTERNS[name]
    written = pattern.pattern if isinstance(pattern.pattern, str) else pattern.pattern.decode("latin-1")
    assert not _has_nested(parser.parse(written, pattern.flags & ~re.UNICODE)), written


@pytest.mark.parametrize(
    ("written", "nested"),
    [
        (r"(a+)+", True),
        (r"(?:a*b?)*", True),
        (r"(?:[ab]+ )*c", True),
        (r"(?:a++)*", False),
        (r"(?>a+)b*", False),
        ("a+b+", False),
    ],
)
def test_the_check_finds_such_patterns(written: str, nested: bool) -> None:
    assert _has_nested(parser.parse(written)) is nested


def test_every_pattern_is_a_constant_that_the_check_sees() -> None:
    """But for those of numbering plans, which phonenumbers brings, and whose texts are short."""
    hidden = []
    for module in _modules():
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        for function in (each for each in ast.walk(tree) if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef))):
            for call in (each for each in ast.walk(function) if isinstance(each, ast.Call)):
                called = call.func
                if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name) and called.value.id == "re":
                    hidden.append(f"{module.__name__}.{function.name}")
    allowed = {"phones._prefix", "phones._plan", "phones._home", "run_folder.run_name"}
    assert {".".join(one.split(".")[-2:]) for one in hidden} <= allowed
