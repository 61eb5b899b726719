"""When to try again, and when to give up. Pure: time and randomness come in as arguments."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from random import Random


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter.

    :param most_attempts: attempts an event gets while others succeed.
    :param first_delay: seconds, upper end of the first pause; it doubles with each attempt.
    :param longest_delay: seconds, upper end of any pause.
    :param longest_retry_after: seconds; a server that asks for more is not obeyed beyond it.
    """

    most_attempts: int = 8
    first_delay: float = 0.5
    longest_delay: float = 30.0
    longest_retry_after: float = 120.0

    def delay(self, attempt: int, retry_after: float | None, random: Random) -> float:
        """Seconds to wait before the next attempt.

        :param attempt: number of the attempt that failed, from 1.
        :param retry_after: seconds that the server asks for, a minimum, or None.
        """
        ceiling = min(self.longest_delay, self.first_delay * 2 ** (attempt - 1))
        jittered = random.uniform(0, ceiling)
        if retry_after is None:
            return jittered
        return min(retry_after, self.longest_retry_after) + jittered


def retry_after_seconds(header: str | None, now: float) -> float | None:
    """What a Retry-After header asks for, in seconds from now; None without one that can be read.

    :param header: seconds or an HTTP date (RFC 9110, 10.2.3).
    :param now: seconds since the epoch.
    """
    if header is None:
        return None
    header = header.strip()
    try:
        if header.isdecimal():
            return float(header)
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


@dataclass(slots=True)
class Trouble:
    """Tells a bad event from a bad server, by what happened to the others.

    :param refusals_to_stop: distinct events refused (403, 404) in a row that make it the connection's fault.
    :param failures_for_outage: distinct events failing without a success between that make it an outage.
    """

    refusals_to_stop: int = 3
    failures_for_outage: int = 3
    successes: int = 0
    _failing: set[int] = field(default_factory=set)
    _refused: set[int] = field(default_factory=set)

    def succeeded(self) -> None:
        """An event was delivered, or rejected for itself: the server works."""
        self.successes += 1
        self._failing.clear()
        self._refused.clear()

    def failed(self, position: int) -> None:
        """An attempt failed in a way that is tried again."""
        self._failing.add(position)

    def refused(self, position: int) -> bool:
        """An event got 403 or 404; True if the connection is to blame."""
        self._refused.add(position)
        return self.successes == 0 or len(self._refused) >= self.refusals_to_stop

    def is_outage(self, successes_before: int, connected: bool) -> bool:
        """Whether an event that used up its attempts met an outage.

        :param successes_before: :attr:`successes` at the event's first attempt.
        :param connected: the last attempt reached the server.
        """
        if self.successes > successes_before:
            return False
        return not connected or self.successes == 0 or len(self._failing) >= self.failures_for_outage
