"""A server that goes down in the middle of a send and comes back, as the server sees it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from airflow_reshape.delivery.halt import Stop
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.retry import RetryPolicy
from airflow_reshape.delivery.transport import AiohttpTransport
from airflow_reshape.delivery.trouble import Trouble
from tests.delivery.leads import destination, in_chunks, leads, send, sender
from tests.delivery.servers import RESET, Reply, Request, scripted

pytestmark = pytest.mark.timeout(30)

COUNT, WINDOW = 300, 8
BEFORE = 60
"""Requests that are taken before the server goes down."""
REFUSED = 30
"""Requests that it does not take then."""
SLOW = 0.03
"""Seconds until it says so."""
PROBING = RetryPolicy(first_delay=0.002, longest_delay=0.01, first_probe=0.01, longest_probe=0.02)


class Failing:
    """Takes nothing between two requests."""

    def __init__(self, reply: Reply) -> None:
        self.down = replace(reply, before=SLOW)
        self.taken: list[Request] = []
        self.refused: list[Request] = []

    def __call__(self, request: Request) -> Reply:
        if len(self.taken) >= BEFORE and len(self.refused) < REFUSED:
            self.refused.append(request)
            return self.down
        self.taken.append(request)
        return Reply(before=0.005)


@pytest.mark.parametrize("reply", [Reply(500), RESET, Reply(503), Reply(429)], ids=["500", "reset", "503", "429"])
def test_while_it_is_down_one_event_at_a_time_finds_out_and_then_all_go_on(reply: Reply) -> None:
    server_is = Failing(reply)
    with scripted(server_is) as server:
        sent = send(server.url, leads(COUNT), concurrency=WINDOW, retry=PROBING, trouble=Trouble(max_outage=20))
    assert sent.result.halt is None
    assert sent.counts == {"delivered": COUNT}
    assert sent.tally.in_doubt == 0
    assert Counter(request.id for request in server_is.taken) == {f"e{n}": 1 for n in range(1, COUNT + 1)}

    # Those in flight when it went down, and those that began before three had failed.
    noticed = WINDOW + 2
    assert len(server_is.refused) == REFUSED
    probes = server_is.refused[noticed + 3 :]
    assert {request.in_flight for request in probes} == {1}
    assert all(later.at - earlier.at >= SLOW for earlier, later in pairwise(probes)), "each waits for the last answer"
    assert len({request.id for request in probes}) > len(probes) / 2, "they take turns"

    after = server_is.taken[BEFORE:]
    assert after[0].in_flight == 1
    if reply.status not in (429, 503):  # those are also taken for a limit, which is approached with care
        assert max(request.in_flight for request in after) >= WINDOW - 2  # a slow machine may not fill it


def test_one_success_ends_the_pauses_of_all() -> None:
    # Their own pauses are beyond the test's time limit.
    patient = RetryPolicy(first_delay=1000.0, longest_delay=1000.0, first_probe=0.01, longest_probe=0.02)
    server_is = Failing(Reply(500))
    with scripted(server_is) as server:
        sent = send(server.url, leads(COUNT), concurrency=WINDOW, retry=patient, trouble=Trouble(max_outage=20))
    assert sent.counts == {"delivered": COUNT}


def test_a_server_that_stays_down_ends_the_send_with_the_rest_unsent() -> None:
    with scripted(lambda r: Reply() if r.number <= BEFORE else Reply(500)) as server:
        sent = send(server.url, leads(COUNT), concurrency=WINDOW, retry=PROBING, trouble=Trouble(max_outage=0.3))
    assert sent.result.halt is not None
    assert sent.result.halt.stop is Stop.OUTAGE
    assert "500" in sent.result.halt.why
    assert sent.counts == {"delivered": BEFORE, "unsent": sent.tally.read - BEFORE}
    assert sent.tally.unsent_by == {"outage": sent.tally.read - BEFORE}
    assert server.requests[-1].at - server.requests[BEFORE].at > 0.15, "it was given time to recover"


def test_a_stop_during_an_outage_ends_it() -> None:
    def script(request: Request) -> Reply:
        if request.number == 20:
            engine.stop()
        return Reply(500)

    with scripted(script) as server:
        engine, tally = sender(AiohttpTransport(destination(server.url), 4), trouble=Trouble(max_outage=1000))
        result = engine.send(in_chunks(leads(40)))
    assert result.halt is not None
    assert result.halt.stop is Stop.REQUESTED
    assert tally.positions(Kind.UNSENT) == list(range(1, tally.read + 1))
    assert tally.in_doubt == 0
