"""A clock that goes as the test says."""

from __future__ import annotations


class Clock:
    """Seconds; set :attr:`now`."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now
