"""Two runs whose windows overlap by half, started together as two processes: each event is sent exactly once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.conftest import ROOT

SECONDS = 280.0


def begin(run: str, first: int, last: int, seed: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.ledger.windowed_send", run, str(first), str(last), str(seed)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, cwd=ROOT, text=True, **pipes)


def wait_for(line: str, sending: subprocess.Popen[str]) -> None:
    assert sending.stdout is not None
    for told in sending.stdout:
        if told.strip() == line:
            return
    pytest.fail(f"a send ended with {sending.wait()} before it was {line}")


@pytest.mark.parametrize("ledger_connection", ["postgresql"], indirect=True)
@pytest.mark.parametrize("seed", [11])
@pytest.mark.parametrize("count", [1_500, pytest.param(10_000, marks=pytest.mark.crash)])
def test_each_event_arrives_once(sandbox: RunningSandbox, count: int, seed: int) -> None:
    half = count // 2
    # Both read what they share from the first chunk on, mixed with what is theirs alone.
    sends = [begin("one", 0, count, seed), begin("two", half, half + count, seed)]
    try:
        for sending in sends:
            wait_for("ready", sending)
        for sending in sends:
            assert sending.stdin is not None
            sending.stdin.write("go\n")
            sending.stdin.flush()
        told = [sending.communicate(timeout=SECONDS)[0] for sending in sends]
    finally:
        for sending in sends:
            sending.kill()
            sending.wait()
    assert [sending.returncode for sending in sends] == [0, 0], f"seed {seed}"

    all_ids = {f"{n or 'first'}:qualified" for n in range(half + count)}
    received = Counter(event["id"] for event in sandbox.received(name="lead_qualified"))
    assert received.keys() == all_ids, f"seed {seed}"
    assert received.total() == len(all_ids), f"seed {seed}: {received.most_common(3)}"

    summaries = [json.loads(each.splitlines()[-1]) for each in told]
    for summary in summaries:
        assert summary["read"] == count == sum(summary[kind.value] for kind in Kind)
        assert summary["skipped_by"] == {"already_sent": count - summary["delivered"]}
        assert summary["delivered"] >= half  # nobody else has those
    assert sum(summary["delivered"] for summary in summaries) == half + count
    assert sum(summary["sent_again"] for summary in summaries) == 0
