"""Which rows of a source are settled, in a few numbers and digests. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter, deque
from dataclasses import dataclass

from airflow_reshape.delivery.checkpoint.keys import DIGEST_BYTES, RowKey
from airflow_reshape.delivery.checkpoint.record import CheckpointRecord

MOST_BEYOND = 2048
"""Settled rows beyond the oldest unsettled one that are remembered; later ones would be sent again."""
MOST_FAILED = 1000
MOST_MARKS = 64
FIRST_INTERVAL = 64
HOLE = bytes(DIGEST_BYTES)
"""Stands for a failed row, which may be mended and then has another key."""


@dataclass(slots=True)
class _Row:
    key: RowKey
    settled: bool = False


class Progress:
    """The rows of one send, in the order in which they were read; positions count from 1.

    :param start: the digest of no rows.
    """

    def __init__(self, start: bytes) -> None:
        self._hasher = hashlib.blake2b(start, digest_size=DIGEST_BYTES)
        self._settled = 0
        self._beyond: deque[_Row] = deque()
        self._marks: list[tuple[int, bytes]] = []
        self._interval = FIRST_INTERVAL
        self._again: dict[int, RowKey] = {}
        self.failed: dict[int, bytes] = {}
        self.mended: dict[int, bytes] = {}
        self.unlisted = 0
        self.counts: Counter[str] = Counter()

    @property
    def taken(self) -> int:
        """Rows read."""
        return self._settled + len(self._beyond)

    def take(self, key: RowKey) -> None:
        """The next row was read; it is not settled."""
        self._beyond.append(_Row(key))

    def take_settled(self, key: RowKey) -> None:
        """The next row is settled since an earlier try."""
        self._beyond.append(_Row(key, settled=True))
        self._advance()

    def take_mended(self, key: RowKey) -> None:
        """The next row had failed, and was settled in a later try."""
        self.mended[self.taken + 1] = key.key
        self.take_settled(key)

    def take_failed(self, key: RowKey) -> None:
        """The next row had failed in an earlier try, and is tried again."""
        position = self.taken + 1
        self.failed[position] = key.failure
        self._again[position] = key
        self.take_settled(key)

    def settle(self, position: int) -> None:
        """A row is settled, and did not fail."""
        if position in self._again:
            self.failed.pop(position, None)
            self.mended[position] = self._again.pop(position).key
            return
        self._beyond[position - self._settled - 1].settled = True
        self._advance()

    def fail(self, position: int) -> None:
        """A row failed: it is settled, and tried again when the source is read again."""
        if position in self._again:
            del self._again[position]
            return
        row = self._beyond[position - self._settled - 1]
        row.settled = True
        if len(self.failed) + len(self.mended) < MOST_FAILED:
            self.failed[position] = row.key.failure
        else:
            self.unlisted += 1
        self._advance()

    def record(self) -> CheckpointRecord:
        """What a later try needs to know."""
        beyond = [self._beyond[index] for index in range(min(len(self._beyond), MOST_BEYOND))]
        while beyond and not beyond[-1].settled:
            beyond.pop()
        hasher = self._hasher.copy()
        bits = 0
        for index, row in enumerate(beyond):
            hasher.update(self._contribution(self._settled + index + 1, row))
            bits |= row.settled << index
        return CheckpointRecord(
            settled=self._settled,
            marks=[(position, digest.hex()) for position, digest in self._marks],
            read=self._settled + len(beyond),
            digest=hasher.hexdigest(),
            beyond=base64.b64encode(bits.to_bytes((len(beyond) + 7) // 8, "little")).decode(),
            failed={position: digest.hex() for position, digest in self.failed.items()},
            mended={position: digest.hex() for position, digest in self.mended.items()},
            unlisted=self.unlisted,
            counts=dict(self.counts),
        )

    def _advance(self) -> None:
        while self._beyond and self._beyond[0].settled:
            row = self._beyond.popleft()
            self._settled += 1
            self._hasher.update(self._contribution(self._settled, row))
            if self._settled % self._interval == 0:
                self._mark()

    def _mark(self) -> None:
        self._marks.append((self._settled, self._hasher.digest()))
        if len(self._marks) > MOST_MARKS:
            self._interval *= 2
            self._marks = [mark for mark in self._marks if mark[0] % self._interval == 0]

    def _contribution(self, position: int, row: _Row) -> bytes:
        return HOLE if position in self.failed or position in self.mended else row.key.key
