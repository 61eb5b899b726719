"""What digests tell apart."""

from __future__ import annotations

import subprocess
import sys
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
