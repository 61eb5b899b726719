"""What is said of an outage while it lasts."""

from __future__ import annotations

import pytest

from airflow_reshape.delivery.outage_notice import OutageNotice
from airflow_reshape.delivery.pace import Pace
from tests.delivery.clock import Clock

BEGUN = "The server takes nothing: all leads wait, and a probe asks it now and then"


def notice(longest: float | None = None) -> tuple[OutageNotice, Pace, Clock, list[str]]:
    pace, clock, lines = Pace(), Clock(), list[str]()
    return OutageNotice(lambda: pace, lines.append, longest, clock), pace, clock, lines


def test_once_when_it_begins_and_once_when_it_ends() -> None:
    told, pace, clock, lines = notice()
    told.pulse()
    assert lines == []
    for outage, seconds in enumerate((61.5, 30)):
        pace.paused = True
        for _ in range(3):
            told.pulse()
        assert lines[2 * outage :] == [BEGUN]
        clock.now += seconds
        told.pulse()
        pace.paused = False
        for _ in range(3):
            told.pulse()
    assert lines == [
        BEGUN,
        "The server takes leads again, 2 min after the outage was noticed",
        BEGUN,
        "The server takes leads again, 30 s after the outage was noticed",
    ]


def test_how_long_it_is_borne() -> None:
    told, pace, _, lines = notice(300)
    pace.paused = True
    told.pulse()
    assert lines == [f"{BEGUN}, for at most 5 min"]


@pytest.mark.parametrize("paused", [True, False])
def test_at_the_end_of_the_send(paused: bool) -> None:
    told, pace, clock, lines = notice()
    pace.paused = True
    told.pulse()
    clock.now = 7
    pace.paused = paused
    told.end()
    assert lines[1:] == ([] if paused else ["The server takes leads again, 7 s after the outage was noticed"])


def test_an_outage_that_nobody_was_told_of_does_not_end() -> None:
    told, pace, _, lines = notice()
    pace.paused = True
    told.end()
    pace.paused = False
    told.end()
    assert lines == []
