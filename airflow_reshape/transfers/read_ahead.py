"""A query's rows are read ahead of a slow send, so that cursor and transaction do not stay open as long as it takes.

An open transaction holds up PostgreSQL's vacuum, and MySQL kills connections that stand idle. So the cursor may stand
idle for some seconds in total; then the rest is read at the database's pace into a :class:`~.spool.Spool` and given
from there, in the same order. A short send never gets that far.

All of it happens in the thread that asks for the chunks, to which the cursor belongs: between two chunks, and while
that thread waits (:meth:`ReadAhead.waited`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Self

from airflow_reshape.transfers.spool import Spool
from airflow_reshape.transfers.sql_errors import SqlSourceLost

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 10.0
"""How long a cursor may stand idle, in total: a day's usual leads are sent by then."""
SLICE_SECONDS = 0.3
"""Longest reading in one go: a stop is noticed, and the sender has its next chunk, soon enough."""


class ReadAhead(Iterator[Sequence[object]]):
    """The chunks of a source, in their order.

    :param chunks: the source. It is closed by reading it to its end, or with this.
    :param patience: seconds that the source may stand idle. Default 10.
    :param new_spool: makes what chunks wait in.
    :param clock: seconds.
    """

    def __init__(
        self,
        chunks: Generator[Sequence[object], None, None],
        *,
        patience: float = PATIENCE_SECONDS,
        new_spool: Callable[[], Spool] = Spool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._chunks = chunks
        self._patience = patience
        self._new_spool = new_spool
        self._clock = clock
        self._idle = 0.0
        self._idle_since: float | None = None
        self._ended = False
        self._error: Exception | None = None
        # Rows wait in the spool, behind them the chunk that did not get into it, behind that those of the source.
        self._spool: Spool | None = None
        self._held: Sequence[object] | None = None
        self._rows_spooled = 0
        self._can_spool = True
        self._told_full = False

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Sequence[object]:
        # For as long as the last chunk had to wait for its place: the sender has others to do for as long.
        self._read_ahead(min(self._count_idle(), SLICE_SECONDS))
        chunk = self._next()
        self._idle_since = self._clock()
        return chunk

    def waited(self) -> bool:
        """Use the time that the reader has to wait anyway; in its thread.

        :returns: whether there is more to read ahead, so that it is worth calling this again soon.
        :raises BaseException: what is not an ``Exception``, such as the task's timeout. Errors of the source are
            raised when the rows before them have been given.
        """
        self._count_idle()
        self._read_ahead(SLICE_SECONDS)
        return self._wants_to_read()

    def close(self) -> None:
        """Close the source, and drop what was read ahead. Can be called again."""
        self._ended = True
        self._held = self._error = None
        try:
            self._chunks.close()
        finally:
            if self._spool is not None:
                self._spool.close()

    def _count_idle(self) -> float:
        """Seconds since the source was read or a chunk was given."""
        since, self._idle_since = self._idle_since, self._clock()
        idle = self._idle_since - since if since is not None else 0.0
        self._idle += idle
        return idle

    def _wants_to_read(self) -> bool:
        return not self._ended and self._held is None and self._can_spool and self._idle >= self._patience

    def _read_ahead(self, seconds: float) -> None:
        until = self._clock() + seconds
        while self._wants_to_read() and self._clock() < until:
            self._read_one()
        if self._idle_since is not None:
            self._idle_since = self._clock()

    def _read_one(self) -> None:
        try:
            chunk = next(self._chunks)
        except StopIteration:
            self._ended = True
            self._tell_end()
        except Exception as error:  # noqa: BLE001  # what was read before is given first
            self._ended = True
            self._error = error
            log.warning("The source broke while its rows were read ahead; those before are sent first")
        else:
            self._keep(chunk)

    def _keep(self, chunk: Sequence[object]) -> None:
        """Let a chunk wait: in the spool, or in memory, which ends the reading ahead."""
        try:
            if self._spool is None:
                self._spool = self._new_spool()
            if self._spool.put(chunk):
                self._rows_spooled += len(chunk)
                return
        except Exception as error:  # noqa: BLE001  # a full disk, a value that cannot be written: as without a spool
            self._can_spool = False
            log.warning("Rows cannot be read ahead (%s): the cursor stays open while they are sent", _kind(error))
        else:
            self._tell_full()
        self._held = chunk

    def _next(self) -> Sequence[object]:
        if self._spool is not None and not self._spool.is_empty:
            return self._spooled(self._spool)
        if self._held is not None:
            held, self._held = self._held, None
            return held
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        if self._ended:
            raise StopIteration
        return next(self._chunks)

    def _spooled(self, spool: Spool) -> Sequence[object]:
        try:
            chunk = spool.take()
        except Exception as error:  # noqa: BLE001  # its text may quote a row, so it is not chained
            kind = _kind(error)
        else:
            if spool.is_empty and self._ended:
                spool.close()
            return chunk
        self.close()
        raise SqlSourceLost(
            f"Rows that were read ahead cannot be read back from their file ({kind}). A retry reads them again. "
            "If that keeps happening, set read_ahead=False."
        )

    def _tell_end(self) -> None:
        if self._rows_spooled:
            log.info(
                "The sender is slower than the database: %s rows were read ahead into an encrypted temporary file, "
                "and the cursor is closed",
                f"{self._rows_spooled:,}",
            )

    def _tell_full(self) -> None:
        if not self._told_full:
            self._told_full = True
            log.info(
                "%s rows were read ahead, more than that find no room in the temporary file: the cursor stays open "
                "until they are sent",
                f"{self._rows_spooled:,}",
            )


def _kind(error: Exception) -> str:
    """What may be told of an error: no text of a pickle's, which quotes values."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
