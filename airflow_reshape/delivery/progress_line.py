"""A line now and then while a send runs: whoever looks at the log sees that it gets on, and when it will be done."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from airflow_reshape.delivery.durations import in_words
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.pace import Pace
from airflow_reshape.delivery.tally import Tally

SECONDS_BETWEEN_LINES = 10.0
ALWAYS_TOLD = (Kind.INVALID, Kind.REJECTED)
TOLD_IF_ANY = (Kind.SKIPPED, Kind.UNSENT)


class ProgressLine:
    """Tells how far a send is, every ten seconds, and at its end if it took that long.

    What counts as done is a lead with its outcome. Those that no number is told of are delivered.

    :param tally: the counts.
    :param pace: asked how fast it goes.
    :param tell: writes a line.
    :param total: number of leads, or None if it is not known. Default None.
    :param clock: seconds.
    """

    def __init__(
        self,
        tally: Tally,
        pace: Callable[[], Pace],
        tell: Callable[[str], None],
        total: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tally = tally
        self._pace = pace
        self._tell = tell
        self._total = total
        self._clock = clock
        self._started_at = self._told_at = clock()
        self._told = 0

    def pulse(self) -> None:
        """Tell, if it is time; to be called about once a second."""
        now = self._clock()
        seconds = now - self._told_at
        if seconds < SECONDS_BETWEEN_LINES:
            return
        kinds, pace = self._kinds(), replace(self._pace())
        done = sum(kinds.values())
        rate = (done - self._told) / seconds
        speed = [_per_second(rate), *_limits(pace)]
        ahead = [] if pace.paused else [f"window {pace.window:,}", *self._eta(done, rate)]
        self._tell(" · ".join((self._how_far(done), *speed, *_counts(kinds), *ahead)))
        self._told_at, self._told = now, done

    def end(self) -> None:
        """Tell the whole, with the mean rate. The report says it all of a send that took less than ten seconds."""
        seconds = self._clock() - self._started_at
        if seconds < SECONDS_BETWEEN_LINES:
            return
        kinds = self._kinds()
        done = sum(kinds.values())
        rate = f"{_per_second(done / seconds)} on average"
        self._tell(" · ".join((self._how_far(done), rate, *_counts(kinds), f"took {in_words(seconds)}")))

    def _kinds(self) -> dict[Kind, int]:
        # Each by itself: the event loop's thread may add the first of a kind meanwhile.
        return {kind: self._tally.kinds[kind] for kind in Kind}

    def _left(self, done: int) -> int | None:
        """Leads without an outcome, if that is known. A source that gave more than it said is not believed."""
        if self._total is None or max(done, self._tally.read) > self._total:
            return None
        return self._total - done

    def _how_far(self, done: int) -> str:
        return f"{done:,} leads" if self._left(done) is None else f"{done:,} of {self._total:,}"

    def _eta(self, done: int, rate: float) -> list[str]:
        """When it will be done if it goes on like that."""
        left = self._left(done)
        return [f"ETA {in_words(left / rate)}"] if left and rate > 0 else []


def _limits(pace: Pace) -> list[str]:
    if pace.paused:
        return ["paused: the server takes nothing"]
    return [] if pace.rate is None else [f"at most {_per_second(pace.rate)}"]


def _counts(kinds: Mapping[Kind, int]) -> list[str]:
    told = (*ALWAYS_TOLD, *(kind for kind in TOLD_IF_ANY if kinds[kind]))
    return [f"{kinds[kind]:,} {kind.value}" for kind in told]


def _per_second(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"
