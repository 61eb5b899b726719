"""How many are in flight, in which order, and how far ahead the source is read."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from random import Random

import pytest

from airflow_reshape.delivery.inbox import CHUNKS_AHEAD
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.retry import RetryPolicy
from airflow_reshape.delivery.sender import LEADS_AHEAD
from airflow_reshape.delivery.transport import AiohttpTransport
from airflow_reshape.sandbox.testing import running_sandbox
from tests.delivery.leads import SCRIPT_ID, TOKEN, destination, in_chunks, lead, leads, send, sender
from tests.delivery.servers import Reply, Request, scripted

pytestmark = pytest.mark.timeout(30)


@pytest.mark.parametrize("concurrency", [1, 3, 16, 64])
def test_the_window_is_filled_and_never_exceeded(concurrency: int) -> None:
    # Nothing is answered before as many are in flight as may be.
    full = threading.Event()

    def script(request: Request) -> Reply:
        if request.number >= concurrency:
            full.set()
        return Reply(gate=full, before=0.002)

    with scripted(script) as server:
        sent = send(server.url, leads(concurrency * 5), concurrency=concurrency)
    assert sent.counts == {"delivered": concurrency * 5}
    assert server.most_in_flight == concurrency
    assert server.connections == concurrency


@pytest.mark.parametrize("concurrency", [2, 12])
def test_the_window_as_the_sandbox_sees_it(concurrency: int) -> None:
    with running_sandbox(token=TOKEN, script_id=SCRIPT_ID) as sandbox:
        sandbox.set_faults(latency=0.02, max_concurrent=concurrency, statuses={500: 0.1})
        sent = send(sandbox.url, leads(100), concurrency=concurrency)
        received = sandbox.summary()
    assert sent.counts == {"delivered": 100}
    # Beyond its limit the sandbox would have refused.
    assert set(received["by_fault"]) <= {"statuses"}


def test_each_leads_events_keep_their_order_whatever_happens_to_others() -> None:
    random = Random(5)
    rows = [lead(number, of=f"l{random.randrange(12)}") for number in range(1, 301)]
    of = {row["event.id"]: row["lead_id"] for row in rows}
    delivered: list[str] = []

    def script(request: Request) -> Reply:
        fate = Random(f"{request.id} {request.attempt}").random()
        if fate < 0.15:
            return Reply(500)
        if fate < 0.25:
            return Reply(wire=b"", end="reset")
        delivered.append(request.id)
        return Reply(before=fate / 100)

    with scripted(script) as server:
        sent = send(server.url, rows, concurrency=16)
    assert sent.counts == {"delivered": 300}
    for one in set(of.values()):
        expected = [row["event.id"] for row in rows if row["lead_id"] == one]
        assert [e for e in delivered if of[e] == one] == expected
        # No later event of the lead even starts before the earlier one is done.
        arrivals = [e for e in server.ids if of[e] == one]
        assert arrivals == sorted(arrivals, key=expected.index)
    assert delivered != sorted(delivered, key=lambda e: int(e[1:])), "different leads should overtake"


def test_a_stuck_lead_holds_up_nobody_else() -> None:
    others_done = threading.Event()
    done: list[str] = []

    def script(request: Request) -> Reply:
        if request.id == "e1":
            return Reply(gate=others_done)
        done.append(request.id)
        if len(done) == 400:
            others_done.set()
        return Reply()

    # One slot is taken by the stuck request, another lead's later event waits behind it.
    rows = [lead(1, of="stuck"), lead(2, of="stuck"), *(lead(n) for n in range(3, 403))]
    with scripted(script) as server:
        sent = send(destination(server.url, timeout=20), rows, concurrency=2)
    assert sent.counts == {"delivered": 402}
    assert server.ids[-1] == "e2"


def test_leads_that_hang_give_their_place_in_the_window_to_others() -> None:
    others_done = threading.Event()
    done: list[str] = []

    def script(request: Request) -> Reply:
        if request.id in ("e1", "e2"):
            return Reply(gate=others_done)
        done.append(request.id)
        if len(done) == 40:
            others_done.set()
        return Reply()

    # Both places are taken by hanging requests, and a later event waits behind the first.
    rows = [lead(1, of="stuck"), lead(2), lead(3, of="stuck"), *(lead(n) for n in range(4, 44))]
    with scripted(script) as server:
        sent = send(destination(server.url, timeout=15), rows, concurrency=8, first_window=2)
    assert sent.counts == {"delivered": 43}
    assert len(server.requests) == 43, "neither hung until its time was up"
    assert server.ids[-1] == "e3"


def test_a_lead_that_is_tried_again_and_again_holds_up_nobody_else() -> None:
    done: list[str] = []

    def script(request: Request) -> Reply:
        if request.id == "e1" and len(done) < 300:
            return Reply(429)
        done.append(request.id)
        return Reply()

    with scripted(script) as server:
        sent = send(server.url, leads(301), concurrency=1, retry=RetryPolicy(first_delay=0.1, longest_delay=0.1))
    assert sent.counts == {"delivered": 301}
    assert done.index("e1") == 300


def endless(read: list[int]) -> Iterator[dict[str, object]]:
    for number in itertools.count(1):
        read[0] = number
        yield lead(number)


@pytest.mark.parametrize("concurrency", [4, 64])
def test_an_endless_source_is_read_only_so_far_ahead(concurrency: int) -> None:
    read = [0]
    chunk = 50
    release = threading.Event()

    def script(request: Request) -> Reply:
        return Reply(gate=release)

    # Leads without an outcome, the chunk being let in, two that are claimed, those waiting, and the one the source
    # is filling.
    bound = max(LEADS_AHEAD, 8 * concurrency) + (CHUNKS_AHEAD + 4) * chunk
    with scripted(script) as server:
        engine, tally = sender(
            AiohttpTransport(destination(server.url, timeout=20), concurrency),
            concurrency=concurrency,
            drain_seconds=0.1,
        )

        def watch() -> None:
            """Stop when nothing has been read for a while: the reader is waiting for the server."""
            seen = -1
            while seen != read[0] or read[0] < max(LEADS_AHEAD, 8 * concurrency):
                seen = read[0]
                threading.Event().wait(0.3)
            engine.stop()

        watcher = threading.Thread(target=watch)
        watcher.start()
        result = engine.send(in_chunks(endless(read), chunk))
        watcher.join()
        release.set()
    assert read[0] <= bound
    assert result.halt is not None
    assert tally.read == tally.kinds[Kind.UNSENT]
    # Every lead taken from the source is accounted for, also those that nobody looked at any more.
    assert tally.read == read[0] // chunk * chunk
