"""How many requests are in work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Gauge:
    """Requests in work now, and the most there ever were."""

    def __init__(self) -> None:
        self.now = 0
        self.most = 0

    @contextmanager
    def one_more(self) -> Iterator[int]:
        """Counts a request for as long as the block lasts; gives how many are in work, this one included."""
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            yield self.now
        finally:
            self.now -= 1

    def clear(self) -> None:
        """Start the record again from what is in work now."""
        self.most = self.now
