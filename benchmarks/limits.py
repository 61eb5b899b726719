"""How much of a server's limit is used, and how often the server has to refuse."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_reshape.sandbox.testing import RunningSandbox
from benchmarks.contest import cost_of, started
from benchmarks.sandbox_process import sandbox_process
from benchmarks.setting import Setting
from benchmarks.sizes import AT_ONCE, RATE, SETTLING, WINDOW, Sizes

SECONDS_BETWEEN_LOOKS = 0.02
SECONDS_TO_START = 60.0


@dataclass(frozen=True)
class Limit:
    """A server with a limit.

    :param faults: of the sandbox.
    :param possible: events that it could take in so many seconds; None where only trying tells.
    """

    name: str
    faults: dict[str, Any]
    possible: Callable[[float], float] | None = None
    windows: tuple[int, ...] = field(default=())


def _by_rate(seconds: float) -> float:
    return RATE * (seconds + 1)  # the server lets one second's worth pass at once


def _by_number(seconds: float) -> float:
    return AT_ONCE * seconds / 0.05


CROWDED = {"max_concurrent": AT_ONCE, "latency": 0.05}
LIMITS = (
    Limit("429 above 100/s", {"rate_limit": RATE}, _by_rate),
    Limit("429 above 100/s, Retry-After", {"rate_limit": RATE, "retry_after": "seconds"}, _by_rate),
    Limit("429 above 5 at once, 50 ms", {**CROWDED, "max_concurrent_status": 429}, _by_number, (AT_ONCE,)),
    Limit("503 above 5 at once, 50 ms", {**CROWDED, "max_concurrent_status": 503}, _by_number, (AT_ONCE,)),
    Limit(
        "50 ms, and 10 ms more for each above 10 at once",
        {"latency": 0.05, "latency_above": 10, "latency_per_extra": 0.01},
    ),
)


def measure(setting: Setting, sizes: Sizes, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """This package against each limited server, and bare aiohttp with fixed windows where that tells something."""
    found = []
    with sandbox_process() as sandbox:
        for limit in LIMITS:
            windows = sizes.fixed_windows if limit.possible is None else limit.windows
            fixed = {window: _fixed(setting, sandbox, limit, window, sizes.fixed_seconds) for window in windows}
            used = _used(setting, sandbox, limit, sizes.limited_seconds)
            best = max(fixed.values(), default=0.0)
            possible = limit.possible(used["seconds"]) if limit.possible else best * used["seconds"]
            used |= {"limit": limit.name, "possible": possible, "share": used["accepted"] / possible}
            used |= {"fixed_windows": {str(window): rate for window, rate in fixed.items()}}
            found.append(used)
            refused = f"{used['refused_later']:.1%} refused after {SETTLING:.0f} s"
            tell(f"{limit.name}: {used['share']:.1%} of the possible, {refused}")
    return found


def _fixed(setting: Setting, sandbox: RunningSandbox, limit: Limit, window: int, seconds: float) -> float:
    """Accepted events per second of bare aiohttp."""
    _limit(sandbox, limit)
    with setting.a_while(sandbox, seconds, window) as task:
        cost = cost_of("bare", task)
    rate: float = cost["events"] / cost["seconds"]
    return rate


def _used(setting: Setting, sandbox: RunningSandbox, limit: Limit, seconds: float) -> dict[str, Any]:
    """What the sandbox counted by the end of the settling and of the time, from the first request on."""
    _limit(sandbox, limit)
    with setting.a_while(sandbox, seconds, WINDOW) as task, started("package", task) as contestant:
        first = _first_request(sandbox)
        settled = _counts_at(sandbox, first + SETTLING)
        end = _counts_at(sandbox, first + seconds)
        cost = contestant.cost()
    requests, taken = (end[name] - settled[name] for name in ("requests", "taken"))
    return {
        "seconds": end["seconds"] - first,
        "accepted": end["taken"],
        "requests": end["requests"],
        "refused_later": (requests - taken) / max(1, requests),
        "refused_at_first": settled["requests"] - settled["taken"],
        "most_at_once": end["max_concurrent"],
        "cost": cost,
    }


def _limit(sandbox: RunningSandbox, limit: Limit) -> None:
    sandbox.clear()
    sandbox.set_faults(**limit.faults)


def _first_request(sandbox: RunningSandbox) -> float:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        if sandbox.summary()["requests"]:
            return time.monotonic()
        time.sleep(SECONDS_BETWEEN_LOOKS)
    raise RuntimeError("nothing was sent")


def _counts_at(sandbox: RunningSandbox, moment: float) -> dict[str, Any]:
    time.sleep(max(0.0, moment - time.monotonic()))
    return {**sandbox.summary(), "seconds": time.monotonic()}
