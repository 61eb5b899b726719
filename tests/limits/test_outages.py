"""A server that takes nothing for a while: all wait, one probes. On simulated time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from random import Random

import pytest

from airflow_reshape.delivery.halt import Stop
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.transport import Answer
from tests.limits.servers import Model
from tests.limits.simulation import PROBE, Simulated, simulate

pytestmark = pytest.mark.timeout(60)

BEGINS, ENDS = 10.0, 70.0
NEVER = float("inf")


class Down:
    """Answers with a status while it is down."""

    def __init__(self, status: int, retry_after: str | None = None) -> None:
        self._answer = Answer(status, "application/json", retry_after)

    def refusal(self, now: float, in_work: int) -> Answer | None:
        return self._answer if BEGINS <= now < ENDS else None


def slow(in_work: int) -> float:
    """Answers that take their time: fewer events for the same minute."""
    return 0.2


def of_connections() -> Model:
    return Model(latency=slow, down=lambda now: BEGINS <= now < ENDS)


def of_status(status: int) -> Model:
    return Model([Down(status)], latency=slow)


OUTAGES: dict[str, Callable[[], Model]] = {
    "no connection": of_connections,
    **{str(status): partial(of_status, status) for status in (429, 500, 502, 503)},
}


def attempts_in(model: Model, start: float, end: float) -> int:
    return sum(start <= at < end for at in model.arrived)


@pytest.mark.parametrize("kind", OUTAGES)
@pytest.mark.parametrize("ceiling", [1, 64])
def test_it_goes_on_within_three_seconds_of_the_end(kind: str, ceiling: int) -> None:
    model = OUTAGES[kind]()
    run = simulate(model, 90, ceiling=ceiling)
    rate = model.taken_in(0, BEGINS) / BEGINS
    assert model.taken_in(BEGINS + 1, ENDS) == 0
    assert model.taken_in(ENDS, ENDS + 3) > 0
    # The first three seconds may be lost, the window is found anew, and then all is as before.
    assert model.taken_in(ENDS, ENDS + 5) >= rate
    assert model.taken_in(ENDS + 5, 90) >= 0.9 * rate * (90 - ENDS - 5)
    assert not any(outcome.kind is Kind.REJECTED for outcome in run.outcomes)
    assert run.halt is not None
    assert run.halt.stop is Stop.REQUESTED  # the test's end of time


@pytest.mark.parametrize("kind", OUTAGES)
def test_nobody_storms_a_server_that_is_down(kind: str) -> None:
    model = OUTAGES[kind]()
    simulate(model, ENDS)
    # Those in flight at the beginning, then probes only: ever fewer, and at most one every 1.5 seconds in the end.
    assert attempts_in(model, BEGINS, BEGINS + 1) <= 64 + 20
    assert attempts_in(model, BEGINS + 5, ENDS) <= (ENDS - BEGINS - 5) / 1.5 + 1
    assert model.most_at_once(BEGINS + 1, ENDS) == 1


def leads_of(run: Simulated) -> set[int]:
    return {outcome.position for outcome in run.outcomes}


@pytest.mark.parametrize("kind", OUTAGES)
def test_an_outage_that_lasts_ends_the_send(kind: str) -> None:
    model = OUTAGES[kind]()
    run = simulate(model, 90, max_outage=30)
    assert run.halt is not None
    assert run.halt.stop is Stop.OUTAGE
    assert BEGINS + 30 <= run.ended_at <= BEGINS + 35
    assert {outcome.kind for outcome in run.outcomes} == {Kind.DELIVERED, Kind.UNSENT}
    assert len(run.outcomes) == len(leads_of(run))
    assert {outcome.why for outcome in run.outcomes if outcome.kind is Kind.UNSENT} == {"outage"}


def test_probes_wait_for_what_the_server_asks_for() -> None:
    model = Model([Down(503, "7")])
    simulate(model, 80)
    probes = [at for at in sorted(model.arrived) if BEGINS + 10 <= at < ENDS]
    assert all(later - earlier >= 7 for earlier, later in pairwise(probes))
    assert len(probes) >= 6
    assert model.taken_in(ENDS, ENDS + 9) > 0


def test_each_lead_keeps_its_order_through_an_outage() -> None:
    random = Random(5)
    keys = [f"lead {random.randrange(40)}" for _ in range(20_000)]
    model = of_connections()
    run = simulate(model, 90, keys=lambda position: keys[position % len(keys)])
    delivered: dict[str, list[int]] = {}
    for outcome in run.outcomes:
        if outcome.kind is Kind.DELIVERED:
            delivered.setdefault(keys[outcome.position % len(keys)], []).append(outcome.position)
    assert sum(map(len, delivered.values())) > 1000
    for positions in delivered.values():
        assert positions == sorted(positions)


def choking(status: int, ids: Iterable[int], until: float = NEVER) -> Model:
    """A server that takes all other events."""
    return Model(chokes_on={str(one): (Answer(status, "application/json"), until) for one in ids})


def kinds(run: Simulated) -> Counter[Kind]:
    return Counter(outcome.kind for outcome in run.outcomes)


@pytest.mark.parametrize("last", [1, 2])
@pytest.mark.parametrize("status", [408, 500, 502, 503])
@pytest.mark.parametrize("ceiling", [1, 64])
def test_the_last_leads_are_not_blamed_for_an_outage(ceiling: int, status: int, last: int) -> None:
    # Nor for choking the server: nothing is left that it might take, so nobody can tell.
    run = simulate(choking(status, range(61 - last, 61)), 3600, events=60, ceiling=ceiling)
    assert kinds(run) == {Kind.DELIVERED: 60 - last, Kind.UNSENT: last}
    assert run.halt is not None
    assert run.halt.stop is Stop.OUTAGE
    assert 300 <= run.ended_at <= 400


@pytest.mark.parametrize("last", [1, 2])
@pytest.mark.parametrize("status", [500, 503])
def test_the_last_leads_wait_for_the_end_of_an_outage(status: int, last: int) -> None:
    run = simulate(choking(status, range(61 - last, 61), until=200.0), 3600, events=60)
    assert kinds(run) == {Kind.DELIVERED: 60}
    assert run.halt is None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("which", [{1}, {7}, {20, 40}, {59}, {50, 57}])
def test_leads_that_the_server_chokes_on_are_rejected_where_it_takes_others(which: set[int], seed: int) -> None:
    run = simulate(choking(500, which), 3600, events=60, seed=seed)
    assert kinds(run) == {Kind.DELIVERED: 60 - len(which), Kind.REJECTED: len(which)}
    assert run.halt is None


@pytest.mark.parametrize("which", [{20, 21, 40}, {3, 9, 27, 54}])
@pytest.mark.parametrize(("probe", "alone"), [(PROBE, Kind.REJECTED), (None, Kind.UNSENT)])
def test_three_of_them_left_alone_may_be_an_outage_unless_a_probe_is_taken(
    which: set[int], probe: bytes | None, alone: Kind
) -> None:
    run = simulate(choking(500, which), 3600, events=60, probe=probe)
    assert kinds(run) == {Kind.DELIVERED: 60 - len(which), alone: len(which)}
    run = simulate(choking(500, which), 3600, events=6000, probe=probe)
    assert kinds(run) == {Kind.DELIVERED: 6000 - len(which), Kind.REJECTED: len(which)}


class GoingDown:
    """Answers nothing but 500 from some moment on."""

    def refusal(self, now: float, in_work: int) -> Answer | None:
        return Answer(500, "application/json") if now > 0.5 else None


def test_leads_that_failed_as_the_server_went_down_are_not_rejected() -> None:
    early = {str(n): (Answer(500, "application/json"), NEVER) for n in range(11, 21)}
    run = simulate(Model([GoingDown()], latency=lambda in_work: 0.005, chokes_on=early), 3600, events=200)
    assert kinds(run)[Kind.DELIVERED] == 190
    assert kinds(run)[Kind.UNSENT] == 10
    assert run.halt is not None


def test_503_costs_no_lead_while_others_are_taken() -> None:
    class EveryThird:
        count = 0

        def refusal(self, now: float, in_work: int) -> Answer | None:
            self.count += 1
            return Answer(503, "application/json") if self.count % 3 else None

    run = simulate(Model([EveryThird()]), 3600, events=200)
    assert kinds(run) == {Kind.DELIVERED: 200}
