"""Durations as people say them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_reshape.delivery.durations import in_words

UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"), (0.2, "1 s"), (32, "32 s"), (59, "59 s"), (59.1, "1 min"), (60, "1 min"), (61, "2 min"),
        (240, "4 min"), (3540, "59 min"), (3541, "1 h"), (3600, "1 h"), (7800, "2 h 10 min"), (7801, "2 h 11 min"),
        (86_340, "23 h 59 min"), (86_341, "1 d"), (86_401, "1 d 1 h"), (273_600, "3 d 4 h"), (1e8, "1,157 d 10 h"),
    ],
)  # fmt: skip
def test_words(seconds: float, told: str) -> None:
    assert in_words(seconds) == told


@given(st.floats(0, 1e10))
def test_words_are_never_too_short_and_hardly_too_long(seconds: float) -> None:
    told = in_words(seconds).replace(",", "")
    parts = [(int(number), UNITS[unit]) for number, unit in re.findall(r"(\d+) (\w+)", told)]
    meant = sum(number * unit for number, unit in parts)
    step = {1: 1, 60: 60, 3600: 60, 86_400: 3600}[parts[0][1]]
    assert seconds <= meant < seconds + step + 60 * (step == 3600) + 1
