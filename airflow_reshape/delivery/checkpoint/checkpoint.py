"""The checkpoint of one send: kept about once a second and at every end, in the store that Airflow gives to a task."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from threading import Lock
from typing import Any, Protocol

from pydantic import ValidationError

from airflow_reshape.delivery.checkpoint.keys import RowKey, RowKeys
from airflow_reshape.delivery.checkpoint.progress import MOST_FAILED, Progress
from airflow_reshape.delivery.checkpoint.record import CheckpointRecord
from airflow_reshape.delivery.checkpoint.resume import KnownRow, Reread
from airflow_reshape.delivery.outcome import Kind, Outcome
from airflow_reshape.delivery.source import Passing, left_of
from airflow_reshape.events.prepared import InvalidLead, Prepared

STORE_KEY = "reshape_checkpoint"
SECONDS_BETWEEN_SAVES = 1.0
SETTLED_BEFORE = "settled_before"
"""Why a row is skipped that an earlier try settled."""
FAILED_KINDS = (Kind.REJECTED, Kind.INVALID)


class StateStore(Protocol):
    """Keeps JSON over the tries of a task, such as Airflow's ``task_state_store``."""

    def get(self, key: str) -> Any:
        """The value, or None."""
        ...

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        ...

    def delete(self, key: str) -> None:
        """Drop a value."""
        ...


class Checkpoint:
    """How far the tries of one task came.

    The store is used in the thread of the caller only, where no call of the user's own to Airflow can run beside it.
    What the event loop's thread tells is behind a lock.

    :param store: keeps the checkpoint.
    :param keys: tells rows apart.
    :param failing: reasons for skipping that count as failures.
    :param tell: writes a line for the user.
    :param warn: writes one that leads are sent again, or may be.
    :param clock: seconds.
    """

    def __init__(
        self,
        store: StateStore,
        keys: RowKeys,
        failing: frozenset[str],
        tell: Callable[[str], None],
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._keys = keys
        self._failing = failing
        self._tell = tell
        self._warn = warn
        self._clock = clock
        self._lock = Lock()
        self._progress = Progress(keys.start())
        self._earlier: CheckpointRecord | None = None
        self._floor: CheckpointRecord | None = None
        self._reread: Reread | None = None
        self._missing: set[bytes] = set()
        self._source: object = None
        self._is_read = False
        self._changed = False
        self._saved_at = clock()
        self._refused = False

    # The caller's thread

    def resume(
        self, chunks: Iterable[Sequence[object]], prepare: Callable[[object], Prepared]
    ) -> Iterable[Sequence[object]]:
        """The rows of the source, those that an earlier try dealt with as :class:`KnownRow`.

        :param prepare: makes an event of a row.
        :raises Exception: what the store raises; nothing was read.
        """
        self._earlier = self._floor = self._load()
        self._is_read = True
        if self._earlier is None:
            return chunks
        self._source = chunks
        self._missing = {bytes.fromhex(failure) for failure in self._earlier.missing}
        self._missing |= self._earlier.failures_after(self._earlier.read)  # nobody looks for them at their positions

        def key_of(row: object) -> tuple[RowKey, Prepared]:
            try:
                lead = prepare(row)
            except Exception:  # noqa: BLE001  # the engine meets it again, and tells where
                lead = InvalidLead(())
            return self._keys.of(row, lead), lead

        self._reread = Reread(self._earlier, self._keys.start(), key_of)
        return Passing(self._watched(self._reread, self._earlier, chunks), chunks)

    def left(self) -> list[object]:
        """The rows that were read and not given yet, once nobody reads any more."""
        return [*self._reread.left(), *left_of(self._source)] if self._reread is not None else []

    def _watched(
        self, reread: Reread, earlier: CheckpointRecord, chunks: Iterable[Sequence[object]]
    ) -> Generator[Sequence[object], None, None]:
        self._tell(f"Reading the source again: up to row {earlier.read:,} an earlier try dealt with its rows")
        differed = False
        with closing(reread.chunks(chunks)) as rows:
            for chunk in rows:
                if reread.differs and not differed:
                    differed = True
                    self._differ(earlier, reread.agreed)
                yield chunk
        if reread.differs and not differed:
            self._differ(earlier, reread.agreed)

    def _differ(self, earlier: CheckpointRecord, agreed: int) -> None:
        self._warn(
            "The source gives other rows than in the earlier try, or in another order: the first "
            f"{agreed:,} are passed over, everything after them is sent again with the same ids"
        )
        with self._lock:
            self._missing |= earlier.failures_after(agreed)  # first: a timeout of the task may come between the two
            self._floor = earlier.up_to(agreed)

    def pulse(self) -> None:
        """Save if there is something new, about once a second at most."""
        if self._changed and self._clock() - self._saved_at >= SECONDS_BETWEEN_SAVES:
            self.save()

    def save(self) -> None:
        """Save now. A store that refuses (a user cleared the task meanwhile) is told of, and no error.

        What an earlier try kept is not overwritten before it was read.
        """
        if not self._is_read:
            return
        self._changed = False
        with self._lock:
            record = self._record()
        self._keep(record)
        self._saved_at = self._clock()

    def _keep(self, record: CheckpointRecord) -> None:
        self._ask(lambda: self._store.set(STORE_KEY, record.model_dump(mode="json")))

    def end(self, *, failures: int) -> None:
        """The source was read to its end, and everything is settled.

        Leads that failed in earlier tries and left the source are told in this try, and forgotten then.

        :param failures: leads that failed, also in earlier tries; without any, nothing has to be remembered.
        """
        if failures and not self._unlisted():
            with self._lock:
                record = self._record().model_copy(update={"missing": [], "unlisted": 0})
            self._keep(record)
            return
        if self._unlisted():
            self._warn("Too many leads failed to remember each: once the task is cleared, everything is sent again")
        self._ask(lambda: self._store.delete(STORE_KEY))

    def remembered_failures(self) -> int:
        """Leads that failed in earlier tries, and that this one neither mended nor met again."""
        return len(self._missing) + (self._earlier.unlisted if self._earlier else 0)

    def over_tries(self) -> dict[str, int]:
        """What was delivered, and how many requests that took, in all tries; empty in the first."""
        if self._earlier is None:
            return {}
        with self._lock:
            return {"tries": self._earlier.tries + 1, **self._counts()}

    def _load(self) -> CheckpointRecord | None:
        stored = self._store.get(STORE_KEY)
        if stored is None:
            return None
        try:
            return CheckpointRecord.model_validate(stored)
        except ValidationError:
            self._warn("The checkpoint of an earlier try is of another version: everything is sent again")
            return None

    def _record(self) -> CheckpointRecord:
        floor = self._floor
        new: dict[str, Any] = {
            "counts": self._counts(),
            "tries": 1 + (self._earlier.tries if self._earlier else 0),
        }
        progress = self._progress.record()
        if floor is not None and self._progress.taken < floor.read:
            # Not yet as far as the earlier try.
            new["mended"] = floor.mended | progress.mended
            new["failed"] = {at: failure for at, failure in floor.failed.items() if at not in progress.mended}
            progress = floor
        record = progress.model_copy(update=new)
        missing = sorted({failure.hex() for failure in self._missing} - set(record.failed.values()))
        listed = missing[: max(0, MOST_FAILED - len(record.failed) - len(record.mended))]
        unlisted = self._unlisted() + len(missing) - len(listed)
        return record.model_copy(update={"missing": listed, "unlisted": unlisted})

    def _counts(self) -> dict[str, int]:
        return dict(self._progress.counts + Counter(self._earlier.counts if self._earlier else {}))

    def _unlisted(self) -> int:
        return self._progress.unlisted + (self._earlier.unlisted if self._earlier else 0)

    def _ask(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  # the leads matter more
            if not self._refused:
                self._refused = True
                self._warn(f"The checkpoint cannot be kept ({type(error).__name__}): a retry may send leads again")

    # The event loop's thread

    def take(self, row: object, lead: Prepared) -> None:
        """The next row was read."""
        key = self._keys.of(row, lead)
        with self._lock:
            self._progress.take(key)
            self._missing.discard(key.failure)

    def take_known(self, known: KnownRow) -> None:
        """The next row was dealt with in an earlier try."""
        with self._lock:
            getattr(self._progress, f"take_{known.before.value}")(known.key)

    def settle(self, outcome: Outcome) -> None:
        """Note what became of a row; unsent ones stay open."""
        if outcome.kind is Kind.UNSENT or outcome.why == SETTLED_BEFORE:
            return
        failed = outcome.kind in FAILED_KINDS or outcome.why in self._failing
        with self._lock:
            self._progress.counts["delivered"] += outcome.kind is Kind.DELIVERED
            self._progress.counts["requests"] += outcome.attempts
            (self._progress.fail if failed else self._progress.settle)(outcome.position)
            self._changed = True
