"""A text of a server or of a row costs time that grows with its length only: no text may stop a send."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
import re
import re._parser as parser  # type: ignore[import-not-found]
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import airflow_reshape.delivery
import airflow_reshape.events
import airflow_reshape.mapping
from airflow_reshape.delivery import privacy
from airflow_reshape.delivery.spellings import folded, unescaped
from airflow_reshape.delivery.transport import Answer
from airflow_reshape.delivery.verdict import judge
from airflow_reshape.events import cleaning, contacts, json_values, numbers, phones, text, times, web
from airflow_reshape.events.countries import country_in, region_of
from airflow_reshape.events.rules import Rules, shown
from airflow_reshape.mapping import EventBuilder, FieldMap, Steering
from tests.delivery.leads import lead

# What took 22 seconds for 61,000 characters would take more than an hour.
pytestmark = pytest.mark.timeout(60)

PIECES = (
    "x",
    "7",
    "@",
    "+",
    " ",
    "'",
    '"',
    "{",
    "[",
    "<",
    ";",
    "a.",
    "1 ",
    "a@",
    "@a",
    "a@b.co;",
    "7/",
    "-",
    "%25",
    "\\",
    "\\u00",
    "&#9",
    "&amp;",
    "é",
    "a\u0301\u0323",
    "\u0301\u0323",
    "\u200d",
    '"a"b',
    ";sess",
    "a=?",
    "?a&",
    "ab-",
    "1(",
    ",ext",
    "\n",
    "0",
    "f" * 63 + "-",
)
WHOLE = 1_000_000
BODY = {"event": {"id": "e-1"}, "user": {"email": "ana@example.com", "first_name": "Xxxxxxxx", "phone": "+40722123456"}}


def of_length(piece: str, length: int) -> str:
    return "1" + piece * (length // len(piece))


def _refused(read: Callable[[str], object]) -> Callable[[str], object]:
    def tried(given: str) -> object:
        try:
            return read(given)
        except ValueError:  # so is a PydanticCustomError
            return None

    return tried


READERS: dict[str, Callable[[str], object]] = {
    "redacted": lambda said: privacy.redacted(said, BODY),
    "redacted, long value": lambda said: privacy.redacted(said[:5000], {"event": {"properties": {"a": said}}}),
    "label": privacy.label,
    "words_told": lambda said: privacy.words_told({said: 5}),
    "event_label": privacy.event_label,
    "masked": lambda said: privacy.masked({"user": {"first_name": said, said: 1}, "context": {"environment": said}}),
    "judge, detail": lambda said: judge(Answer(400, "application/json", text=json.dumps({"detail": said}))),
    "judge, text": lambda said: judge(Answer(200, "application/json", text=said)),
    "_PHONE_LIKE": privacy._PHONE_LIKE.search,
    "_EMAIL_LIKE": privacy._EMAIL_LIKE.search,
    "_HASH_LIKE": privacy._HASH_LIKE.search,
    "unescaped": unescaped,
    "folded": folded,
    "shown": shown,
    "clean": cleaning.clean,
    "clean_code": cleaning.clean_code,
    "text": text.text,
    "identifier": text.identifier,
    "proper_name": text.proper_name,
    "url": web.url,
    "address": web.address,
    "cookies": web.cookies,
    "email": contacts.email,
    "split_emails": contacts.split_emails,
    # Each of its parts is read by itself, and has an error of its own: no square, but many microseconds.
    "emails": lambda said: contacts.contacts(said[:100_000], contacts.email, contacts.split_emails, takes_hashes=True),
    "phone": lambda said: phones.phone(said, "RO"),
    "split_phones": phones.split_phones,
    "country": lambda said: region_of(str(country_in(said))),
    "number": numbers.number,
    "time": lambda said: times.moment(said, "UTC"),
    "json": json_values.json_object,
    "json value": json_values.json_value,
}


@pytest.mark.parametrize("name", READERS)
def test_a_million_characters_are_read_in_time_that_grows_with_them(name: str) -> None:
    read = _refused(READERS[name])
    slowest = 0.0
    for piece in PIECES:
        taken = _seconds(read, of_length(piece, WHOLE))
        slowest = max(slowest, taken)
        if taken > 0.3:
            half = _seconds(read, of_length(piece, WHOLE // 2))
            print(f"{name} {piece!r}: {taken:.2f} s, {taken / half:.1f} times that of half")  # noqa: T201
    print(f"{name}: at most {slowest:.2f} s")  # noqa: T201


def _seconds(read: Callable[[str], object], given: str) -> float:
    begin = time.process_time()
    read(given)
    return time.process_time() - begin


FIELDS = (
    "event.id",
    "event.value",
    "event.currency",
    "event.exchange_rate",
    "event.properties",
    "event.properties.x",
    "stage",
    "lead_id",
    "occurred_at",
    "user.id",
    "user.email",
    "user.phone",
    "user.first_name",
    "user.country",
    "user.postal_code",
    "user.created_at",
    "user.properties",
    "user.new_customer",
    "context.url",
    "context.override_ip",
    "context.user_agent",
    "cookies",
    "cookies._ga",
    "consent.marketing",
    "disqualification_reason",
)


@pytest.mark.parametrize("name", FIELDS)
def test_no_field_of_a_row_takes_long(name: str) -> None:
    prepare = EventBuilder(FieldMap(), Steering(stage_map={"SQL": "lead_disqualified"}), Rules(default_region="RO"))
    for piece in PIECES:
        prepare({**lead(1, stage="SQL"), name: of_length(piece, WHOLE // 5)})


def test_a_server_that_says_much_does_not_hold_up_others() -> None:
    begin = time.process_time()
    for number in range(12):
        privacy.redacted(str(number) + "x" * 61_000, BODY)
    privacy.label("x" * 50_000)
    print(f"12 details of 61 kB and a stage of 50 kB: {time.process_time() - begin:.3f} s")  # noqa: T201


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
SHORT = {"airflow_reshape.events.phones._CELL"}
"""Read texts of at most 80 characters (``LONGEST_CELL``)."""
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


@pytest.mark.parametrize("name", sorted(PATTERNS.keys() - SHORT))
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
    allowed = {"phones._prefix", "phones._plan", "phones._home", "web.address", "run_folder.run_name"}
    assert {".".join(one.split(".")[-2:]) for one in hidden} <= allowed
