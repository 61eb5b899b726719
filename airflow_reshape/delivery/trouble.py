"""Tells a bad event from a bad server, by what happened to the others. Pure.

====================================================  =========================================================
What is known when an attempt fails                   It is
====================================================  =========================================================
a request that began after the last failure of the    held against the lead: after eight failures, three of
lead was taken                                        them so, it is rejected
several leads fail, and none was taken since          an outage, until a probe that is no lead's was taken:
                                                      nothing begins but a probe now and then
likewise, and a probe was taken just now              open: leads that were never tried are tried, with a pause
likewise, and a lead that began after the first       held against the lead, as above
failure of this one was taken
likewise, none was taken after it, and no more leads  held against the lead: the server has such leads
fail so than were rejected before
nothing was taken for ``max_outage``                  the server's: the rest is unsent
====================================================  =========================================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

PROBE_COUNTS_FOR = 2.0
"""Seconds for which a probe that was taken shows that the server works."""


class Next(Enum):
    """What follows a failed attempt."""

    RETRY = "retry"
    GIVE_UP = "give up"
    """The event's own fault: the server takes others."""
    OUTAGE = "outage"


@dataclass(slots=True)
class Trial:
    """What one event went through.

    :param attempts: requests made.
    :param charged: failures that may be the event's fault.
    :param blamed: those that came while the server surely took others.
    :param begun: requests begun, by all events, up to the last failure.
    :param first: number of the first request that failed and may have been the event's fault.
    """

    attempts: int = 0
    charged: int = 0
    blamed: int = 0
    begun: int | None = None
    first: int | None = None


@dataclass(slots=True)
class Trouble:
    """Watches all attempts of a send. Times are in seconds of any clock.

    :param max_outage: seconds without a success after which the server is given up. Default 300.
    :param failures_for_outage: distinct events failing, or failures that can be no event's fault, of requests after
        which none succeeded, that make it the server's; more if more are in flight.
    :param failures_for_blame: failures while others succeed that make it the event's fault whatever else happens.
    """

    max_outage: float = 300.0
    failures_for_outage: int = 3
    failures_for_blame: int = 3
    successes: int = 0
    rejected: int = 0
    """Events that were given up, and others were taken after them."""
    since: float | None = None
    """When the first attempt failed after the last success, or that success if a later request had failed; or None."""
    _begun: int = 0
    _latest_success: int = 0
    _threshold: int = 3
    _faultless: list[int] = field(default_factory=list)
    _failing: dict[int, int] = field(default_factory=dict)
    _probe_taken_at: float | None = None
    _probe_taken: int = 0

    @property
    def is_outage(self) -> bool:
        """Whether the server takes nothing: then one event at a time finds out when it does again."""
        return max(len(self._failing), len(self._faultless)) >= self._threshold

    @property
    def begun(self) -> int:
        """Number of the latest request."""
        return self._begun

    def server_works(self, now: float) -> bool:
        """Whether it took a probe that is no lead's just now, though it may take no lead.

        :param now: when.
        """
        return self._probe_taken_at is not None and now - self._probe_taken_at < PROBE_COUNTS_FOR

    def probed(self, request: int, now: float, *, taken: bool) -> None:
        """A probe that is no lead's was answered, or was not.

        :param request: its number.
        :param now: when.
        """
        self._probe_taken_at = now if taken else None
        if taken:
            self._probe_taken = request

    def doubt_the_probe(self) -> None:
        """The last probe that was taken shows no longer that the server works."""
        self._probe_taken_at = None

    def begins(self) -> int:
        """A request begins; its number."""
        self._begun += 1
        return self._begun

    def succeeded(self, request: int, now: float) -> None:
        """An event was delivered, or rejected for itself: the server works.

        :param request: number of the request.
        :param now: when.
        """
        self.successes += 1
        self._latest_success = max(self._latest_success, request)
        if self.since is None:
            return
        # One in flight at the moment when a server goes down may still succeed.
        self._failing = {event: failed for event, failed in self._failing.items() if failed > request}
        self._faultless = [failed for failed in self._faultless if failed > request]
        self._begin_again(now)

    def failed(
        self,
        position: int,
        trial: Trial,
        may_be_its_fault: bool,
        most_attempts: int,
        now: float,
        request: int,
        in_flight: int = 0,
    ) -> Next:
        """An attempt failed in a way that is tried again.

        :param may_be_its_fault: False where the answer is not about the event: no connection, too many requests.
        :param most_attempts: attempts an event gets.
        :param now: when.
        :param request: number of the request.
        :param in_flight: requests in flight.
        """
        self.since = now if self.since is None else self.since
        was_probe = self.is_outage and not self.server_works(now)
        self._threshold = max(self.failures_for_outage, in_flight // 2)
        trial.blamed += may_be_its_fault and self._others_were_taken(trial)
        a_probe_was_taken = trial.begun is not None and self._probe_taken > trial.begun
        trial.begun = self._begun
        if trial.blamed < self.failures_for_blame and request > self._latest_success:
            self._failing[position] = request
        if may_be_its_fault:
            trial.charged += not was_probe  # else it was tried for all
            trial.first = request if trial.first is None else trial.first
        elif request > self._latest_success:
            self._faultless.append(request)
        if may_be_its_fault and trial.charged >= most_attempts and self._is_its_own_fault(trial, a_probe_was_taken):
            self._failing.pop(position, None)
            self.rejected += self._is_overtaken(trial)
            self._begin_again(now)
            return Next.GIVE_UP
        return Next.OUTAGE if now - self.since >= self.max_outage else Next.RETRY

    def _begin_again(self, now: float) -> None:
        self.since = now if self._failing or self._faultless else None

    def _others_were_taken(self, trial: Trial) -> bool:
        """Whether the server worked since the last failure: only what began after it can show that."""
        if trial.begun is None:
            return False
        return self._latest_success > trial.begun or (self._probe_taken > trial.begun and self._is_overtaken(trial))

    def _is_overtaken(self, trial: Trial) -> bool:
        return trial.first is not None and self._latest_success > trial.first

    def _is_its_own_fault(self, trial: Trial, a_probe_was_taken: bool) -> bool:
        if self._is_overtaken(trial):
            return trial.blamed >= self.failures_for_blame or len(self._failing) < self.failures_for_outage
        # The fault of the last leads looks like an outage. They are blamed if as many were before, and not more.
        return a_probe_was_taken and len(self._failing) <= self.rejected
