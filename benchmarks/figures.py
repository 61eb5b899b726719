"""From what was measured to the figures that are shown: medians, ratios, shares. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from benchmarks.sizes import MEMORY_ROWS
from benchmarks.speed import BARE

Results = dict[str, Any]


def _median(numbers: Iterable[float]) -> float:
    return float(statistics.median(numbers))


def median_rate(speed: dict[str, Any]) -> float:
    """Events per second."""
    return _median(run["events"] / run["seconds"] for run in speed["rounds"])


def cpu_seconds(speed: dict[str, Any]) -> float:
    """Of 10,000 events."""
    return _median(run["cpu_seconds"] / run["events"] * 10_000 for run in speed["rounds"])


def peak(speed: dict[str, Any]) -> float:
    """Most memory, in MB."""
    return _median(run["peak_mb"] for run in speed["rounds"])


def find(results: Results, latency: int, contestant: str) -> dict[str, Any] | None:
    """One contestant at one latency."""
    wanted = (latency, contestant)
    return next((run for run in results.get("speed", ()) if (run["latency_ms"], run["contestant"]) == wanted), None)


def ratio(results: Results, latency: int, one: str, other: str = BARE) -> float | None:
    """How many times as fast one is as the other: the median over the rounds, which ran side by side."""
    ours, theirs = find(results, latency, one), find(results, latency, other)
    if ours is None or theirs is None:
        return None
    pairs = zip(ours["rounds"], theirs["rounds"], strict=True)
    return _median((a["events"] / a["seconds"]) / (b["events"] / b["seconds"]) for a, b in pairs)


def memory_growth(results: Results) -> float | None:
    """MB that a million rows need more than ten thousand."""
    peaks: dict[int, float] = {run["rows"]: run["peak_mb"] for run in results.get("memory", ())}
    few, many = (peaks.get(rows) for rows in MEMORY_ROWS)
    return None if few is None or many is None else many - few
