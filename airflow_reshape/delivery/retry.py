"""How long to wait before trying again. Pure: time and randomness come in as arguments."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from random import Random


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter.

    :param most_attempts: attempts an event gets while others succeed.
    :param first_delay: seconds, upper end of the first pause; it doubles with each attempt.
    :param longest_delay: seconds, upper end of any pause.
    :param longest_retry_after: seconds; a server that asks for more is not obeyed beyond it.
    :param first_probe: seconds until the first event probes a server that takes nothing; doubles with each.
    :param longest_probe: seconds between probes at most: how late the end of an outage may be seen.
    """

    most_attempts: int = 8
    first_delay: float = 0.5
    longest_delay: float = 30.0
    longest_retry_after: float = 120.0
    first_probe: float = 0.1
    longest_probe: float = 2.0

    def delay(self, attempt: int, retry_after: float | None, random: Random) -> float:
        """Seconds to wait before the next attempt.

        :param attempt: number of the attempt that failed, from 1.
        :param retry_after: seconds that the server asks for, a minimum, or None.
        """
        ceiling = min(self.longest_delay, self.first_delay * 2 ** min(attempt - 1, 64))
        return self.asked(retry_after) + random.uniform(0, ceiling)

    def probe_delay(self, probes: int, random: Random) -> float:
        """Seconds to wait before the next probe, give or take a quarter, for other senders probe too.

        :param probes: probes that failed in a row.
        """
        delay: float = min(self.longest_probe, self.first_probe * 2 ** min(probes, 64))
        return delay * random.uniform(0.75, 1.25)

    def asked(self, retry_after: float | None) -> float:
        """The part of a Retry-After that is obeyed, in seconds."""
        return min(retry_after or 0.0, self.longest_retry_after)


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
        date = parsedate_to_datetime(header)
        if date.tzinfo is None:  # "-0000", or no zone: UTC, as in every HTTP date
            date = date.replace(tzinfo=UTC)
        return max(0.0, date.timestamp() - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
