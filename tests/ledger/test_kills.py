"""A send is killed with SIGKILL at random points and tried again until it is done; the server's counts decide."""

from __future__ import annotations

import subprocess
import sys
import time
from random import Random

import pytest
from sqlalchemy import func, select

from airflow_reshape.delivery.ledger.tables import events
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.conftest import ROOT
from tests.ledger.conftest import NewEngine

COUNT = 900
KILLS = 2
SECONDS = 60.0


def claimed(new_engine: NewEngine) -> int:
    engine = new_engine()
    try:
        with engine.connect() as connection:
            query = select(func.count()).select_from(events).where(events.c.state == "claimed")
            return connection.scalar(query) or 0
    finally:
        engine.dispose()


def start(try_number: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.ledger.killed_send", str(COUNT), str(try_number)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("seed", [7])
def test_kills_lose_nothing_and_repeat_only_what_was_in_doubt(
    sandbox: RunningSandbox, new_engine: NewEngine, seed: int
) -> None:
    random = Random(seed)
    sandbox.set_faults(latency=0.01)
    duplicates = in_doubt = 0
    for kill in range(1, KILLS + 1):
        at = sandbox.summary()["distinct_taken"] + random.randrange(20, COUNT // (KILLS + 1))
        sending = start(kill)
        deadline = time.monotonic() + SECONDS
        while sandbox.summary()["distinct_taken"] < at:
            assert sending.poll() is None, f"seed {seed}: the send ended before it could be killed"
            assert time.monotonic() < deadline, f"seed {seed}: the send does not get on"
        sending.kill()
        sending.wait()
        repeated = sandbox.summary()["duplicates"] - duplicates
        assert repeated <= in_doubt, f"seed {seed}, kill {kill}"
        duplicates += repeated
        # What the dead send may have sent without writing it down: the most that the next try may repeat.
        in_doubt = claimed(new_engine)
        assert in_doubt > 0, f"seed {seed}, kill {kill}: nothing was under way"

    sending = start(KILLS + 1)
    assert sending.wait(timeout=SECONDS) == 0
    received = sandbox.summary()
    assert received["distinct_taken"] == COUNT, f"seed {seed}: lost {COUNT - received['distinct_taken']}"
    assert received["duplicates"] - duplicates <= in_doubt, f"seed {seed}"
    assert claimed(new_engine) == 0
    ids = {event["id"] for event in sandbox.received(limit=5000)}
    assert ids == {f"{n}:qualified" for n in range(COUNT)}
