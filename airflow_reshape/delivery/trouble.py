"""Tells a bad event from a bad server, by what happened to the others. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


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
    :param in_vain: failures in a row without a success of another event in between.
    :param begun: requests begun, by all events, up to the last failure.
    :param successes: requests that succeeded, of all events, up to the last failure.
    """

    attempts: int = 0
    charged: int = 0
    blamed: int = 0
    in_vain: int = 0
    begun: int | None = None
    successes: int = 0


@dataclass(slots=True)
class Trouble:
    """Watches all attempts of a send.

    :param refusals_to_stop: distinct events refused (403, 404) in a row that make it the connection's fault.
    :param failures_for_outage: distinct events failing without a success between that make it an outage.
    :param failures_for_blame: failures while others succeed that make it the event's fault whatever else happens.
    """

    refusals_to_stop: int = 3
    failures_for_outage: int = 3
    failures_for_blame: int = 3
    successes: int = 0
    _begun: int = 0
    _latest_success: int = 0
    _failing: set[int] = field(default_factory=set)
    _refused: set[int] = field(default_factory=set)

    def begins(self) -> int:
        """A request begins; its number."""
        self._begun += 1
        return self._begun

    def succeeded(self, request: int) -> None:
        """An event was delivered, or rejected for itself: the server works.

        :param request: number of the request.
        """
        self.successes += 1
        self._latest_success = max(self._latest_success, request)
        self._failing.clear()
        self._refused.clear()

    def refused(self, position: int) -> bool:
        """An event got 403 or 404; True if the connection is to blame."""
        self._refused.add(position)
        return self.successes == 0 or len(self._refused) >= self.refusals_to_stop

    def failed(self, position: int, trial: Trial, may_be_its_fault: bool, most_attempts: int) -> Next:
        """An attempt failed in a way that is tried again.

        :param may_be_its_fault: False where the answer is not about the event: no connection, too many requests.
        :param most_attempts: attempts an event gets.
        """
        # Only a request that began after the last failure shows that the server worked: one in flight at the
        # moment when a server goes down may still succeed.
        blamed = may_be_its_fault and trial.begun is not None and self._latest_success > trial.begun
        trial.charged += may_be_its_fault
        trial.blamed += blamed
        trial.in_vain = trial.in_vain + 1 if trial.successes == self.successes else 1
        trial.begun, trial.successes = self._begun, self.successes
        if not trial.blamed:
            self._failing.add(position)
        if max(trial.charged, trial.in_vain) < most_attempts:
            return Next.RETRY
        its_fault = trial.charged >= most_attempts and (
            trial.blamed >= self.failures_for_blame
            or (self.successes > 0 and len(self._failing) < self.failures_for_outage)
        )
        return Next.GIVE_UP if its_fault and may_be_its_fault else Next.OUTAGE
