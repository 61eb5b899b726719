"""Rows of one source that repeat an event id: a doubled row, a lead's own history, or the fan-out of a JOIN."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from airflow_reshape.events.prepared import PreparedEvent

MOST_REMEMBERED = 100_000
"""Event ids of one source that are remembered, about 170 bytes each; rows with later ones are not compared."""
LOW_HALF = 0xFFFF_FFFF


class Repeat(StrEnum):
    """How a row repeats the event id of an earlier row. It is never sent."""

    SAME = "repeated"
    """The same data."""
    HISTORY = "repeated_later"
    """Other data, and another ``occurred_at``: lost, reopened and lost again is one event by the vendor's rule."""
    FAN_OUT = "fan_out"
    """Other data, and the same ``occurred_at`` or none: which of them is right, nobody knows."""


WITH_OTHER_DATA = (Repeat.HISTORY, Repeat.FAN_OUT)


class EventIds:
    """The event ids of one source, as hashes of 8 bytes that hold in this process only.

    :param most: how many are remembered.

    :ivar not_compared: rows whose id found no place any more.
    """

    def __init__(self, most: int = MOST_REMEMBERED) -> None:
        self._most = most
        self._rows: dict[int, int] = {}
        self.not_compared = 0

    def look(self, event: PreparedEvent, payload: bytes) -> Repeat | None:
        """How an event repeats an earlier one; None for the first with its id, which is remembered.

        :param event: one that is to be sent. Events without an id are never repeats.
        :param payload: what is to be sent of it.
        """
        if event.id is None:
            return None
        identity = hash((event.environment, event.name, event.id))
        row = _row(event.occurred_at, payload)
        first = self._rows.get(identity)
        if first is None:
            if not self._remember(identity, row):
                self.not_compared += 1
            return None
        if first & LOW_HALF == row & LOW_HALF:
            return Repeat.SAME
        at = row >> 32
        if event.occurred_at is None or first >> 32 in (at, _row(None, b"") >> 32):
            return Repeat.FAN_OUT
        # Another row of this very moment may differ from it, too.
        moment = hash((identity, at))
        other = self._rows.get(moment, row)
        self._remember(moment, row)
        return Repeat.HISTORY if other == row else Repeat.FAN_OUT

    def _remember(self, identity: int, row: int) -> bool:
        if len(self._rows) >= self._most:
            return identity in self._rows
        self._rows.setdefault(identity, row)
        return True


def _row(occurred_at: datetime | None, payload: bytes) -> int:
    """The moment of a row in the upper half, its data in the lower one."""
    return (hash(occurred_at) & LOW_HALF) << 32 | (hash(payload) & LOW_HALF)
