"""Tasks killed with SIGKILL: no failure passes the ledger without being kept, and a replay goes on."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import create_engine, select

from airflow_reshape.delivery.ledger.tables import events
from airflow_reshape.hooks.failures import failures_folder
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.conftest import ROOT
from tests.failures.killed_task import execute
from tests.failures.stores import unsettled

COUNT = 400
SECONDS = 60.0


def kill(what: str, path: str, when: Callable[[], bool]) -> None:
    """Start a task, and kill it when it is time."""
    command = [sys.executable, "-m", "tests.failures.killed_task", what, path, str(COUNT)]
    task = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + SECONDS
    while not when():
        assert time.monotonic() < deadline, "it does not get on"
        with contextlib.suppress(subprocess.TimeoutExpired):
            task.wait(timeout=0.03)
            pytest.fail("it ended before it could be killed")
    task.kill()
    task.wait()


def kept(path: str) -> set[str | None]:
    return {one.event_id for one in unsettled(failures_folder(path))}


@pytest.mark.parametrize("seed", [11])
def test_kills_while_failures_are_kept_and_replayed_lose_nothing(
    sandbox: RunningSandbox, tmp_path: Path, seed: int
) -> None:
    random = Random(seed)
    path = f"file://{tmp_path}/failures"
    bad = {f"L-{number}:qualified" for number in range(0, COUNT, 2)}
    sandbox.set_faults({"ids": sorted(bad), "statuses": {"422": 1.0}}, {"latency": 0.02})

    at = random.randrange(150, 300)
    kill("send", path, lambda: sandbox.summary()["requests"] >= at)
    with create_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}").connect() as connection:
        passed = set(connection.scalars(select(events.c.event_id).where(events.c.state == "rejected")))
    assert passed <= kept(path), f"seed {seed}: the ledger knows failures that are not kept"
    execute("send", path, COUNT, 2)
    assert kept(path) == bad, f"seed {seed}"

    sandbox.clear()
    sandbox.set_faults(latency=0.3)  # a dozen rounds of requests, and marks about twice a second
    kill("replay", path, lambda: kept(path) < bad)
    left, at_kill = kept(path), sandbox.summary()["distinct_taken"]
    assert left, f"seed {seed}: it was done before it could be killed"
    sandbox.clear_faults()
    assert len(bad) - len(left) <= at_kill, f"seed {seed}: marked before it was sent"
    execute("replay", path, COUNT, 2)
    received = sandbox.received()  # without faults, each request is taken
    assert {event["id"] for event in received} == bad, f"seed {seed}"
    assert kept(path) == set()
    # Only what was sent and not marked went twice.
    assert len(received) - len(bad) <= at_kill - (len(bad) - len(left)), f"seed {seed}"
