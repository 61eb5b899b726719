"""An earlier try that lives on (its supervisor was killed, its worker cut off) is fenced off by the next one.

Both send over real HTTP, in threads of one process, each with connections of its own to the ledger.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from time import monotonic
from typing import Any

import pytest

from airflow_reshape.delivery.ledger.store import LedgerStore
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.exceptions import ReshapeLedgerError
from airflow_reshape.hooks import ledger as hooks_ledger
from tests.delivery.servers import Reply, Request, ScriptedServer, scripted
from tests.ledger.leads import leads
from tests.ledger.task import send_as

COUNT = 2_000
CONCURRENCY = 16
SECONDS = 60.0


def ended_with(zombie: Future[Any]) -> None:
    with pytest.raises(
        ReshapeLedgerError, match="another try of this task, or another send, took its events over"
    ) as told:
        zombie.result(SECONDS)
    summary = told.value.summary
    assert summary is not None
    assert summary["read"] == sum(summary[each.value] for each in Kind)


@pytest.fixture
def connections(ledger_connection: str, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", ledger_connection)
    return monkeypatch


def connect(server: ScriptedServer, connections: pytest.MonkeyPatch) -> None:
    stored = {"conn_type": "reshape", "schema": "http", "host": server.host, "port": server.port, "password": "t" * 20}
    extra = {"script_id": "SCRIPT01", "environment": "prod"}
    connections.setenv("AIRFLOW_CONN_RESHAPE_DEFAULT", json.dumps({**stored, "extra": extra}))


def until(reached: Callable[[], object]) -> None:
    deadline = monotonic() + SECONDS
    while not reached():
        assert monotonic() < deadline
        threading.Event().wait(0.005)


def repeated(server: ScriptedServer) -> int:
    received = Counter(request.id for request in server.requests)
    assert len(received) == COUNT, "lost"
    return received.total() - len(received)


class Gate:
    """Lets the first requests through, holds back as many as come at once, and lets all through once it is open."""

    def __init__(self, first: int) -> None:
        self.held: set[str] = set()
        self.opened = threading.Event()
        self._first = first

    def __call__(self, request: Request) -> Reply:
        # The later try does not ask for what it finds claimed, so whatever comes meanwhile is new.
        if request.number <= self._first or self.opened.is_set() or len(self.held) == CONCURRENCY:
            return Reply()
        self.held.add(request.id)
        return Reply(gate=self.opened)


def test_what_was_in_flight_is_settled_by_the_earlier_try(connections: pytest.MonkeyPatch) -> None:
    """Answers that come in time make no duplicate at all."""
    gate = Gate(COUNT // 10)
    with scripted(gate) as server, ThreadPoolExecutor(2) as threads:
        connect(server, connections)
        zombie = threads.submit(send_as, "run", 1, leads(0, COUNT), concurrency=CONCURRENCY)
        until(lambda: len(gate.held) == CONCURRENCY)
        connections.setattr(
            hooks_ledger, "LedgerStore", partial(LedgerStore, time_to_notice=timedelta(seconds=SECONDS))
        )
        later = threads.submit(send_as, "run", 2, leads(0, COUNT), concurrency=CONCURRENCY)
        until(lambda: len(server.requests) > COUNT // 2)  # only what is new
        gate.opened.set()
        ended_with(zombie)
        summary = later.result(SECONDS)
    assert repeated(server) == 0
    assert summary["sent_again"] == 0
    assert (summary["rejected"], summary["unsent"]) == (0, 0)


def test_only_what_was_in_flight_is_repeated(connections: pytest.MonkeyPatch) -> None:
    """Answers do not come before the time to notice is over: what the earlier try had in flight is taken over."""
    gate = Gate(COUNT // 10)
    with scripted(gate) as server, ThreadPoolExecutor(2) as threads:
        connect(server, connections)
        zombie = threads.submit(send_as, "run", 1, leads(0, COUNT), concurrency=CONCURRENCY)
        until(lambda: len(gate.held) == CONCURRENCY)
        later = threads.submit(send_as, "run", 2, leads(0, COUNT), concurrency=CONCURRENCY)
        summary = later.result(SECONDS)
        gate.opened.set()
        ended_with(zombie)
    assert repeated(server) <= summary["sent_again"] <= CONCURRENCY


def test_two_living_tries_at_full_speed(connections: pytest.MonkeyPatch) -> None:
    """Nothing is held back: the later try begins in the middle of the earlier one."""
    with scripted(Reply(before=0.005)) as server, ThreadPoolExecutor(2) as threads:
        connect(server, connections)
        zombie = threads.submit(send_as, "run", 1, leads(0, COUNT), concurrency=CONCURRENCY)
        until(lambda: len(server.requests) > COUNT // 10)
        later = threads.submit(send_as, "run", 2, leads(0, COUNT), concurrency=CONCURRENCY)
        ended_with(zombie)
        summary = later.result(SECONDS)
    assert repeated(server) <= summary["sent_again"] <= CONCURRENCY
