"""The sandbox answers oddly on demand, and a send takes no refusal for a success and shows nobody."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import pytest

from airflow_reshape.delivery.report import report
from airflow_reshape.sandbox.faults import Garbage
from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox
from tests.delivery.leads import SCRIPT_ID, TOKEN, lead, send

pytestmark = pytest.mark.timeout(60)

EMAIL, LAST = "ana.marker@example.com", "Marker-Popescu"
PERSON = {"user.email": EMAIL, "user.last_name": LAST}
REFUSALS: tuple[Garbage, ...] = ("echo", "big_detail", "mark_error", "utf16_error", "php_error")
UNREADABLE: tuple[Garbage, ...] = ("big_error", "deep_error")


@pytest.fixture(scope="module")
def odd() -> Iterator[RunningSandbox]:
    with running_sandbox(token=TOKEN, script_id=SCRIPT_ID) as sandbox:
        yield sandbox


@pytest.mark.parametrize("kind", [*REFUSALS, *UNREADABLE])
def test_no_odd_refusal_counts_as_delivered(odd: RunningSandbox, kind: Garbage) -> None:
    odd.clear()
    odd.set_faults(garbage={kind: 1})
    sent = send(odd.url, [lead(1, **PERSON)])
    assert sent.counts == {"rejected": 1}
    assert len(odd.received()) == (2 if kind in UNREADABLE else 1)
    assert not any(one["taken"] for one in odd.received())
    outcome = sent.tally.at(1)
    shown = report(sent.tally, environment="prod", validate_only=False, seconds=1) + json.dumps(sent.tally.summary())
    told = f"{shown} {outcome.detail}".lower()
    for person in (EMAIL, "ana.marker", "popescu", hashlib.sha256(EMAIL.encode()).hexdigest()):
        assert person not in told
    assert (kind == "echo") is ("user_data" in str(outcome.detail))


def test_a_success_behind_a_mark_is_one(odd: RunningSandbox) -> None:
    odd.clear()
    odd.set_faults(garbage={"mark": 1})
    assert send(odd.url, [lead(1)]).counts == {"delivered": 1}
    assert [one["taken"] for one in odd.received()] == [True]
