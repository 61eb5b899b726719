"""The engine: leads from the caller's thread become outcomes.

Two threads. The caller's reads the source (a cursor or a generator may belong to its thread, and signals arrive
there) and hands chunks of rows to a bounded inbox. A daemon thread runs an event loop, in which rows are mapped,
guarded and sent. An event loop in the main thread would swallow the task's execution timeout.

Mechanism only: what an answer means (:mod:`.verdict`), whose fault a failure is (:mod:`.trouble`), how long to wait
(:mod:`.retry`), who may be sent (:mod:`.guards`) and how many at a time come in from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random

from airflow_reshape.delivery.checkpoint.checkpoint import SETTLED_BEFORE
from airflow_reshape.delivery.checkpoint.resume import Before, KnownRow
from airflow_reshape.delivery.guards import Guards, stopped_by
from airflow_reshape.delivery.halt import Halt, Stop
from airflow_reshape.delivery.inbox import Inbox
from airflow_reshape.delivery.ledger.claims import TAKEN, Claim, LedgerLostError, LedgerUnusableError
from airflow_reshape.delivery.outcome import Kind, Outcome
from airflow_reshape.delivery.privacy import redacted
from airflow_reshape.delivery.records import FailuresUnwritableError, Records
from airflow_reshape.delivery.retry import RetryPolicy, retry_after_seconds
from airflow_reshape.delivery.source import closing_error, left_of
from airflow_reshape.delivery.tally import Tally
from airflow_reshape.delivery.transport import Answer, Transport, TransportFailure
from airflow_reshape.delivery.trouble import Next, Trial, Trouble
from airflow_reshape.delivery.verdict import FOR_ALL, Action, Verdict, judge, judge_failure
from airflow_reshape.events.prepared import InvalidLead, Prepared, PreparedEvent, SkippedLead
from airflow_reshape.events.wire import to_bytes

DRAIN_SECONDS = 2.0
"""A task is killed 5 seconds after it was asked to stop; requests in flight get this long of them."""
SECONDS_TO_END = 1.0
LEADS_AHEAD = 256
"""Leads read and not settled, or eight times the concurrency if that is more: what bounds memory."""
ROWS_WITHOUT_PAUSE = 20
SECONDS_TO_WAIT_FOR_OTHERS = 60.0
"""How long events wait that another living send has claimed: as long as its lease runs without a sign of life."""
SECONDS_BETWEEN_LOOKS = 0.5
SOURCE_BROKE = "source"
"""Why a lead is unsent that its source gave before it raised an error."""
SECONDS_BETWEEN_PULSES = 0.5
MOST_HELD = 10_000
"""Events that may be held back until it is known that there are not too many."""


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


class UnexpectedError(RuntimeError):
    """A bug, of this package or of a function given to it. The text tells where, never what a lead holds."""


@dataclass(slots=True)
class _Pending:
    position: int
    event: PreparedEvent
    row: object
    trial: Trial = field(default_factory=Trial)
    in_doubt: bool = False
    owned: bool = False


@dataclass(frozen=True, slots=True)
class _Attempt:
    request: int
    verdict: Verdict
    answer: Answer | None


class Sender:
    """Sends one stream of leads; make a new one for the next.

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
        concurrency: int = 16,
        retry: RetryPolicy | None = None,
        trouble: Trouble | None = None,
        random: Random | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        drain_seconds: float = DRAIN_SECONDS,
        records: Records | None = None,
        patience: float = SECONDS_TO_WAIT_FOR_OTHERS,
        max_events: int | None = None,
        holds: bool = True,
        pulse: Callable[[], None] = lambda: None,
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
        self._records = records or Records()
        self._patience = patience
        self._max_events = max_events
        self._held: list[_Pending] | None = [] if max_events is not None and holds else None
        self._to_send = 0
        self._pulse = pulse
        self._aside: list[_Pending] = []
        self._keys_aside: set[str] = set()
        self._inbox = Inbox()
        self._position = 0
        self._halt: Halt | None = None
        self._bug: Exception | None = None
        self._stop_asked = False
        self._draining = False
        self._paused_until = 0.0  # loop time
        self._lanes: dict[object, deque[_Pending]] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._undecided: list[Outcome] = []
        self._follows: dict[Action, Callable[[_Pending, _Attempt], float | None]] = {
            Action.DELIVERED: self._delivered,
            Action.REJECTED: self._rejected,
            Action.REFUSED: self._refused,
            Action.RETRY: self._failed,
            Action.BUSY: self._failed,
            Action.STOP_CREDENTIALS: self._stopped,
            Action.STOP_CONFIGURATION: self._stopped,
        }
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opened: Future[None] = Future()
        self._finished: Future[None] = Future()

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
        if self._bug is not None:
            raise self._bug
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
        halt = self._halt
        done = read_all and not self._tally.kinds[Kind.UNSENT]
        return None if done and halt is not None and halt.stop is Stop.REQUESTED else halt

    def _wait_for_the_end(self) -> None:
        while not wait((self._finished,), timeout=SECONDS_BETWEEN_PULSES).done:
            self._pulse()
        self._finished.result()

    def _leave_the_rest(self, chunks: object) -> None:
        """What was read and that nobody took before the end."""
        for chunk in (*self._inbox.left(), self._records.left(), left_of(chunks)):
            self._leave(chunk)
        try:
            self._records.finish()
        except FailuresUnwritableError as error:
            self._stop_with(Halt(Stop.FAILURES_NOT_KEPT, str(error)))

    def _start(self) -> None:
        threading.Thread(target=self._thread, name="reshape-sender", daemon=True).start()
        self._opened.result()

    def _read(self, chunks: Iterable[Sequence[object]]) -> tuple[bool, Exception | None]:
        """Hand the source's rows over; whether that was all of them, and what the source raised."""
        source_error: Exception | None = None
        read_all = False
        try:
            if not self._is_halted():
                for chunk in chunks:
                    while not self._inbox.put(chunk, SECONDS_BETWEEN_PULSES):
                        self._pulse()
                    self._pulse()
                    if self._is_halted():
                        break
                else:
                    read_all = True
        except Exception as error:  # noqa: BLE001  # what was read before must be settled first
            source_error = error
        unclosed = closing_error(chunks)
        return read_all, source_error or unclosed

    def _is_halted(self) -> bool:
        return self._halt is not None

    def _leave(self, rows: Iterable[object]) -> None:
        """Count rows that came after the end."""
        for row in rows:
            self._position += 1
            self._tally.read += 1
            if isinstance(row, KnownRow) and row.before is not Before.FAILED:
                self._record(_known(self._position, row))
                continue
            raw = row.row if isinstance(row, KnownRow) else row
            self._record(Outcome(Kind.UNSENT, self._position, None, self._stopped_by(), row=raw))

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
            self._stop_with(Halt(Stop.ERROR, type(error).__name__))
            self._finish(error)
        else:
            # Not after asyncio.run: it waits for name lookups, which cannot be cancelled.
            self._finish(None)

    def _finish(self, error: BaseException | None) -> None:
        self._inbox.close()
        for future in (self._opened, self._finished):
            if not future.done():
                if error is None:
                    future.set_result(None)
                else:
                    future.set_exception(error)

    async def _run(self) -> None:
        self._halted = asyncio.Event()
        self._window = asyncio.Semaphore(self._concurrency)
        self._room = asyncio.Semaphore(max(LEADS_AHEAD, 8 * self._concurrency))
        self._inbox.open()
        self._loop = asyncio.get_running_loop()
        if self._stop_asked:
            self._request_stop()
        async with self._transport:
            self._opened.set_result(None)
            try:
                await self._records.open(self._stop_with)
                await self._take_in()
                await self._let_in_held()
                await self._work_all_off()
                await self._look_again()
            except LedgerLostError as error:
                self._lost_ledger(error)
            except FailuresUnwritableError as error:
                self._stop_with(Halt(Stop.FAILURES_NOT_KEPT, str(error)))
            except Exception as error:  # noqa: BLE001  # what is in flight is settled first
                self._found_bug(error, "reading")
            await self._work_all_off()
            for pending in (*self._aside, *(self._held or ())):
                self._record(self._unsent(pending))
            self._decide(Kind.UNSENT if self._halt else Kind.REJECTED)
            try:
                await self._records.close(self._tally.summary())
            except Exception as error:  # noqa: BLE001  # its text may quote a lead
                self._lost_records(error, "closing the records")

    async def _work_all_off(self) -> None:
        while self._workers:
            await asyncio.wait(self._workers)

    async def _take_in(self) -> None:
        """Prepare and claim each chunk while the one before it is let in."""
        claimed: asyncio.Queue[list[tuple[_Pending, Claim]] | None] = asyncio.Queue(maxsize=1)
        letting_in = asyncio.create_task(self._let_in_claimed(claimed))
        try:
            await self._take_chunks(claimed)
        finally:
            await claimed.put(None)
            await letting_in

    async def _let_in_claimed(self, claimed: asyncio.Queue[list[tuple[_Pending, Claim]] | None]) -> None:
        while (leads := await claimed.get()) is not None:
            await self._let_in(leads)

    async def _take_chunks(self, claimed: asyncio.Queue[list[tuple[_Pending, Claim]] | None]) -> None:
        while (chunk := await self._inbox.take()) is not None:
            ready: list[_Pending] = []
            for row in chunk:
                if self._is_halted():
                    self._leave((row,))
                    continue
                self._position += 1
                self._tally.read += 1
                if self._position % ROWS_WITHOUT_PAUSE == 0:
                    await asyncio.sleep(0)  # answers to requests in flight are waiting
                pending = await self._take(self._position, row)
                if pending is not None:
                    ready.append(pending)
            await claimed.put(await self._claim(ready))

    async def _take(self, position: int, row: object) -> _Pending | None:
        """The event of a row, or None if the row has its outcome."""
        known = row if isinstance(row, KnownRow) else None
        if known is not None:
            self._records.take_known(known)
            if known.before is not Before.FAILED:
                self._record(_known(position, known))
                return None
            row = known.row
        try:
            lead = self._prepare(row)
            if known is None:
                self._records.take(row, lead)
            why = stopped_by(lead, self._guards, self._now()) if isinstance(lead, PreparedEvent) else None
        except BaseException as error:  # noqa: BLE001  # the other leads are settled first
            self._found_bug(error, f"preparing lead no. {position}")
            self._record(Outcome(Kind.UNSENT, position, None, self._stopped_by(), row=row))
            return None
        if isinstance(lead, InvalidLead):
            await self._take_invalid(position, row, lead)
        elif not isinstance(lead, PreparedEvent):
            self._record(_unprepared(position, lead, row))
        elif why:
            self._record(Outcome(Kind.SKIPPED, position, lead, why, row=row))
        else:
            return _Pending(position, lead, row)
        return None

    async def _take_invalid(self, position: int, row: object, lead: InvalidLead) -> None:
        """An invalid lead is a failure once; the same row is known in later runs."""
        try:
            known = await self._records.knows_invalid(row, lead)
        except Exception as error:  # noqa: BLE001  # the other leads are settled first
            self._lost_records(error, f"looking lead no. {position} up")
            known = None  # it is invalid whatever the ledger says
        if known is not None:
            skipped = SkippedLead(known.value, lead.stage, lead.name, lead.lead_id)
            self._record(_unprepared(position, skipped, row))
        else:
            self._record(_unprepared(position, lead, row))

    async def _claim(self, ready: Sequence[_Pending]) -> list[tuple[_Pending, Claim]]:
        """Claim events; if that fails they are unsent."""
        unowned = [pending for pending in ready if not pending.owned]
        try:
            claims = await self._records.claim([pending.event for pending in unowned])
            answers = {id(pending): claim for pending, claim in zip(unowned, claims, strict=True)}
        except Exception as error:  # noqa: BLE001  # the other leads are settled first
            self._lost_records(error, "claiming")
            for pending in ready:
                self._record(self._unsent(pending))
            return []
        return [(pending, answers.get(id(pending), Claim.OWNED)) for pending in ready]

    async def _let_in(self, leads: Sequence[tuple[_Pending, Claim]]) -> None:
        """Let those in that are ours to send."""
        for pending, claim in leads:
            try:
                await self._let_one_in(pending, claim)
            except Exception as error:  # noqa: BLE001  # whoever claims the next chunk must not wait for ever
                self._found_bug(error, f"letting lead no. {pending.position} in")
                self._record(self._unsent(pending))

    async def _let_one_in(self, pending: _Pending, claim: Claim) -> None:
        pending.owned = claim in TAKEN
        self._tally.sent_again += claim is Claim.TAKEN_OVER
        if pending.owned and pending.event.order_key not in self._keys_aside:
            await (self._admit if self._held is None else self._hold)(pending)
        elif pending.owned or claim is Claim.BUSY:
            self._put_aside(pending)
        else:
            self._record(Outcome(Kind.SKIPPED, pending.position, pending.event, claim.value, row=pending.row))
        if pending.owned:
            self._check_held()

    async def _hold(self, pending: _Pending) -> None:
        """Keep an event back until all are counted."""
        assert self._held is not None
        self._held.append(pending)

    def _check_held(self) -> None:
        if self._held is None or self._max_events is None:
            return
        most = min(self._max_events, MOST_HELD)
        if len(self._held) + sum(pending.owned for pending in self._aside) > most:
            why = f"more than {most:,} events would be sent, and none was"
            self._stop_with(Halt(Stop.TOO_MANY_EVENTS, why))

    async def _let_in_held(self) -> None:
        """Send what was held back: it is not too much."""
        held, self._held = self._held or [], None
        for at, pending in enumerate(held):
            if self._is_halted():
                self._held = held[at:]
                return
            await self._admit(pending)

    def _put_aside(self, pending: _Pending) -> None:
        """Wait until another send has settled the event; later ones of the same lead wait behind it."""
        self._aside.append(pending)
        if pending.event.order_key is not None:
            self._keys_aside.add(pending.event.order_key)

    async def _look_again(self) -> None:
        """Ask for the events put aside until they are free, or settled by others, or time is up."""
        deadline = time.monotonic() + self._patience
        while self._aside and not self._is_halted():
            aside, self._aside = self._aside, []
            self._keys_aside.clear()
            waiting = len(aside)
            await self._let_in(await self._claim(aside))
            await self._work_all_off()
            if len(self._aside) < waiting:
                continue
            if time.monotonic() > deadline:
                why = "another send has claimed the same events and does not end"
                self._stop_with(Halt(Stop.CLAIMED_ELSEWHERE, why))
                return
            await self._sleep(SECONDS_BETWEEN_LOOKS)

    async def _admit(self, pending: _Pending) -> None:
        self._to_send += 1
        if self._max_events is not None and self._to_send > self._max_events:
            why = f"there are more than {self._max_events:,} events; these were sent"
            self._stop_with(Halt(Stop.TOO_MANY_EVENTS, why))
        await self._room.acquire()
        key = pending.event.order_key
        lane = self._lanes.get(key) if key is not None else None
        if lane is not None:
            lane.append(pending)
            return
        lane = deque((pending,))
        if key is not None:
            self._lanes[key] = lane
        worker = asyncio.create_task(self._work_off(key, lane))
        self._workers.add(worker)
        worker.add_done_callback(self._workers.discard)

    async def _work_off(self, key: object, lane: deque[_Pending]) -> None:
        """Settle the events of one lead, one after the other."""
        while lane:
            pending = lane[0]
            try:
                await self._settle(pending)
            except asyncio.CancelledError:
                self._stop_with(Halt(Stop.ERROR, "cancelled"))  # unless the drain is over
                self._record(self._unsent(pending))
            except BaseException as error:  # noqa: BLE001  # the other leads are settled first
                self._found_bug(error, f"sending lead no. {pending.position}")
                self._record(self._unsent(pending))
            finally:
                lane.popleft()
                self._room.release()
        if key is not None:
            del self._lanes[key]

    async def _settle(self, pending: _Pending) -> None:
        """Try until there is an outcome."""
        body = to_bytes(pending.event.body)
        while True:
            async with self._window:
                await self._pause()
                if self._is_halted():
                    self._record(self._unsent(pending))
                    return
                attempt = await self._attempt(pending, body)
            delay = self._follows[attempt.verdict.action](pending, attempt)
            if delay is None:
                return
            await self._sleep(delay)

    async def _attempt(self, pending: _Pending, body: bytes) -> _Attempt:
        request = self._trouble.begins()
        pending.trial.attempts += 1
        doubted = pending.in_doubt
        pending.in_doubt = True  # also if this is cancelled
        worker = asyncio.current_task()
        assert worker is not None
        self._in_flight.add(worker)
        try:
            answer = await self._transport.post(body)
        except TransportFailure as error:
            pending.in_doubt = doubted or error.sent
            return _Attempt(request, judge_failure(error.kind), None)
        finally:
            self._in_flight.discard(worker)
        pending.in_doubt = doubted
        return _Attempt(request, judge(answer), answer)

    # What follows from a verdict. Each records the outcome and returns None, or returns the seconds to wait.

    def _delivered(self, pending: _Pending, attempt: _Attempt) -> None:
        self._trouble.succeeded(attempt.request)
        self._decide(Kind.REJECTED)
        pending.in_doubt = False
        self._record(self._outcome(Kind.DELIVERED, pending, attempt))

    def _rejected(self, pending: _Pending, attempt: _Attempt) -> None:
        self._trouble.succeeded(attempt.request)
        self._decide(Kind.REJECTED)
        self._record(self._outcome(Kind.REJECTED, pending, attempt, attempt.verdict.reason))

    def _refused(self, pending: _Pending, attempt: _Attempt) -> None:
        reason = attempt.verdict.reason
        if self._trouble.refused(pending.position):
            why = f"{reason}: host, path, script_id or token of the connection is wrong"
            self._stop_with(Halt(Stop.CONFIGURATION, why))
            self._record(self._unsent(pending))
        else:
            # Rejected if the server takes another, unsent if it turns out to be the connection's fault.
            self._undecided.append(self._outcome(Kind.REJECTED, pending, attempt, reason))

    def _stopped(self, pending: _Pending, attempt: _Attempt) -> None:
        self._stop_with(Halt(STOPS[attempt.verdict.action], attempt.verdict.reason))
        self._record(self._unsent(pending))

    def _failed(self, pending: _Pending, attempt: _Attempt) -> float | None:
        verdict, answer, trial = attempt.verdict, attempt.answer, pending.trial
        may_be_its_fault = verdict.action is not Action.BUSY
        follows = self._trouble.failed(pending.position, trial, may_be_its_fault, self._retry.most_attempts)
        if follows is Next.GIVE_UP:
            self._record(self._outcome(Kind.REJECTED, pending, attempt, f"gave up: {verdict.reason}"))
            return None
        if follows is Next.OUTAGE:
            self._stop_with(Halt(Stop.OUTAGE, f"the server does not take events: {verdict.reason}"))
            self._record(self._unsent(pending))
            return None
        asked = retry_after_seconds(answer.retry_after, self._now().timestamp()) if answer else None
        if answer and asked and answer.status in FOR_ALL:
            self._hold_everyone(self._retry.asked(asked))
        return self._retry.delay(trial.attempts, asked, self._random)

    # Outcomes

    def _outcome(self, kind: Kind, pending: _Pending, attempt: _Attempt, why: str | None = None) -> Outcome:
        answer, verdict = attempt.answer, attempt.verdict
        sent = {**pending.event.body, "lead_id": pending.event.lead_id}  # ids of events are often made of it
        return Outcome(
            kind,
            pending.position,
            pending.event,
            why,
            status=answer.status if answer else None,
            detail=redacted(verdict.detail, sent) if verdict.detail else None,
            attempts=pending.trial.attempts,
            in_doubt=pending.in_doubt,
            row=pending.row,
        )

    def _unsent(self, pending: _Pending) -> Outcome:
        return Outcome(
            Kind.UNSENT,
            pending.position,
            pending.event,
            self._stopped_by(),
            attempts=pending.trial.attempts,
            in_doubt=pending.in_doubt,
            row=pending.row,
        )

    def _stopped_by(self) -> str:
        return self._halt.stop.value if self._halt else SOURCE_BROKE

    def _decide(self, kind: Kind) -> None:
        """Record the refused events whose outcome was open."""
        undecided, self._undecided = self._undecided, []
        for outcome in undecided:
            if kind is Kind.UNSENT:
                outcome = replace(outcome, kind=kind, why=self._stopped_by())
            self._record(outcome)

    def _record(self, outcome: Outcome) -> None:
        try:
            self._records.settle(outcome)
            self._tally.record(outcome)
        except Exception as error:  # noqa: BLE001  # whoever waits for this lead must not wait for ever
            self._found_bug(error, f"counting lead no. {outcome.position}")

    # Stopping and pausing

    def _lost_ledger(self, error: LedgerLostError) -> None:
        stop = Stop.LEDGER_UNUSABLE if isinstance(error, LedgerUnusableError) else Stop.LEDGER
        self._stop_with(Halt(stop, str(error)))

    def _lost_records(self, error: Exception, doing: str) -> None:
        if isinstance(error, LedgerLostError):
            self._lost_ledger(error)
        else:
            self._found_bug(error, doing)

    def _request_stop(self) -> None:
        self._stop_with(Halt(Stop.REQUESTED, "the task was asked to stop"))
        if not self._draining and self._loop is not None:
            self._draining = True
            self._loop.call_later(self._drain_seconds, self._abandon)

    def _stop_with(self, halt: Halt) -> None:
        if self._halt is not None and self._halt.stop is Stop.REQUESTED and halt.stop in NOT_WRITTEN:
            self._halt = halt  # a request to stop that came when all was done is forgotten; this must not be
        if self._halt is None:
            self._halt = halt
            if not self._finished.done():
                self._halted.set()
                self._inbox.hurry()

    def _abandon(self) -> None:
        """Give up what is still in flight; its events are unsent, in doubt."""
        for worker in self._in_flight:
            worker.cancel()

    def _found_bug(self, error: BaseException, where: str) -> None:
        if self._bug is None:
            # The error's own text may quote a lead; where it came from is in the traceback.
            bug = UnexpectedError(f"{type(error).__name__} while {where}: please report this as a bug")
            self._bug = bug.with_traceback(error.__traceback__)
        self._stop_with(Halt(Stop.ERROR, type(error).__name__))

    def _hold_everyone(self, seconds: float) -> None:
        assert self._loop is not None
        self._paused_until = max(self._paused_until, self._loop.time() + seconds)

    async def _pause(self) -> None:
        assert self._loop is not None
        while not self._is_halted() and (left := self._paused_until - self._loop.time()) > 0:
            await self._sleep(left)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, unless the send halts."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._halted.wait(), seconds)


NOT_WRITTEN = (Stop.LEDGER, Stop.FAILURES_NOT_KEPT)
STOPS = {Action.STOP_CREDENTIALS: Stop.CREDENTIALS, Action.STOP_CONFIGURATION: Stop.CONFIGURATION}


def _unprepared(position: int, lead: InvalidLead | SkippedLead, row: object) -> Outcome:
    if isinstance(lead, InvalidLead):
        return Outcome(Kind.INVALID, position, lead, "invalid", row=row)
    return Outcome(Kind.SKIPPED, position, lead, lead.why, row=row)


def _known(position: int, known: KnownRow) -> Outcome:
    skipped = SkippedLead(SETTLED_BEFORE, None, known.name)
    return Outcome(Kind.SKIPPED, position, skipped, SETTLED_BEFORE, row=known.row)
