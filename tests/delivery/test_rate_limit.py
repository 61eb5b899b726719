"""A rate that was asked for is a hard upper end, whatever happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_reshape.delivery.limits.begun import Begun
from airflow_reshape.delivery.limits.rate import SLACK, Rate
from airflow_reshape.delivery.transport import AiohttpTransport
from tests.delivery.leads import destination, leads, sender
from tests.delivery.servers import Reply, Request, scripted

pytestmark = pytest.mark.timeout(30)

RATE = 100


def test_no_burst_at_the_beginning_after_a_pause_or_for_retries() -> None:
    """Arrivals are counted from the moment that rows were there: being late on the way cannot make them too early."""
    began: list[float] = []
    phase = 60
    rows = leads(2 * phase)

    def script(request: Request) -> Reply:
        return Reply(500) if request.attempt == 1 and request.number % 4 == 0 else Reply()

    def chunks() -> Iterator[list[dict[str, object]]]:
        began.append(time.monotonic())
        yield rows[:phase]
        while len(tally.outcomes) < phase:
            threading.Event().wait(0.01)
        threading.Event().wait(0.3)  # nothing to send: that must not be made up for
        began.append(time.monotonic())
        yield rows[phase:]

    with scripted(script) as server:
        engine, tally = sender(AiohttpTransport(destination(server.url), 16), concurrency=16, rate_limit=RATE)
        engine.send(chunks())
    assert len(tally.outcomes) == 2 * phase
    assert len(server.requests) > 2 * phase
    assert len(began) == 2
    for since in began:
        arrivals = sorted(request.at - since for request in server.requests if request.at >= since)
        too_early = [(n, at) for n, at in enumerate(arrivals) if at < n / RATE - SLACK]
        assert too_early == []


def test_also_a_rate_below_any_that_is_learned() -> None:
    rate = Rate(0.01, 0.0)
    rate.begun(Begun(1, 0.0, 1))
    assert rate.per_second(0.0) == 0.01
    assert rate.opens_at() >= 100 - SLACK


@settings(max_examples=100)
@given(
    ceiling=st.floats(0.05, 100),
    refused=st.sampled_from([0.0, 0.05, 0.1, 0.2, 0.5]),
    with_pause=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 2**32),
)
@example(ceiling=10.0, refused=0.1, with_pause=0.0, seed=0)  # refusals that have nothing to do with the rate
def test_whatever_refusals_teach_the_limit_and_pauses_are_kept(
    ceiling: float, refused: float, with_pause: float, seed: int
) -> None:
    rate, random = Rate(ceiling, 0.0), Random(seed)
    now = earliest = paused_until = 0.0
    for number in range(1, 500):
        now = max(now, rate.opens_at())
        assert now >= max(earliest, paused_until) - 1e-6
        earliest = max(earliest, now - SLACK) + 1 / ceiling  # as if nothing were learned
        request = Begun(number, now, 1)
        rate.begun(request)
        now += random.choice([0.0, 0.001, random.uniform(0, 1 / ceiling)])
        if random.random() >= refused:
            rate.taken(request, now)
        elif random.random() >= with_pause:
            rate.refused(request, now)
        else:
            paused_until = now + 1.5
            rate.pause(now, paused_until)
            rate.refused(request, now, 1.5)
