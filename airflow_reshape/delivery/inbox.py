"""Chunks of rows on their way from the caller's thread into the event loop's."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from queue import Empty, SimpleQueue

CHUNKS_AHEAD = 2
"""Chunks read before they are needed."""


class Inbox:
    """Bounded: filled by one thread, which waits while it is full, and emptied by one event loop.

    :param ahead: most chunks that wait.
    """

    def __init__(self, ahead: int = CHUNKS_AHEAD) -> None:
        # Not a semaphore: a signal handler may raise in the waiting thread, and must not leave a lock behind.
        self._slots: SimpleQueue[None] = SimpleQueue()
        for _ in range(ahead):
            self._slots.put(None)
        self._chunks: deque[Sequence[object]] = deque()
        self._offered: Sequence[object] | None = None
        self._taken: Sequence[object] | None = None
        self._ended = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed: asyncio.Event | None = None

    # The caller's thread

    def put(self, chunk: Sequence[object], timeout: float | None = None) -> bool:
        """Add a chunk; waits for a free slot, unless nobody takes any more.

        :param timeout: seconds. Default: as long as it takes.
        :returns: whether there was a slot in time.
        """
        self._offered = chunk  # a timeout of the task may end the waiting
        try:
            self._slots.get(timeout=timeout)
        except Empty:
            return False
        self._chunks.append(chunk)
        self._wake()
        return True

    def end(self) -> None:
        """No more chunks will come."""
        self._ended = True
        self._wake()

    def left(self) -> list[Sequence[object]]:
        """What nobody took; once the event loop has ended."""
        left = list(self._chunks)
        self._chunks.clear()
        if self._offered is not None and not any(self._offered is chunk for chunk in (*left, self._taken)):
            left.append(self._offered)
        self._offered = None
        return left

    def _wake(self) -> None:
        if self._loop is not None and self._changed is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._changed.set)

    # The event loop's thread

    def open(self) -> None:
        """Take chunks from now on, in the running event loop."""
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def take(self) -> Sequence[object] | None:
        """The next chunk; None after the last one."""
        assert self._changed is not None, "open the inbox first"
        while not self._chunks:
            if self._ended:
                return None
            self._changed.clear()
            await self._changed.wait()
        self._taken = chunk = self._chunks.popleft()
        self._slots.put(None)
        return chunk

    def hurry(self) -> None:
        """Do not wait for more than has come: the end is now."""
        self._ended = True
        if self._changed is not None:
            self._changed.set()

    def close(self) -> None:
        """Nobody takes any more: the caller must not wait for a free slot."""
        self._slots.put(None)
