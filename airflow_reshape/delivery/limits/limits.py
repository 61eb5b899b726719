"""When the next request may begin."""

from __future__ import annotations

from airflow_reshape.delivery.limits.begun import Begun, End
from airflow_reshape.delivery.limits.rate import Rate
from airflow_reshape.delivery.limits.window import Cause, Window

NEVER = float("inf")
OVERDUE = 5.0
"""A request that takes so many times the usual time no longer holds up others: its place in the window is free."""
FEWEST_SECONDS_OVERDUE = 1.0
WEIGHT = 0.05
"""Of the latest answer in the usual time of one."""


class Limits:
    """The window, the rate, and the pauses that a server asks for, together.

    Refusals that do not come with the requests in flight come with the rate. A single one is not enough to tell, unless
    the server names a pause: then the next one would be dear.

    :param window: requests in flight.
    :param rate: requests a second.
    """

    def __init__(self, window: Window, rate: Rate) -> None:
        self.window = window
        self.rate = rate
        self._fresh: dict[int, Begun] = {}  # in the order of their beginning
        self._overdue: set[int] = set()
        self._usual = 0.0
        self._most = 0
        self._number = 0

    @property
    def in_flight(self) -> int:
        """Requests in flight."""
        return len(self._fresh) + len(self._overdue)

    def opens_for_a_probe_at(self) -> float:
        """When a single request may begin that finds out whether the server is back."""
        return self.rate.opens_for_a_probe_at()

    def restart(self, now: float) -> None:
        """Begin anew, small and without a learned rate: after an outage nobody knows what the server can do."""
        self._most = 0
        self.window.restart()
        self.rate.restart(now)

    def opens_at(self, now: float) -> float:
        """When the next request may begin: a time, past or to come, or infinity: when one has ended."""
        if self.in_flight >= self.window.ceiling:
            return NEVER
        opens = self.rate.opens_at()
        while len(self._fresh) >= self.window.size:
            number, oldest = next(iter(self._fresh.items()))
            overdue_at = oldest.at + max(FEWEST_SECONDS_OVERDUE, OVERDUE * self._usual)
            if overdue_at > now:
                return max(opens, overdue_at)
            del self._fresh[number]
            self._overdue.add(number)
        return opens

    def begin(self, now: float, *, pressed: bool = True) -> Begun:
        """A request begins.

        :param pressed: there is more to send.
        """
        self._number += 1
        in_flight = len(self._fresh) + 1
        request = Begun(self._number, now, in_flight, connects=in_flight > self._most, pressed=pressed)
        self._most = max(self._most, in_flight)
        self._fresh[request.number] = request
        self.window.begun(request)
        self.rate.begun(request)
        return request

    def ended(self, request: Begun, end: End | None, now: float, pause: float = 0.0) -> None:
        """A request ended.

        :param end: how; None if it tells nothing, as when it was given up.
        :param pause: seconds for which the server asked to be left alone.
        """
        among = len(self._fresh)
        if self._fresh.pop(request.number, None) is None:
            self._overdue.discard(request.number)
        if pause:
            self.rate.pause(now, now + pause)
        if end is End.TAKEN:
            seconds = now - request.at
            self._usual += WEIGHT * (seconds - self._usual) if self._usual else seconds
            self.window.taken(request, now)
            self.rate.taken(request, now)
        elif end is End.REFUSED:
            # Others may have begun after it and arrived before it.
            cause = self.window.refused(max(request.in_flight, among))
            if cause is Cause.OTHER or (cause is Cause.UNKNOWN and pause):
                self.rate.refused(request, now, pause)
        elif end is End.LOST:
            self.window.lost(request)
