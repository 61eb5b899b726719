"""The ledger's reads and writes: claims before a POST, settlements after it. Synchronous, for one thread at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

from sqlalchemy import (
    Connection,
    Engine,
    bindparam,
    event,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from airflow_reshape.delivery.ledger.claims import TAKEN, Claim
from airflow_reshape.delivery.ledger.tables import SCHEMA_VERSION, events, metadata, schema, senders

P = ParamSpec("P")
T = TypeVar("T")

LEASE = timedelta(seconds=60)
TRIES_TO_MAKE_TABLES = 5


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
    :param fields: names of the fields sent.
    :param state: state to claim; ``baseline`` and ``invalid`` are settled at once.
    """

    key: str
    event_name: str | None
    event_id: str | None
    lead_id: str | None
    digest: str
    fields: str = ""
    occurred_at: datetime | None = None
    state: State = State.CLAIMED


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of a claimed event."""

    key: str
    state: State
    attempts: int = 0
    http_status: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class SenderIdentity:
    """Who sends: a try of a task instance. Everything is None outside a task."""

    dag_id: str | None = None
    run_id: str | None = None
    task_id: str | None = None
    map_index: int | None = None
    try_number: int | None = None
    package_version: str | None = None


class LedgerSchemaError(RuntimeError):
    """The tables belong to another version of this package."""


# How each database tells its clock, in UTC, and how it inserts what is not there.
CLOCKS: dict[str, Any] = {
    "sqlite": func.strftime("%Y-%m-%d %H:%M:%f", "now"),
    "postgresql": func.timezone("UTC", func.clock_timestamp()),
    "mysql": literal_column("UTC_TIMESTAMP(6)"),
    "mariadb": literal_column("UTC_TIMESTAMP(6)"),
}
INSERT_NEW: dict[str, Callable[[Any], Any]] = {
    "sqlite": lambda table: sqlite.insert(table).on_conflict_do_nothing(),
    "postgresql": lambda table: postgresql.insert(table).on_conflict_do_nothing(),
    "mysql": lambda table: mysql.insert(table).prefix_with("IGNORE"),
    "mariadb": lambda table: mysql.insert(table).prefix_with("IGNORE"),
}


MOST_DEADLOCKS = 10
DEADLOCKS = {"40001", "40P01", 1213, 1205}  # SQLSTATE of PostgreSQL, error numbers of MySQL


def _again_after_deadlocks(call: Callable[P, T]) -> Callable[P, T]:
    """Repeat a transaction that the database gave up to let another one pass: it left nothing behind."""

    @wraps(call)
    def repeated(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(MOST_DEADLOCKS):
            try:
                return call(*args, **kwargs)
            except DBAPIError as error:
                cause: Any = error.orig
                if not {getattr(cause, "sqlstate", None), *getattr(cause, "args", ())[:1]} & DEADLOCKS:
                    raise
        return call(*args, **kwargs)

    return repeated


class LedgerStore:
    """The ledger of one sender.

    :param engine: of the ledger's database.
    :param destination: script id and environment, so that ``dev`` sends say nothing of ``prod``.
    :param identity: who sends.
    :param digest_version: names the key of the digests; others cannot be compared.
    :param lease: how long a silent sender counts as alive.
    """

    def __init__(
        self,
        engine: Engine,
        destination: str,
        identity: SenderIdentity,
        digest_version: str,
        lease: timedelta = LEASE,
    ) -> None:
        # Not MySQL's default: within one transaction a claim has to see what others have inserted meanwhile.
        is_mysql = engine.dialect.name in ("mysql", "mariadb")
        self._engine = engine.execution_options(isolation_level="READ COMMITTED") if is_mysql else engine
        self._destination = destination
        self._identity = identity
        self._digest_version = digest_version
        self._lease = lease
        self._held: set[str] = set()
        self.sender_id = str(uuid4())
        if engine.dialect.name == "sqlite":
            event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
            event.listen(engine, "connect", _leave_transactions_to_us)

    def open(self) -> None:
        """Make the tables at first use, and sign in.

        :raises LedgerSchemaError: the tables are of another version.
        """
        self._make_tables()
        with self._engine.begin() as connection:
            connection.execute(INSERT_NEW[self._engine.dialect.name](schema).values(version=SCHEMA_VERSION))
            versions = connection.scalars(select(schema.c.version)).all()
            if versions != [SCHEMA_VERSION]:
                raise LedgerSchemaError(f"the ledger's tables are of version {max(versions)}, not {SCHEMA_VERSION}")
            now = self._now(connection)
            identity = self._identity
            connection.execute(
                insert(senders).values(
                    id=self.sender_id,
                    dag_id=identity.dag_id,
                    run_id=identity.run_id,
                    task_id=identity.task_id,
                    map_index=identity.map_index,
                    try_number=identity.try_number,
                    package_version=identity.package_version,
                    started_at=now,
                    lease_until=now + self._lease,
                )
            )

    def _make_tables(self) -> None:
        for _ in range(TRIES_TO_MAKE_TABLES):
            try:
                metadata.create_all(self._engine)
            except DBAPIError as error:  # another sender makes them at the same moment
                failure = error
            else:
                return
        raise failure

    @_again_after_deadlocks
    def renew(self) -> bool:
        """Say that this sender lives; False if its lease had run out, so that others may have taken over."""
        with self._engine.begin() as connection:
            now = self._now(connection)
            done = connection.execute(
                update(senders)
                .where(senders.c.id == self.sender_id, senders.c.lease_until > now, senders.c.ended_at.is_(None))
                .values(lease_until=now + self._lease)
            )
            return done.rowcount == 1

    @_again_after_deadlocks
    def claim(self, entries: Sequence[Entry]) -> dict[str, Claim]:
        """Claim events, all in one transaction that is committed before anything is sent.

        :param entries: each key once.
        :returns: the answer by key.
        """
        if not entries:
            return {}
        mine = {entry.key: Claim.BUSY for entry in entries if entry.key in self._held}
        # In one order everywhere, so that two senders never wait for each other.
        wanted = sorted((entry for entry in entries if entry.key not in mine), key=lambda entry: entry.key)
        keys = [entry.key for entry in wanted]
        with self._engine.begin() as connection:
            now = self._now(connection)
            known = self._rows(connection, keys)
            rows = known | self._insert_new(connection, [e for e in wanted if e.key not in known], now)
            living = self._living(connection, {row.owner for row in rows.values()}, now)
        mine_now = {key for key in keys if key not in known and rows[key].owner == self.sender_id}
        claims = {
            entry.key: Claim.OWNED if entry.key in mine_now else self._answer(entry, rows[entry.key], living)
            for entry in wanted
        }
        free = [e for e in wanted if claims[e.key] in TAKEN and e.key not in mine_now]
        if free:
            # A transaction of its own: locks taken here and by the inserts above could make a circle of senders.
            with self._engine.begin() as connection:
                self._take_over(connection, free, rows, self._now(connection))
                owners = self._rows(connection, [entry.key for entry in free])
            claims |= {e.key: Claim.BUSY for e in free if owners[e.key].owner != self.sender_id}
        self._held.update(e.key for e in wanted if claims[e.key] in TAKEN and e.state is State.CLAIMED)
        return claims | mine

    def _insert_new(self, connection: Connection, entries: Sequence[Entry], now: datetime) -> dict[str, Any]:
        """Claim what nobody knows yet; the rows as they are then, for somebody else may have been quicker."""
        if not entries:
            return {}
        connection.execute(INSERT_NEW[self._engine.dialect.name](events), [self._row(entry, now) for entry in entries])
        return self._rows(connection, [entry.key for entry in entries])

    def _take_over(
        self, connection: Connection, entries: Sequence[Entry], rows: Mapping[str, Any], now: datetime
    ) -> None:
        """Take what is free, unless somebody else was quicker."""
        same_as_seen = (
            (events.c.key == bindparam("seen_key"))
            & (events.c.owner == bindparam("seen_owner"))
            & (events.c.state == bindparam("seen_state"))
        )
        connection.execute(
            update(events).where(same_as_seen),
            [
                {
                    "seen_key": entry.key,
                    "seen_owner": rows[entry.key].owner,
                    "seen_state": rows[entry.key].state,
                    **_without_key(self._row(entry, now)),
                }
                for entry in entries
            ],
        )

    @_again_after_deadlocks
    def settle(self, settlements: Sequence[Settlement]) -> set[str]:
        """Write down what became of claimed events.

        :returns: keys that this sender did not own any more: somebody else took them over.
        """
        if not settlements:
            return set()
        ordered = sorted(settlements, key=lambda settlement: settlement.key)
        with self._engine.begin() as connection:
            now = self._now(connection)
            connection.execute(
                update(events)
                .where(
                    events.c.key == bindparam("k"),
                    events.c.owner == self.sender_id,
                    events.c.state == State.CLAIMED.value,
                )
                .values(settled_at=now),
                [
                    {
                        "k": settled.key,
                        "state": settled.state.value,
                        "attempts": settled.attempts,
                        "http_status": settled.http_status,
                        "reason": settled.reason,
                    }
                    for settled in ordered
                ],
            )
            keys = [settled.key for settled in ordered]
            owned = connection.scalars(
                select(events.c.key).where(events.c.key.in_(keys), events.c.owner == self.sender_id)
            ).all()
        self._held.difference_update(keys)
        return set(keys) - set(owned)

    def close(self, summary: Mapping[str, Any] | None = None) -> None:
        """Sign off. What is still claimed then is in doubt: whoever claims it next learns so."""
        with self._engine.begin() as connection:
            now = self._now(connection)
            connection.execute(
                update(senders)
                .where(senders.c.id == self.sender_id)
                .values(ended_at=now, summary=json.dumps(summary or {}))
            )
        self._held.clear()

    def dispose(self) -> None:
        """Give the database's connections back."""
        self._engine.dispose()

    def _now(self, connection: Connection) -> datetime:
        told: Any = connection.scalar(select(CLOCKS[self._engine.dialect.name]))
        return datetime.fromisoformat(told) if isinstance(told, str) else told.replace(tzinfo=None)

    def _rows(self, connection: Connection, keys: Collection[str]) -> dict[str, Any]:
        columns = (events.c.key, events.c.state, events.c.owner, events.c.digest, events.c.digest_version)
        query = select(*columns).where(events.c.key.in_(keys))
        return {row.key: row for row in connection.execute(query)}

    def _row(self, entry: Entry, now: datetime) -> dict[str, Any]:
        occurred_at = entry.occurred_at
        return {
            "key": entry.key,
            "destination": self._destination,
            "event_name": entry.event_name,
            "event_id": entry.event_id,
            "lead_id": entry.lead_id,
            "state": entry.state.value,
            "owner": self.sender_id,
            "attempts": 0,
            "http_status": None,
            "reason": None,
            "digest": entry.digest,
            "digest_version": self._digest_version,
            "fields": entry.fields,
            "occurred_at": occurred_at.astimezone(UTC).replace(tzinfo=None) if occurred_at else None,
            "claimed_at": now,
            "settled_at": None if entry.state is State.CLAIMED else now,
        }

    def _living(self, connection: Connection, ids: Collection[str], now: datetime) -> set[str]:
        """Senders that may still send: their lease runs, they did not end, and they are no earlier try of ours."""
        rows = connection.execute(
            select(senders).where(
                senders.c.id.in_(set(ids) - {self.sender_id}),
                senders.c.lease_until > now,
                senders.c.ended_at.is_(None),
            )
        )
        return {row.id for row in rows if not self._is_earlier_try(row)}

    def _is_earlier_try(self, row: Any) -> bool:
        mine = self._identity
        if mine.try_number is None or row.try_number is None:
            return False
        same = (row.dag_id, row.run_id, row.task_id, row.map_index) == (
            mine.dag_id, mine.run_id, mine.task_id, mine.map_index,
        )  # fmt: skip
        return same and row.try_number < mine.try_number

    def _answer(self, entry: Entry, row: Any, living: Collection[str]) -> Claim:
        same = row.digest == entry.digest or row.digest_version != self._digest_version
        if row.state == State.CLAIMED:
            return Claim.BUSY if row.owner in living else Claim.TAKEN_OVER
        answers: Mapping[str, Claim] = ANSWERS[entry.state]
        answer = answers.get(row.state, Claim.OWNED)
        if answer is Claim.ALREADY_SENT and not same:
            return Claim.CHANGED
        if answer is Claim.STILL_REJECTED and row.digest != entry.digest:
            return Claim.OWNED
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
    State.INVALID: {State.INVALID.value: Claim.STILL_REJECTED},
}


def _without_key(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "key"}


def _leave_transactions_to_us(connection: Any, _: Any) -> None:
    """pysqlite begins transactions by itself, and too late: two readers would both claim."""
    connection.isolation_level = None
    connection.execute("PRAGMA busy_timeout = 30000")
