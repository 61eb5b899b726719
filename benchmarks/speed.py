"""Side by side against a server that is not the bottleneck, in turns: every other round the other way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.contest import cost_of
from benchmarks.setting import Setting
from benchmarks.sizes import WARM_UP, WARM_UP_ONE_BY_ONE, Sizes

BARE, OURS, OURS_WITH_LEDGER = "bare aiohttp", "airflow_reshape", "airflow_reshape, ledger"
HTTP_HOOK, DRT, DLT, DLT_PARALLEL = "HttpHook in a loop", "drt-core", "dlt", "dlt, 20 threads"

CONTESTANTS: dict[str, tuple[str, bool]] = {
    BARE: ("bare", False),
    OURS: ("package", False),
    OURS_WITH_LEDGER: ("package", True),
    HTTP_HOOK: ("http_hook", False),
    DRT: ("drt", False),
    DLT: ("dlt", False),
    DLT_PARALLEL: ("dlt_parallel", False),
}
"""Name, module, and whether with a ledger."""
ONE_BY_ONE = (HTTP_HOOK, DRT, DLT)
TUNED = (DLT_PARALLEL,)


def measure(setting: Setting, sizes: Sizes, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """What everybody costs at each latency, round by round."""
    runs: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for number in range(sizes.rounds):
        names = contestants(sizes)[:: -1 if number % 2 else 1]
        for latency in sizes.rows:
            for name in names:
                cost = _one(setting, sizes, latency, name)
                runs.setdefault((latency, name), []).append(cost)
                rate = cost["events"] / cost["seconds"]
                tell(f"round {number + 1} of {sizes.rounds} · {latency} ms · {name}: {rate:,.0f}/s")
    return [
        {"latency_ms": latency, "contestant": name, "rounds": runs[latency, name]}
        for latency in sizes.rows
        for name in contestants(sizes)
    ]


def contestants(sizes: Sizes) -> list[str]:
    """Who takes part."""
    return [name for name in CONTESTANTS if sizes.tuned_peers or name not in TUNED]


def _one(setting: Setting, sizes: Sizes, latency: int, name: str) -> dict[str, Any]:
    module, ledger = CONTESTANTS[name]
    alone = name in ONE_BY_ONE
    rows = (sizes.rows_one_by_one if alone else sizes.rows)[latency]
    if name == DLT_PARALLEL:
        rows = min(rows, 10 * sizes.rows_one_by_one[latency])
    with setting.rows(latency, rows, ledger=ledger, warm_up=WARM_UP_ONE_BY_ONE if alone else WARM_UP) as task:
        return cost_of(module, task)
