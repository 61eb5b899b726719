"""Servers with limits, as models on the clock of the event loop: what they take, refuse and how long they need."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Protocol

from airflow_reshape.delivery.transport import Answer, TransportFailure

OK = Answer(200, "application/json", text='{"result":"ok"}')


class Rule(Protocol):
    """One limit of a server."""

    def refusal(self, now: float, in_work: int) -> Answer | None:
        """The refusal of a request that arrives, or None."""
        ...


def too_many(retry_after: str | None = None, status: int = 429) -> Answer:
    return Answer(status, "application/json", retry_after=retry_after, text='{"detail":"too many"}')


@dataclass
class Bucket:
    """So many a second, and a burst, as most API gateways count."""

    rate: Callable[[float], float]
    burst: int = 100
    retry_after: str | None = None
    status: int = 429
    _tokens: float = field(init=False)
    _at: float = 0.0

    def __post_init__(self) -> None:
        self._tokens = float(self.burst)

    def refusal(self, now: float, in_work: int) -> Answer | None:
        self._tokens = min(float(self.burst), self._tokens + (now - self._at) * self.rate(now))
        self._at = now
        if self._tokens < 1:
            return too_many(self.retry_after, self.status)
        self._tokens -= 1
        return None


@dataclass
class PerSecond:
    """So many in each second of the server's clock."""

    most: int
    phase: float = 0.0
    retry_after: str | None = None
    _second: int = -1
    _count: int = 0

    def refusal(self, now: float, in_work: int) -> Answer | None:
        second = int(now + self.phase)
        if second != self._second:
            self._second, self._count = second, 0
        if self._count >= self.most:
            return too_many(self.retry_after)
        self._count += 1
        return None


@dataclass
class Sliding:
    """So many in any second."""

    most: int
    retry_after: str | None = None
    _taken: deque[float] = field(default_factory=deque)

    def refusal(self, now: float, in_work: int) -> Answer | None:
        while self._taken and self._taken[0] <= now - 1:
            self._taken.popleft()
        if len(self._taken) >= self.most:
            return too_many(self.retry_after)
        self._taken.append(now)
        return None


@dataclass
class AtOnce:
    """So many at a time."""

    most: Callable[[float], int]
    status: int = 429

    def refusal(self, now: float, in_work: int) -> Answer | None:
        return too_many(status=self.status) if in_work > self.most(now) else None


@dataclass
class Chance:
    """A share of the requests, whatever we do."""

    share: float
    status: int = 429
    random: Random = field(default_factory=lambda: Random(11))

    def refusal(self, now: float, in_work: int) -> Answer | None:
        return too_many(status=self.status) if self.random.random() < self.share else None


@dataclass
class Model:
    """A transport whose server is made of rules. It notes when what arrived, was taken and was refused.

    :param latency: seconds of an answer, from the requests in work.
    :param jitter: share by which that may differ.
    :param down: whether connections are refused at a time.
    :param chokes_on: what it answers to the events of some ids, until a time.
    """

    rules: list[Rule] = field(default_factory=list)
    latency: Callable[[int], float] = lambda in_work: 0.05
    jitter: float = 0.1
    down: Callable[[float], bool] = lambda now: False
    chokes_on: Mapping[str, tuple[Answer, float]] = field(default_factory=dict)
    random: Random = field(default_factory=lambda: Random(3))
    taken: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)
    crowds: list[tuple[float, int]] = field(default_factory=list)
    seconds_on_the_way: float = 0.002
    in_work: int = 0
    most_in_work: int = 0

    async def __aenter__(self) -> Model:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def post(self, body: bytes) -> Answer:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.seconds_on_the_way * self.random.uniform(0.5, 1.5))
        self.arrived.append(loop.time())
        if self.down(loop.time()):
            self.crowds.append((loop.time(), 1))
            raise TransportFailure("connect")
        self.in_work += 1
        self.crowds.append((loop.time(), self.in_work))
        self.most_in_work = max(self.most_in_work, self.in_work)
        try:
            refusals = (rule.refusal(loop.time(), self.in_work) for rule in self.rules)
            refusal = next((answer for answer in refusals if answer is not None), None)
            if refusal is not None:
                self.refused.append(loop.time())
                return refusal
            seconds = self.latency(self.in_work) * self.random.uniform(1 - self.jitter, 1 + self.jitter)
            await asyncio.sleep(max(0.0, seconds))
            choked, until = self.chokes_on.get(json.loads(body)["event"]["id"] if self.chokes_on else "", (OK, 0.0))
            if loop.time() < until:
                return choked
            self.taken.append(loop.time())
        finally:
            self.in_work -= 1
        return OK

    def taken_in(self, start: float, end: float) -> int:
        return sum(start <= at < end for at in self.taken)

    def most_at_once(self, start: float, end: float) -> int:
        return max(crowd for at, crowd in self.crowds if start <= at < end)

    def refused_share(self, start: float, end: float) -> float:
        refused = sum(start <= at < end for at in self.refused)
        return refused / max(1, refused + self.taken_in(start, end))
