"""What survives a kill, and which events the next try may therefore send again: the bound."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Protocol

from sqlalchemy import Engine, inspect, select

from airflow_reshape.delivery.checkpoint.record import CheckpointRecord
from airflow_reshape.delivery.ledger.tables import events


class Memory(Protocol):
    """The ledger or the checkpoint of a task, looked at between two tries."""

    def killed(self, read: Sequence[str]) -> None:
        """A try is dead.

        :param read: event ids in the order in which its source gave them.
        """
        ...

    def repeatable(self, taken: Collection[str], to_read: Sequence[str]) -> set[str]:
        """Events that the next try may send again.

        :param taken: event ids that the server has.
        :param to_read: event ids in the order in which the next try reads them.
        """
        ...


class LedgerMemory:
    """In a ledger: what the server took and the ledger still calls claimed.

    :param new_engine: makes an engine of the ledger's database.
    """

    def __init__(self, new_engine: Callable[[], Engine]) -> None:
        self._new_engine = new_engine

    def killed(self, read: Sequence[str]) -> None:
        """The ledger knows no order."""

    def repeatable(self, taken: Collection[str], to_read: Sequence[str]) -> set[str]:
        return self.claimed() & set(taken)

    def claimed(self) -> set[str]:
        """Ids of events in state claimed; none before the tables are made."""
        engine = self._new_engine()
        try:
            with engine.connect() as connection:
                if not inspect(connection).has_table(events.name):
                    return set()
                return set(connection.scalars(select(events.c.event_id).where(events.c.state == "claimed")))
        finally:
            engine.dispose()


class CheckpointMemory:
    """In a state store: what the server took and the last written checkpoint does not cover.

    A checkpoint speaks of rows by their positions in the source as it was read then. It covers them up to the last of
    its marks before which the source gives the same rows again, and all of them if it does so up to its end.

    :param stored: what the state store holds now, or None.
    """

    def __init__(self, stored: Callable[[], Any]) -> None:
        self._stored = stored
        self._read_by: dict[str, Sequence[str]] = {}

    def killed(self, read: Sequence[str]) -> None:
        record = self.record()
        if record:
            # A try that has not come as far as the one before it keeps the checkpoint of that one.
            self._read_by.setdefault(record.digest, read)

    def record(self) -> CheckpointRecord | None:
        stored = self._stored()
        return CheckpointRecord.model_validate(stored) if stored else None

    def repeatable(self, taken: Collection[str], to_read: Sequence[str]) -> set[str]:
        record = self.record()
        if record is None:
            return set(taken)
        return set(taken) - covered(record, self._read_by[record.digest], to_read)


def covered(record: CheckpointRecord, read: Sequence[str], to_read: Sequence[str]) -> set[str]:
    """The events that a checkpoint covers.

    :param read: event ids as the checkpoint's own try read them.
    :param to_read: the same, as the next try reads them.
    """
    anything = record.failed.keys() | record.mended.keys()  # whatever stands there is looked at again
    same = 0
    while same < min(len(read), len(to_read)) and (read[same] == to_read[same] or same + 1 in anything):
        same += 1
    agreed = max((mark for mark in (*(mark for mark, _ in record.marks), record.read) if mark <= same), default=0)
    settled = set(range(1, min(agreed, record.settled) + 1))
    if agreed == record.read:
        settled |= record.settled_beyond()
    return {read[position - 1] for position in settled}
