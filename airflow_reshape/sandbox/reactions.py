"""Which fault strikes which request: a table, pure, with chance and time as arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

from airflow_reshape.sandbox.faults import Faults, Garbage

Drop = Literal["reset", "half_close", "babble", "break_off", "hang"]


@dataclass(frozen=True)
class Facts:
    """What the decision rests on.

    :param name: event name, None if there is none.
    :param id: event id, None if there is none.
    :param attempt: how many-th time this (name, id) comes, from 1.
    :param in_work: requests in work, this one included.
    :param since_set: seconds since these faults were set.
    :param bucket_wait: seconds until the rate limit allows another event, 0 if it does now.
    :param chance: a number in [0, 1) that decides the shares.
    :param chance_of_jitter: a number in [0, 1) that decides the jitter.
    """

    name: str | None
    id: str | None
    attempt: int
    in_work: int
    since_set: float
    bucket_wait: float
    chance: float
    chance_of_jitter: float


@dataclass(frozen=True)
class Reaction:
    """What happens to the request instead of the plain answer.

    :param fault: the field of :class:`Faults` that struck.
    :param status: the status answered, None if there is no answer.
    :param taken: whether the event is taken first; then the fault strikes only what would be a success.
    :param front_door: refused on arrival, before any delay.
    :param wait: seconds for ``Retry-After``, if the fault knows them.
    :param drop: what happens to the connection.
    :param garbage: which odd body is sent.
    """

    fault: str
    status: int | None = None
    taken: bool = False
    front_door: bool = False
    wait: float | None = None
    drop: Drop | None = None
    garbage: Garbage | None = None


_TAKEN_WITH_GARBAGE: Final[dict[Garbage, bool]] = {
    "text": True,
    "empty": True,
    "html": False,
    "error_json": False,
    "echo": False,
    "big_detail": False,
    "big_error": False,
    "mark": True,
    "mark_error": False,
    "utf16_error": False,
    "php_error": False,
    "deep_error": False,
}


def _outage(faults: Faults, facts: Facts) -> Reaction | None:
    if faults.outage is None or (faults.outage_for is not None and facts.since_set >= faults.outage_for):
        return None
    return Reaction("outage", faults.outage, front_door=True)


def _crowd(faults: Faults, facts: Facts) -> Reaction | None:
    if faults.max_concurrent is None or facts.in_work <= faults.max_concurrent:
        return None
    return Reaction("max_concurrent", faults.max_concurrent_status, front_door=True)


def _too_fast(faults: Faults, facts: Facts) -> Reaction | None:
    if facts.bucket_wait <= 0:
        return None
    return Reaction("rate_limit", faults.rate_status, front_door=True, wait=facts.bucket_wait)


def _first_attempts(faults: Faults, facts: Facts) -> Reaction | None:
    if facts.attempt > faults.fail_first:
        return None
    return Reaction("fail_first", faults.fail_first_status)


def _by_share(faults: Faults, facts: Facts) -> Reaction | None:
    shares = [(share, reaction) for share, reaction in _shares(faults) if share]
    bounds = accumulate(share for share, _ in shares)
    return next((reaction for bound, (_, reaction) in zip(bounds, shares, strict=True) if facts.chance < bound), None)


def _shares(faults: Faults) -> Iterable[tuple[float, Reaction]]:
    for status, share in sorted(faults.statuses.items()):
        yield share, Reaction("statuses", status)
    yield faults.reset_before, Reaction("reset_before", drop="reset")
    yield faults.reset_after, Reaction("reset_after", drop="reset", taken=True)
    yield faults.half_close_before, Reaction("half_close_before", drop="half_close")
    yield faults.half_close_after, Reaction("half_close_after", drop="half_close", taken=True)
    yield faults.babble_before, Reaction("babble_before", drop="babble")
    yield faults.babble_after, Reaction("babble_after", drop="babble", taken=True)
    yield faults.break_off_before, Reaction("break_off_before", drop="break_off")
    yield faults.break_off_after, Reaction("break_off_after", drop="break_off", taken=True)
    yield faults.hang_before, Reaction("hang_before", drop="hang")
    yield faults.hang_after, Reaction("hang_after", drop="hang", taken=True)
    for kind, taken in _TAKEN_WITH_GARBAGE.items():
        yield faults.garbage.get(kind, 0), Reaction("garbage", 200, garbage=kind, taken=taken)
    yield faults.redirect, Reaction("redirect", faults.redirect_status)


#: The table: asked from the top, the first answer holds.
TABLE: Final[tuple[Callable[[Faults, Facts], Reaction | None], ...]] = (
    _outage,
    _crowd,
    _too_fast,
    _first_attempts,
    _by_share,
)


def concerns(faults: Faults, name: str | None, id_: str | None) -> bool:
    """Whether these faults strike an event of this name and id at all."""
    return (faults.names is None or name in faults.names) and (faults.ids is None or id_ in faults.ids)


def react(faults: Faults, facts: Facts) -> Reaction | None:
    """The fault that strikes, or None.

    :param faults: what is asked for.
    :param facts: what is known of the request.
    """
    return next((reaction for entry in TABLE if (reaction := entry(faults, facts))), None)


def delay(faults: Faults, facts: Facts) -> float:
    """Seconds to wait before the answer.

    :param faults: what is asked for.
    :param facts: what is known of the request.
    """
    beyond = 0 if faults.latency_above is None else max(0, facts.in_work - faults.latency_above)
    return faults.latency + faults.jitter * facts.chance_of_jitter + faults.latency_per_extra * beyond
