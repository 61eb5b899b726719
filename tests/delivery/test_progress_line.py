"""The line that tells how far a send is."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.pace import Pace
from airflow_reshape.delivery.progress_line import SECONDS_BETWEEN_LINES, ProgressLine
from airflow_reshape.delivery.transport import AiohttpTransport
from airflow_reshape.sandbox.testing import running_sandbox
from tests.delivery.clock import Clock
from tests.delivery.leads import SCRIPT_ID, TOKEN, KeepingTally, destination, in_chunks, leads, sender
from tests.delivery.test_durations import UNITS


class Told:
    """A line with its own clock, counts and pace."""

    def __init__(self, total: int | None = None) -> None:
        self.clock, self.tally, self.pace, self.lines = Clock(), KeepingTally(), Pace(window=48), list[str]()
        self.line = ProgressLine(self.tally, lambda: self.pace, self.lines.append, total, self.clock)

    def settle(self, **kinds: int) -> None:
        self.tally.read += sum(kinds.values())
        self.tally.kinds.update({Kind(kind): count for kind, count in kinds.items()})

    def at(self, seconds: float) -> str | None:
        """What is told at a time."""
        before = len(self.lines)
        self.clock.now = seconds
        self.line.pulse()
        return self.lines[before] if len(self.lines) > before else None


def test_a_line_every_ten_seconds() -> None:
    told = Told(total=50_000)
    told.settle(delivered=500)
    assert told.at(9.9) is None
    told.settle(delivered=12_000 - 103, invalid=3)
    assert told.at(10) == "12,400 of 50,000 · 1,240/s · 3 invalid · 0 rejected · window 48 · ETA 31 s"
    assert told.at(10) is None
    assert told.at(19.9) is None
    told.settle(delivered=100, rejected=7, skipped=1_100, unsent=13)
    told.pace.window = 1
    assert told.at(20.4) == (
        "13,620 of 50,000 · 117/s · 3 invalid · 7 rejected · 1,100 skipped · 13 unsent · window 1 · ETA 6 min"
    )


def test_a_source_of_unknown_length() -> None:
    told = Told()
    told.settle(delivered=12_400)
    assert told.at(10) == "12,400 leads · 1,240/s · 0 invalid · 0 rejected · window 48"


def test_what_slows_it_down() -> None:
    told = Told(total=1_000)
    told.settle(delivered=100)
    told.pace.rate = 97.4
    assert told.at(10) == "100 of 1,000 · 10/s · at most 97/s · 0 invalid · 0 rejected · window 48 · ETA 2 min"
    told.pace.paused = True
    told.settle(delivered=1)
    assert told.at(20) == "101 of 1,000 · 0.1/s · paused: the server takes nothing · 0 invalid · 0 rejected"
    told.pace.paused, told.pace.rate = False, 0.25
    assert told.at(30) == "101 of 1,000 · 0/s · at most 0.25/s · 0 invalid · 0 rejected · window 48"


def test_there_is_nothing_ahead_when_all_is_done() -> None:
    told = Told(total=100)
    told.settle(delivered=100)
    assert told.at(10) == "100 of 100 · 10/s · 0 invalid · 0 rejected · window 48"


def test_a_total_that_was_wrong_is_not_told_any_more() -> None:
    told = Told(total=100)
    told.settle(delivered=100)
    told.tally.read += 1
    assert told.at(10) == "100 leads · 10/s · 0 invalid · 0 rejected · window 48"


@pytest.mark.parametrize(
    ("seconds", "lines"),
    [
        (9.9, []),
        (10.0, ["600 of 600 · 60/s on average · 0 invalid · 100 rejected · took 10 s"]),
        (40.0, ["600 of 600 · 15/s on average · 0 invalid · 100 rejected · took 40 s"]),
    ],
)
def test_at_the_end_of_a_send_that_took_long(seconds: float, lines: list[str]) -> None:
    told = Told(total=600)
    told.settle(delivered=500, rejected=100)
    told.clock.now = seconds
    told.line.end()
    assert told.lines == lines


def number(pattern: str, line: str) -> float | None:
    found = re.search(pattern, line)
    return float(found[1].replace(",", "")) if found else None


def seconds_of(line: str) -> float | None:
    told = re.search(r"ETA (.+)$", line)
    parts = re.findall(r"([\d,]+) (\w+)", told[1]) if told else []
    return sum(int(count.replace(",", "")) * UNITS[unit] for count, unit in parts) if told else None


steps = st.lists(
    st.tuples(
        st.floats(0, 120),
        st.dictionaries(st.sampled_from([kind.value for kind in Kind]), st.integers(0, 5_000), max_size=3),
        st.booleans(),
        st.none() | st.floats(0.01, 1e5),
    ),
    max_size=12,
)


@given(st.none() | st.integers(0, 20_000), steps)
def test_no_line_lies(total: int | None, happened: list[tuple[float, dict[str, int], bool, float | None]]) -> None:
    told = Told(total)
    counted: Counter[str] = Counter()
    told_at, told_done, now = 0.0, 0, 0.0
    for seconds, kinds, paused, rate in happened:
        told.settle(**kinds)
        counted.update(kinds)
        told.pace.paused, told.pace.rate = paused, rate
        now += seconds
        line = told.at(now)
        assert (line is not None) == (now - told_at >= SECONDS_BETWEEN_LINES)
        if line is None:
            continue
        done = counted.total()
        assert number(r"^([\d,]+) ", line) == done
        known = total is not None and done <= total
        assert number(r" of ([\d,]+)", line) == (total if known else None)
        for kind in Kind:
            shown = number(rf"([\d,]+) {kind.value}", line)
            assert shown in (None, counted[kind.value])
            assert shown is not None or not counted[kind.value] or kind is Kind.DELIVERED
        speed = (done - told_done) / (now - told_at)
        assert number(r"· (\S+)/s ·", line) == pytest.approx(speed, rel=0.051)
        eta = seconds_of(line)
        if eta is None:
            assert not known or paused or done in (total, told_done)
        else:
            assert known
            assert not paused
            assert total is not None
            assert eta == pytest.approx((total - done) / speed, rel=0.05, abs=61)
            assert eta > 0
        told_at, told_done = now, done


class FastClock:
    """Each look at it is ten seconds after the one before."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += SECONDS_BETWEEN_LINES
        return self.now


def pulse(lines: Sequence[ProgressLine]) -> None:
    for line in lines:
        line.pulse()


def test_it_is_told_while_a_send_runs() -> None:
    rows: list[Any] = leads(300)
    lines: list[str] = []
    tally = KeepingTally()
    with running_sandbox(token=TOKEN, script_id=SCRIPT_ID) as sandbox:
        transport = AiohttpTransport(destination(sandbox.url), 4)
        watched: list[ProgressLine] = []
        engine, _ = sender(transport, concurrency=4, tally=tally, pulse=lambda: pulse(watched))
        watched.append(ProgressLine(tally, lambda: engine.pace, lines.append, len(rows), FastClock()))
        engine.send(in_chunks(rows))
        watched[0].end()
    assert len(lines) >= 2
    done = [number(r"^([\d,]+) of 300 ", line) for line in lines]
    assert None not in done
    assert done == sorted(done, key=lambda count: count or 0)
    assert lines[-1].startswith("300 of 300 · ")
    for line in lines[:-1]:
        assert re.search(r" · window [1-4]\b", line), line
