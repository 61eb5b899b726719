"""Events on their way out: those of one lead one after the other, those of different leads freely. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, Protocol, TypeVar


class Keyed(Protocol):
    """Whatever goes through the lanes."""

    @property
    def key(self) -> Hashable | None:
        """Those of one key keep their order; None overtakes freely."""
        ...


T = TypeVar("T", bound=Keyed)


class Lanes(Generic[T]):
    """Events that are to be sent, or are being sent. Times are in seconds of any clock."""

    def __init__(self) -> None:
        self._behind: dict[Hashable, deque[T]] = {}
        self._ready: deque[T] = deque()
        self._last: deque[T] = deque()
        self._later: list[tuple[float, int, bool, T]] = []
        self._was_due = False
        self._numbers = count()
        self._count = 0

    def __len__(self) -> int:
        """Events that are not done, also those that were given out."""
        return self._count

    def add(self, event: T) -> None:
        """An event more, behind those of its key."""
        self._count += 1
        if event.key is None:
            self._ready.append(event)
        elif event.key in self._behind:
            self._behind[event.key].append(event)
        else:
            self._behind[event.key] = deque()
            self._ready.append(event)

    def take(self, now: float, *, new_first: bool = False) -> T | None:
        """The next event that may be sent now, or None; it is to be given back to one of the methods below.

        Those whose time has come take turns with the others, so that many of them do not keep the others waiting.

        :param new_first: those whose time has come wait for the others.
        """
        is_due = bool(self._later) and self._later[0][0] <= now
        if is_due and not (self._ready and (new_first or self._was_due)):
            self._was_due = True
            return heappop(self._later)[3]
        self._was_due = False
        waiting = self._ready or self._last
        return waiting.popleft() if waiting else None

    def due_at(self, now: float) -> float | None:
        """When there is an event to take: now, a time to come, or None: when one was added or given back."""
        if self._ready or self._last:
            return now
        return self._later[0][0] if self._later else None

    def again(self, event: T) -> None:
        """An event taken is to be taken again, after all others."""
        self._last.append(event)

    def later(self, event: T, at: float, *, not_before: bool = False) -> None:
        """An event taken is to be taken again at a time to come.

        :param not_before: also if all are to :meth:`hurry`.
        """
        heappush(self._later, (at, next(self._numbers), not_before, event))

    def recall(self) -> None:
        """Those that were to be taken after all others are ready."""
        self._ready.extend(self._last)
        self._last.clear()

    def hurry(self) -> None:
        """Likewise, and those that wait for a time to come are ready now."""
        self.recall()
        self._ready.extend(event for _, _, not_before, event in sorted(self._later) if not not_before)
        self._later = [entry for entry in self._later if entry[2]]
        heapify(self._later)

    def done(self, event: T) -> None:
        """An event taken needs no more: the next of its key is ready."""
        self._count -= 1
        if event.key is None:
            return
        behind = self._behind[event.key]
        if behind:
            self._ready.append(behind.popleft())
        else:
            del self._behind[event.key]

    def clear(self) -> list[T]:
        """Give out all but those taken, which are still to be given back."""
        waiting = [*self._ready, *self._last, *(event for _, _, _, event in self._later)]
        behind = [event for lane in self._behind.values() for event in lane]
        self._ready.clear()
        self._last.clear()
        self._later.clear()
        for event in waiting:
            if event.key is not None:
                del self._behind[event.key]
        for lane in self._behind.values():
            lane.clear()
        self._count -= len(waiting) + len(behind)
        return [*waiting, *behind]
