"""Rows become events that are ours to send: prepared, guarded, claimed, and let out to be sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from airflow_reshape.delivery.checkpoint.checkpoint import SETTLED_BEFORE
from airflow_reshape.delivery.checkpoint.resume import Before, KnownRow
from airflow_reshape.delivery.consent import FirstAnswers
from airflow_reshape.delivery.dispatch import Dispatch
from airflow_reshape.delivery.guards import VALIDATE_ONLY, Guards, stopped_by
from airflow_reshape.delivery.halt import Halt, Stop
from airflow_reshape.delivery.inbox import Inbox
from airflow_reshape.delivery.ledger.claims import TAKEN, Claim
from airflow_reshape.delivery.outcome import Kind, Outcome
from airflow_reshape.delivery.pending import Pending
from airflow_reshape.delivery.records import Records
from airflow_reshape.delivery.repeats import EventIds
from airflow_reshape.delivery.stopping import Stopping
from airflow_reshape.delivery.tally import Tally
from airflow_reshape.events.prepared import InvalidLead, Prepared, PreparedEvent, SkippedLead
from airflow_reshape.events.wire import to_bytes

ROWS_WITHOUT_PAUSE = 5
SECONDS_BETWEEN_LOOKS = 0.5
MOST_HELD = 10_000
"""Events that may be held back until it is known that there are not too many."""
MOST_ASIDE = 5_000
"""Events put aside until they are looked at again before the end: most are settled by then, and need no memory."""
CLAIMED_AT_ONCE = 500


class Intake:
    """Takes the rows of one send in.

    :param prepare: makes an event of a row, or tells why there is none; never raises for a row.
    :param record: takes an outcome.
    :param now: current time, aware.
    :param patience: seconds that events wait for another send that has claimed them.
    :param max_events: most events to send, or None.
    :param holds: nothing is sent before it is known that there are not more.
    :param event_ids: finds rows that repeat an event id. Default: nothing does.
    """

    def __init__(
        self,
        *,
        prepare: Callable[[object], Prepared],
        guards: Guards,
        tally: Tally,
        records: Records,
        stopping: Stopping,
        record: Callable[[Outcome], None],
        now: Callable[[], datetime],
        patience: float,
        max_events: int | None,
        holds: bool,
        event_ids: EventIds | None,
    ) -> None:
        self._prepare = prepare
        self._event_ids = event_ids
        self._consent = FirstAnswers()
        self._guards = guards
        self._tally = tally
        self._records = records
        self._stopping = stopping
        self._record = record
        self._now = now
        self._patience = patience
        self._max_events = max_events
        self._held: list[Pending] | None = [] if max_events is not None and holds else None
        self._to_send = 0
        self._aside: list[Pending] = []
        self._keys_aside: set[str] = set()
        self._position = 0

    async def take_all(self, inbox: Inbox, dispatch: Dispatch) -> None:
        """Take in what comes, until no more comes or the send halts, and have it sent."""
        self._dispatch = dispatch
        await self._take_in(inbox)
        await self._let_out_held()
        await dispatch.all_settled()
        await self._look_again()

    def leave(self, rows: Iterable[object]) -> None:
        """Count rows that came after the end."""
        for row in rows:
            self._position += 1
            self._tally.read += 1
            if isinstance(row, KnownRow) and row.before is not Before.FAILED:
                self._record(_known(self._position, row))
                continue
            raw = row.row if isinstance(row, KnownRow) else row
            self._record(Outcome(Kind.UNSENT, self._position, None, self._stopping.why, row=raw))

    def leave_waiting(self) -> None:
        """What was taken in, and is held back or waits for others, is unsent."""
        for pending in (*self._aside, *(self._held or ())):
            self._record(pending.unsent(self._stopping.why))

    async def _take_in(self, inbox: Inbox) -> None:
        """Prepare and claim each chunk while the one before it is let out."""
        claimed: asyncio.Queue[list[tuple[Pending, Claim]] | None] = asyncio.Queue(maxsize=1)
        letting_out = asyncio.create_task(self._let_out_claimed(claimed))
        try:
            while (chunk := await inbox.take()) is not None:
                await claimed.put(await self._claim(await self._ready(chunk)))
        finally:
            await claimed.put(None)
            await letting_out

    async def _let_out_claimed(self, claimed: asyncio.Queue[list[tuple[Pending, Claim]] | None]) -> None:
        most = MOST_ASIDE
        while (leads := await claimed.get()) is not None:
            await self._let_out(leads)
            if len(self._aside) >= most and not self._stopping.is_halted():
                await self._look_once()  # without waiting: others may wait for what is ours
                most = MOST_ASIDE + len(self._aside)

    async def _ready(self, chunk: Sequence[object]) -> list[Pending]:
        """The events of a chunk; the other rows get their outcome."""
        ready: list[Pending] = []
        for row in chunk:
            if self._stopping.is_halted():
                self.leave((row,))
                continue
            self._position += 1
            self._tally.read += 1
            if self._position % ROWS_WITHOUT_PAUSE == 0:
                await asyncio.sleep(0)  # answers to requests in flight are waiting
            pending = await self._take(self._position, row)
            if pending is not None:
                ready.append(pending)
        if (why := self._consent.end_of_batch()) is not None:
            self._stopping.stop(Halt(Stop.CONSENT_UNREADABLE, why))
            for pending in ready:
                self._record(pending.unsent(self._stopping.why))
            return []
        return ready

    async def _take(self, position: int, row: object) -> Pending | None:
        """The event of a row, or None if the row has its outcome."""
        known = row if isinstance(row, KnownRow) else None
        if known is not None:
            self._records.take_known(known)
            if known.before is not Before.FAILED:
                self._remember_id(known.lead)
                self._record(_known(position, known))
                return None
            row = known.row
        try:
            lead = self._prepare(row)
            if known is None:
                self._records.take(row, lead)
            payload = b""
            why: str | None = None
            if isinstance(lead, PreparedEvent):
                self._consent.take(lead.answers)
                why = stopped_by(lead, self._guards, self._now())
                if why in (None, VALIDATE_ONLY):
                    payload = to_bytes(lead.body)
                    why = self._repeat(lead, payload) or why
        except BaseException as error:  # noqa: BLE001  # the other leads are settled first
            self._stopping.found_bug(error, f"preparing lead no. {position}")
            self._record(Outcome(Kind.UNSENT, position, None, self._stopping.why, row=row))
            return None
        if isinstance(lead, InvalidLead):
            await self._take_invalid(position, row, lead)
        elif not isinstance(lead, PreparedEvent):
            self._record(_unprepared(position, lead, row))
        elif why:
            self._record(Outcome(Kind.SKIPPED, position, lead, why, row=row))
        else:
            return Pending(position, lead, row, payload)
        return None

    def _repeat(self, lead: PreparedEvent, payload: bytes) -> str | None:
        """How an event repeats one of an earlier row."""
        if self._event_ids is None:
            return None
        repeat = self._event_ids.look(lead, payload)
        self._tally.ids_not_compared = self._event_ids.not_compared
        return repeat.value if repeat else None

    def _remember_id(self, lead: Prepared) -> None:
        """An earlier try dealt with a row: later ones may repeat its event id."""
        if isinstance(lead, PreparedEvent) and stopped_by(lead, self._guards, self._now()) in (None, VALIDATE_ONLY):
            self._repeat(lead, to_bytes(lead.body))

    async def _take_invalid(self, position: int, row: object, lead: InvalidLead) -> None:
        """An invalid lead is a failure once; the same row is known in later runs."""
        try:
            known = await self._records.knows_invalid(row, lead)
        except Exception as error:  # noqa: BLE001  # the other leads are settled first
            self._stopping.failed(error, f"looking lead no. {position} up")
            known = None  # it is invalid whatever the ledger says
        if known is not None:
            skipped = SkippedLead(known.value, lead.stage, lead.name, lead.lead_id)
            self._record(_unprepared(position, skipped, row))
        else:
            self._record(_unprepared(position, lead, row))

    async def _claim(self, ready: Sequence[Pending]) -> list[tuple[Pending, Claim]]:
        """Claim events; if that fails they are unsent."""
        unowned = [pending for pending in ready if not pending.owned]
        try:
            claims = await self._records.claim([pending.event for pending in unowned])
            answers = {id(pending): claim for pending, claim in zip(unowned, claims, strict=True)}
        except Exception as error:  # noqa: BLE001  # the other leads are settled first
            self._stopping.failed(error, "claiming")
            for pending in ready:
                self._record(pending.unsent(self._stopping.why))
            return []
        return [(pending, answers.get(id(pending), Claim.OWNED)) for pending in ready]

    async def _let_out(self, leads: Sequence[tuple[Pending, Claim]]) -> None:
        """Have those sent that are ours."""
        for pending, claim in leads:
            try:
                await self._let_one_out(pending, claim)
            except Exception as error:  # noqa: BLE001  # whoever claims the next chunk must not wait for ever
                self._stopping.found_bug(error, f"letting lead no. {pending.position} out")
                self._record(pending.unsent(self._stopping.why))

    async def _let_one_out(self, pending: Pending, claim: Claim) -> None:
        pending.owned = claim in TAKEN
        self._tally.sent_again += claim is Claim.TAKEN_OVER
        if pending.owned and pending.event.order_key not in self._keys_aside:
            if self._held is None:
                await self._send(pending)
            else:
                self._held.append(pending)
        elif pending.owned or claim is Claim.BUSY:
            self._put_aside(pending)
        else:
            self._record(Outcome(Kind.SKIPPED, pending.position, pending.event, claim.value, row=pending.row))
        if pending.owned:
            self._check_held()

    def _check_held(self) -> None:
        if self._held is None or self._max_events is None:
            return
        most = min(self._max_events, MOST_HELD)
        if len(self._held) + sum(pending.owned for pending in self._aside) > most:
            why = f"more than {most:,} events would be sent, and none was"
            self._stopping.stop(Halt(Stop.TOO_MANY_EVENTS, why))

    async def _let_out_held(self) -> None:
        """Send what was held back: it is not too much."""
        held, self._held = self._held or [], None
        for at, pending in enumerate(held):
            if self._stopping.is_halted():
                self._held = held[at:]
                return
            await self._send(pending)

    def _put_aside(self, pending: Pending) -> None:
        """Wait until another send has settled the event; later ones of the same lead wait behind it."""
        self._aside.append(pending)
        if pending.event.order_key is not None:
            self._keys_aside.add(pending.event.order_key)

    async def _look_again(self) -> None:
        """Ask for the events put aside until they are free, or settled by others, or time is up."""
        deadline = time.monotonic() + self._patience
        while self._aside and not self._stopping.is_halted():
            waiting = len(self._aside)
            await self._look_once()
            await self._dispatch.all_settled()
            if len(self._aside) < waiting:
                continue
            if time.monotonic() > deadline:
                why = "another send has claimed the same events and does not end"
                self._stopping.stop(Halt(Stop.CLAIMED_ELSEWHERE, why))
                return
            await self._stopping.sleep(SECONDS_BETWEEN_LOOKS)

    async def _look_once(self) -> None:
        """Ask for the events put aside; those that are still busy are put aside again."""
        aside, self._aside = self._aside, []
        self._keys_aside.clear()
        for first in range(0, len(aside), CLAIMED_AT_ONCE):
            if self._stopping.is_halted():
                self._aside += aside[first:]
                return
            await self._let_out(await self._claim(aside[first : first + CLAIMED_AT_ONCE]))

    async def _send(self, pending: Pending) -> None:
        self._to_send += 1
        if self._max_events is not None and self._to_send > self._max_events:
            why = f"there are more than {self._max_events:,} events; these were sent"
            self._stopping.stop(Halt(Stop.TOO_MANY_EVENTS, why))
        await self._dispatch.admit(pending)


def _unprepared(position: int, lead: InvalidLead | SkippedLead, row: object) -> Outcome:
    if isinstance(lead, InvalidLead):
        return Outcome(Kind.INVALID, position, lead, "invalid", row=row)
    return Outcome(Kind.SKIPPED, position, lead, lead.why, row=row)


def _known(position: int, known: KnownRow) -> Outcome:
    skipped = SkippedLead(SETTLED_BEFORE, None, known.lead.name)
    return Outcome(Kind.SKIPPED, position, skipped, SETTLED_BEFORE, row=known.row)
