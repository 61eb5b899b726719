"""What a send shall reach, beside what it reached. Printed, never asserted: speed depends on the machine."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.figures import Results, memory_growth, ratio
from benchmarks.sizes import SETTLING
from benchmarks.speed import DLT, DRT, HTTP_HOOK, OURS

AT_LEAST: Callable[[float, float], bool] = operator.ge
AT_MOST: Callable[[float, float], bool] = operator.le


@dataclass(frozen=True)
class Goal:
    """One line of the table.

    :param form: how its numbers are shown.
    """

    what: str
    holds: Callable[[float, float], bool]
    wanted: float
    reached: float | None
    form: str

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """What, wanted, measured, verdict."""
        bound = "at least" if self.holds is AT_LEAST else "at most"
        if self.reached is None:
            return self.what, f"{bound} {self.form.format(self.wanted)}", "not measured", ""
        verdict = "reached" if self.holds(self.reached, self.wanted) else "not reached"
        return self.what, f"{bound} {self.form.format(self.wanted)}", self.form.format(self.reached), verdict


def goals(results: Results) -> list[Goal]:
    """All goals with what was measured of them."""
    return [*_of_speed(results), *_of_limits(results), *_of_one_process(results)]


def _of_speed(results: Results) -> Iterator[Goal]:
    yield Goal("50 ms: share of bare aiohttp's rate", AT_LEAST, 0.97, ratio(results, 50, OURS), "{:.1%}")
    for peer, times in ((HTTP_HOOK, 50), (DRT, 25), (DLT, 25)):
        yield Goal(f"50 ms: times as fast as {peer}", AT_LEAST, times, ratio(results, 50, OURS, peer), "{:.0f} ×")
    instant = ratio(results, 0, OURS)
    yield Goal("instant: share of bare aiohttp's rate", AT_LEAST, 0.55, instant, "{:.1%}")
    yield Goal("instant: the same, the higher goal", AT_LEAST, 0.70, instant, "{:.1%}")


def _of_limits(results: Results) -> Iterator[Goal]:
    for used in results.get("limits", ()):
        name = used["limit"]
        yield Goal(f"{name}: share of what is possible", AT_LEAST, 0.90, used["share"], "{:.1%}")
        if "/s" in name:
            what = f"{name}: refused after {SETTLING:.0f} s"
            yield Goal(what, AT_MOST, 0.05, used["refused_later"], "{:.1%}")


def _of_one_process(results: Results) -> Iterator[Goal]:
    yield Goal("memory: 1,000,000 rows above 10,000", AT_MOST, 20, memory_growth(results), "{:.1f} MB")
    event = results.get("per_event")
    of_a_post = event["ours_us"] / event["bare_post_us"] if event else None
    yield Goal("processor time of our parts, in bare POSTs", AT_MOST, 250 / 340, of_a_post, "{:.2f}")
