"""Time as an argument."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Clock:
    """The two clocks a server needs.

    :param monotonic: seconds that never go back, for waits and rates.
    :param now: the time of day, for what is shown and for ``Retry-After`` dates.
    """

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
