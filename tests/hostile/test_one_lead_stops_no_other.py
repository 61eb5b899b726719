"""A server that dislikes some leads, by any answer, in any share and place: the others are delivered, on simulated
time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

import pytest

from airflow_reshape.delivery.halt import Stop
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.transport import Answer
from tests.hostile.persons import FAILS, PLACES, REFUSED, DislikesSome, throttles
from tests.limits.servers import Model
from tests.limits.simulation import PROBE, Simulated, simulate

pytestmark = pytest.mark.timeout(120)

COUNT = 1500
FOR_EVER = 1e9
MIXED = (REFUSED, FAILS, throttles("1"), throttles("60"), throttles(None, 503))
ANSWERS: dict[str, Callable[[int], Answer]] = {
    "403": lambda number: REFUSED,
    "500": lambda number: FAILS,
    "429": lambda number: throttles(None),
    "429, 1 s": lambda number: throttles("1"),
    "503, 60 s": lambda number: throttles("60", 503),
    "mixed": lambda number: MIXED[number % len(MIXED)],
}


def now() -> float:
    return asyncio.get_running_loop().time()


each_answer = pytest.mark.parametrize("answer", ANSWERS)
each_place = pytest.mark.parametrize("place", PLACES)


def run(answer: str, disliked: list[int], count: int = COUNT) -> tuple[Simulated, DislikesSome]:
    model = DislikesSome(dislikes={str(number): ANSWERS[answer](number) for number in disliked})
    return simulate(model, FOR_EVER, events=count), model


def kinds(run: Simulated, among: set[int] | None = None) -> Counter[Kind]:
    return Counter(o.kind for o in run.outcomes if among is None or o.position in among)


def check(answer: str, place: str, share: float, count: int = COUNT) -> None:
    disliked = PLACES[place](count, max(1, int(share * count)))
    simulated, _ = run(answer, disliked, count)
    bad = set(disliked)
    good = set(range(1, count + 1)) - bad
    assert kinds(simulated, good) == {Kind.DELIVERED: len(good)}
    assert set(kinds(simulated, bad)) <= {Kind.REJECTED, Kind.UNSENT}
    assert sum(kinds(simulated, bad).values()) == len(bad)
    if answer == "403" or (answer == "500" and place != "last"):
        assert kinds(simulated, bad)[Kind.UNSENT] == 0
    assert (simulated.halt is not None) is (kinds(simulated)[Kind.UNSENT] > 0)
    assert simulated.halt is None or simulated.halt.stop is Stop.OUTAGE


@each_answer
@each_place
def test_others_are_delivered(answer: str, place: str) -> None:
    check(answer, place, 0.05, count=600)


@pytest.mark.hostile
@each_answer
@each_place
@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.2, 0.5])
def test_others_are_delivered_whatever_the_share(answer: str, place: str, share: float) -> None:
    check(answer, place, share)


@pytest.mark.parametrize("many", [200, 1000])
def test_leads_that_fail_ahead_of_the_others_do_not_block_them(many: int) -> None:
    simulated, model = run("500", list(range(1, many + 1)), many + 1000)
    assert kinds(simulated) == {Kind.DELIVERED: 1000, Kind.REJECTED: many}
    latest = max(at for number in range(many + 1, many + 1001) for at in model.times[str(number)])
    assert latest <= many / 50 + 8  # fifty of them are tried a second until one is taken


@pytest.mark.parametrize("asked", ["1", "5", "60", "120", None])
@pytest.mark.parametrize("place", ["first", "in the middle"])
def test_one_lead_with_a_limit_of_its_own_slows_down_nobody(asked: str | None, place: str) -> None:
    def last_taken(dislikes: dict[str, Answer]) -> float:
        model = DislikesSome(dislikes=dislikes)
        simulate(model, FOR_EVER, events=3000, probe=None)
        return max(at for number, times in model.times.items() if number not in dislikes for at in times[:1])

    (which,) = PLACES[place](3000, 1)
    assert last_taken({str(which): throttles(asked)}) <= 1.02 * last_taken({})


def test_several_leads_that_are_throttled_together_pause_all() -> None:
    class Full:
        def refusal(self, now: float, in_work: int) -> Answer | None:
            return throttles("7") if 1.0 <= now < 2.0 else None

    model = Model([Full()])
    simulate(model, 20)
    assert model.taken_in(1.2, 8.0) == 0
    assert model.taken_in(8.0, 9.0) > 0


class TakesOnlyProbes(Model):
    """From a second on; as if what tests an event worked, and what takes it in did not."""

    async def post(self, body: bytes) -> Answer:
        answer = await super().post(body)
        return answer if body == PROBE or now() < 1.0 else FAILS


@pytest.mark.parametrize("seed", range(3))
def test_a_probe_that_is_taken_costs_no_lead(seed: int) -> None:
    simulated = simulate(TakesOnlyProbes(), FOR_EVER, events=5000, seed=seed)
    assert kinds(simulated)[Kind.REJECTED] == 0
    assert simulated.halt is not None
    assert simulated.halt.stop is Stop.OUTAGE


def test_an_outage_after_leads_that_failed_by_themselves_costs_no_more_of_them() -> None:
    class ThenTakesOnlyProbes(DislikesSome):
        async def post(self, body: bytes) -> Answer:
            answer = await super().post(body)
            return answer if body == PROBE or now() < 200.0 else FAILS

    model = ThenTakesOnlyProbes(dislikes={str(n): FAILS for n in range(1, 41)}, latency=lambda in_work: 1.0)
    simulated = simulate(model, FOR_EVER, events=20_000)
    assert 40 <= kinds(simulated)[Kind.REJECTED] <= 80
    assert simulated.halt is not None
