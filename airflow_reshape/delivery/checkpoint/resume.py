"""Reading a source again: rows that were settled before are passed over, if they are the same rows."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum

from airflow_reshape.delivery.checkpoint.keys import DIGEST_BYTES, RowKey
from airflow_reshape.delivery.checkpoint.progress import HOLE
from airflow_reshape.delivery.checkpoint.record import CheckpointRecord
from airflow_reshape.events.prepared import InvalidLead, Prepared

MOST_AT_ONCE = 500
NOTHING = InvalidLead(())


class Before(Enum):
    """What a row became in an earlier try."""

    SETTLED = "settled"
    MENDED = "mended"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class KnownRow:
    """A row that an earlier try dealt with.

    :param lead: what it makes.
    """

    before: Before
    row: object = field(repr=False)
    key: RowKey = field(repr=False)
    lead: Prepared = field(default=NOTHING, repr=False)


class Reread:
    """One more reading of a source.

    :param record: what is known of it.
    :param start: the digest of no rows.
    :param key_of: makes the key of a row, and tells what it makes.

    :ivar agreed: position up to which the rows are the same as before.
    :ivar done: nothing of the record is left to compare.
    :ivar differs: rows are others than before; everything after ``agreed`` counts as new.
    """

    def __init__(
        self, record: CheckpointRecord, start: bytes, key_of: Callable[[object], tuple[RowKey, Prepared]]
    ) -> None:
        self._record = record
        self._key_of = key_of
        self._hasher = hashlib.blake2b(start, digest_size=DIGEST_BYTES)
        ends = {position: digest for position, digest in record.marks if 0 < position <= record.settled}
        if record.read:
            ends[record.read] = record.digest
        self._ends = deque(sorted(ends.items()))
        self._settled_beyond = record.settled_beyond()
        self._unread: deque[object] = deque()
        self._held: list[tuple[int, object, RowKey, Prepared]] = []
        self._ready: list[object] = []
        self._position = 0
        self.agreed = 0
        self.done = not self._ends
        self.differs = False

    def chunks(self, chunks: Iterable[Sequence[object]]) -> Generator[list[object]]:
        """The source's rows in order: known ones as :class:`KnownRow`, others as they are.

        Rows are held back up to the next position with a digest: about a sixtieth of all.
        """
        with closed_after(chunks):
            for chunk in chunks:
                if self.done:
                    yield list(chunk)
                    continue
                self._unread.extend(chunk)
                while self._unread and not self.done:
                    self._compare(self._unread[0])
                self._ready.extend(self._unread)
                self._unread.clear()
                yield from self._let_go()
            if not self.done:
                self._differ()
                yield from self._let_go()

    def left(self) -> list[object]:
        """The rows that were read and are still held back, once nobody reads any more."""
        left = [*self._ready, *(row for _, row, _, _ in self._held), *self._unread]
        for rows in (self._ready, self._held, self._unread):
            rows.clear()
        return left

    def _compare(self, row: object) -> None:
        key, lead = self._key_of(row)
        self._position += 1
        is_hole = self._position in self._record.failed or self._position in self._record.mended
        self._hasher.update(HOLE if is_hole else key.key)
        self._held.append((self._position, row, key, lead))
        self._unread.popleft()
        if self._position < self._ends[0][0]:
            return
        if self._agrees():
            self._ends.popleft()
            self.agreed = self._position
            self.done = not self._ends
            self._ready.extend(self._known(*held) for held in self._held)
            self._held.clear()
        else:
            self._differ()

    def _agrees(self) -> bool:
        mended = self._record.mended
        return self._hasher.hexdigest() == self._ends[0][1] and all(
            mended.get(position, key.key.hex()) == key.key.hex() for position, _, key, _ in self._held
        )

    def _known(self, position: int, row: object, key: RowKey, lead: Prepared) -> object:
        if position in self._record.failed:
            return KnownRow(Before.FAILED, row, key, lead)
        if position in self._record.mended:
            return KnownRow(Before.MENDED, None, key, lead)
        if position <= self._record.settled or position in self._settled_beyond:
            return KnownRow(Before.SETTLED, row, key, lead)
        return row

    def _differ(self) -> None:
        self.done = self.differs = True
        self._ready.extend(row for _, row, _, _ in self._held)
        self._held.clear()

    def _let_go(self) -> Iterator[list[object]]:
        while self._ready:
            rows = self._ready[:MOST_AT_ONCE]
            del self._ready[:MOST_AT_ONCE]
            yield rows


@contextmanager
def closed_after(chunks: object) -> Iterator[None]:
    """Close a source that can be closed; what that raises does not hide what ended the reading, such as a timeout."""
    close = getattr(chunks, "close", lambda: None)
    try:
        yield
    except BaseException:
        with suppress(Exception):
            close()
        raise
    close()
