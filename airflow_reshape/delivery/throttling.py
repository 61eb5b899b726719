"""Whose pause a 429 or 503 asks for: one lead's (a limit per person), or everybody's. Pure.

=====================================================  =====================================================
What is known when a request is throttled              The pause is
=====================================================  =====================================================
the lead was throttled before, others were taken       the lead's own; nothing is learned of the server's
since, and no other was throttled                      limits
the server took a probe that is no lead's just before  likewise
less than three leads, or less than half of the        the lead's own, until more is known
answers, since the last request that began later was
taken
three leads, and more than half of the answers         everybody's
three leads are throttled again and again while        the leads' own; the server's limits that were learned
others are taken, and none of them gets through; or    are forgotten, and everybody's pause needs twice as
eight that are tried between two probes that are       many leads
taken
=====================================================  =====================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

LEADS_TO_PAUSE_ALL = 3
MOST_LEADS_TO_PAUSE_ALL = 192
TIMES_ALONE = 2
"""How often a lead is throttled while others are taken until the limit is thought to be its own."""
LEADS_FOR_LIMITS_OF_THEIR_OWN = 3
LEADS_TO_DOUBT_A_PROBE = 8


class Pause(Enum):
    """Who waits after a request was throttled."""

    OWN = "own"
    """The lead; the answer says nothing of the server's limits."""
    OPEN = "open"
    """The lead; it may be the first of many."""
    ALL = "all"
    ALL_FOR_NOW = "all for now"
    """Everybody, because the server says so; but such answers had nothing to do with its limits before."""


@dataclass(slots=True)
class ThrottleHistory:
    """How often one lead was throttled.

    :param first: when, in seconds, or None.
    :param alone: times that it was, while others were taken.
    :param begun: number of the latest request when it last was.
    """

    first: float | None = None
    alone: int = 0
    begun: int = 0


class Throttling:
    """Watches the throttled requests of one send. Times are in seconds of any clock.

    :param on_limits_of_their_own: called when the throttled leads turn out to have limits of their own, so that what
        was learned of the server's is wrong.
    """

    def __init__(self, on_limits_of_their_own: Callable[[], None] = lambda: None) -> None:
        self._in_a_row: dict[int, float] = {}
        self._row_begun = self._row_taken = 0
        self._latest_lead: int | None = None
        self._latest_taken = 0
        self._needed = LEADS_TO_PAUSE_ALL
        self._alone = 0
        self._explored: set[int] = set()
        self._are_their_own = self._has_paused_all = False
        self._on_limits_of_their_own = on_limits_of_their_own

    def throttled(
        self, position: int, history: ThrottleHistory, begun: int, now: float, pause: float, *, explores: bool
    ) -> Pause:
        """A request was throttled.

        :param position: of the lead.
        :param history: of the lead; written.
        :param begun: number of the latest request that has begun.
        :param pause: seconds that the server asks for.
        :param explores: the server took a probe just before this request, and no lead.
        """
        others_were_taken = history.first is not None and self._latest_taken > history.begun
        is_the_only_one = others_were_taken and self._latest_lead == position
        history.first = now if history.first is None else history.first
        history.begun, self._latest_lead = begun, position
        if others_were_taken:
            history.alone += 1
            if history.alone % TIMES_ALONE == 0:
                self._found_alone()
        if explores:
            self._explored.add(position)
        if is_the_only_one or explores or (others_were_taken and self._are_their_own):
            return Pause.OWN
        if not self._in_a_row:
            self._row_begun, self._row_taken = begun, 0
        self._in_a_row[position] = now + pause
        if len(self._in_a_row) >= max(self._needed, self._row_taken + 1):
            self._has_paused_all = True
            return Pause.ALL_FOR_NOW if self._are_their_own else Pause.ALL
        return Pause.OWN if self._are_their_own else Pause.OPEN

    def taken(self, request: int, history: ThrottleHistory) -> None:
        """A request was taken, or rejected for itself.

        :param request: its number.
        :param history: of the lead.
        """
        self._latest_taken = max(self._latest_taken, request)
        self._row_taken += 1
        self._explored.clear()
        if request > self._row_begun:
            self._in_a_row.clear()
        if history.first is not None:  # what throttled it passed
            self._alone, self._are_their_own = 0, False

    @property
    def doubts_the_probe(self) -> bool:
        """Whether so many were throttled since a probe was taken that the server's limit may be reached now."""
        return len(self._explored) >= LEADS_TO_DOUBT_A_PROBE

    def probe_taken(self) -> None:
        """The server took a probe that is no lead's."""
        if self.doubts_the_probe:
            self._are_limits_of_their_own()
        self._explored.clear()

    def pause_of_all(self, now: float) -> float:
        """Seconds for which the server asked everybody to wait."""
        return max(0.0, max(self._in_a_row.values(), default=now) - now)

    def _found_alone(self) -> None:
        self._alone += 1
        if self._alone == LEADS_FOR_LIMITS_OF_THEIR_OWN:
            self._are_limits_of_their_own()

    def _are_limits_of_their_own(self) -> None:
        self._alone = 0
        self._in_a_row.clear()
        if self._has_paused_all:
            self._has_paused_all = False
            self._needed = min(2 * self._needed, MOST_LEADS_TO_PAUSE_ALL)
        if not self._are_their_own:
            self._are_their_own = True
            self._on_limits_of_their_own()
