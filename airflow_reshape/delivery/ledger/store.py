"""The ledger's reads and writes: claims before a POST, settlements after it. Synchronous, for one thread at a time."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, bindparam, exists, select, update

from airflow_reshape.delivery.ledger.claims import TAKEN, Claim, LedgerFencedError
from airflow_reshape.delivery.ledger.columns import check_columns
from airflow_reshape.delivery.ledger.databases import (
    CLOCKS,
    again,
    among,
    as_time,
    clock,
    for_ledger,
    insert_new,
    insert_new_rows,
    kept,
)
from airflow_reshape.delivery.ledger.opening import LedgerSchemaError, check_key, make_tables
from airflow_reshape.delivery.ledger.retention import purge
from airflow_reshape.delivery.ledger.tables import LEAD_ID_LENGTH, REASON_LENGTH, events, forgotten, schema, senders
from airflow_reshape.delivery.ledger.views import make_views

__all__ = ["CLOCKS", "LEASE", "Entry", "LedgerSchemaError", "LedgerStore", "SenderIdentity", "Settlement", "State"]

LEASE = timedelta(seconds=60)
TIME_TO_NOTICE = timedelta(seconds=3)
"""How long a sender that was fenced off, and did not sign off, may still settle what it had in flight."""
TAKEN_OVER = "another try of this task, or another send, took its events over"
LATER_TRY = "a later try of this task is sending"


class State(StrEnum):
    """Where an event stands."""

    CLAIMED = "claimed"
    DELIVERED = "delivered"
    REJECTED = "rejected"
    INVALID = "invalid"
    RELEASED = "released"
    BASELINE = "baseline"


@dataclass(frozen=True, slots=True)
class Entry:
    """An event to claim.

    :param key: digest of destination, event name and event id.
    :param digest: keyed digest of what would make it another event (value, currency, reason).
    :param body_digest: keyed digest of all that is sent; None where ``digest`` tells it.
    :param fields: names of the fields sent.
    :param state: state to claim; ``baseline`` and ``invalid`` are settled at once.
    :param reason: what is wrong with an invalid one.
    :param tombstones: the digests under which its lead would have been forgotten.
    :param destination: of the event; None: the sender's.
    :param former_key: the key that the event had while its id was spelled otherwise, or None.
    """

    key: str
    event_name: str | None
    event_id: str | None
    lead_id: str | None
    digest: str
    fields: str = ""
    occurred_at: datetime | None = None
    state: State = State.CLAIMED
    body_digest: str | None = None
    reason: str | None = None
    tombstones: Collection[str] = ()
    destination: str | None = None
    former_key: str | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a claimed event."""

    key: str
    state: State
    attempts: int = 0
    http_status: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class _Look:
    """What a claim found: the keys of forgotten leads, those that are new and now ours, and the rows of the others."""

    now: datetime
    gone: set[str]
    mine: set[str]
    rows: dict[str, Any]
    owners: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SenderIdentity:
    """Who sends: a try of a task instance. Everything is None outside a task."""

    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None
    try_number: int | None = None
    package_version: str | None = None


class LedgerStore:
    """The ledger of one sender.

    :param engine: of the ledger's database.
    :param destination: script id and environment, with a colon between, so that ``dev`` sends say nothing of ``prod``.
    :param identity: who sends.
    :param digest_version: names the key of the digests; others cannot be compared.
    :param lease: how long a silent sender counts as alive.
    :param time_to_notice: how long what a sender had claimed is left to it after it was fenced off.
    :param retention: how long what is settled is remembered. Default: for ever.
    :param retry_rejected: rejected events are sent once more although nothing changed. Default False.
    """

    def __init__(
        self,
        engine: Engine,
        destination: str,
        identity: SenderIdentity,
        digest_version: str,
        lease: timedelta = LEASE,
        retention: timedelta | None = None,
        retry_rejected: bool = False,
        time_to_notice: timedelta = TIME_TO_NOTICE,
    ) -> None:
        self._engine = for_ledger(engine)
        self._destination = destination
        self._identity = identity
        self._digest_version = digest_version
        self._lease = lease
        self._retention = retention
        self._retry_rejected = retry_rejected
        self._time_to_notice = time_to_notice
        self._held: set[str] = set()
        self.sender_id = str(uuid4())

    def open(self) -> None:
        """Make the tables at first use, fence off living senders of earlier tries of this task, and sign in.

        :raises LedgerSchemaError: the tables are of another version, or leads were forgotten with another key.
        :raises LedgerFencedError: a later try of this task lives.
        """
        make_tables(self._engine)
        check_columns(self._engine)
        make_views(self._engine)
        self._sign_in()

    @again
    def _sign_in(self) -> None:
        with self._engine.begin() as connection:
            check_key(connection, self._destination.partition(":")[0], self._digest_version)
            now = self._now(connection)
            identity = self._identity
            self._fence_off_earlier_tries(connection, now)
            connection.execute(
                insert_new(self._engine, senders).values(  # it may be there: see again
                    id=self.sender_id,
                    dag_id=identity.dag_id,
                    run_id=identity.run_id,
                    task_id=identity.task_id,
                    map_index=identity.map_index,
                    try_number=identity.try_number,
                    package_version=identity.package_version,
                    started_at=now,
                    lease_until=now + self._lease,
                    retention_seconds=self._retention and int(self._retention.total_seconds()),
                )
            )

    def _fence_off_earlier_tries(self, connection: Connection, now: datetime) -> None:
        mine = self._identity
        if mine.try_number is None or None in (mine.dag_id, mine.run_id, mine.task_id):
            return  # nobody can tell whose tries they are: only leases count
        of_this_task = (senders.c[name].is_not_distinct_from(getattr(mine, name)) for name in TASK)
        # Also those whose lease ran out: they could take it up again.
        others = connection.execute(select(senders).where(*of_this_task, senders.c.ended_at.is_(None))).all()
        if any(
            other.try_number is not None and other.try_number > mine.try_number and other.lease_until > now
            for other in others
        ):
            raise LedgerFencedError(LATER_TRY)
        self._fence_off(connection, {other.id for other in others if self._is_earlier_try(other)}, now)

    def _fence_off(self, connection: Connection, others: Collection[str], now: datetime) -> None:
        """End senders. They did not sign off, so they have no summary: by that they learn what became of them."""
        for other in sorted(others):  # in one order everywhere
            connection.execute(
                update(senders).where(senders.c.id == other, senders.c.ended_at.is_(None)).values(ended_at=now)
            )

    @again
    def renew(self) -> None:
        """Say that this sender lives. A lease that ran out is taken up again, unless somebody took over meanwhile.

        :raises LedgerFencedError: others took over.
        """
        with self._engine.begin() as connection:
            self._renew(connection, self._now(connection))

    def _renew(self, connection: Connection, now: datetime) -> None:
        # Whoever takes anything over from this sender ends its row in the same transaction.
        done = connection.execute(
            update(senders)
            .where(senders.c.id == self.sender_id, senders.c.ended_at.is_(None))
            .values(lease_until=now + self._lease)
        )
        if done.rowcount != 1:
            raise LedgerFencedError(TAKEN_OVER)

    def _myself(self, connection: Connection) -> Any:
        """How this sender stands in the ledger."""
        return connection.execute(select(*STANDING).where(senders.c.id == self.sender_id)).one_or_none()

    def _see_that_it_lives(self, connection: Connection, myself: Any, now: datetime) -> None:
        """See that this sender may go on, with a lease that runs.

        :param myself: its row, locked; None: it is gone.
        :raises LedgerFencedError: it must not.
        """
        if myself is None or myself.ended_at is not None:
            raise LedgerFencedError(TAKEN_OVER)
        if myself.lease_until <= now:  # the database kept it waiting, and nobody took over
            self._renew(connection, now)

    def claim(self, entries: Sequence[Entry]) -> dict[str, Claim]:
        """Claim events; when it returns, the claims are committed, and the events may be sent.

        What is new is claimed in one transaction, what others left behind is taken over in a second one. After a
        crash between the two, the new ones are claimed by a send that died.

        :param entries: each key once.
        :returns: the answer by key.
        :raises LedgerFencedError: others took over from this sender; nothing was claimed.
        """
        mine = {entry.key: Claim.BUSY for entry in entries if entry.key in self._held}
        # In one order everywhere, so that two senders never wait for each other.
        asked = sorted((entry for entry in entries if entry.key not in mine), key=lambda entry: entry.key)
        if not asked:
            return mine
        new = self._claim_new(asked, [])
        now, gone, mine_now, rows, owners = new.now, new.gone, new.mine, new.rows, new.owners
        wanted = [entry for entry in asked if entry.key not in gone]
        claims = {
            entry.key: Claim.OWNED if entry.key in mine_now else self._answer(entry, rows.get(entry.key), owners, now)
            for entry in wanted
        }
        free = [e for e in wanted if claims[e.key] in TAKEN and e.key not in mine_now]
        if free:
            # A transaction of its own: locks taken here and by the inserts above could make a circle of senders.
            taken = self._take_over(free, rows)
            claims |= {e.key: Claim.BUSY for e in free if not self._is_mine(taken.get(e.key))}
        self._held.update(e.key for e in wanted if claims[e.key] in TAKEN and e.state is State.CLAIMED)
        return claims | mine | dict.fromkeys(gone, Claim.FORGOTTEN)

    # Each transaction is repeated alone: a new look after the first would take our own claims for somebody's.

    @again
    def _claim_new(self, asked: Sequence[Entry], known: list[Collection[str]]) -> _Look:
        """Claim what nobody knows yet.

        :param known: empty. The first look leaves here which events were known: if it was committed, and its
            connection broke before it learned so, the second look tells by that which claims are its own.
        """
        with self._engine.begin() as connection:
            now, gone = self._look(connection, asked)
            wanted = [entry for entry in asked if entry.key not in gone]
            self._take_former_keys(connection, [entry for entry in wanted if entry.former_key])
            rows = self._rows(connection, [entry.key for entry in wanted])
            if not known:
                known.append(set(rows))
            ours = {key for key, row in rows.items() if self._is_mine(row) and key not in known[0]}
            mine, quicker = self._insert_new(connection, [e for e in wanted if e.key not in rows], now)
            rows |= quicker
            return _Look(now, gone, mine | ours, rows, self._owners(connection, rows.values()))

    def _take_former_keys(self, connection: Connection, entries: Sequence[Entry]) -> None:
        """Give events their new key that are known under the one that they had before ids were cleaned."""
        if not entries:
            return
        formers = [str(entry.former_key) for entry in entries]
        known = self._rows(connection, [*formers, *(entry.key for entry in entries)])
        for entry in entries:
            if entry.former_key in known and entry.key not in known:
                connection.execute(
                    update(events)
                    .where(events.c.key == entry.former_key)
                    .values(key=entry.key, event_id=kept(entry.event_id), lead_id=kept(entry.lead_id, LEAD_ID_LENGTH))
                )

    def _look(self, connection: Connection, entries: Sequence[Entry]) -> tuple[datetime, set[str]]:
        """The time, and the keys of events whose lead was forgotten.

        :raises LedgerFencedError: this sender must not claim any more.
        """
        # Whoever forgets a lead waits for claims under way, and claims wait for them (SQLite knows one writer only).
        connection.execute(select(schema.c.version).with_for_update(read=True))
        # So does whoever fences this sender off: what it claims is committed before, or not at all.
        myself = self._locked(connection)
        # A statement of its own, so that it sees what was written while this one waited.
        told, some_are = connection.execute(select(clock(self._engine), exists(select(forgotten.c.digest)))).one()
        self._see_that_it_lives(connection, myself, as_time(told))
        if not some_are:
            return as_time(told), set()
        found = self._marked(connection, {digest for entry in entries for digest in entry.tombstones})
        return as_time(told), {entry.key for entry in entries if not found.isdisjoint(entry.tombstones)}

    def _locked(self, connection: Connection) -> Any:
        """This sender's row, which nobody else changes until the transaction ends."""
        query = select(*STANDING).where(senders.c.id == self.sender_id).with_for_update(read=True)
        return connection.execute(query).one_or_none()

    def _marked(self, connection: Connection, digests: Collection[str]) -> set[str]:
        return set(
            connection.scalars(select(forgotten.c.digest).where(among(self._engine, forgotten.c.digest, digests)))
        )

    @again
    def forgotten(self, digests: Collection[str]) -> set[str]:
        """Those of some digests under which a lead was forgotten."""
        if not digests:
            return set()
        with self._engine.begin() as connection:
            return self._marked(connection, digests)

    def _insert_new(
        self, connection: Connection, entries: Sequence[Entry], now: datetime
    ) -> tuple[set[str], dict[str, Any]]:
        """Claim what nobody knows yet; the keys of those, and the rows of which somebody else was quicker."""
        if not entries:
            return set(), {}
        same = self._row(entries[0], now)
        all_are_new = insert_new_rows(
            connection,
            events,
            [{name: value for name, value in self._row(entry, now).items() if name in OWN} for entry in entries],
            {name: value for name, value in same.items() if name not in OWN},
        )
        if all_are_new:
            return {entry.key for entry in entries}, {}
        found = self._rows(connection, [entry.key for entry in entries])
        mine = {key for key, row in found.items() if self._is_mine(row)}
        return mine, {key: row for key, row in found.items() if key not in mine}

    @again
    def _take_over(self, entries: Sequence[Entry], rows: Mapping[str, Any]) -> dict[str, Any]:
        """Take what is free, unless somebody else was quicker; the rows as they are then.

        Whoever had claimed it is fenced off, unless it took its lease up again.
        """
        same_as_seen = (
            (events.c.key == bindparam("seen_key"))
            & (events.c.owner == bindparam("seen_owner"))
            & (events.c.state == bindparam("seen_state"))
        )
        left_by = {rows[entry.key].owner for entry in entries if rows[entry.key].state == State.CLAIMED}
        with self._engine.begin() as connection:
            myself = self._locked(connection)
            now = self._now(connection)
            self._see_that_it_lives(connection, myself, now)
            living = self._living(connection, left_by - {self.sender_id}, now)
            self._fence_off(connection, left_by - living - {self.sender_id}, now)
            free = [entry for entry in entries if rows[entry.key].owner not in living]
            if free:
                connection.execute(
                    update(events).where(same_as_seen),
                    [
                        {
                            "seen_key": entry.key,
                            "seen_owner": rows[entry.key].owner,
                            "seen_state": rows[entry.key].state,
                            **_without_key(self._row(entry, now)),
                        }
                        for entry in free
                    ],
                )
            return self._rows(connection, [entry.key for entry in entries])

    def _living(self, connection: Connection, ids: Collection[str], now: datetime) -> set[str]:
        """Those of some senders that may still send; nobody changes any of them until the transaction ends."""
        query = select(senders).where(senders.c.id.in_(ids)).order_by(senders.c.id).with_for_update()
        owners = connection.execute(query) if ids else ()
        return {owner.id for owner in owners if self._may_still_send(owner, now)}

    @again
    def settle(self, settlements: Sequence[Settlement]) -> set[str]:
        """Write down what became of claimed events.

        :returns: keys of events whose lead was forgotten meanwhile.
        :raises LedgerFencedError: others took over from this sender. What it still owned is written all the same.
        """
        if not settlements:
            return set()
        # Most are alike: delivered, one attempt, status 200.
        alike: defaultdict[Any, list[str]] = defaultdict(list)
        for each in settlements:
            alike[each.state, each.attempts, each.http_status, each.reason].append(each.key)
        keys = [settled.key for settled in settlements]
        written = 0
        with self._engine.begin() as connection:
            now = self._now(connection)
            for (state, attempts, http_status, reason), those in alike.items():
                done = connection.execute(
                    update(events)
                    .where(
                        among(self._engine, events.c.key, sorted(those)),
                        events.c.owner == self.sender_id,
                        events.c.state == State.CLAIMED.value,
                    )
                    .values(
                        state=state.value,
                        attempts=attempts,
                        http_status=http_status,
                        reason=kept(reason, REASON_LENGTH),
                        settled_at=now,
                    )
                )
                written += done.rowcount
            owners: dict[str, str] = dict.fromkeys(keys, self.sender_id)
            if written != len(keys):
                query = select(events.c.key, events.c.owner).where(among(self._engine, events.c.key, keys))
                owners = {row.key: row.owner for row in connection.execute(query)}
            myself = self._myself(connection)
        self._held.difference_update(keys)
        if myself is None or myself.ended_at is not None or set(owners.values()) - {self.sender_id}:
            raise LedgerFencedError(TAKEN_OVER)
        return set(keys) - owners.keys()

    @again
    def close(self, summary: Mapping[str, Any] | None = None) -> None:
        """Sign off. What is still claimed then is in doubt: whoever claims it next learns so."""
        with self._engine.begin() as connection:
            now = self._now(connection)
            connection.execute(
                update(senders)
                .where(senders.c.id == self.sender_id)
                .values(ended_at=now, summary=json.dumps({"destination": self._destination, **(summary or {})}))
            )
        self._held.clear()

    def purge(self) -> int:
        """Remove what is older than the retention, at most once a day for all senders of this database.

        :returns: how many events were removed.
        """
        return purge(self._engine, self._retention) if self._retention else 0

    def dispose(self) -> None:
        """Give the database's connections back."""
        self._engine.dispose()

    def _now(self, connection: Connection) -> datetime:
        return as_time(connection.scalar(select(clock(self._engine))))

    def _rows(self, connection: Connection, keys: Collection[str]) -> dict[str, Any]:
        if not keys:
            return {}
        names = ("key", "state", "owner", "digest", "body_digest", "digest_version")
        query = select(*(events.c[name] for name in names)).where(among(self._engine, events.c.key, keys))
        return {row.key: row for row in connection.execute(query)}

    def _row(self, entry: Entry, now: datetime) -> dict[str, Any]:
        occurred_at = entry.occurred_at
        return {
            "key": entry.key,
            "destination": entry.destination or self._destination,
            "event_name": entry.event_name,
            "event_id": kept(entry.event_id),
            "lead_id": kept(entry.lead_id, LEAD_ID_LENGTH),
            "state": entry.state.value,
            "owner": self.sender_id,
            "attempts": 0,
            "http_status": None,
            "reason": kept(entry.reason, REASON_LENGTH),
            "digest": entry.digest,
            "body_digest": entry.body_digest or entry.digest,
            "digest_version": self._digest_version,
            "fields": entry.fields,
            "occurred_at": occurred_at.astimezone(UTC).replace(tzinfo=None) if occurred_at else None,
            "claimed_at": now,
            "settled_at": None if entry.state is State.CLAIMED else now,
        }

    def _owners(self, connection: Connection, rows: Iterable[Any]) -> dict[str, Any]:
        """The senders of those rows whose answer depends on them."""
        ids = {row.owner for row in rows if row.state in ASKS_WHO_OWNS} - {self.sender_id}
        if not ids:
            return {}
        return {row.id: row for row in connection.execute(select(senders).where(senders.c.id.in_(ids)))}

    def _is_mine(self, row: Any) -> bool:
        return row is not None and row.owner == self.sender_id

    def _may_still_send(self, owner: Any, now: datetime) -> bool:
        """Its lease runs, it did not end, and it is no earlier try of ours.

        A sender that was fenced off learns of it within a second, and settles what it had in flight: so long it is
        left alone.
        """
        if owner is None or owner.lease_until <= now:
            return False
        if owner.ended_at is not None:
            return owner.summary is None and now < owner.ended_at + self._time_to_notice
        return not self._is_earlier_try(owner)

    def _is_earlier_try(self, owner: Any) -> bool:
        mine = self._identity
        if owner is None or mine.try_number is None or owner.try_number is None:
            return False
        return all(getattr(owner, name) == getattr(mine, name) for name in TASK) and owner.try_number < mine.try_number

    def _answer(self, entry: Entry, row: Any, owners: Mapping[str, Any], now: datetime) -> Claim:
        if row is None:
            return Claim.BUSY  # removed at this moment
        owner = owners.get(row.owner)
        if row.state == State.CLAIMED:
            return Claim.BUSY if self._may_still_send(owner, now) else Claim.TAKEN_OVER
        answers: Mapping[str, Claim] = ANSWERS[entry.state]
        answer = answers.get(row.state, Claim.OWNED)
        if answer is Claim.ALREADY_SENT:
            same = row.digest == entry.digest or row.digest_version != self._digest_version
            return Claim.ALREADY_SENT if same else Claim.CHANGED
        if answer is Claim.STILL_REJECTED:
            changed = row.body_digest != (entry.body_digest or entry.digest)
            if changed or (self._retry_rejected and not self._is_mine(row)):
                return Claim.OWNED
        if answer in STILL_FAILING and self._is_earlier_try(owner):
            return Claim.REJECTED_THIS_RUN
        return answer


# What a settled event answers to a claim. What is not named is owned.
_SETTLED = {
    State.DELIVERED.value: Claim.ALREADY_SENT,
    State.BASELINE.value: Claim.ALREADY_SENT,
    State.REJECTED.value: Claim.STILL_REJECTED,
}
ANSWERS: dict[State, dict[str, Claim]] = {
    State.CLAIMED: _SETTLED,
    State.BASELINE: {**_SETTLED, State.REJECTED.value: Claim.OWNED},
    State.INVALID: {State.INVALID.value: Claim.STILL_INVALID},
}
STILL_FAILING = (Claim.STILL_REJECTED, Claim.STILL_INVALID)
ASKS_WHO_OWNS = {State.CLAIMED.value, State.REJECTED.value, State.INVALID.value}


TASK = ("dag_id", "run_id", "task_id", "map_index")
"""What the tries of one task instance have in common."""
STANDING = (senders.c.lease_until, senders.c.ended_at)

# The columns in which the events of one claim differ.
OWN = frozenset(
    (
        "key",
        "destination",
        "event_name",
        "event_id",
        "lead_id",
        "reason",
        "digest",
        "body_digest",
        "fields",
        "occurred_at",
    )
)


def _without_key(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "key"}
