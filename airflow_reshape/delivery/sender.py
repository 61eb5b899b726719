"""The engine: leads from the caller's thread become outcomes.

Two threads. The caller's reads the source (a cursor or a generator may belong to its thread, and signals arrive
there) and hands chunks of rows to a bounded queue. A daemon thread runs an event loop, in which rows are mapped,
guarded and sent. An event loop in the main thread would swallow the task's execution timeout.

Mechanism only: what an answer means (:mod:`.verdict`), when to try again (:mod:`.retry`), who may be sent
(:mod:`.guards`) and how many at a time come in from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError as CancelledFuture
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from random import Random
from typing import Any

from airflow_reshape.delivery.guards import Guards, stopped_by
from airflow_reshape.delivery.outcome import Kind, Outcome
from airflow_reshape.delivery.privacy import redacted
from airflow_reshape.delivery.retry import RetryPolicy, Trouble, retry_after_seconds
from airflow_reshape.delivery.tally import Tally
from airflow_reshape.delivery.transport import Answer, Transport, TransportFailure
from airflow_reshape.delivery.verdict import Action, Verdict, judge, judge_failure
from airflow_reshape.events.prepared import InvalidLead, Prepared, PreparedEvent, SkippedLead
from airflow_reshape.events.wire import to_bytes

log = logging.getLogger(__name__)

DRAIN_SECONDS = 2.0
"""A task is killed 5 seconds after it was asked to stop; requests in flight get this long of them."""
CHUNKS_AHEAD = 2
ROWS_WITHOUT_PAUSE = 20
LIVENESS_SECONDS = 1.0


class Stop(Enum):
    """Why a send ended before its source did."""

    CREDENTIALS = "credentials"
    CONFIGURATION = "configuration"
    OUTAGE = "outage"
    REQUESTED = "requested"


@dataclass(frozen=True, slots=True)
class Halt:
    """A send that stopped early.

    :param why: the cause in words, without personal data.
    """

    stop: Stop
    why: str


@dataclass(frozen=True, slots=True)
class SendResult:
    """The end of a send.

    :param halt: why it stopped early, or None.
    :param source_error: what the source raised, or None; everything read before is settled.
    :param seconds: duration.
    """

    tally: Tally
    halt: Halt | None
    source_error: Exception | None
    seconds: float


@dataclass(slots=True)
class _Pending:
    position: int
    event: PreparedEvent
    attempts: int = 0
    in_doubt: bool = False


class Sender:
    """Sends one stream of leads.

    :param transport: sends one body.
    :param prepare: makes an event of a row, or tells why there is none; never raises for a row.
    :param guards: leads that must not be sent.
    :param tally: counts the outcomes.
    :param concurrency: most requests in flight. Default 16.
    :param retry: when to try again.
    :param trouble: tells a bad event from a bad server.
    :param random: source of jitter.
    :param now: current time, aware.
    :param drain_seconds: how long requests in flight may take after a stop.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        prepare: Callable[[object], Prepared],
        guards: Guards,
        tally: Tally,
        concurrency: int = 16,
        retry: RetryPolicy | None = None,
        trouble: Trouble | None = None,
        random: Random | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        if concurrency < 1:
            raise ValueError("concurrency must be at least 1")
        self._transport = transport
        self._prepare = prepare
        self._guards = guards
        self._tally = tally
        self._concurrency = concurrency
        self._retry = retry or RetryPolicy()
        self._trouble = trouble or Trouble()
        self._random = random or Random()  # noqa: S311  # jitter, no secret
        self._now = now
        self._drain_seconds = drain_seconds
        self._halt: Halt | None = None
        self._paused_until = 0.0  # loop time
        self._lanes: dict[object, deque[_Pending]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._finished: Future[None] = Future()

    # The caller's thread

    def send(self, chunks: Iterable[Sequence[object]]) -> SendResult:
        """Send all leads of a source; returns when each has its outcome.

        :param chunks: the rows, in lists; read in this thread, only as fast as they are sent.
        :raises BaseException: what is not an ``Exception`` (the task's execution timeout, an interrupt), after
            requests in flight were given :attr:`drain_seconds`.
        """
        started = time.monotonic()
        source_error: Exception | None = None
        self._start()
        try:
            try:
                for chunk in chunks:
                    if not self._hand_over(chunk):
                        break
            except Exception as error:  # noqa: BLE001  # what was read before must be settled first
                source_error = error
            self._hand_over(None)
            self._wait(self._finished)
        except BaseException:
            self.stop()
            with contextlib.suppress(Exception):  # what ends the task is already on its way
                self._finished.result(timeout=self._drain_seconds + LIVENESS_SECONDS)
            raise
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        self._tally.check_balance()
        return SendResult(self._tally, self._halt, source_error, time.monotonic() - started)

    def stop(self) -> None:
        """Ask the send to end. Safe in a signal handler: it takes no lock and waits for nothing."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(self._request_stop)

    def _start(self) -> None:
        ready: Future[None] = Future()
        thread = threading.Thread(target=self._thread, args=(ready,), name="reshape-sender", daemon=True)
        thread.start()
        self._wait(ready)

    def _thread(self, ready: Future[None]) -> None:
        try:
            asyncio.run(self._run(ready))
        except BaseException as error:  # noqa: BLE001  # it must reach the caller's thread
            for future in (ready, self._finished):
                if not future.done():
                    future.set_exception(error)
        else:
            self._finished.set_result(None)

    def _hand_over(self, chunk: Sequence[object] | None) -> bool:
        """Queue a chunk (None: the end) when there is room; False once the send has halted."""
        if self._finished.done():
            self._finished.result()
            return False
        assert self._loop is not None
        put = self._queue.put(chunk)
        try:
            self._wait(asyncio.run_coroutine_threadsafe(put, self._loop))
        except (CancelledFuture, RuntimeError):  # the loop ended between the question and the call
            put.close()
            self._finished.result()
            return False
        return self._halt is None

    def _wait(self, future: Future[None]) -> None:
        """Wait for the other thread, but not for ever if it has ended."""
        while not future.done():
            with contextlib.suppress(FutureTimeout):
                return future.result(timeout=LIVENESS_SECONDS)
            if self._finished.done() and not future.done():
                return self._finished.result()
        return future.result()

    # The event loop's thread

    async def _run(self, ready: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[Sequence[object] | None] = asyncio.Queue(CHUNKS_AHEAD)
        self._halted = asyncio.Event()
        self._window = asyncio.Semaphore(self._concurrency)
        # Leads read but not settled: what bounds memory. Events of one lead wait for each other in here.
        self._room = asyncio.Semaphore(max(256, 8 * self._concurrency))
        async with self._transport:
            ready.set_result(None)
            await self._take_in()
            await self._settle_all()

    async def _take_in(self) -> None:
        position = 0
        while (chunk := await self._next_chunk()) is not None:
            for row in chunk:
                position += 1
                if position % ROWS_WITHOUT_PAUSE == 0:
                    await asyncio.sleep(0)  # answers to requests in flight are waiting
                self._tally.read += 1
                lead = self._prepare(row)
                if not isinstance(lead, PreparedEvent):
                    self._record(_unprepared(position, lead))
                elif why := stopped_by(lead, self._guards, self._now()):
                    self._record(Outcome(Kind.SKIPPED, position, lead, why))
                else:
                    await self._admit(_Pending(position, lead))

    async def _next_chunk(self) -> Sequence[object] | None:
        """The next chunk; None at the end, or when the send has halted and nothing more was handed over."""
        if self._queue.empty() and self._halt is None:
            chunk, halted = (
                asyncio.ensure_future(self._queue.get()),
                asyncio.ensure_future(self._halted.wait()),
            )
            await asyncio.wait((chunk, halted), return_when=asyncio.FIRST_COMPLETED)
            halted.cancel()
            if chunk.done():
                return chunk.result()
            chunk.cancel()
        try:
            return self._queue.get_nowait()
        except asyncio.QueueEmpty:
            return None

    async def _admit(self, pending: _Pending) -> None:
        await self._room.acquire()
        key = pending.event.order_key
        lane = self._lanes.get(key) if key is not None else None
        if lane is not None:
            lane.append(pending)
            return
        lane = deque((pending,))
        if key is not None:
            self._lanes[key] = lane
        task = asyncio.create_task(self._work_off(key, lane))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work_off(self, key: object, lane: deque[_Pending]) -> None:
        """Settle the events of one lead, one after the other."""
        while lane:
            pending = lane[0]
            try:
                outcome = await self._settle(pending)
            except asyncio.CancelledError:
                outcome = self._unsent(pending)
            lane.popleft()
            self._record(outcome)
            self._room.release()
        if key is not None:
            del self._lanes[key]

    async def _settle_all(self) -> None:
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _settle(self, pending: _Pending) -> Outcome:
        """Try until there is an outcome."""
        body = to_bytes(pending.event.body)
        successes_before = self._trouble.successes
        while True:
            async with self._window:
                await self._pause()
                if self._halt is not None:
                    return self._unsent(pending)
                verdict, answer, failure = await self._attempt(pending, body)
            outcome = self._conclude(pending, verdict, answer)
            if outcome is not None:
                return outcome
            self._trouble.failed(pending.position)
            if pending.attempts >= self._retry.most_attempts:
                return self._exhausted(pending, verdict, answer, successes_before, failure)
            asked = retry_after_seconds(answer.retry_after, self._now().timestamp()) if answer else None
            delay = self._retry.delay(pending.attempts, asked, self._random)
            if asked:
                self._hold_everyone(min(asked, self._retry.longest_retry_after))
            await self._sleep(delay)

    async def _attempt(self, pending: _Pending, body: bytes) -> tuple[Verdict, Answer | None, str | None]:
        pending.attempts += 1
        doubted = pending.in_doubt
        pending.in_doubt = True  # also if this is cancelled
        try:
            answer = await self._transport.post(body)
        except TransportFailure as error:
            pending.in_doubt = doubted or error.kind in ("timeout", "reset")
            return judge_failure(error.kind), None, error.kind
        pending.in_doubt = doubted
        return judge(answer), answer, None

    def _conclude(self, pending: _Pending, verdict: Verdict, answer: Answer | None) -> Outcome | None:
        """The outcome that a verdict means, or None to try again."""
        action = verdict.action
        if action is Action.REFUSED:
            blame = self._trouble.refused(pending.position)
            action = Action.STOP_CONFIGURATION if blame else Action.REJECTED
            if blame:
                verdict = verdict._replace(
                    reason=f"{verdict.reason}: host, path, script_id or token of the connection is wrong"
                )
        if action is Action.DELIVERED:
            self._trouble.succeeded()
            return self._outcome(Kind.DELIVERED, pending, None, answer, verdict)
        if action is Action.REJECTED:
            if verdict.action is Action.REJECTED:
                self._trouble.succeeded()
            return self._outcome(Kind.REJECTED, pending, verdict.reason, answer, verdict)
        if action in STOPS:
            self._stop_with(Halt(STOPS[action], verdict.reason))
            return self._unsent(pending)
        return None

    def _exhausted(
        self,
        pending: _Pending,
        verdict: Verdict,
        answer: Answer | None,
        successes_before: int,
        failure: str | None,
    ) -> Outcome:
        if self._trouble.is_outage(successes_before, connected=failure != "connect"):
            self._stop_with(Halt(Stop.OUTAGE, f"the server does not take events: {verdict.reason}"))
            return self._unsent(pending)
        return self._outcome(Kind.REJECTED, pending, f"gave up: {verdict.reason}", answer, verdict)

    def _outcome(
        self, kind: Kind, pending: _Pending, why: str | None, answer: Answer | None, verdict: Verdict
    ) -> Outcome:
        return Outcome(
            kind,
            pending.position,
            pending.event,
            why,
            status=answer.status if answer else None,
            detail=redacted(verdict.detail, pending.event.body) if verdict.detail else None,
            attempts=pending.attempts,
            in_doubt=pending.in_doubt and kind is not Kind.DELIVERED,
        )

    def _unsent(self, pending: _Pending) -> Outcome:
        return Outcome(
            Kind.UNSENT,
            pending.position,
            pending.event,
            self._halt.stop.value if self._halt else Stop.REQUESTED.value,
            attempts=pending.attempts,
            in_doubt=pending.in_doubt,
        )

    def _record(self, outcome: Outcome) -> None:
        self._tally.record(outcome)

    def _request_stop(self) -> None:
        self._stop_with(Halt(Stop.REQUESTED, "the task was asked to stop"))

    def _stop_with(self, halt: Halt) -> None:
        if self._halt is None:
            self._halt = halt
            self._halted.set()
            if halt.stop is Stop.REQUESTED and self._loop is not None:
                self._loop.call_later(self._drain_seconds, self._abandon)

    def _abandon(self) -> None:
        """Give up what is still in flight; its events are unsent, in doubt."""
        for task in self._tasks:
            task.cancel()

    def _hold_everyone(self, seconds: float) -> None:
        """The server asked for a pause: it means all of us, not this event only."""
        assert self._loop is not None
        self._paused_until = max(self._paused_until, self._loop.time() + seconds)

    async def _pause(self) -> None:
        assert self._loop is not None
        while self._halt is None and (left := self._paused_until - self._loop.time()) > 0:
            await self._sleep(left)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, unless the send halts."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._halted.wait(), seconds)


STOPS = {Action.STOP_CREDENTIALS: Stop.CREDENTIALS, Action.STOP_CONFIGURATION: Stop.CONFIGURATION}


def _unprepared(position: int, lead: Any) -> Outcome:
    if isinstance(lead, InvalidLead):
        return Outcome(Kind.INVALID, position, lead, "invalid")
    assert isinstance(lead, SkippedLead)
    return Outcome(Kind.SKIPPED, position, lead, lead.why)
