"""Reading a source again: rows that were settled before are passed over, if they are the same rows."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from airflow_reshape.delivery.checkpoint.keys import DIGEST_BYTES, RowKey
from airflow_reshape.delivery.checkpoint.progress import HOLE
from airflow_reshape.delivery.checkpoint.record import CheckpointRecord

MOST_AT_ONCE = 500


class Before(Enum):
    """What a row became in an earlier try."""

    SETTLED = "settled"
    MENDED = "mended"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class KnownRow:
    """A row that an earlier try dealt with.

    :param name: of the event that it makes, or None.
    """

    before: Before
    row: object = field(repr=False)
    key: RowKey = field(repr=False)
    name: str | None = None


class Reread:
    """One more reading of a source.

    :param record: what is known of it.
    :param start: the digest of no rows.
    :param key_of: makes the key of a row, and tells the name of its event.

    :ivar agreed: position up to which the rows are the same as before.
    :ivar done: nothing of the record is left to compare.
    :ivar differs: rows are others than before; everything after ``agreed`` counts as new.
    """

    def __init__(
        self, record: CheckpointRecord, start: bytes, key_of: Callable[[object], tuple[RowKey, str | None]]
    ) -> None:
        self._record = record
        self._key_of = key_of
        self._hasher = hashlib.blake2b(start, digest_size=DIGEST_BYTES)
        ends = {position: digest for position, digest in record.marks if 0 < position <= record.settled}
        if record.read:
            ends[record.read] = record.digest
        self._ends = deque(sorted(ends.items()))
        self._settled_beyond = record.settled_beyond()
        self._held: list[tuple[int, object, RowKey, str | None]] = []
        self._position = 0
        self.agreed = 0
        self.done = not self._ends
        self.differs = False

    def chunks(self, chunks: Iterable[Sequence[object]]) -> Iterator[list[object]]:
        """The source's rows in order: known ones as :class:`KnownRow`, others as they are.

        Rows are held back up to the next position with a digest: about a sixtieth of all.
        """
        with closing(_Closing(chunks)):
            for chunk in chunks:
                if self.done:
                    yield list(chunk)
                else:
                    yield from _split(self._compare(chunk))
            if not self.done:
                self._differ()
                yield from _split(self._let_go())

    def _compare(self, chunk: Sequence[object]) -> list[object]:
        out: list[object] = []
        for row in chunk:
            if self.done:
                out.append(row)
                continue
            self._position += 1
            key, name = self._key_of(row)
            is_hole = self._position in self._record.failed or self._position in self._record.mended
            self._hasher.update(HOLE if is_hole else key.key)
            self._held.append((self._position, row, key, name))
            if self._position == self._ends[0][0]:
                if self._agrees():
                    self._ends.popleft()
                    self.agreed = self._position
                    self.done = not self._ends
                    out.extend(self._known(*held) for held in self._held)
                    self._held.clear()
                else:
                    self._differ()
                    out.extend(self._let_go())
        return out

    def _agrees(self) -> bool:
        mended = self._record.mended
        return self._hasher.hexdigest() == self._ends[0][1] and all(
            mended.get(position, key.key.hex()) == key.key.hex() for position, _, key, _ in self._held
        )

    def _known(self, position: int, row: object, key: RowKey, name: str | None) -> object:
        if position in self._record.failed:
            return KnownRow(Before.FAILED, row, key, name)
        if position in self._record.mended:
            return KnownRow(Before.MENDED, None, key, name)
        if position <= self._record.settled or position in self._settled_beyond:
            return KnownRow(Before.SETTLED, None, key, name)
        return row

    def _differ(self) -> None:
        self.done = self.differs = True

    def _let_go(self) -> list[object]:
        rows = [row for _, row, _, _ in self._held]
        self._held.clear()
        return rows


class _Closing:
    """Closes a source that can be closed."""

    def __init__(self, chunks: Any) -> None:
        self.close = getattr(chunks, "close", lambda: None)


def _split(rows: list[object]) -> Iterator[list[object]]:
    for start in range(0, len(rows), MOST_AT_ONCE):
        yield rows[start : start + MOST_AT_ONCE]
