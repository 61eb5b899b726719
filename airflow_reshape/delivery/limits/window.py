"""How many requests may be in flight: as many as bring more answers a second, and no more.

The throughput of a window is known by Little's law: requests in flight / mean time of an answer. A window is larger
than it should be when a smaller one brings (nearly) as many answers a second. So the window climbs, doubling, while
the throughput follows; then it stays, and now and then a larger and a smaller one are tried for a moment. This needs
no idea of what a good latency is, and a slow worker of our own is no reason to shrink.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from airflow_reshape.delivery.limits.begun import Begun

FIRST = 8
"""Requests in flight at the beginning."""
SHARE_GAINED = 0.5
"""A step must bring at least this share of what it costs: 10 % more in flight, 5 % more answers."""
FEWEST_SAMPLES = 24
"""Answers that a comparison of neighbouring windows needs."""
SPRY = 0.02
"""Seconds: an answer that takes less did not wait in a queue that could matter, and large windows cost us less."""
STEP = 8
"""Windows are tried that differ by an eighth."""
LONGEST_STAY = 128
"""Rounds of measuring until another window is tried, at most; it doubles with each attempt in vain …"""
LONGEST_STAY_SECONDS, LONGEST_STAY_ANSWERS = 5.0, 40.0
"""… and at most so many seconds, or so many times the time of an answer if that is more."""
CHANGED = 0.3
"""A throughput that differs so much from the last known is another server: look around again soon."""
FEWEST_LOST = 2
SHARE_LOST = 0.05
SHRINK = 0.75
"""What is left of the window when so many answers of a round are lost."""
ANSWERS_TO_REMEMBER = 100
"""They tell whether refusals depend on the requests in flight."""
FIRST_STAY = 4
"""Rounds until another window is tried, after the first climb."""


class Cause(Enum):
    """Why a request was refused."""

    WINDOW = "window"
    """From so many in flight on most are refused, and none is among fewer."""
    OTHER = "other"
    UNKNOWN = "unknown"
    """It is the only one for long."""


class _Mode(Enum):
    CLIMB = "climb"
    STAY = "stay"
    UP = "up"
    DOWN = "down"


class _Measured(NamedTuple):
    size: int
    throughput: float
    seconds: float


@dataclass(slots=True)
class _Sums:
    """Of the answers of a round."""

    count: int = 0
    seconds: float = 0.0
    in_flight: int = 0

    def add(self, request: Begun, now: float) -> None:
        self.count += 1
        self.seconds += now - request.at
        self.in_flight += request.in_flight

    def measured(self, size: int) -> _Measured:
        seconds = max(self.seconds, 1e-9)
        return _Measured(size, self.in_flight / seconds, seconds / self.count)


class Window:
    """The number of requests that may be in flight.

    :param ceiling: its upper end.
    :param first: where it begins. Default 8, or the ceiling if that is less.
    """

    def __init__(self, ceiling: int, first: int = FIRST) -> None:
        self.ceiling = ceiling
        self._first = min(first, ceiling)
        self._ends: deque[tuple[int, bool]] = deque(maxlen=ANSWERS_TO_REMEMBER)
        self._latest = 0
        self._now = self._stays_since = float("-inf")
        self._follows = {
            _Mode.CLIMB: self._climbed,
            _Mode.STAY: self._stayed,
            _Mode.UP: self._went_up,
            _Mode.DOWN: self._went_down,
        }
        self.restart()

    def restart(self) -> None:
        """Begin anew, small: after an outage nobody knows what the server can do."""
        self.size = self._first
        self._mode = _Mode.CLIMB
        self._base: _Measured | None = None
        self._goes_up = True
        self._step = 1
        self._stays = 1
        self._stay_left = 0
        self._begin_round()

    def begun(self, request: Begun) -> None:
        """A request begins."""
        self._latest = request.number

    def taken(self, request: Begun, now: float) -> None:
        """An answer came.

        :param now: when.
        """
        self._ends.append((request.in_flight, False))
        if request.number <= self._since:
            return
        self._now = now
        self._full += request.in_flight >= self.size
        self._all.add(request, now)
        if not request.connects:
            self._connected.add(request, now)
        # While it climbs half a window of answers is enough, for what they tell is clear; and if the throughput rises
        # although connections were opened, it rises.
        enough = self.size / 2 if self._mode is _Mode.CLIMB else max(FEWEST_SAMPLES, self.size)
        if self._connected.count >= enough:
            self._end_round(self._connected)
        elif self._mode is _Mode.CLIMB and self._all.count >= enough and self._has_gained(self._all):
            self._end_round(self._all)

    def refused(self, in_flight: int) -> Cause:
        """A request was refused; if the requests in flight are the cause, they are fewer from now on.

        :param in_flight: requests in flight, this one among them.
        """
        self._ends.append((in_flight, True))
        refused = [many for many, is_refused in self._ends if is_refused]
        fewest = min(refused)
        among_as_many = sum(many >= fewest for many, _ in self._ends)
        if len(refused) == 1:
            return Cause.UNKNOWN
        if fewest == 1 or 2 * len(refused) < among_as_many:
            return Cause.OTHER
        self._shrink_to(fewest - 1)
        return Cause.WINDOW

    def lost(self, request: Begun) -> None:
        """An answer was lost. Many lost ones are a server in trouble: the window shrinks, once for all in flight."""
        if request.number <= self._since:
            return
        self._lost += 1
        if self._lost >= FEWEST_LOST and self._lost >= SHARE_LOST * (self._all.count + self._lost):
            self._shrink_to(int(self.size * SHRINK))

    def _shrink_to(self, size: int) -> None:
        if size < self.size or self._mode is _Mode.CLIMB:
            self.size = min(self.size, max(1, size))
            self._goes_up = self._mode is not _Mode.UP
            self._stay(longer=self._mode is _Mode.UP)

    # Rounds: so many answers that the throughput of a size is known

    def _begin_round(self) -> None:
        self._since = self._latest
        self._full = self._lost = 0
        self._all, self._connected = _Sums(), _Sums()

    def _end_round(self, sums: _Sums) -> None:
        full, count = self._full, self._all.count
        measured = sums.measured(self.size)
        self._begin_round()
        if 2 * full < count:
            if self._mode in (_Mode.UP, _Mode.DOWN):
                self._back()  # there is too little to send to learn anything
            return
        self._follows[self._mode](measured)

    def _has_gained(self, sums: _Sums) -> bool:
        return self._base is None or _gains(self._base, sums.measured(self.size))

    def _climbed(self, measured: _Measured) -> None:
        base = self._base
        if base is not None and not _gains(base, measured):
            self.size = base.size
            self._stay()
        elif self.size == self.ceiling:
            self._stay()
            self._stay_left = self._stays = FIRST_STAY
        else:
            self._base = measured
            self.size = min(2 * self.size, self.ceiling)

    def _stayed(self, measured: _Measured) -> None:
        base, self._base = self._base, measured
        if base is not None and abs(measured.throughput / base.throughput - 1) > CHANGED:
            self._stays = self._stay_left = 1
        self._stay_left -= 1
        longest = max(LONGEST_STAY_SECONDS, LONGEST_STAY_ANSWERS * measured.seconds)
        if self._stay_left > 0 and self._now - self._stays_since < longest:
            return
        if self.size == self.ceiling or (self.size > 1 and not self._goes_up):
            self._try(_Mode.DOWN)
        elif self.size < self.ceiling:
            self._try(_Mode.UP)
        else:
            self._stay()

    def _went_up(self, measured: _Measured) -> None:
        assert self._base is not None
        if _gains(self._base, measured):
            self._go_on(_Mode.UP, measured)
        else:
            self._back()

    def _went_down(self, measured: _Measured) -> None:
        assert self._base is not None
        if _gains(measured, self._base):
            self._back()
        else:
            self._go_on(_Mode.DOWN, measured)

    def _go_on(self, mode: _Mode, measured: _Measured) -> None:
        self._base = measured
        self._step *= 2
        self._stays = 1
        if self.size in (1, self.ceiling):
            self._stay()
        else:
            self._try(mode, self._step)

    def _try(self, mode: _Mode, step: int | None = None) -> None:
        assert self._base is not None
        self._mode = mode
        self._step = step or max(1, self._base.size // STEP)
        size = self._base.size + (self._step if mode is _Mode.UP else -self._step)
        self.size = min(max(1, size), self.ceiling)
        self._begin_round()

    def _back(self) -> None:
        assert self._base is not None
        self.size = self._base.size
        self._goes_up = not self._goes_up
        self._stay(longer=True)

    def _stay(self, *, longer: bool = False) -> None:
        self._mode = _Mode.STAY
        self._stays = min(2 * self._stays, LONGEST_STAY) if longer else 1
        self._stay_left = self._stays
        self._stays_since = self._now
        self._base = None
        self._begin_round()


def _gains(small: _Measured, large: _Measured) -> bool:
    """Whether a larger window brings enough more."""
    if large.seconds < SPRY:
        return True
    cost = large.size / small.size - 1
    return large.throughput / small.throughput - 1 >= SHARE_GAINED * cost
