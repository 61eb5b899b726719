"""How much is sent: the whole measurement, or the quick one."""

from __future__ import annotations

from dataclasses import dataclass

WARM_UP = 100
"""Rows sent before the measurement …"""
WARM_UP_ONE_BY_ONE = 10
"""… and by those who send one at a time."""
WINDOW = 64
RATE = 100.0
"""Events per second that the limited server takes."""
AT_ONCE = 5
"""Requests that the crowded server works on."""
SETTLING = 5.0
"""Seconds that a send has for finding a limit, before refusals count."""
MEMORY_ROWS = (10_000, 1_000_000)
"""Few rows, and many."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Rows and seconds.

    :param rounds: how often everything is repeated.
    :param rows: by latency in milliseconds, for those who send many requests at a time.
    :param rows_one_by_one: by latency, for those who send one at a time: their rate does not depend on it.
    :param wrk_seconds: how long the server's own rate is measured.
    :param limited_seconds: how long a limited server is sent to; 0 for not at all.
    :param fixed_seconds: how long each fixed window is tried.
    :param memory_rows: what the peaks of memory are compared of.
    :param repeats: of the parts of one event.
    :param tuned_peers: also peers with settings that are not their defaults.
    """

    rounds: int
    rows: dict[int, int]
    rows_one_by_one: dict[int, int]
    wrk_seconds: int
    limited_seconds: float
    fixed_seconds: float
    memory_rows: tuple[int, ...]
    repeats: int
    fixed_windows: tuple[int, ...] = (5, 8, 10, 12, 16, 24, 32)
    tuned_peers: bool = True


FULL = Sizes(
    rounds=3,
    rows={0: 20_000, 20: 30_000, 50: 25_000},
    rows_one_by_one={0: 1000, 20: 500, 50: 300},
    wrk_seconds=5,
    limited_seconds=60.0,
    fixed_seconds=10.0,
    memory_rows=MEMORY_ROWS,
    repeats=9,
)
QUICK = Sizes(
    rounds=2,
    rows={0: 4000, 50: 8000},
    rows_one_by_one={0: 200, 50: 40},
    wrk_seconds=2,
    limited_seconds=0.0,
    fixed_seconds=0.0,
    memory_rows=(),
    repeats=5,
    tuned_peers=False,
)
