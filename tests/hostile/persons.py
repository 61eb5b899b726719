"""Servers that dislike some leads, as rules on the clock of the event loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from airflow_reshape.delivery.transport import Answer
from tests.limits.servers import Model

REFUSED = Answer(403, "application/json", text='{"detail":"forbidden"}')
FAILS = Answer(500, "application/json", text='{"detail":"error"}')


def throttles(retry_after: str | None, status: int = 429) -> Answer:
    """The answer of a limit per person."""
    return Answer(status, "application/json", retry_after=retry_after, text='{"detail":"too many"}')


@dataclass
class DislikesSome(Model):
    """Answers some events always the same, by their id, and takes the others."""

    dislikes: Mapping[str, Answer] = field(default_factory=dict)
    times: dict[str, list[float]] = field(default_factory=dict)

    async def post(self, body: bytes) -> Answer:
        event_id = json.loads(body)["event"]["id"]
        self.times.setdefault(event_id, []).append(asyncio.get_running_loop().time())
        disliked = self.dislikes.get(event_id)
        if disliked is None:
            return await super().post(body)
        await asyncio.sleep(self.latency(self.in_work + 1))
        return disliked


def first(count: int, many: int) -> list[int]:
    return list(range(1, many + 1))


def last(count: int, many: int) -> list[int]:
    return list(range(count - many + 1, count + 1))


def spread(count: int, many: int) -> list[int]:
    return sorted(Random(f"{count} {many}").sample(range(1, count + 1), many))


def in_the_middle(count: int, many: int) -> list[int]:
    start = (count - many) // 2
    return list(range(start + 1, start + many + 1))


PLACES: dict[str, Callable[[int, int], list[int]]] = {
    "first": first,
    "spread": spread,
    "in the middle": in_the_middle,
    "last": last,
}
