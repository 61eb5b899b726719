"""Whatever comes and whatever the server does: one outcome a lead, order kept, nothing sent after its verdict."""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from airflow_reshape.delivery.halt import Stop
from airflow_reshape.delivery.limits import rate
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.retry import RetryPolicy
from airflow_reshape.delivery.transport import Answer, TransportFailure
from airflow_reshape.delivery.trouble import Trouble
from airflow_reshape.events.rules import Rules
from airflow_reshape.mapping import EventBuilder, FieldMap, Steering
from tests.delivery.leads import KeepingTally, in_chunks, sender

pytestmark = pytest.mark.timeout(120)

OK = Answer(200, "application/json", text='{"result":"ok"}')
REJECTING = Answer(200, "application/json", text='{"result":"error","detail":["no"]}')
ANSWERS: dict[str, Answer | TransportFailure] = {
    "ok": OK,
    "text": Answer(200, "text/plain", text="thank you"),
    "error": REJECTING,
    "422": Answer(422),
    "403": Answer(403),
    "404": Answer(404),
    "429": Answer(429),
    "429 now": Answer(429, retry_after="0"),
    "500": Answer(500),
    "503": Answer(503, retry_after="Sun, 01 Mar 2020 12:00:00 GMT"),
    "odd": Answer(999),
    "reset": TransportFailure("reset"),
    "timeout": TransportFailure("timeout"),
    "connect": TransportFailure("connect"),
    "401": Answer(401),
    "302": Answer(302),
    "page": Answer(200, "text/html", text="<html>"),
    "certificate": TransportFailure("certificate"),
}
STOPPING = {"401", "302", "page", "certificate"}
DELIVERING = {"ok", "text"}
REJECTING_NAMES = {"error", "422"}
FOR_THE_SEND = st.sampled_from(sorted(set(ANSWERS) - STOPPING))
# Mostly a server that works: else every send would be over at once.
MOSTLY_GOOD = st.one_of(st.just("ok"), st.just("ok"), FOR_THE_SEND)


@dataclass(frozen=True)
class Lead:
    key: str
    kind: str


@dataclass
class ScriptedTransport:
    """Answers each event as scripted, from its second list on with ok; notices what must not happen."""

    script: dict[str, list[str]]
    turns: dict[str, int]
    concurrency: int
    keys: dict[str, str]
    on_post: Any
    posts: list[str] = field(default_factory=list)
    answered: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    in_flight: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.in_flight.total():
            self.faults.append("closed with requests in flight")

    async def post(self, body: bytes) -> Answer:
        name = json.loads(body)["event"]["id"]
        key = self.keys[name]
        if set(self.answered[name]) & (DELIVERING | REJECTING_NAMES):
            self.faults.append(f"{name} was sent after its verdict")
        self.posts.append(name)
        self.in_flight[key] += 1
        if self.in_flight[key] > 1:
            self.faults.append(f"two events of {key} in flight")
        if self.in_flight.total() > self.concurrency:
            self.faults.append("more in flight than allowed")
        self.on_post(len(self.posts))
        try:
            for _ in range(self.turns[name]):
                await asyncio.sleep(0)
        finally:
            self.in_flight[key] -= 1
        number = len(self.answered[name])
        script = self.script[name]
        chosen = script[number] if number < len(script) else "ok"
        self.answered[name].append(chosen)
        answer = ANSWERS[chosen]
        if isinstance(answer, TransportFailure):
            raise TransportFailure(answer.kind)
        return answer


@st.composite
def worlds(draw: st.DrawFn) -> dict[str, Any]:
    count = draw(st.integers(0, 40))
    rows = []
    script, turns, keys = {}, {}, {}
    stopping = draw(st.sampled_from([None, None, None, *sorted(STOPPING)]))
    for number in range(1, count + 1):
        kind = draw(st.sampled_from(["valid"] * 8 + ["invalid", "skipped"]))
        key = draw(st.sampled_from([f"k{number}", f"k{number}", "a", "b", "c"]))
        name = f"e{number}"
        rows.append(
            {
                "event.id": name,
                "lead_id": key,
                "stage": "New" if kind == "skipped" else "SQL",
                "currency": "junk" if kind == "invalid" else "EUR",
            }
        )
        keys[name] = key
        script[name] = draw(st.lists(MOSTLY_GOOD, max_size=4))
        turns[name] = draw(st.integers(0, 6))
    if stopping and count:
        script[f"e{draw(st.integers(1, count))}"] = [stopping]
    if draw(st.integers(0, 5)) == 0:  # an outage: from some event on nothing is taken
        first = draw(st.integers(0, count))
        down = draw(st.sampled_from(["500", "connect", "timeout", "429"]))
        for number in range(first + 1, count + 1):
            script[f"e{number}"] = [draw(st.sampled_from([down, "reset", "500"])), *[down] * 200]
    return {
        "rows": rows,
        "script": script,
        "turns": turns,
        "keys": keys,
        "concurrency": draw(st.integers(1, 5)),
        "chunk": draw(st.integers(1, 15)),
        "most_attempts": draw(st.integers(1, 4)),
        "stop_at_post": draw(st.one_of(st.none(), st.integers(0, count))),
        "max_outage": draw(st.sampled_from([0.001, 0.005, 0.05])),
        "break_at": draw(st.one_of(st.none(), st.integers(0, count))),
    }


@pytest.fixture(autouse=True, scope="module")
def no_slow_rates() -> Iterator[None]:
    """What refusals teach is no matter here, and would make a few examples take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rate, "LOWEST", 2000.0)
        yield


@settings(max_examples=250)
@given(worlds())
def test_the_balance(world: dict[str, Any]) -> None:
    rows, stop_at, break_at = world["rows"], world["stop_at_post"], world["break_at"]

    def on_post(number: int) -> None:
        if stop_at and number == stop_at:
            engine.stop()

    def source() -> Any:
        for number, row in enumerate(rows):
            if number == break_at:
                raise ValueError("the source broke")
            yield row

    transport = ScriptedTransport(world["script"], world["turns"], world["concurrency"], world["keys"], on_post)
    engine, tally = sender(
        transport,
        prepare=EventBuilder(FieldMap(), Steering(stage_map={"SQL": "lead_qualified", "New": None}), Rules()),
        concurrency=world["concurrency"],
        retry=RetryPolicy(most_attempts=world["most_attempts"], first_delay=0, longest_delay=0, first_probe=0),
        trouble=Trouble(max_outage=world["max_outage"]),
        drain_seconds=0.0 if stop_at and stop_at % 2 else 1.0,
    )
    if stop_at == 0:
        engine.stop()
    result = engine.send(in_chunks(source(), world["chunk"]))

    assert transport.faults == []
    check_outcomes(tally, rows)
    check_order(transport, world["keys"])
    check_truth(tally, transport, rows)
    halt = result.halt
    event(f"halt: {halt.stop.value if halt else None}")
    unread = len(rows) - tally.read
    if halt is None:
        assert tally.kinds[Kind.UNSENT] == 0
        if break_at is None or break_at >= len(rows):
            assert unread == 0
            assert result.source_error is None
        else:
            assert isinstance(result.source_error, ValueError)
    else:
        assert halt.stop in (Stop.REQUESTED, Stop.OUTAGE, Stop.CREDENTIALS, Stop.CONFIGURATION)
        assert set(tally.unsent_by) <= {halt.stop.value}


def check_outcomes(tally: KeepingTally, rows: list[dict[str, Any]]) -> None:
    """Exactly one outcome for each lead read, and only for those."""
    assert sorted(outcome.position for outcome in tally.outcomes) == list(range(1, tally.read + 1))
    assert tally.read == tally.kinds.total() <= len(rows)
    assert sum(tally.unsent_by.values()) == tally.kinds[Kind.UNSENT]
    assert sum(tally.rejected_by.values()) == tally.kinds[Kind.REJECTED]
    assert tally.requests == sum(outcome.attempts for outcome in tally.outcomes)
    by_event = Counter[str]()
    for counts in tally.by_event.values():
        by_event.update(counts)
    assert by_event == Counter({kind.value: count for kind, count in tally.kinds.items()})


def check_order(transport: ScriptedTransport, keys: dict[str, str]) -> None:
    """Events of one lead are sent in their order, each only after the one before is through."""
    by_key = defaultdict(list)
    for name in transport.posts:
        by_key[keys[name]].append(int(name[1:]))
    for numbers in by_key.values():
        assert numbers == sorted(numbers)


def check_truth(tally: KeepingTally, transport: ScriptedTransport, rows: list[dict[str, Any]]) -> None:
    """What is told of a lead is what happened to it."""
    for outcome in tally.outcomes:
        row = rows[outcome.position - 1]
        answers = transport.answered.get(row["event.id"], [])
        posts = transport.posts.count(row["event.id"])
        last = answers[-1] if answers else None
        if outcome.kind is Kind.DELIVERED:
            assert last in DELIVERING
        elif outcome.kind is Kind.REJECTED:
            assert last is not None
            assert last not in DELIVERING | {"certificate"}  # a refusal may be one lead's
            if last in ("429", "429 now", "connect"):
                pytest.fail(f"rejected for {last}, which is nobody's fault")
        elif outcome.kind is Kind.UNSENT:
            assert last not in DELIVERING | REJECTING_NAMES
            unanswered = posts > len(answers)
            assert outcome.in_doubt == (unanswered or bool({"reset", "timeout"} & set(answers)))
        else:
            assert posts == 0
        assert outcome.attempts == posts
