"""How many requests a second: what was asked for, and what a server's refusals tell of its limit.

A refusal tells that what was taken lately is the limit. The rate then begins well under it, comes up to it, and goes
beyond it slowly at first, then faster and faster: a limit that stays is hardly ever hit, one that is raised is found
again. The more often a limit is confirmed, and the dearer a refusal is, the longer the rate stays below it.

Refusals that come as well while the rate is well under the limit have nothing to do with it, unless the server names
a pause: then the rate is let go, as long as they do not get many more for that.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from airflow_reshape.delivery.limits.begun import Begun

SLACK = 0.02
"""Seconds by which a request may begin earlier, to make up for timers that ring late."""
SLOT = 0.1
HORIZONS = (1.0, 2.0, 5.0, 10.0)
"""Seconds in which taken events are counted: the first with enough of them."""
ENOUGH = 20
SECONDS_BETWEEN_CUTS = 1.0
"""How long a new rate has to show what it is worth."""
FIRST_PATIENCE, LONGEST_PATIENCE = 2.0, 5.0
FIRST_PATIENCE_FOR_A_PAUSE, LONGEST_PATIENCE_FOR_A_PAUSE = 5.0, 20.0
"""For each second of pause that a refusal costs."""
GUESS_PATIENCE = 1.0
"""For a limit of which too little was seen, or that is only what there was to send."""
DISPROVED = 10.0
"""So many times a limit without a refusal, and it is none."""
SAME = 0.3
"""Limits that differ by less are one."""
LEVEL = 0.98
SLOPE = 0.05
STILL_TOO_MUCH = 0.95
"""Of a rate that was refused although it was thought to be under the limit, the part that is under it."""
CUTS_IN_VAIN = 4
"""After so many cuts in a row that spared no refusals, these have nothing to do with the rate."""
MANY, MOST = 0.05, 0.25
"""Shares of refused requests: from which on they are not borne without a reason, and up to which with one."""
FIRST_LEAVE = 10.0
LONGEST_LEAVE = 300.0
LOWEST = 0.1
"""Requests a second; less is not learned."""


class _Learned(NamedTuple):
    limit: float
    at: float
    patience: float

    def rate(self, now: float) -> float:
        """Under the limit for as long as the patience lasts, then beyond."""
        return self.limit * (LEVEL + SLOPE * (self._time(now) - 1) ** 3)

    def is_disproved(self, now: float) -> bool:
        return self.rate(now) > DISPROVED * self.limit

    def is_under(self, now: float) -> bool:
        return self._time(now) < 1

    def _time(self, now: float) -> float:
        return max(0.0, now - self.at) / self.patience


class Rate:
    """The number of requests that may begin in a second.

    :param ceiling: its upper end. Default none.
    :param now: seconds.
    """

    def __init__(self, ceiling: float | None, now: float) -> None:
        self._ceiling = ceiling
        self._latest = 0
        self._paused = 0.0
        self._paused_until = now
        self._next = self._ceiling_opens = now
        self.restart(now)

    def restart(self, now: float) -> None:
        """Forget what was learned."""
        self._learned: _Learned | None = None
        self._born = self._active(now)
        self._in_vain = 0
        self._leave = FIRST_LEAVE
        self._leave_until = float("-inf")
        self._share_left = 0.0
        self._slots: deque[list[float]] = deque(maxlen=int(HORIZONS[-1] / SLOT))
        self._next = min(self._next, max(now, self._paused_until))
        self._begin_again(now)

    def per_second(self, now: float) -> float | None:
        """Requests a second; None without a limit."""
        known = self._learned  # looked at once: another thread may ask
        learned = max(LOWEST, known.rate(now)) if known and not known.is_disproved(now) else None
        rates = [rate for rate in (self._ceiling, learned) if rate is not None]
        return min(rates) if rates else None

    def opens_at(self) -> float:
        """When the next request may begin, in seconds."""
        return max(self._next, self._ceiling_opens)

    def opens_for_a_probe_at(self) -> float:
        """The same, whatever was learned: as the server asks for in words, and the ceiling."""
        return max(self._paused_until, self._ceiling_opens)

    def pause(self, now: float, until: float) -> None:
        """Nothing begins before a time to come."""
        self._paused += max(0.0, until - max(now, self._paused_until))
        self._paused_until = max(self._paused_until, until)
        self._next = max(self._next, until)

    def begun(self, request: Begun) -> None:
        """A request begins."""
        self._latest = request.number
        if self._ceiling is not None:  # apart from what is learned, for that may be forgotten
            self._ceiling_opens = max(self._ceiling_opens, request.at - SLACK) + 1 / self._ceiling
        rate = self.per_second(request.at)
        if rate is not None:
            self._next = max(self._next, request.at - SLACK) + 1 / rate

    def taken(self, request: Begun, now: float) -> None:
        """An answer came."""
        self._taken += request.number > self._since
        slot = self._active(now) // SLOT
        if self._slots and self._slots[-1][0] == slot:
            self._slots[-1][1] += 1
        else:
            self._slots.append([slot, 1])

    def refused(self, request: Begun, now: float, pause: float = 0.0) -> None:
        """A request was refused, as one too many a second perhaps.

        :param pause: seconds that the refusal costs.
        """
        if request.number <= self._since:
            return
        self._refused += 1
        if now < self._leave_until:
            if self._refused + self._taken < ENOUGH or self._share() <= max(MANY, 2 * self._share_left):
                return
            self._leave_until = now
        elif self._learned and now - self._since_at < SECONDS_BETWEEN_CUTS:
            return
        self._cut(request, now, pause)

    def _cut(self, request: Begun, now: float, pause: float) -> None:
        learned = self._learned
        self._in_vain = self._in_vain + 1 if learned and learned.is_under(now) and not pause else 0
        if self._in_vain >= CUTS_IN_VAIN and self._share() <= MOST:
            self._let_go(now)
            return
        if self._active(now) - self._since_active >= SECONDS_BETWEEN_CUTS:
            limit = self._taken_lately(now)
            if learned and learned.is_under(now):
                limit = min(limit, STILL_TOO_MUCH * learned.rate(now))
            patience = self._patience(limit, pause) if request.pressed else GUESS_PATIENCE
        else:
            # Too little was seen; after a pause, of a burst that this made possible.
            limit = max(self._taken, 1) / max(SLOT, now - self._since_at)
            patience = GUESS_PATIENCE
        self._learned = _Learned(limit, now + pause, patience)
        self._next = max(self._next, now)
        self._begin_again(now)

    def _patience(self, limit: float, pause: float) -> float:
        first = max(FIRST_PATIENCE, FIRST_PATIENCE_FOR_A_PAUSE * pause)
        if self._learned is None or abs(limit / self._learned.limit - 1) >= SAME:
            return first
        longest = max(LONGEST_PATIENCE, LONGEST_PATIENCE_FOR_A_PAUSE * pause)
        return min(longest, 2 * max(first, self._learned.patience))

    def _let_go(self, now: float) -> None:
        self._learned = None
        self._in_vain = 0
        self._share_left = self._share()
        self._leave_until = now + self._leave
        self._leave = min(LONGEST_LEAVE, 2 * self._leave)
        self._next = now
        self._begin_again(now)

    def _share(self) -> float:
        return self._refused / max(1, self._refused + self._taken)

    def _begin_again(self, now: float) -> None:
        self._since, self._since_at, self._since_active = self._latest, now, self._active(now)
        self._taken = self._refused = 0

    def _taken_lately(self, now: float) -> float:
        """Events taken a second."""
        active = self._active(now)
        taken, seconds = 0.0, SLOT
        for horizon in HORIZONS:
            first = max(active - horizon, self._born) // SLOT
            seconds = max(SLOT, active - first * SLOT)
            taken = sum(count for slot, count in self._slots if slot >= first)
            if taken >= ENOUGH or active - horizon <= self._born:
                break
        return max(taken, 1.0) / seconds

    def _active(self, now: float) -> float:
        """The time, on a clock that stands still during pauses."""
        return now - self._paused + max(0.0, self._paused_until - now)
