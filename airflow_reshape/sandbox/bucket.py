"""A token bucket: the rate limit."""

from __future__ import annotations


class TokenBucket:
    """Allows ``rate`` events a second and ``burst`` at once. Time is an argument and may not go back.

    :param rate: events per second, above 0.
    :param burst: events at once; default one second's worth, at least one.
    :param now: seconds on the caller's clock.
    """

    def __init__(self, rate: float, burst: int | None, now: float) -> None:
        self._rate = rate
        self._size = float(burst or max(1.0, rate))
        self._tokens = self._size
        self._at = now

    def wait(self, now: float) -> float:
        """Seconds until another event is allowed, 0 if it is now."""
        self._tokens = min(self._size, self._tokens + (now - self._at) * self._rate)
        self._at = now
        # A billionth of a token is a rounding error, not a reason to refuse.
        return max(0.0, (1 - self._tokens - 1e-9) / self._rate)

    def spend(self) -> None:
        """One event was let through; refused ones cost nothing."""
        self._tokens -= 1
