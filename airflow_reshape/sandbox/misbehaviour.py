"""The faults in force and what they must remember: attempts, rate limits, when they were set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

from airflow_reshape.sandbox.bucket import TokenBucket
from airflow_reshape.sandbox.clock import Clock
from airflow_reshape.sandbox.faults import Faults
from airflow_reshape.sandbox.reactions import Facts, Reaction, concerns, delay, react


def draw(*key: object) -> float:
    """A number in [0, 1) that depends on the key alone: chance that repeats, in any order of arrival."""
    digest = blake2b(repr(key).encode("utf-8", "backslashreplace"), digest_size=7).digest()
    return int.from_bytes(digest) / 256.0 ** len(digest)


class Misbehaviour:
    """Layers of faults and their memory.

    :param clock: where the time comes from.
    :param plan: the layers, the first one asked first.
    """

    def __init__(self, clock: Clock, plan: Sequence[Faults] = ()) -> None:
        self._clock = clock
        self.set(plan)

    def set(self, plan: Sequence[Faults]) -> None:
        """Put other faults in force and forget what the old ones remembered."""
        now = self._clock.monotonic()
        self.plan = tuple(plan)
        self._set_at = now
        self._buckets = [
            None if faults.rate_limit is None else TokenBucket(faults.rate_limit, faults.rate_burst, now)
            for faults in self.plan
        ]
        self._attempts: Counter[tuple[str | None, str]] = Counter()
        self._nameless = 0

    def meet(self, name: str | None, id_: str | None, in_work: int) -> tuple[Reaction | None, Faults | None, float]:
        """Decide what happens to a request that just came.

        :param name: its event name, None if it has none.
        :param id_: its event id, None if it has none; such an event is always at its first attempt.
        :param in_work: requests in work, this one included.
        :returns: the fault that strikes with the layer it came from (None, None if none does), and the
            seconds to wait before the answer.
        """
        if not self.plan:
            return None, None, 0.0
        now = self._clock.monotonic()
        attempt = self._attempt(name, id_)
        # What has no id cannot be told from its like, so each draws its own lot.
        lot: object = self._nameless if id_ is None else (name, id_)
        waits = 0.0
        for number, (faults, bucket) in enumerate(zip(self.plan, self._buckets, strict=True)):
            if not concerns(faults, name, id_):
                continue
            facts = Facts(
                name=name,
                id=id_,
                attempt=attempt,
                in_work=in_work,
                since_set=now - self._set_at,
                bucket_wait=bucket.wait(now) if bucket else 0.0,
                chance=draw("share", faults.seed, number, lot, attempt),
                chance_of_jitter=draw("jitter", faults.seed, number, lot, attempt),
            )
            reaction = react(faults, facts)
            if reaction and reaction.front_door:
                return reaction, faults, 0.0
            if bucket:
                bucket.spend()
            waits += delay(faults, facts)
            if reaction:
                return reaction, faults, waits
        return None, None, waits

    def _attempt(self, name: str | None, id_: str | None) -> int:
        if id_ is None:
            self._nameless += 1
            return 1
        self._attempts[name, id_] += 1
        return self._attempts[name, id_]
