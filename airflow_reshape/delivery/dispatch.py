"""Events become outcomes: who is sent when, and what follows from each answer.

Mechanism only: what an answer means (:mod:`.verdict`), whose fault a failure is (:mod:`.trouble`), how long an event
waits (:mod:`.retry`), how many are in flight (:mod:`.limits`) and in which order (:mod:`.lanes`) come in from outside.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from random import Random
from typing import NamedTuple

from airflow_reshape.delivery.halt import Halt, Stop
from airflow_reshape.delivery.lanes import Lanes
from airflow_reshape.delivery.limits.begun import Begun, End
from airflow_reshape.delivery.limits.limits import NEVER, Limits
from airflow_reshape.delivery.outcome import Kind, Outcome
from airflow_reshape.delivery.pace import Pace
from airflow_reshape.delivery.pending import Attempt, Pending
from airflow_reshape.delivery.refusals import Refusals
from airflow_reshape.delivery.retry import RetryPolicy, retry_after_seconds
from airflow_reshape.delivery.stopping import Stopping
from airflow_reshape.delivery.throttling import Pause, Throttling
from airflow_reshape.delivery.transport import Answer, Transport, TransportFailure
from airflow_reshape.delivery.trouble import Next, Trouble
from airflow_reshape.delivery.verdict import FOR_ALL, Action, Verdict, judge, judge_failure

OUTAGE_IS_TOLD_AFTER = 5.0
"""Seconds; also, whatever was known of the server's limits is forgotten by then."""
MOST_UNREADABLE = 1
"""Answers that cannot be read after which an event is tried again."""
TRIED_AGAIN = (Action.RETRY, Action.BUSY, Action.UNREADABLE)
EXPLORED_A_SECOND = 50.0
"""Leads that are tried while the server takes a probe and no lead."""
MOST_PARKED = 4096
"""Events that wait to be tried again and hold up no new ones."""
TAKEN = (Action.DELIVERED, Action.REJECTED)
"""The server dealt with the event: it works, and so does the connection."""
STOPS = {Action.STOP_CREDENTIALS: Stop.CREDENTIALS, Action.STOP_CONFIGURATION: Stop.CONFIGURATION}


class Again(NamedTuple):
    """Another attempt is to be made.

    :param delay: seconds to wait before.
    :param is_asked_for: the server wants that, for this event alone.
    """

    delay: float
    is_asked_for: bool


class Refusal(NamedTuple):
    """A refusal whose lead is rejected or unsent, depending on whose fault it turns out to be.

    :param outcome: of the lead, if it is the lead's.
    :param halt: of the send, if it is the connection's.
    """

    outcome: Outcome
    halt: Halt


class Dispatch:
    """Sends events, in one event loop.

    :param transport: open.
    :param probe: a body that is no lead's, sent when leads are refused or fail, to find out whether the connection and
        the server work; None: a connection that is suspected is wrong, and leads probe the server.
    :param room: events that may be here at a time.
    :param record: takes an outcome.
    :param now: current time, aware.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        limits: Limits,
        retry: RetryPolicy,
        trouble: Trouble,
        random: Random,
        now: Callable[[], datetime],
        stopping: Stopping,
        record: Callable[[Outcome], None],
        pace: Pace,
        room: int,
        probe: bytes | None = None,
    ) -> None:
        self._probe_body = probe
        self._transport = transport
        self._limits = limits
        self._retry = retry
        self._trouble = trouble
        self._random = random
        self._now = now
        self._stopping = stopping
        self._record = record
        self._pace = pace
        self._room = asyncio.Semaphore(room)
        self._loop = asyncio.get_running_loop()
        self._lanes: Lanes[Pending] = Lanes()
        self._empty = asyncio.Event()
        self._empty.set()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._throttling = Throttling(lambda: limits.restart(self._loop.time()))
        self._parked = 0
        self._probe: Pending | None = None
        self._probes = 0
        self._probe_at = self._explore_at = float("-inf")
        self._asks_next = probe is not None
        self._asks_before_blaming = False
        self._refusals: Refusals[Refusal] = Refusals()
        self._asking: asyncio.Task[None] | None = None
        self._follows: dict[Action, Callable[[Pending, Attempt], Outcome | Again | None]] = {
            Action.DELIVERED: self._delivered,
            Action.REJECTED: self._rejected,
            Action.UNREADABLE: self._unreadable,
            Action.REFUSED: self._refused,
            Action.RETRY: self._failed,
            Action.BUSY: self._failed,
            Action.STOP_CREDENTIALS: self._refused,
            Action.STOP_CONFIGURATION: self._refused,
        }

    async def admit(self, pending: Pending) -> None:
        """Take an event in; waits while there is no room."""
        await self._room.acquire()
        self._empty.clear()
        self._lanes.add(pending)
        self.go_on()

    async def all_settled(self) -> None:
        """Wait until every event taken in has its outcome, but for those that :meth:`decide` is for."""
        await self._empty.wait()
        while self._refusals and not self._stopping.is_halted():
            await self._ask()

    def decide(self, kind: Kind) -> None:
        """Record the refused events whose outcome was open.

        :param kind: rejected, or unsent.
        """
        self._decided(self._refusals.decide(), kind)

    def _decided(self, refusals: Sequence[Refusal], kind: Kind = Kind.REJECTED) -> None:
        for outcome, _ in refusals:
            if kind is Kind.UNSENT:
                outcome = replace(outcome, kind=kind, why=self._stopping.why)
            self._record(outcome)

    def abandon(self) -> None:
        """Give up what is still in flight; its events are unsent, in doubt."""
        for task in (*self._in_flight, *filter(None, [self._asking])):
            task.cancel()

    def go_on(self) -> None:
        """Begin whatever may begin now; if the send halts, what waits is unsent."""
        while (begun := self._begin()) is not None:
            self._in_flight.add(self._loop.create_task(self._work(*begun)))

    def _begin(self) -> tuple[Pending, Begun] | None:
        """The next event to send, if one may begin now."""
        if self._stopping.is_halted():
            self._leave_waiting()
            return None
        if self._refusals.suspect_connection:
            if not self._limits.in_flight:  # all of them were heard
                self._ask()
            return None
        now = self._loop.time()
        due = self._lanes.due_at(now)
        if due is None or self._asking is not None:
            return None
        asks = self._is_to_ask(now)
        at = max(now if asks else due, self._opens_at(now))
        if at > now:
            if at != NEVER:
                self._ring_at(at)
            return None
        if asks:
            self._ask()
            return None
        is_outage = self._trouble.is_outage
        pending = self._lanes.take(now, new_first=is_outage)
        assert pending is not None
        pending.explores = is_outage and self._trouble.server_works(now)
        if pending.explores:
            self._explore_at = now + 1 / EXPLORED_A_SECOND
        elif is_outage:
            self._probe = pending
        self._pace.retries += pending.trial.attempts > 0
        more_at = self._lanes.due_at(now)
        return pending, self._limits.begin(now, pressed=more_at is not None and more_at <= now)

    def _is_to_ask(self, now: float) -> bool:
        """Whether a probe that is no lead's is next."""
        is_down = self._trouble.is_outage and not self._trouble.server_works(now)
        return (self._asks_next and is_down) or self._asks_before_blaming

    def _opens_at(self, now: float) -> float:
        if not self._trouble.is_outage:
            return self._limits.opens_at(now)
        if self._trouble.server_works(now):
            is_full = self._limits.in_flight >= self._limits.window.ceiling
            return NEVER if is_full else max(self._limits.opens_for_a_probe_at(), self._explore_at)
        return NEVER if self._probe is not None else max(self._limits.opens_for_a_probe_at(), self._probe_at)

    def _ring_at(self, at: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= at:
                return  # it rings in time, and looks again
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._rung)

    def _rung(self) -> None:
        self._timer = None
        self.go_on()

    async def _work(self, pending: Pending, begun: Begun) -> None:
        """Settle one event after the other, for as long as one may begin."""
        begins: tuple[Pending, Begun] | None = (pending, begun)
        while begins is not None:
            await self._settle(*begins)
            begins = self._begin()
            self.go_on()  # also without room: somebody has to look again when a request is overdue
        task = asyncio.current_task()
        assert task is not None
        self._in_flight.discard(task)

    async def _settle(self, pending: Pending, begun: Begun) -> None:
        """Make one attempt, and whatever follows from it."""
        follows: Outcome | Again | None
        try:
            attempt = await self._attempt(pending, begun)
            follows = self._follows[attempt.verdict.action](pending, attempt)
            if isinstance(follows, Again) and self._stopping.is_halted():
                follows = pending.unsent(self._stopping.why)
        except asyncio.CancelledError as error:
            if not self._stopping.is_halted():  # else the drain is over
                self._stopping.found_bug(error, f"sending lead no. {pending.position}")
            follows = pending.unsent(self._stopping.why)
        except BaseException as error:  # noqa: BLE001  # the other leads are settled first
            self._stopping.failed(error, f"sending lead no. {pending.position}")
            follows = pending.unsent(self._stopping.why)
        if self._probe is pending:
            self._probe = None
        if isinstance(follows, Again):
            self._try_again(pending, follows)
            return
        if follows is not None:
            self._record(follows)
        self._lanes.done(pending)
        self._leave([pending])

    def _leave(self, settled: Sequence[Pending]) -> None:
        for pending in settled:
            if pending.is_parked:
                self._parked -= 1
            else:
                self._room.release()
        if not len(self._lanes):
            self._empty.set()

    def _leave_waiting(self) -> None:
        waiting = self._lanes.clear()
        for pending in waiting:
            self._record(pending.unsent(self._stopping.why))
        self._leave(waiting)

    def _try_again(self, pending: Pending, again: Again) -> None:
        now = self._loop.time()
        if not pending.is_parked and self._parked < MOST_PARKED:
            pending.is_parked = True
            self._parked += 1
            self._room.release()
        if self._trouble.is_outage and not self._trouble.server_works(now) and not again.is_asked_for:
            self._lanes.again(pending)  # another one is the next probe
        else:
            self._lanes.later(pending, now + again.delay, not_before=again.is_asked_for)

    async def _attempt(self, pending: Pending, begun: Begun) -> Attempt:
        request = self._trouble.begins()
        pending.trial.attempts += 1
        doubted = pending.in_doubt
        pending.in_doubt = True  # also if this is cancelled
        end: End | None = None
        pause = 0.0
        try:
            answer = await self._transport.post(pending.payload)
            verdict = judge(answer)
            if answer.status in FOR_ALL:
                end, pause = self._throttled(pending, answer)
                self._pace.held_back += 1
            else:
                end = End.TAKEN
        except TransportFailure as error:
            pending.in_doubt = doubted or error.sent
            self._pace.unanswered += 1
            end = End.LOST if error.sent else None
            return Attempt(request, judge_failure(error.kind, error.about), None)
        finally:
            now = self._loop.time()
            # A server that takes nothing tells nothing of how much it takes.
            self._limits.ended(begun, None if self._trouble.is_outage and end is not End.TAKEN else end, now, pause)
        self._pace.answers += 1
        self._pace.answer_seconds += now - begun.at
        pending.in_doubt = doubted
        return Attempt(request, verdict, answer)

    def _throttled(self, pending: Pending, answer: Answer) -> tuple[End | None, float]:
        """What the limits learn of it, and for how many seconds all others wait."""
        now = self._loop.time()
        asked = self._retry.asked(retry_after_seconds(answer.retry_after, self._now().timestamp()))
        pause = self._throttling.throttled(
            pending.position, pending.throttle, self._trouble.begun, now, asked, explores=pending.explores
        )
        if self._throttling.doubts_the_probe:
            self._trouble.doubt_the_probe()
        end = End.REFUSED if pause in (Pause.OPEN, Pause.ALL) else None
        if pending is self._probe:
            return end, asked
        return end, self._throttling.pause_of_all(now) if pause in (Pause.ALL, Pause.ALL_FOR_NOW) else 0.0

    # What follows from a verdict: an outcome, another attempt, or None: it is open.

    def _delivered(self, pending: Pending, attempt: Attempt) -> Outcome:
        self._works(pending, attempt)
        pending.in_doubt = False
        return pending.answered(Kind.DELIVERED, attempt)

    def _rejected(self, pending: Pending, attempt: Attempt) -> Outcome:
        self._works(pending, attempt)
        return pending.answered(Kind.REJECTED, attempt, attempt.verdict.reason)

    def _unreadable(self, pending: Pending, attempt: Attempt) -> Outcome | Again:
        """It may have been taken, or refused: one more attempt may tell, with the same id. It clears no other lead."""
        self._heard(pending, attempt)
        pending.in_doubt = True
        pending.unreadable += 1
        if pending.unreadable > MOST_UNREADABLE:
            return pending.answered(Kind.REJECTED, attempt, attempt.verdict.reason)
        return Again(self._retry.delay(pending.trial.attempts, None, self._random), False)

    def _works(self, pending: Pending, attempt: Attempt) -> None:
        self._heard(pending, attempt)
        self._decided(self._refusals.taken(attempt.request))

    def _heard(self, pending: Pending, attempt: Attempt) -> None:
        """The server is up."""
        trouble, now = self._trouble, self._loop.time()
        since = trouble.since
        was_outage, was_down = trouble.is_outage, not trouble.server_works(now)
        trouble.succeeded(attempt.request, now)
        self._throttling.taken(attempt.request, pending.throttle)
        if not trouble.is_outage:  # else it was in flight when the server went down
            self._probes = 0
            self._asks_next = self._probe_body is not None
            self._pace.paused = False
        if was_outage and since is not None and not trouble.is_outage:
            if now - since > OUTAGE_IS_TOLD_AFTER:
                self._limits.restart(now)
            if was_down:
                self._lanes.hurry()  # they waited for the server
            else:
                self._lanes.recall()

    def _refused(self, pending: Pending, attempt: Attempt) -> Outcome | None:
        """Open until it is known whose fault it is, unless no server answered."""
        halt = self._halt_of(attempt.verdict)
        if attempt.answer is None:
            self._stopping.stop(halt)
            return pending.unsent(self._stopping.why)
        outcome = pending.answered(Kind.REJECTED, attempt, f"{attempt.answer.status} refused")
        is_of_all = attempt.verdict.action is not Action.REFUSED
        self._refusals.refused(Refusal(outcome, halt), self._trouble.begun, is_of_all=is_of_all)
        return None

    def _halt_of(self, verdict: Verdict) -> Halt:
        if verdict.action is Action.UNREADABLE:
            return Halt(Stop.CONFIGURATION, f"{verdict.reason}: it is not Reshape's, correct host and path")
        if verdict.action is Action.REFUSED:
            why = f"{verdict.reason}: host, path, script_id or token of the connection is wrong"
            return Halt(Stop.CONFIGURATION, why)
        return Halt(STOPS[verdict.action], verdict.reason)

    # Asking whether the connection works

    def _ask(self) -> asyncio.Task[None]:
        if self._asking is None:
            self._asking = self._loop.create_task(self._find_out())
        return self._asking

    async def _find_out(self) -> None:
        """Ask once for the server's sake, or until the open refusals are decided."""
        try:
            if not self._refusals.suspect_connection and len(self._lanes):
                await self._ask_whether_the_server_works()
                return
            halt = await self._probed() if self._probe_body is not None else self._unprobed()
            if self._stopping.is_halted():
                return
            if halt is not None:
                self._stopping.stop(halt)
            else:
                self._decided(self._refusals.decide())
        except asyncio.CancelledError:
            if not self._stopping.is_halted():
                raise
        except BaseException as error:  # noqa: BLE001  # the leads are settled first
            self._stopping.failed(error, "probing the connection")
        finally:
            self._asking = None
            self.go_on()

    def _unprobed(self) -> Halt | None:
        """A connection that is suspected is wrong; at the end of a send, other refusals are the leads' own."""
        return self._refusals.open()[-1].halt if self._refusals.suspect_connection else None

    async def _probed(self) -> Halt | None:
        """What a probe says: why the connection is wrong, or None."""
        started = self._loop.time()
        unreadable = 0
        for probes in itertools.count():
            self._pace.retries += probes > 0
            verdict = await self._send_probe()
            if verdict.action in TAKEN:
                return None
            unreadable += verdict.action is Action.UNREADABLE
            if unreadable > MOST_UNREADABLE or verdict.action not in TRIED_AGAIN:
                return self._halt_of(verdict)
            if self._loop.time() - started >= self._trouble.max_outage:
                return self._outage(verdict)
            await self._stopping.sleep(self._retry.probe_delay(probes, self._random))
            if self._stopping.is_halted():
                break
        return None

    async def _ask_whether_the_server_works(self) -> None:
        self._asks_before_blaming = False
        verdict = await self._send_probe()
        now, since = self._loop.time(), self._trouble.since
        if verdict.action in TAKEN:
            if self._probes:
                self._lanes.hurry()  # they waited for the server
            self._probes = 0
            self._pace.paused = False
            return
        # A lead is the next one: nobody knows whether the server takes probes at all.
        self._asks_next = False
        self._put_probe_off(now)
        self._probes += 1
        if since is not None and now - since >= self._trouble.max_outage:
            self._stopping.stop(self._outage(verdict))

    async def _send_probe(self) -> Verdict:
        assert self._probe_body is not None
        await self._stopping.sleep(self._limits.opens_for_a_probe_at() - self._loop.time())
        now, request, pause = self._loop.time(), self._trouble.begins(), 0.0
        begun = self._limits.begin(now, pressed=False)
        try:
            answer = await self._transport.post(self._probe_body)
            verdict = judge(answer)
            if answer.status in FOR_ALL:
                pause = self._retry.asked(retry_after_seconds(answer.retry_after, self._now().timestamp()))
        except TransportFailure as error:
            verdict = judge_failure(error.kind, error.about)
        finally:
            self._limits.ended(begun, None, self._loop.time(), pause)
        self._trouble.probed(request, self._loop.time(), taken=verdict.action in TAKEN)
        if verdict.action in TAKEN:
            self._throttling.probe_taken()
            self._decided(self._refusals.taken(request))
        return verdict

    def _outage(self, verdict: Verdict) -> Halt:
        return Halt(Stop.OUTAGE, f"the server does not take events: {verdict.reason}")

    def _put_probe_off(self, now: float) -> None:
        since = self._trouble.since
        self._probe_at = now + self._retry.probe_delay(self._probes, self._random)
        self._pace.paused |= since is not None and now - since > OUTAGE_IS_TOLD_AFTER

    def _failed(self, pending: Pending, attempt: Attempt) -> Outcome | Again:
        verdict, answer, trial, now = attempt.verdict, attempt.answer, pending.trial, self._loop.time()
        follows = self._trouble.failed(
            pending.position,
            trial,
            verdict.action is not Action.BUSY,
            self._retry.most_attempts,
            now,
            attempt.request,
            self._limits.in_flight,
        )
        if follows is Next.GIVE_UP:
            return pending.answered(Kind.REJECTED, attempt, f"gave up: {verdict.reason}")
        if follows is Next.OUTAGE:
            self._stopping.stop(self._outage(verdict))
            return pending.unsent(self._stopping.why)
        if self._trouble.is_outage and not self._trouble.server_works(now):
            self._put_probe_off(now)
            if pending is self._probe:
                self._probes += 1
                self._asks_next = self._probe_body is not None
        if trial.charged >= self._retry.most_attempts and not self._trouble.server_works(now):
            self._asks_before_blaming = self._probe_body is not None
        asked = retry_after_seconds(answer.retry_after, self._now().timestamp()) if answer else None
        return Again(self._retry.delay(trial.attempts, asked, self._random), bool(asked))
