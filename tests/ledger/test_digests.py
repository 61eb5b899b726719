"""What digests tell apart."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from airflow_reshape.delivery.failures.rows import decoded_row, encoded_row
from airflow_reshape.delivery.ledger.digests import Digests, event_key
from airflow_reshape.events.prepared import InvalidLead, PreparedEvent
from airflow_reshape.events.unreadable import UNREADABLE
from tests.delivery.leads import builder, lead

ROOT = Path(__file__).parents[2]
DIGESTS = Digests("one")


def event(**columns: Any) -> PreparedEvent:
    made = builder("standard")(lead(1, **columns))
    assert isinstance(made, PreparedEvent)
    return made


def test_the_order_of_columns_makes_no_other_body() -> None:
    one = event(**{"event.properties.tier": "gold", "event.properties.score": 7, "user.first_name": "Ana"})
    two = event(**{"user.first_name": "Ana", "event.properties.score": 7, "event.properties.tier": "gold"})
    assert list(one.body["event"]["properties"]) != list(two.body["event"]["properties"])
    assert DIGESTS.of_body(one) == DIGESTS.of_body(two)


@pytest.mark.parametrize(
    "column",
    [{"event.properties.tier": "silver"}, {"user.first_name": "Ioana"}, {"value": 2}, {"currency": "RON"}],
    ids=str,
)
def test_each_part_of_the_body_makes_another(column: dict[str, Any]) -> None:
    assert DIGESTS.of_body(event()) != DIGESTS.of_body(event(**column))


def test_only_value_currency_and_reason_make_another_event() -> None:
    assert DIGESTS.of_event(event()) == DIGESTS.of_event(event(**{"user.first_name": "Ioana"}))
    assert DIGESTS.of_event(event()) != DIGESTS.of_event(event(value=2))


def test_keys_have_versions_and_no_two_say_the_same() -> None:
    other = Digests("two")
    assert other.version != DIGESTS.version
    assert other.of_forgotten("SCRIPT01", "a") != DIGESTS.of_forgotten("SCRIPT01", "a")
    assert DIGESTS.of_forgotten("SCRIPT01", "a") != DIGESTS.of_forgotten("SCRIPT02", "a")


OF_UNREADABLE = """
from airflow_reshape.delivery.ledger.digests import Digests
from airflow_reshape.events.prepared import InvalidLead
from airflow_reshape.events.unreadable import UNREADABLE
row = {"lead_id": 1, "email": UNREADABLE, "tags": [UNREADABLE]}
print(Digests("one").of_invalid("SCRIPT01:prod", row, InvalidLead(())))
"""


def test_what_the_driver_could_not_read_has_the_same_key_in_each_process() -> None:
    done = subprocess.run([sys.executable, "-c", OF_UNREADABLE], cwd=ROOT, check=True, capture_output=True, text=True)
    row = decoded_row(encoded_row({"lead_id": 1, "email": UNREADABLE, "tags": [UNREADABLE]}, lambda value: value))
    assert DIGESTS.of_invalid("SCRIPT01:prod", row, InvalidLead(())) == done.stdout.strip()


def test_any_text_makes_a_key() -> None:
    odd = ["", "a", "A", "a\x00", "\ud83d", "🚀"]
    assert len({event_key("SCRIPT01:prod", "lead_qualified", text) for text in odd}) == len(odd)


ODD_ROW = """
from dataclasses import dataclass
from uuid import UUID

class Bare:
    def __init__(self, held):
        self.held = held

class Slotted:
    __slots__ = ()

@dataclass
class Told:
    held: object

class Mute:
    def __repr__(self):
        raise RuntimeError("never")
    __str__ = __repr__

class Many(list):
    pass

around = []
around.append(around)
deep = []
for _ in range(10_000):
    deep = [deep]
gone = memoryview(b"x")
gone.release()

ROW = {
    "lead_id": 1,
    "bytes": memoryview(b"abc"),
    "released": gone,
    "set": {"a", "b", "c", "d", "e", "f"},
    "frozen": [frozenset({"a", "b", "c", "d"}), (1,), {"of": {"x", "y", "z"}}],
    "bare": Bare(Bare({"u", "v", "w"})),
    "slotted": Slotted(),
    "told": Told(Bare(1)),
    "mute": [Mute()],
    "many": Many([memoryview(b"x"), Bare(2)]),
    "digits": 10**5000,
    "digits in a set": {10**5000},
    "around": around,
    "deep": deep,
    "function": len,
    "lambda": lambda: 1,
    "object": object(),
    Mute(): 3,
    ("a", 1): 2,
}
"""
TOLD_BY = """
from airflow_reshape.delivery.ledger.digests import Digests
from airflow_reshape.events.prepared import InvalidLead
def told(row):
    return Digests("one").of_invalid("SCRIPT01:prod", row, InvalidLead(()))
"""


def test_any_value_has_the_same_key_in_each_process() -> None:
    script = f"{ODD_ROW}{TOLD_BY}print(told(ROW), *[told({{'x': each}}) for each in ROW.values()], told(ROW['bare']))"
    keys = [
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.split()
        for seed in ("1", "2", "3")
    ]
    assert keys[0] == keys[1] == keys[2]
    # All are told apart but the two that nest without an end, or nearly so.
    assert len(set(keys[0])) == len(keys[0]) - 1


def test_what_tells_itself_has_the_key_that_it_always_had() -> None:
    """Known invalid rows stay known after an update."""
    row = {"b": [1, 2.5, "x", None, True], "a": {"k": (1,)}, "d": Decimal("1.10"), "t": datetime(2026, 1, 2), "y": b"x"}
    content = sorted((key, repr(value)) for key, value in row.items())
    lead = InvalidLead(())
    assert DIGESTS.of_invalid("x", row, lead) == DIGESTS.of("x", "invalid", content, [])
    for bare in (("a", 1), "text", 7):
        assert DIGESTS.of_invalid("x", bare, lead) == DIGESTS.of("x", "invalid", repr(bare), [])


def test_parts_make_another_key() -> None:
    lead = InvalidLead(())
    rows: list[Any] = [memoryview(b"a"), memoryview(b"b"), {"a"}, {"b"}, {"a", "b"}, 10**5000, 10**5000 + 1]
    assert len({DIGESTS.of_invalid("x", {"v": row}, lead) for row in rows}) == len(rows)
    assert DIGESTS.of_invalid("x", {"v": memoryview(b"a")}, lead) == DIGESTS.of_invalid("x", {"v": b"a"}, lead)
