"""The line that tells how far a send is."""

from __future__ import annotations

import pytest

from airflow_reshape.delivery import progress_line
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.progress_line import ProgressLine
from airflow_reshape.delivery.transport import AiohttpTransport
from airflow_reshape.sandbox.testing import running_sandbox
from tests.delivery.leads import SCRIPT_ID, TOKEN, KeepingTally, destination, in_chunks, leads, sender


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_every_ten_seconds() -> None:
    clock, tally, lines = Clock(), KeepingTally(), list[str]()
    line = ProgressLine(tally, lines.append, clock)
    clock.now = 9.9
    line.pulse()
    tally.read = 5_500
    tally.kinds.update({Kind.DELIVERED: 5_000, Kind.INVALID: 3})
    clock.now = 10.0
    line.pulse()
    line.pulse()
    tally.read = 6_000
    tally.kinds.update({Kind.DELIVERED: 900, Kind.SKIPPED: 7})
    clock.now = 20.0
    line.pulse()
    assert lines == [
        "5,500 read · 5,000 delivered · 0 rejected · 3 invalid · 497 in work · 500/s",
        "6,000 read · 5,900 delivered · 0 rejected · 3 invalid · 7 skipped · 90 in work · 91/s",
    ]


def test_it_is_told_while_a_send_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_line, "SECONDS_BETWEEN_LINES", 0.0)
    lines: list[str] = []
    tally = KeepingTally()
    line = ProgressLine(tally, lines.append)
    with running_sandbox(token=TOKEN, script_id=SCRIPT_ID) as sandbox:
        transport = AiohttpTransport(destination(sandbox.url), 4)
        engine, _ = sender(transport, concurrency=4, pulse=line.pulse, tally=tally)
        engine.send(in_chunks(leads(300)))
    assert lines
    assert tally.kinds[Kind.DELIVERED] == 300
