"""Servers, sources and stops that nobody would think of, against the real engine on simulated time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_reshape.delivery.dispatch import Dispatch
from airflow_reshape.delivery.halt import Halt, Stop
from airflow_reshape.delivery.limits.begun import Begun
from airflow_reshape.delivery.limits.limits import Limits
from airflow_reshape.delivery.limits.rate import SLACK, Rate
from airflow_reshape.delivery.limits.window import Window
from airflow_reshape.delivery.outcome import Kind, Outcome
from airflow_reshape.delivery.pace import Pace
from airflow_reshape.delivery.pending import Pending
from airflow_reshape.delivery.retry import RetryPolicy
from airflow_reshape.delivery.sender import DRAIN_SECONDS
from airflow_reshape.delivery.stopping import Stopping
from airflow_reshape.delivery.transport import Answer, TransportFailure
from airflow_reshape.delivery.trouble import Trouble
from airflow_reshape.events.prepared import PreparedEvent
from airflow_reshape.events.wire import to_bytes
from tests.delivery.leads import builder, lead
from tests.limits.servers import Model
from tests.limits.simulated_time import SimulatedTime
from tests.limits.simulation import EPOCH, simulate

pytestmark = pytest.mark.timeout(120)

RETRY = RetryPolicy()
TIMEOUT = 30.0
SLOW = 5.0
MOMENT = 1e-6
ANSWERS: dict[str, Answer] = {
    "taken": Answer(200, "application/json", text='{"result":"ok"}'),
    "slow": Answer(200, "application/json", text='{"result":"ok"}'),
    "rejected": Answer(400),
    "refused": Answer(403),
    "redirected": Answer(302),
    "too long": Answer(408, retry_after="3"),
    "too many": Answer(429),
    "too many, wait": Answer(429, retry_after="1"),
    "too many, wait for an hour": Answer(429, retry_after="3600"),
    "too many, wait until yesterday": Answer(429, retry_after="Sat, 28 Feb 2026 00:00:00 GMT"),
    "broken": Answer(500),
    "broken, wait": Answer(500, retry_after="4"),
    "busy, wait": Answer(503, retry_after="2"),
}
SILENCES = {"no connection": "connect", "lost": "reset", "silence": "timeout"}
PAUSES = {"too many, wait": 1.0, "too many, wait for an hour": RETRY.longest_retry_after, "busy, wait": 2.0}
STOPPING = {"refused", "redirected"}
HARMLESS = sorted({*ANSWERS, *SILENCES} - STOPPING)
POISONS = ["broken", "silence", "lost"]


@dataclass(frozen=True)
class Scenario:
    """A server, a source, settings, and perhaps a request to stop.

    :param keys: of the events; each waits so many seconds before it comes.
    :param moods: what the server answers for so many seconds, one of these each time; then it takes all.
    :param poisons: what the server does with some events, although it takes others.
    """

    keys: Sequence[tuple[str | None, float]]
    moods: Sequence[tuple[float, Sequence[str]]] = ()
    poisons: dict[int, str] = field(default_factory=dict)
    latency: float = 0.05
    ceiling: int = 8
    first: int = 8
    room: int = 64
    rate_limit: float | None = None
    max_outage: float = 300.0
    stops_at: float | None = None
    seed: int = 1


@dataclass
class Seen:
    """What the server knows of an event."""

    requests: int = 0
    taken: bool = False
    unanswered: bool = False
    refused: bool = False
    pause: tuple[float, float] = (0.0, 0.0)


class Fickle:
    """A transport whose server does what a scenario says, and notes whatever must not be."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.keys = [None, *(key for key, _ in scenario.keys)]
        self.seen: dict[int, Seen] = {}
        self.settled: dict[int, Outcome] = {}
        self.in_flight: set[int] = set()
        self.begun: list[float] = []
        self.wrong: list[str] = []
        self.works_at = 0.0
        self.halted_at: float | None = None
        self._random = Random(scenario.seed)

    async def __aenter__(self) -> Fickle:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def post(self, body: bytes) -> Answer:
        position = int(json.loads(body)["event"]["id"])
        now = asyncio.get_running_loop().time()
        self.begun.append(now)
        seen = self.seen.setdefault(position, Seen())
        self._check(position, seen, now)
        seen.requests += 1
        self.in_flight.add(position)
        try:
            return await self._answer(seen, self._mood(position, now))
        except asyncio.CancelledError:
            seen.unanswered = True
            raise
        finally:
            self.in_flight.discard(position)

    def settle(self, outcome: Outcome) -> None:
        if outcome.position in self.settled:
            self.wrong.append(f"{outcome.position} has two outcomes")
        self.settled[outcome.position] = outcome

    def _check(self, position: int, seen: Seen, now: float) -> None:
        key, scenario = self.keys[position], self.scenario
        paused_at, paused_until = seen.pause
        in_a_second = sum(now - 1 < at for at in self.begun)
        for what, is_so in {
            "begins twice": position in self.in_flight,
            "begins beside another of its key": any(self.keys[other] == key for other in self.in_flight if key),
            "overtakes one of its key": self._earlier(position),
            "begins above the ceiling": len(self.in_flight) >= scenario.ceiling,
            "begins though it is settled": position in self.settled or seen.taken,
            "begins in its pause": paused_at + MOMENT < now < paused_until - MOMENT,
            "begins after the halt": self.halted_at is not None and now > self.halted_at,
            "begins too early": bool(scenario.rate_limit)
            and in_a_second > (scenario.rate_limit or 0) * (1 + SLACK) + 1 + MOMENT,
        }.items():
            if is_so:
                self.wrong.append(f"at {now}: {position} {what}")

    def _earlier(self, position: int) -> bool:
        """Whether one of its key that came before it is left; those refused may get their outcome later."""
        key = self.keys[position]
        return key is not None and any(
            self.keys[other] == key and other not in self.settled and not self._was_refused(other)
            for other in range(1, position)
        )

    def _was_refused(self, position: int) -> bool:
        return position in self.seen and self.seen[position].refused

    def _mood(self, position: int, now: float) -> str:
        mood, ends = "taken", 0.0
        for seconds, kinds in self.scenario.moods:
            ends += seconds
            if now < ends:
                mood = self._random.choice(kinds)
                break
        return self.scenario.poisons.get(position, mood) if mood in ("taken", "slow") else mood

    async def _answer(self, seen: Seen, mood: str) -> Answer:
        loop = asyncio.get_running_loop()
        latency = self.scenario.latency * self._random.uniform(0.5, 1.5)
        await asyncio.sleep({"slow": SLOW, "silence": TIMEOUT}.get(mood, latency))
        if mood in SILENCES:
            seen.unanswered |= mood != "no connection"
            raise TransportFailure(SILENCES[mood])
        if mood in PAUSES:
            seen.pause = (loop.time(), loop.time() + PAUSES[mood])
        if mood in ("taken", "slow", "rejected") and self.halted_at is None:
            self.works_at = loop.time()
        seen.taken |= mood in ("taken", "slow")
        seen.refused |= mood == "refused"
        return ANSWERS[mood]


@dataclass
class Ended:
    server: Fickle
    at: float
    stopping: Stopping
    in_flight: int


def play(scenario: Scenario) -> Ended:
    server = Fickle(scenario)
    template = builder()(lead(1))
    assert isinstance(template, PreparedEvent)

    async def main() -> Ended:
        loop = asyncio.get_running_loop()

        def on_halt() -> None:
            server.halted_at = loop.time()
            loop.call_soon(dispatch.go_on)

        stopping = Stopping(on_halt)
        stopping.open()
        trouble = Trouble(max_outage=scenario.max_outage)
        limits = Limits(Window(scenario.ceiling, scenario.first), Rate(scenario.rate_limit, loop.time()))
        dispatch = Dispatch(
            transport=server,
            limits=limits,
            retry=RETRY,
            trouble=trouble,
            random=Random(scenario.seed),
            now=lambda: EPOCH + timedelta(seconds=loop.time()),
            stopping=stopping,
            record=server.settle,
            pace=Pace(),
            room=scenario.room,
        )

        def stop() -> None:
            stopping.stop(Halt(Stop.REQUESTED, "asked to"))
            loop.call_later(DRAIN_SECONDS, dispatch.abandon)

        if scenario.stops_at is not None:
            loop.call_later(scenario.stops_at, stop)
        async with asyncio.timeout(longest(scenario)):
            for position, (key, seconds) in enumerate(scenario.keys, start=1):
                if seconds and not stopping.is_halted():
                    await asyncio.sleep(seconds)
                event = PreparedEvent(template.event, {"event": {"id": str(position)}}, order_key=key)
                await dispatch.admit(Pending(position, event, None, to_bytes(event.body)))
            await dispatch.all_settled()
        dispatch.decide(Kind.UNSENT if stopping.is_halted() else Kind.REJECTED)
        return Ended(server, loop.time(), stopping, limits.in_flight)

    loop = SimulatedTime()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


def longest(scenario: Scenario) -> float:
    """Seconds by which a scenario has ended, whatever happens in it."""
    return sum(
        (
            sum(seconds for _, seconds in scenario.keys),
            sum(seconds for seconds, _ in scenario.moods),
            len(scenario.keys) * (2 * scenario.latency + (12 / scenario.rate_limit if scenario.rate_limit else 0)),
            (1 + len(scenario.poisons)) * RETRY.most_attempts * (TIMEOUT + RETRY.longest_delay + SLOW),
            scenario.max_outage + 2 * RETRY.longest_retry_after,
        )
    )


def check(scenario: Scenario, ended: Ended) -> None:
    server, halt = ended.server, ended.stopping.halt
    assert server.wrong == []
    assert ended.stopping.bug is None
    assert sorted(server.settled) == list(range(1, len(scenario.keys) + 1))
    assert ended.in_flight == 0
    for position, outcome in server.settled.items():
        seen = server.seen.get(position, Seen())
        assert outcome.attempts == seen.requests
        assert (outcome.kind is Kind.DELIVERED) == seen.taken
        assert outcome.in_doubt == (seen.unanswered and not seen.taken)
        assert halt is not None or outcome.kind is not Kind.UNSENT
    if halt is not None and halt.stop is Stop.OUTAGE:
        assert server.halted_at is not None
        assert server.halted_at - server.works_at >= scenario.max_outage - MOMENT
    elif halt is not None and halt.stop is Stop.REQUESTED:
        assert scenario.stops_at is not None
        longest_gap = max(seconds for _, seconds in scenario.keys)  # of the source, which is not interrupted here
        assert ended.at <= scenario.stops_at + max(DRAIN_SECONDS, longest_gap) + MOMENT


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    key = st.none() | st.sampled_from("abc") | st.integers(0, 500).map(str)
    gap = draw(st.sampled_from([st.just(0.0), st.sampled_from([0.0, 0.0, 0.5]), st.sampled_from([0.0] * 20 + [30.0])]))
    keys = draw(st.lists(st.tuples(key, gap), min_size=1, max_size=80))
    kinds = st.lists(st.sampled_from(HARMLESS), min_size=1, max_size=6)
    kinds |= st.lists(st.sampled_from([*HARMLESS, *STOPPING]), min_size=1, max_size=6)
    lengths = st.sampled_from([0.1, 1.0, 5.0, 20.0, 60.0])
    return Scenario(
        keys=keys,
        moods=draw(st.lists(st.tuples(lengths, kinds), max_size=4)),
        poisons=draw(st.dictionaries(st.integers(1, len(keys)), st.sampled_from(POISONS), max_size=4)),
        latency=draw(st.sampled_from([0.0, 0.01, 0.5, 3.0])),
        ceiling=draw(st.sampled_from([1, 2, 3, 8, 16])),
        first=draw(st.sampled_from([1, 8])),
        room=draw(st.sampled_from([1, 2, 8, 64, 512])),
        rate_limit=draw(st.sampled_from([None, None, 0.5, 5.0, 50.0])),
        max_outage=draw(st.sampled_from([1.0, 20.0, 300.0])),
        stops_at=draw(st.none() | st.floats(0, 100)),
        seed=draw(st.integers(0, 2**32)),
    )


def many(count: int) -> list[tuple[str | None, float]]:
    return [(None, 0.0)] * count


@settings(max_examples=100)
@given(scenarios())
# Some fail at once while those that are taken need longer: each success is older than the last failure.
@example(Scenario(many(600), [(60.0, ["broken", "slow", "slow"])], ceiling=16, max_outage=10.0))
@example(Scenario(many(10), [(1.0, ["silence"])], stops_at=0.0))
def test_whatever_happens_each_event_has_one_outcome(scenario: Scenario) -> None:
    check(scenario, play(scenario))


@pytest.mark.parametrize("mood", ["broken", "busy, wait", "no connection", "too many"])
def test_one_that_was_in_flight_when_the_server_went_down_does_not_end_the_outage(mood: str) -> None:
    # The first one is slow, all others are met by the outage: while it lasts there are probes and nothing else.
    keys = many(100)
    scenario = Scenario([*keys[:1], (None, 0.2), *keys[2:]], [(0.1, ["slow"]), (30.0, [mood])], first=16, ceiling=16)
    ended = play(scenario)
    check(scenario, ended)
    assert len(ended.server.settled) == 100
    assert sum(6.0 < at < 30.0 for at in ended.server.begun) <= 24 / 1.5 + 1


class HangsOnce(Model):
    """The first request after a time is never answered."""

    hung = False

    async def post(self, body: bytes) -> Answer:
        now = asyncio.get_running_loop().time()
        if now < BACK + 0.5 or self.hung:
            return await super().post(body)
        self.hung = True
        self.arrived.append(now)
        await asyncio.sleep(TIMEOUT)
        raise TransportFailure("timeout")


DOWN, BACK = 10.0, 10.6


@pytest.mark.parametrize("first", [1, 2])
def test_one_that_hangs_after_an_outage_holds_up_nobody(first: int) -> None:
    # A crowded server leaves a window of one or two; all events are in, so that none that comes makes anybody look.
    model = HangsOnce([], lambda in_work: 0.05 * in_work, down=lambda now: DOWN <= now < BACK)
    run = simulate(model, 400, ceiling=16, first=first, events=450)
    assert run.delivered() == 450
    arrived = [at for at in model.arrived if BACK < at < BACK + TIMEOUT]
    assert len(arrived) > 200
    assert max(later - earlier for earlier, later in pairwise(arrived[:150])) < 2.0


def test_a_refusal_while_there_is_little_to_send_says_nothing_of_the_limit() -> None:
    # One lead every five seconds, a refusal for all of half a minute, and then as many as can be.
    trickle: list[tuple[str | None, float]] = [(None, 5.0)] * 12
    scenario = Scenario([*trickle, *many(1000)], [(57.0, ["taken"]), (4.0, ["busy, wait"])], ceiling=64)
    ended = play(scenario)
    check(scenario, ended)
    assert ended.at < 61 + 20


def test_a_limit_that_was_long_outgrown_is_not_told_any_more() -> None:
    rate = Rate(None, 0.0)
    for number in range(1, 101):
        request = Begun(number, number / 50, 4)
        rate.begun(request)
        rate.taken(request, number / 50)
    rate.begun(refused := Begun(101, 2.01, 4))
    rate.refused(refused, 2.02)
    assert rate.per_second(3.0) == pytest.approx(50, rel=0.2)
    assert rate.per_second(8.0) > 50  # type: ignore[operator]
    assert rate.per_second(600.0) is None
