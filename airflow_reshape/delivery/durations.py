"""Durations as people say them."""

from __future__ import annotations

import math


def in_words(seconds: float) -> str:
    """A duration, rounded up: ``32 s``, ``4 min``, ``2 h 10 min``, ``3 d 4 h``.

    :param seconds: not negative.
    """
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = math.ceil(whole / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return _two(minutes, 60, "h", "min")
    return _two(math.ceil(minutes / 60), 24, "d", "h")


def _two(small: int, in_large: int, large_unit: str, small_unit: str) -> str:
    large, rest = divmod(small, in_large)
    return f"{large:,} {large_unit} {rest} {small_unit}" if rest else f"{large:,} {large_unit}"
