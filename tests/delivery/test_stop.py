"""Ending early: asked to, interrupted, or because something broke. Never a deadlock, never a lead unaccounted for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from airflow_reshape.delivery.halt import Stop
from airflow_reshape.delivery.inbox import CHUNKS_AHEAD
from airflow_reshape.delivery.outcome import Kind, Outcome
from airflow_reshape.delivery.sender import DRAIN_SECONDS, Sender
from airflow_reshape.delivery.stopping import UnexpectedError
from airflow_reshape.delivery.transport import AiohttpTransport, Answer, TransportFailure
from airflow_reshape.delivery.trouble import Trouble
from airflow_reshape.events.prepared import Prepared
from tests.delivery.interrupted_task import FOR_THE_END, FOR_THE_SERVER, IN_THE_SOURCE, TIMES
from tests.delivery.leads import KeepingTally, builder, destination, in_chunks, lead, leads, sender
from tests.delivery.servers import Reply, Request, ScriptedServer, scripted

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.timeout(40)


def no_sender_left() -> bool:
    for thread in threading.enumerate():
        if thread.name == "reshape-sender":
            thread.join(10)
    return all(thread.name != "reshape-sender" for thread in threading.enumerate())


# Asked to stop, by another thread


def test_what_is_in_flight_is_drained_and_the_rest_is_unsent() -> None:
    release = threading.Event()

    def script(request: Request) -> Reply:
        if request.number == 4:
            engine.stop()
            threading.Timer(0.1, release.set).start()
        return Reply(gate=release)

    with scripted(script) as server:
        engine, tally = sender(AiohttpTransport(destination(server.url), 4), concurrency=4)
        result = engine.send(in_chunks(leads(1000)))
    assert result.halt is not None
    assert result.halt.stop is Stop.REQUESTED
    assert len(server.requests) == 4
    assert tally.positions(Kind.DELIVERED) == [1, 2, 3, 4]
    assert tally.kinds[Kind.UNSENT] == tally.read - 4
    assert tally.in_doubt == 0
    assert tally.read < 1000
    assert no_sender_left()


def test_airflow_kills_after_five_seconds() -> None:
    assert DRAIN_SECONDS <= 2


def test_what_is_not_drained_in_time_is_in_doubt() -> None:
    with scripted(lambda r: Reply(wire=b"", end="hang")) as server:
        engine, tally = sender(
            AiohttpTransport(destination(server.url, timeout=1000), 4), concurrency=4, drain_seconds=0.2
        )
        stopping = threading.Thread(target=stop_when, args=(lambda: len(server.requests) == 4, engine))
        stopping.start()
        result = engine.send(in_chunks(leads(1000)))
        stopping.join()
    assert result.halt is not None
    assert tally.unsent_by == {"requested": tally.read}
    assert tally.in_doubt == 4
    assert sorted(o.position for o in tally.outcomes if o.in_doubt) == [1, 2, 3, 4]
    assert no_sender_left()


def test_a_stop_does_not_wait_for_those_in_flight_beside_a_refusal() -> None:
    # After a 401 the others in flight are heard first, and may take their time; a task that is being killed has none.
    all_there = threading.Event()

    def script(request: Request) -> Reply:
        if request.number == 4:
            all_there.set()
        return Reply(401, gate=all_there) if request.id == "e1" else Reply(wire=b"", end="hang")

    with scripted(script) as server:
        transport = AiohttpTransport(destination(server.url, timeout=1000), 4)
        engine, tally = sender(transport, concurrency=4, drain_seconds=0.2)
        stopping = threading.Thread(target=stop_when, args=(lambda: engine.pace.answers, engine))
        stopping.start()
        result = engine.send(in_chunks(leads(100)))
        stopping.join()
    assert result.halt is not None
    assert result.halt.stop is Stop.REQUESTED
    assert tally.in_doubt == 3
    assert tally.at(1).kind is Kind.UNSENT


def test_the_engine_ends_although_the_source_is_stuck() -> None:
    # A task that is being killed must have settled its leads, whatever page of an API it waits for.
    left = threading.Event()

    class Watched(AiohttpTransport):
        async def __aexit__(
            self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
        ) -> None:
            await super().__aexit__(kind, error, trace)
            left.set()

    def rows() -> Iterator[list[object]]:
        yield [lead(1), lead(2)]
        engine.stop()
        assert left.wait(20)
        yield [lead(3)]
        raise AssertionError("it was read on")

    with scripted() as server:
        engine, tally = sender(Watched(destination(server.url), 4))
        result = engine.send(rows())
    assert result.halt is not None
    assert result.source_error is None
    assert tally.read == 3
    assert tally.at(3).kind is Kind.UNSENT


def test_a_stop_that_comes_before_the_send_prevents_it() -> None:
    with scripted() as server:
        engine, tally = sender(AiohttpTransport(destination(server.url), 4))
        engine.stop()
        rows = iter(leads(10))
        result = engine.send(in_chunks(rows, 1))
    assert result.halt is not None
    assert result.halt.stop is Stop.REQUESTED
    assert server.requests == []
    assert tally.read == 0
    assert len(list(rows)) == 10


def test_a_stop_that_comes_when_all_is_done_changes_nothing() -> None:
    def script(request: Request) -> Reply:
        if request.id == "e3":
            engine.stop()
        return Reply()

    with scripted(script) as server:
        engine, tally = sender(AiohttpTransport(destination(server.url), 1), concurrency=1)
        result = engine.send(in_chunks(leads(3)))
        engine.stop()
    assert result.halt is None
    assert tally.kinds[Kind.DELIVERED] == 3


def test_a_stop_ends_the_pauses_before_the_next_attempts() -> None:
    def script(request: Request) -> Reply:
        if request.number == 5:
            engine.stop()
        return Reply(503, headers={"Retry-After": "100"} if request.number > 4 else {})

    with scripted(script) as server:
        engine, tally = sender(AiohttpTransport(destination(server.url), 4), concurrency=4)
        result = engine.send(in_chunks(leads(50)))  # 100 seconds would meet the test's time limit
    assert result.halt is not None
    assert tally.kinds[Kind.UNSENT] == tally.read


def test_the_source_is_closed_when_the_send_stops() -> None:
    closed = []

    def rows() -> Iterator[list[object]]:
        try:
            number = 0
            while True:
                number += 1
                yield [lead(number)]
        finally:
            closed.append(True)

    with scripted(Reply(401)) as server:
        send_source(server, rows())
    assert closed == [True]


def send_source(server: ScriptedServer, chunks: Any, **options: Any) -> tuple[Any, KeepingTally]:
    engine, tally = sender(AiohttpTransport(destination(server.url), 4), concurrency=4, **options)
    return engine.send(chunks), tally


def stop_when(holds: Callable[[], object], engine: Sender) -> None:
    """Poll, and stop the send; the test's time limit is the end of it."""
    while not holds():
        threading.Event().wait(0.005)
    engine.stop()


# Interrupted, in processes of their own

RAISED = {signal.SIGALRM: "TaskTimeout", signal.SIGINT: "KeyboardInterrupt", signal.SIGTERM: None}
CASES = [(number, where) for number in RAISED for where in (IN_THE_SOURCE, FOR_THE_SERVER, FOR_THE_END)]
CASES.remove((signal.SIGTERM, IN_THE_SOURCE))  # nothing can end a source that does not return


@contextmanager
def task(*arguments: str) -> Iterator[Iterator[dict[str, Any]]]:
    """Run tasks; gives what they tell."""
    command = [sys.executable, "-m", "tests.delivery.interrupted_task", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield map(json.loads, process.stdout)
    assert process.returncode == 0


@pytest.fixture(scope="module")
def interrupted() -> list[dict[str, Any]]:
    """What tasks tell that were interrupted, by case; all run at once, because they have to wait."""
    told: list[dict[str, Any]] = [{} for _ in CASES]
    with scripted() as answering, scripted(Reply(wire=b"", end="hang")) as hanging:
        urls = [answering.url if where == IN_THE_SOURCE else hanging.url for _, where in CASES]
        with task(*(word for url, (_, where) in zip(urls, CASES, strict=True) for word in (url, where))) as tells:
            for line in tells:
                case = line.pop("case")
                if "pid" in line:
                    os.kill(line["pid"], CASES[case][0])
                else:
                    told[case] = line
    return told


@pytest.mark.parametrize(("number", "where"), CASES)
def test_interrupted(number: signal.Signals, where: str, interrupted: list[dict[str, Any]]) -> None:
    told = interrupted[CASES.index((number, where))]
    assert told["raised"] == RAISED[number]
    assert told["halt"] == ("requested" if number == signal.SIGTERM else None)
    assert not told["thread_left"]
    assert sum(told["kinds"].values()) == told["read"]
    if where != IN_THE_SOURCE:
        # It ended although the server answers nothing: because the drain is limited.
        assert told["kinds"] == {"unsent": told["read"]}
        assert told["in_doubt"] == 4


def test_an_execution_timeout_surfaces_every_time() -> None:
    with scripted() as server, task(server.url) as tells:
        told = next(tells)
    assert told == {"surfaced": TIMES, "ended": TIMES, "balanced": TIMES}


# Something breaks


def broken_after(rows: int, error: BaseException, closed: list[bool]) -> Iterator[list[object]]:
    try:
        for number in range(1, rows + 1):
            yield [lead(number)]
        raise error
    finally:
        closed.append(True)


@pytest.mark.parametrize("rows", [0, 1, 7, 500])
def test_a_source_that_breaks_loses_nothing_that_it_gave(rows: int) -> None:
    closed: list[bool] = []
    error = ValueError("page 3 is missing")
    with scripted() as server:
        result, tally = send_source(server, broken_after(rows, error, closed))
    assert result.source_error is error
    assert result.halt is None
    assert tally.kinds[Kind.DELIVERED] == rows == tally.read
    assert closed == [True]
    assert no_sender_left()


def test_what_a_source_raises_beyond_exceptions_surfaces_at_once() -> None:
    closed: list[bool] = []
    with scripted() as server, pytest.raises(SystemExit):
        send_source(server, broken_after(5, SystemExit(3), closed))
    assert closed == [True]
    assert no_sender_left()


def test_a_source_is_closed_whatever_it_raised() -> None:
    closed = []

    class Source:
        def __iter__(self) -> Iterator[list[object]]:
            return self

        def __next__(self) -> list[object]:
            raise KeyboardInterrupt

        def close(self) -> None:
            closed.append(True)
            raise OSError("nobody wants to know")

    with scripted() as server, pytest.raises(KeyboardInterrupt):
        send_source(server, Source())
    assert closed == [True]


def test_a_source_of_something_else_than_chunks() -> None:
    with scripted() as server, pytest.raises(UnexpectedError, match="TypeError while reading"):
        send_source(server, iter([[lead(1)], 5, *([lead(n)] for n in range(2, 20))]))
    assert no_sender_left()


def test_a_reader_that_waits_for_a_free_slot_is_not_forgotten() -> None:
    waiting = threading.Event()

    class Breaking(list[object]):
        def __iter__(self) -> Iterator[object]:
            yield lead(1)
            assert waiting.wait(20)
            raise ValueError(MARKER)

    def chunks() -> Iterator[list[object]]:
        yield Breaking()
        for number in range(2, 2 + CHUNKS_AHEAD):
            yield [lead(number)]
        waiting.set()  # nobody takes any more, and there is no room for what comes
        yield [lead(9)]
        yield [lead(10)]

    with scripted() as server, pytest.raises(UnexpectedError, match="ValueError while reading"):
        send_source(server, chunks())
    assert no_sender_left()


def test_a_source_that_breaks_when_it_is_closed() -> None:
    class Source:
        def __iter__(self) -> Iterator[list[object]]:
            return iter([[lead(1)]])

        def close(self) -> None:
            raise OSError("the cursor is gone")

    with scripted() as server:
        result, tally = send_source(server, Source())
    assert isinstance(result.source_error, OSError)
    assert tally.kinds[Kind.DELIVERED] == 1


MARKER = "ana.marker@example.com"


def stumbling(at: int) -> Callable[[object], Prepared]:
    build = builder()

    def prepare(row: object) -> Prepared:
        assert isinstance(row, dict)
        if row["event.id"] == f"e{at}":
            raise KeyError(MARKER)
        return build(row)

    return prepare


@pytest.mark.parametrize("at", [1, 30, 600])
def test_a_bug_in_preparing_surfaces_without_the_leads_values(at: int) -> None:
    with scripted() as server:
        engine, tally = sender(AiohttpTransport(destination(server.url), 4), concurrency=4, prepare=stumbling(at))
        with pytest.raises(UnexpectedError, match=f"KeyError while preparing lead no. {at}:") as caught:
            engine.send(in_chunks(leads(2000)))
    shown = caught.getrepr(style="long", showlocals=False)
    assert MARKER not in str(shown)
    assert "stumbling" in str(shown) or "prepare" in str(shown)
    assert caught.value.__cause__ is None
    # What came before it is settled, what came after is unsent.
    assert tally.read == tally.kinds.total()
    assert tally.kinds[Kind.DELIVERED] + tally.kinds[Kind.UNSENT] == tally.read
    assert all(o.position < at for o in tally.outcomes if o.kind is Kind.DELIVERED)
    assert no_sender_left()


class BrokenTransport:
    """Opens, and then raises what no transport should."""

    def __init__(self, error: BaseException, good: int = 5) -> None:
        self.error = error
        self.good = good

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    async def post(self, body: bytes) -> Answer:
        self.good -= 1
        if self.good < 0:
            raise self.error
        return Answer(200)


def test_a_doubt_outlives_later_attempts_that_sent_nothing() -> None:
    class Fading(BrokenTransport):
        async def post(self, body: bytes) -> Answer:
            self.good -= 1
            raise TransportFailure("timeout" if self.good == 4 else "connect")

    fading = Fading(OSError())
    engine, tally = sender(fading, concurrency=1, trouble=Trouble(max_outage=0.1))
    engine.send(in_chunks(leads(1)))
    assert tally.at(1).kind is Kind.UNSENT
    assert tally.at(1).attempts == 5 - fading.good > 1
    assert tally.at(1).in_doubt


@pytest.mark.parametrize("error", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_a_bug_in_the_transport_surfaces(error: type[BaseException]) -> None:
    engine, tally = sender(BrokenTransport(error(MARKER)), concurrency=4)
    with pytest.raises(UnexpectedError, match=rf"{error.__name__} while sending lead no\. \d") as caught:
        engine.send(in_chunks(leads(2000)))
    assert MARKER not in str(caught.value)
    assert tally.kinds[Kind.DELIVERED] == 5
    assert tally.read == tally.kinds.total()
    assert no_sender_left()


def test_a_transport_that_does_not_open_surfaces_before_anything_is_read() -> None:
    class Closed(BrokenTransport):
        async def __aenter__(self) -> Self:
            raise OSError("no such file")

    rows = iter(leads(5))
    engine, _ = sender(Closed(OSError()))
    with pytest.raises(OSError, match="no such file"):
        engine.send(in_chunks(rows))
    assert len(list(rows)) == 5
    assert no_sender_left()


@pytest.mark.parametrize("kind", [Kind.DELIVERED, Kind.INVALID])
def test_a_bug_in_counting_surfaces(kind: Kind) -> None:
    class BrokenTally(KeepingTally):
        def record(self, outcome: Outcome) -> None:
            super().record(outcome)
            if outcome.kind is kind:
                raise ZeroDivisionError(MARKER)

    rows = [*leads(5), {"currency": "no such"}, *({**lead(n), "currency": "EUR"} for n in range(7, 2000))]
    with scripted() as server:
        engine, _ = sender(AiohttpTransport(destination(server.url), 4), concurrency=4, tally=BrokenTally())
        with pytest.raises(UnexpectedError, match="ZeroDivisionError while counting"):
            engine.send(in_chunks(rows))
    assert no_sender_left()


def test_a_name_lookup_that_hangs_does_not_delay_the_end() -> None:
    # Lookups run in threads that cannot be cancelled; asyncio waits for them when a loop is closed.
    answered = threading.Event()
    looking = threading.Event()

    class Looking(BrokenTransport):
        async def post(self, body: bytes) -> Answer:
            import asyncio

            looking.set()
            await asyncio.get_running_loop().run_in_executor(None, answered.wait, 40)
            return Answer(200)

    engine, tally = sender(Looking(OSError()), concurrency=2, drain_seconds=0.1)
    stopping = threading.Thread(target=stop_when, args=(looking.is_set, engine))
    stopping.start()
    result = engine.send(in_chunks(leads(5)))
    assert not answered.is_set()
    answered.set()
    stopping.join()
    assert result.halt is not None
    assert tally.in_doubt == 2
    assert no_sender_left()
