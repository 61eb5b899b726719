"""Events that are put aside because somebody has claimed them: they do not pile up, and none is lost."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any
from weakref import WeakSet

import pytest

from airflow_reshape.delivery import intake
from airflow_reshape.delivery.repeats import EventIds
from airflow_reshape.hooks import lead_send
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.ledger.leads import leads
from tests.ledger.test_sends import send

pytestmark = pytest.mark.parametrize("ledger_connection", ["sqlite"], indirect=True)


class Row(dict[str, Any]):
    """A row that can be counted while somebody holds it."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # a dict has none


def test_rows_that_say_the_same_twice_are_not_all_kept_to_the_end(
    sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The second of two waits for what becomes of the first. Without a look in between all of them wait to the end.
    monkeypatch.setattr(intake, "MOST_ASIDE", 200)
    monkeypatch.setattr(intake, "CLAIMED_AT_ONCE", 90)
    monkeypatch.setattr(lead_send, "EventIds", partial(EventIds, most=0))  # ids are not compared: there are too many
    alive: WeakSet[Row] = WeakSet()
    most_alive = 0

    def rows() -> Iterator[Row]:
        nonlocal most_alive
        for lead in leads(0, 1_500):
            for row in (Row(lead), Row(lead)):
                alive.add(row)
                yield row
            most_alive = max(most_alive, len(alive))

    summary = send(rows(), concurrency=8)

    assert summary["delivered"] == 1_500
    assert summary["skipped_by"] == {"already_sent": 1_500}
    assert sandbox.summary()["requests"] == 1_500
    # Five chunks of 200 wait or are taken in, 256 events are on their way, and what is not written down yet is aside.
    assert most_alive < 2_000
