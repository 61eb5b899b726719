"""The engine: leads from the caller's thread become outcomes.

Two threads. The caller's reads the source (a cursor or a generator may belong to its thread, and signals arrive
there) and hands chunks of rows to a bounded inbox. A daemon thread runs an event loop, in which rows become events
(:mod:`.intake`) and events become outcomes (:mod:`.dispatch`). An event loop in the main thread would swallow the
task's execution timeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from airflow_reshape.delivery.dispatch import Dispatch
from airflow_reshape.delivery.guards import Guards
from airflow_reshape.delivery.halt import Halt, Stop
from airflow_reshape.delivery.inbox import Inbox
from airflow_reshape.delivery.intake import Intake
from airflow_reshape.delivery.limits.limits import Limits
from airflow_reshape.delivery.limits.rate import Rate
from airflow_reshape.delivery.limits.window import FIRST, Window
from airflow_reshape.delivery.outcome import Kind, Outcome
from airflow_reshape.delivery.pace import Pace
from airflow_reshape.delivery.records import FailuresUnwritableError, Records
from airflow_reshape.delivery.repeats import EventIds
from airflow_reshape.delivery.retry import RetryPolicy
from airflow_reshape.delivery.source import closing_error, left_of, waited
from airflow_reshape.delivery.stopping import Stopping
from airflow_reshape.delivery.tally import Tally
from airflow_reshape.delivery.transport import Transport
from airflow_reshape.delivery.trouble import Trouble
from airflow_reshape.events.prepared import Prepared

DRAIN_SECONDS = 2.0
"""A task is killed 5 seconds after it was asked to stop; requests in flight get this long of them."""
SECONDS_TO_END = 1.0
LEADS_AHEAD = 256
"""Leads read and not settled, or eight times the concurrency if that is more: what bounds memory."""
SECONDS_TO_WAIT_FOR_OTHERS = 60.0
"""How long events wait that another living send has claimed: as long as its lease runs without a sign of life."""
SECONDS_BETWEEN_PULSES = 0.5
SHORT_PAUSE = 0.01
"""Seconds that a source waits which has better things to do."""


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


class Sender:
    """Sends one stream of leads; make a new one for the next.

    :param transport: sends one body.
    :param prepare: makes an event of a row, or tells why there is none; never raises for a row.
    :param guards: leads that must not be sent.
    :param tally: counts the outcomes.
    :param concurrency: most requests in flight. Default 64.
    :param first_window: requests in flight at the beginning. Default 8.
    :param rate_limit: most requests a second. Default: as many as the server takes.
    :param retry: when to try again.
    :param trouble: tells a bad event from a bad server.
    :param random: source of jitter.
    :param now: current time, aware.
    :param drain_seconds: how long requests in flight may take after a stop.
    :param records: what is written down, and known from before. Default: nothing.
    :param patience: seconds that events wait for another send that has claimed them.
    :param max_events: most events to send. Default no limit.
    :param holds: nothing is sent before it is known that there are not more; for sources that cannot be counted.
        Default True.
    :param pulse: called about once a second in the thread of :meth:`send`.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        prepare: Callable[[object], Prepared],
        guards: Guards,
        tally: Tally,
        concurrency: int = 64,
        first_window: int = FIRST,
        rate_limit: float | None = None,
        retry: RetryPolicy | None = None,
        trouble: Trouble | None = None,
        random: Random | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        drain_seconds: float = DRAIN_SECONDS,
        records: Records | None = None,
        patience: float = SECONDS_TO_WAIT_FOR_OTHERS,
        max_events: int | None = None,
        holds: bool = True,
        event_ids: EventIds | None = None,
        probe: bytes | None = None,
        pulse: Callable[[], None] = lambda: None,
    ) -> None:
        if concurrency < 1:
            raise ValueError("concurrency must be at least 1")
        self._transport = transport
        self._tally = tally
        self._concurrency = concurrency
        self._window = Window(concurrency, first_window)
        self._rate_limit = rate_limit
        self._limits: Limits | None = None
        self._retry = retry or RetryPolicy()
        self._trouble = trouble or Trouble()
        self._random = random or Random()  # noqa: S311  # jitter, no secret
        self._now = now
        self._drain_seconds = drain_seconds
        self._records = records or Records()
        self._probe = probe
        self._pulse = pulse
        self._pace = Pace()
        self._inbox = Inbox()
        self._stopping = Stopping(self._on_halt)
        self._intake = Intake(
            prepare=prepare,
            guards=guards,
            tally=tally,
            records=self._records,
            stopping=self._stopping,
            record=self._record,
            now=now,
            patience=patience,
            max_events=max_events,
            holds=holds,
            event_ids=event_ids,
        )
        self._dispatch: Dispatch | None = None
        self._stop_asked = False
        self._draining = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened: Future[None] = Future()
        self._finished: Future[None] = Future()

    @property
    def pace(self) -> Pace:
        """How fast it goes; safe to read in any thread."""
        limits, loop = self._limits, self._loop
        self._pace.window = self._window.size
        if limits is not None and loop is not None:
            self._pace.in_flight = limits.in_flight
            self._pace.rate = limits.rate.per_second(loop.time())
        return self._pace

    # The caller's thread

    def send(self, chunks: Iterable[Sequence[object]]) -> SendResult:
        """Send all leads of a source; returns when each has its outcome.

        :param chunks: the rows, in lists; read in this thread, only as fast as they are sent.
        :raises TransportUnusable: the transport cannot be opened; nothing was read.
        :raises UnexpectedError: a bug.
        :raises BaseException: what is not an ``Exception`` (the task's execution timeout, an interrupt), after
            requests in flight were given ``drain_seconds``.
        """
        started = time.monotonic()
        try:
            self._start()
            read_all, source_error = self._read(chunks)
            self._inbox.end()
            self._wait_for_the_end()
        except BaseException:
            self.stop()
            self._inbox.end()
            wait((self._finished,), timeout=self._drain_seconds + SECONDS_TO_END)
            closing_error(chunks)
            if self._finished.done():
                self._leave_the_rest(chunks)
            raise
        self._leave_the_rest(chunks)
        if self._stopping.bug is not None:
            raise self._stopping.bug
        self._tally.check_balance()
        return SendResult(self._tally, self._halt_that_matters(read_all), source_error, time.monotonic() - started)

    def stop(self) -> None:
        """Ask the send to end, also before it began. Safe in a signal handler: takes no lock, waits for nothing."""
        self._stop_asked = True
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(self._request_stop)

    def _halt_that_matters(self, read_all: bool) -> Halt | None:
        """A request to stop that came when all was done changed nothing."""
        halt = self._stopping.halt
        done = read_all and not self._tally.kinds[Kind.UNSENT]
        return None if done and halt is not None and halt.stop is Stop.REQUESTED else halt

    def _wait_for_the_end(self) -> None:
        while not wait((self._finished,), timeout=SECONDS_BETWEEN_PULSES).done:
            self._pulse()
        self._finished.result()

    def _leave_the_rest(self, chunks: object) -> None:
        """What was read and that nobody took before the end."""
        for chunk in (*self._inbox.left(), self._records.left(), left_of(chunks)):
            self._intake.leave(chunk)
        try:
            self._records.finish()
        except FailuresUnwritableError as error:
            self._stopping.failed(error, "keeping failed leads")

    def _start(self) -> None:
        threading.Thread(target=self._thread, name="reshape-sender", daemon=True).start()
        self._opened.result()

    def _read(self, chunks: Iterable[Sequence[object]]) -> tuple[bool, Exception | None]:
        """Hand the source's rows over; whether that was all of them, and what the source raised."""
        source_error: Exception | None = None
        read_all = False
        try:
            if not self._stopping.is_halted():
                for chunk in chunks:
                    pause = SECONDS_BETWEEN_PULSES
                    while not self._inbox.put(chunk, pause):
                        self._pulse()
                        pause = SHORT_PAUSE if waited(chunks) else SECONDS_BETWEEN_PULSES
                    self._pulse()
                    if self._stopping.is_halted():
                        break
                else:
                    read_all = True
        except Exception as error:  # noqa: BLE001  # what was read before must be settled first
            source_error = error
        unclosed = closing_error(chunks)
        return read_all, source_error or unclosed

    # The event loop's thread

    def _thread(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001  # it must reach the caller's thread
            self._finish(error)

    async def _main(self) -> None:
        try:
            await self._run()
        except BaseException as error:  # noqa: BLE001  # as above
            self._stopping.stop(Halt(Stop.ERROR, type(error).__name__))
            self._finish(error)
        else:
            # Not after asyncio.run: it waits for name lookups, which cannot be cancelled.
            self._finish(None)

    def _finish(self, error: BaseException | None) -> None:
        self._stopping.over = True
        self._inbox.close()
        for future in (self._opened, self._finished):
            if not future.done():
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        self._limits = Limits(self._window, Rate(self._rate_limit, loop.time()))
        self._stopping.open()
        self._inbox.open()
        self._dispatch = dispatch = Dispatch(
            transport=self._transport,
            limits=self._limits,
            retry=self._retry,
            trouble=self._trouble,
            random=self._random,
            now=self._now,
            stopping=self._stopping,
            record=self._record,
            pace=self._pace,
            room=max(LEADS_AHEAD, 8 * self._concurrency),
            probe=self._probe,
        )
        self._loop = loop
        if self._stop_asked:
            self._request_stop()
        async with self._transport:
            self._opened.set_result(None)
            try:
                await self._records.open(self._stopping.stop)
                await self._intake.take_all(self._inbox, dispatch)
            except Exception as error:  # noqa: BLE001  # what is in flight is settled first
                self._stopping.failed(error, "reading")
            await dispatch.all_settled()
            self._intake.leave_waiting()
            dispatch.decide(Kind.UNSENT if self._stopping.is_halted() else Kind.REJECTED)
            try:
                await self._records.close(self._tally.summary())
            except Exception as error:  # noqa: BLE001  # its text may quote a lead
                self._stopping.failed(error, "closing the records")

    def _record(self, outcome: Outcome) -> None:
        try:
            self._records.settle(outcome)
            self._tally.record(outcome)
        except Exception as error:  # noqa: BLE001  # whoever waits for this lead must not wait for ever
            self._stopping.found_bug(error, f"counting lead no. {outcome.position}")

    # Stopping

    def _request_stop(self) -> None:
        self._stopping.stop(Halt(Stop.REQUESTED, "the task was asked to stop"))
        if not self._draining and self._loop is not None and self._dispatch is not None:
            self._draining = True
            self._loop.call_later(self._drain_seconds, self._dispatch.abandon)

    def _on_halt(self) -> None:
        self._inbox.hurry()
        if self._loop is not None and self._dispatch is not None:
            self._loop.call_soon(self._dispatch.go_on)
