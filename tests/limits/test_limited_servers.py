"""The engine finds what a server takes: on simulated time, the same at every run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from tests.limits.servers import AtOnce, Bucket, Chance, Model, PerSecond, Rule, Sliding
from tests.limits.simulation import simulate

pytestmark = pytest.mark.timeout(60)

MINUTE = 60.0
SETTLED = 5.0


def always(number: int) -> Callable[[float], int]:
    return lambda now: number


def latency(seconds: float) -> Callable[[int], float]:
    return lambda in_work: seconds


HUNDRED_A_SECOND: dict[str, Callable[[str | None], Rule]] = {
    "a bucket of a second's worth": lambda asked: Bucket(always(100), 100, asked),
    "a small bucket": lambda asked: Bucket(always(100), 10, asked),
    "so many in each second": lambda asked: PerSecond(100, 0.7, asked),
    "so many in any second": lambda asked: Sliding(100, asked),
}


@pytest.mark.parametrize("seconds", [0.02, 0.05])
@pytest.mark.parametrize("rule", HUNDRED_A_SECOND)
def test_a_rate_limit_without_retry_after(rule: str, seconds: float) -> None:
    model = Model([HUNDRED_A_SECOND[rule](None)], latency(seconds))
    simulate(model, MINUTE)
    assert model.taken_in(0, MINUTE) >= 0.9 * 100 * MINUTE
    assert model.refused_share(SETTLED, MINUTE) < 0.05


@pytest.mark.parametrize("asked", ["1", "Sun, 01 Mar 2026 00:00:01 GMT"])
@pytest.mark.parametrize("seconds", [0.02, 0.05])
def test_a_rate_limit_with_retry_after(seconds: float, asked: str) -> None:
    model = Model([Bucket(always(100), 100, asked)], latency(seconds))
    simulate(model, MINUTE)
    assert model.taken_in(0, MINUTE) >= 0.9 * 100 * MINUTE
    assert model.refused_share(SETTLED, MINUTE) < 0.05


@pytest.mark.parametrize("seconds", [0.02, 0.05, 0.2])
@pytest.mark.parametrize("rule", HUNDRED_A_SECOND)
def test_each_refusal_that_asks_for_a_second_costs_one(rule: str, seconds: float) -> None:
    # Nothing begins meanwhile once several are refused, so these cannot reach what they do without; but hardly anything
    # is refused.
    model = Model([HUNDRED_A_SECOND[rule]("1")], latency(seconds))
    simulate(model, MINUTE)
    assert model.taken_in(0, MINUTE) >= 0.6 * 100 * MINUTE
    assert model.refused_share(SETTLED, MINUTE) < 0.03


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(("limit", "run_time"), [(2, MINUTE), (1000, 15)])
def test_other_rates(limit: int, run_time: float, status: int) -> None:
    model = Model([Bucket(always(limit), limit, None, status)], latency(0.02))
    simulate(model, run_time)
    assert model.taken_in(0, run_time) >= 0.9 * limit * run_time
    assert model.refused_share(run_time / 6, run_time) < 0.1


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("seconds", [0.02, 0.05, 0.2])
def test_a_server_that_works_on_five_at_a_time(seconds: float, status: int) -> None:
    model = Model([AtOnce(always(5), status)], latency(seconds))
    simulate(model, MINUTE)
    possible = 5 / (seconds + model.seconds_on_the_way)
    assert model.taken_in(0, MINUTE) >= 0.9 * possible * MINUTE
    assert model.refused_share(SETTLED, MINUTE) < 0.05


@pytest.mark.parametrize("slower", [0.005, 0.01, 0.05])
@pytest.mark.parametrize("jitter", [0.1, 0.3])
def test_a_server_that_gets_slower_beyond_ten_at_a_time(slower: float, jitter: float) -> None:
    def crowded(in_work: int) -> float:
        return 0.05 + slower * max(0, in_work - 10)

    def taken(ceiling: int, first: int) -> int:
        model = Model([], crowded, jitter)
        simulate(model, 30, ceiling=ceiling, first=first)
        return model.taken_in(0, 30)

    best = max(taken(window, window) for window in (8, 10, 12, 16))
    assert taken(64, 4) >= 0.9 * best


@pytest.mark.parametrize(("seconds", "run_time"), [(0.05, 20), (0.5, MINUTE)])
@pytest.mark.parametrize("jitter", [0.1, 0.5])
def test_a_server_without_limits_gets_all_of_the_window(seconds: float, run_time: float, jitter: float) -> None:
    model = Model([], latency(seconds), jitter)
    run = simulate(model, run_time)
    assert model.taken_in(0, run_time) >= 0.9 * run_time * 64 / (seconds + model.seconds_on_the_way)
    assert model.most_in_work == 64
    assert sum(size == 64 for _, size, _ in run.windows) > len(run.windows) / 2


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("share", [0.01, 0.1])
def test_refusals_that_do_not_depend_on_us_do_not_slow_us_down_for_long(share: float, status: int) -> None:
    model = Model([Chance(share, status)], latency(0.2))
    simulate(model, MINUTE)
    assert model.taken_in(0, MINUTE) > 0.4 * MINUTE * 64 / 0.202
    assert model.refused_share(0, MINUTE) < 1.3 * share + 0.01


def test_a_limit_that_halves_and_doubles() -> None:
    model = Model([Bucket(lambda now: 50 if 20 < now < 40 else 100, 20)], latency(0.05))
    simulate(model, 80)
    assert model.taken_in(22, 40) >= 0.9 * 50 * 18  # within two seconds
    assert model.taken_in(60, 80) >= 0.9 * 100 * 20  # within twenty
    assert model.taken_in(0, 80) >= 0.85 * (100 * 60 + 50 * 20)
    assert model.refused_share(SETTLED, 80) < 0.05


def test_a_window_that_halves_and_doubles() -> None:
    model = Model([AtOnce(lambda now: 5 if 20 < now < 40 else 10)], latency(0.05))
    simulate(model, 80)
    possible = 1 / (0.05 + model.seconds_on_the_way)
    assert model.taken_in(22, 40) >= 0.7 * 5 * 18 * possible
    assert model.taken_in(60, 80) >= 0.75 * 10 * 20 * possible
    assert model.refused_share(SETTLED, 80) < 0.05


@pytest.mark.parametrize("limit", [0.5, 20, 300])
def test_a_rate_limit_of_our_own_is_a_hard_ceiling(limit: float) -> None:
    model = Model([], latency(0.05))
    simulate(model, 30, rate_limit=limit)
    begun = sorted(model.arrived)
    assert len(begun) >= 0.95 * 30 * limit
    for at, moment in enumerate(begun):
        in_a_second = sum(moment <= other < moment + 1 for other in begun[at : at + int(limit) + 50])
        assert in_a_second <= 1.02 * limit + 2
    assert len(begun) <= 30 * limit + 2


def test_the_lower_of_two_limits_counts() -> None:
    model = Model([Bucket(always(100), 10)], latency(0.05))
    run = simulate(model, 20, rate_limit=80)
    assert 0.95 * 80 * 20 <= model.taken_in(0, 20) <= 80 * 20 + 10
    assert model.refused == []
    assert {rate for _, _, rate in run.windows} == {80}


def shares(model: Model, edges: Sequence[float]) -> list[float]:
    return [model.taken_in(start, end) / (end - start) for start, end in pairwise(edges)]


def test_two_senders_share_a_limit() -> None:
    # The other one takes 60 of 100 a second for half a minute.
    model = Model([Bucket(lambda now: 40 if now < 30 else 100, 20)], latency(0.05))
    simulate(model, MINUTE)
    before, after = shares(model, (5, 30, 60))
    assert 0.85 * 40 <= before <= 42
    assert after >= 0.65 * 100
