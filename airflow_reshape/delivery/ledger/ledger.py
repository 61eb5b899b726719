"""The ledger beside the event loop: batches, heartbeat, and what happens when its database goes away.

All database work runs in one thread of its own, one call at a time. Claims are waited for (nothing is sent without
one); settlements are gathered and written about five times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from airflow_reshape.delivery.ledger.claims import TAKEN, Claim, LedgerFencedError, LedgerLostError, LedgerUnusableError
from airflow_reshape.delivery.ledger.digests import Digests, destination_of, former_key_of, key_of
from airflow_reshape.delivery.ledger.opening import LedgerSchemaError
from airflow_reshape.delivery.ledger.store import LEASE, Entry, LedgerStore, Settlement, State
from airflow_reshape.delivery.outcome import Kind, Outcome
from airflow_reshape.events.prepared import InvalidLead, PreparedEvent

log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.2
MOST_SETTLED_AT_ONCE = 500
HEARTBEAT_SECONDS = LEASE.total_seconds() / 4
SECONDS_UNHEARD = 1.0
"""The heartbeat comes early where nothing was settled for so long: a send that was fenced off must learn of it."""
SECONDS_TO_SETTLE = 30.0
"""How long settlements are tried after the database went away."""
SECONDS_BETWEEN_TRIES = 1.0
T = TypeVar("T")

# What an outcome leaves in the ledger. Unsent events are released, unless a request may have been taken.
STATES = {
    Kind.DELIVERED: State.DELIVERED,
    Kind.REJECTED: State.REJECTED,
    Kind.UNSENT: State.RELEASED,
}


class Ledger:
    """The ledger of one send; see :class:`~airflow_reshape.delivery.ledger.claims.SendLedger`.

    :param store: reads and writes.
    :param destination: script id and environment of the connection.
    :param digests: makes the digests.
    :param baseline: events are remembered as known, and not sent.
    :param ids_of: finds the ids in a row that makes no event, by which its lead may have been forgotten. Default: only
        the lead's id counts.
    """

    def __init__(
        self,
        store: LedgerStore,
        destination: str,
        digests: Digests,
        baseline: bool = False,
        ids_of: Callable[[object], Collection[str]] = lambda _: (),
    ) -> None:
        self._store = store
        self._destination = destination
        self._script_id = destination.partition(":")[0]
        self._digests = digests
        self._ids_of = ids_of
        self._state = State.BASELINE if baseline else State.CLAIMED
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reshape-ledger")
        self._claimed: set[str] = set()
        self._settlements: list[Settlement] = []
        self._closing = False
        self._lost: str | None = None
        self._lost_at = 0.0
        self._is_fenced = False
        self._heard = 0.0
        self._on_lost: Callable[[str], None] = lambda _: None
        self._writer: asyncio.Task[None] | None = None

    async def open(self, on_lost: Callable[[str], None]) -> None:
        """Sign in, and begin to write settlements."""
        self._on_lost = on_lost
        self._wake = asyncio.Event()
        await self._guarded(self._store.open)
        self._writer = asyncio.create_task(self._write())

    async def claim(self, events: Sequence[PreparedEvent]) -> list[Claim]:
        """Claim events; those without an id cannot be told apart, and are owned unless the lead was forgotten."""
        if not events:
            return []
        keys = [self._key(event) for event in events]
        entries: dict[str, Entry] = {}
        without_id: dict[int, set[str]] = {}
        for number, (event, key) in enumerate(zip(events, keys, strict=True)):
            if key is None:
                without_id[number] = self._tombstones_of(event)
            else:
                entries.setdefault(key, self._entry(event, key))
        claims = await self._guarded(lambda: self._store.claim(list(entries.values())))
        gone = await self._guarded(lambda: self._store.forgotten(set().union(*without_id.values())))
        if self._state is State.CLAIMED:
            self._claimed.update(key for key, claim in claims.items() if claim in TAKEN)
        given: list[Claim] = []
        seen: set[str] = set()
        for number, key in enumerate(keys):
            if key is None:
                claim = Claim.OWNED if gone.isdisjoint(without_id[number]) else Claim.FORGOTTEN
            else:
                # The second of two rows with one key waits for what becomes of the first.
                claim = Claim.BUSY if key in seen else claims[key]
            given.append(Claim.BASELINE if self._state is State.BASELINE and claim in TAKEN else claim)
            if key is not None:
                seen.add(key)
        return given

    async def knows_invalid(self, row: object, lead: InvalidLead) -> Claim | None:
        """What is known of the very same row with the very same problems."""
        key = self._digests.of_invalid(self._destination, row, lead)
        entry = Entry(
            key=key,
            event_name=lead.name,
            event_id=lead.event_id,
            lead_id=lead.lead_id,
            digest=key,
            state=State.INVALID,
            reason="; ".join(map(str, lead.problems)),
            tombstones=self._tombstones(lead.lead_id, lead.event_id, *self._ids_of(row)),
        )
        claims = await self._guarded(lambda: self._store.claim([entry]))
        return claims[key] if claims[key] in (Claim.STILL_INVALID, Claim.FORGOTTEN) else None

    def settle(self, outcome: Outcome) -> None:
        """Note what became of a claimed event; it is written soon."""
        if outcome.kind not in STATES:
            return  # a row that repeats the event of another one
        event = outcome.lead
        key = self._key(event) if isinstance(event, PreparedEvent) else None
        if key not in self._claimed or key is None:
            return
        self._claimed.discard(key)
        if outcome.kind is Kind.UNSENT and outcome.in_doubt:
            return  # it stays claimed: whoever takes over must know that it may have arrived
        self._settlements.append(Settlement(key, STATES[outcome.kind], outcome.attempts, outcome.status, outcome.why))
        if len(self._settlements) >= MOST_SETTLED_AT_ONCE:
            self._wake.set()

    async def close(self, summary: Mapping[str, Any]) -> None:
        """Write what is left, and sign off."""
        self._closing = True
        try:
            if self._writer is None:
                return
            self._wake.set()
            await self._writer
            if self._lost is not None:
                if self._is_fenced:  # nobody has to wait for what it had in flight
                    with contextlib.suppress(SQLAlchemyError):
                        await self._call(partial(self._store.close, summary))
                raise LedgerLostError(self._lost)
            await self._guarded(lambda: self._store.close(summary))
            if not summary.get(Kind.UNSENT.value):  # a send that was stopped has no time
                await self._purge()
        finally:
            self._thread.submit(self._store.dispose)
            self._thread.shutdown(wait=False)

    async def _purge(self) -> None:
        """Remove old rows. Everything is settled: what goes wrong here is no failure of the send."""
        try:
            if removed := await self._call(self._store.purge):
                log.info("removed %s old events from the ledger", f"{removed:,}")
        except SQLAlchemyError as error:
            log.warning("old events could not be removed from the ledger: %s", _told(error))

    def _key(self, event: PreparedEvent) -> str | None:
        return key_of(self._script_id, event)

    def _entry(self, event: PreparedEvent, key: str) -> Entry:
        fields = sorted(
            f"{part}.{name}" for part, content in event.body.items() if isinstance(content, dict) for name in content
        )
        return Entry(
            key=key,
            event_name=event.name,
            event_id=event.id,
            lead_id=event.lead_id,
            digest=self._digests.of_event(event),
            fields=" ".join(fields),
            occurred_at=event.occurred_at,
            state=self._state,
            destination=destination_of(self._script_id, event),
            body_digest=self._digests.of_body(event),
            tombstones=self._tombstones_of(event),
            former_key=former_key_of(self._script_id, event),
        )

    def _tombstones_of(self, event: PreparedEvent) -> set[str]:
        user = event.event.user
        return self._tombstones(event.lead_id, event.id, user.id if user else None, *event.former_ids)

    def _tombstones(self, *ids: str | None) -> set[str]:
        return {self._digests.of_forgotten(self._script_id, each) for each in set(ids) if each}

    async def _write(self) -> None:
        """Write settlements and the heartbeat until closed."""
        beat = self._heard = time.monotonic()
        while not self._closing or self._settlements:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), SETTLE_SECONDS)
            self._wake.clear()
            try:
                now = time.monotonic()
                if now - beat >= HEARTBEAT_SECONDS or (now - self._heard >= SECONDS_UNHEARD and self._lost is None):
                    beat = self._heard = now
                    await self._call(self._store.renew)
                await self._write_settlements()
            except LedgerFencedError as error:
                self._lose(str(error), fenced=True)
            except SQLAlchemyError as error:
                self._lose(_told(error))
                if time.monotonic() - self._lost_at > SECONDS_TO_SETTLE:
                    return
                await asyncio.sleep(SECONDS_BETWEEN_TRIES)

    async def _write_settlements(self) -> None:
        due = len(self._settlements)  # what comes meanwhile waits for the next round: few large batches
        while due > 0:
            batch = self._settlements[: min(due, MOST_SETTLED_AT_ONCE)]
            try:
                await self._call(partial(self._store.settle, batch))
            except LedgerFencedError as error:  # what it owned is written
                self._lose(str(error), fenced=True)
            self._heard = time.monotonic()
            del self._settlements[: len(batch)]
            due -= len(batch)

    def _lose(self, why: str, *, fenced: bool = False) -> None:
        self._is_fenced |= fenced
        if self._lost is None:
            self._lost = why
            self._lost_at = time.monotonic()
            self._on_lost(why)

    async def _guarded(self, call: Callable[[], T]) -> T:
        if self._lost is not None:
            raise LedgerLostError(self._lost)
        try:
            return await self._call(call)
        except LedgerSchemaError as error:
            self._lost = str(error)
            raise LedgerUnusableError(self._lost) from None
        except LedgerFencedError as error:
            self._lose(str(error), fenced=True)
            raise
        except SQLAlchemyError as error:
            self._lose(_told(error))
            raise LedgerLostError(self._lost) from None

    async def _call(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _told(error: Exception) -> str:
    """An error's kind. Its text may quote the statement and its values."""
    cause = getattr(error, "orig", None)
    return f"its database does not answer ({type(cause or error).__name__})"
