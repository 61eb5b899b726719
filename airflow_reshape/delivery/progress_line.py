"""A line now and then while a send runs: whoever looks at the log sees that it gets on."""

from __future__ import annotations

import time
from collections.abc import Callable

from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.tally import Tally

SECONDS_BETWEEN_LINES = 10.0
ALWAYS_TOLD = (Kind.DELIVERED, Kind.REJECTED, Kind.INVALID)


class ProgressLine:
    """Tells how far a send is, every ten seconds.

    :param tally: the counts.
    :param tell: writes a line.
    :param clock: seconds.
    """

    def __init__(self, tally: Tally, tell: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._tally = tally
        self._tell = tell
        self._clock = clock
        self._told_at = clock()
        self._settled = 0

    def pulse(self) -> None:
        """Tell, if it is time; to be called about once a second."""
        now = self._clock()
        seconds = now - self._told_at
        if seconds < SECONDS_BETWEEN_LINES:
            return
        settled = self._tally.kinds.total()
        rate = (settled - self._settled) / seconds
        counts = [f"{self._tally.kinds[kind]:,} {kind.value}" for kind in Kind if self._counts(kind)]
        waiting = max(0, self._tally.read - settled)
        self._tell(" · ".join((f"{self._tally.read:,} read", *counts, f"{waiting:,} in work", f"{rate:,.0f}/s")))
        self._told_at, self._settled = now, settled

    def _counts(self, kind: Kind) -> bool:
        return kind in ALWAYS_TOLD or self._tally.kinds[kind] > 0
