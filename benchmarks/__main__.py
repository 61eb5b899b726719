"""``python -m benchmarks``: everything in one run, side by side. ``make bench`` installs what it needs first."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import limits, machine, memory, per_event, server_rate, speed
from benchmarks.contest import PEERS
from benchmarks.nginx import nginx
from benchmarks.report import RESULTS, tables
from benchmarks.setting import Setting
from benchmarks.sizes import FULL, QUICK, Sizes
from tests.databases import postgres_server

Group = Callable[[Setting, Sizes], Any]

GROUPS: dict[str, Group] = {
    "server": server_rate.measure,
    "per_event": per_event.measure,
    "speed": lambda setting, sizes: speed.measure(setting, sizes, tell),
    "limits": lambda setting, sizes: limits.measure(setting, sizes, tell),
    "memory": lambda setting, sizes: memory.measure(setting, sizes, tell),
}
NOT_QUICK = ("limits", "memory")
OTHER_RESULTS = Path("build/bench/results.json")


def tell(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


def measure(groups: list[str], sizes: Sizes) -> dict[str, Any]:
    """All results of the groups, as they go into the file."""
    with ExitStack() as stack:
        server = stack.enter_context(nginx(list(sizes.rows)))
        postgres = stack.enter_context(postgres_server()).airflow_connection() if "speed" in groups else ""
        setting = Setting(server, postgres)
        results: dict[str, Any] = {"machine": machine.facts(server.version), "rounds": sizes.rounds}
        for group in groups:
            tell(f"{group} …")
            results[group] = GROUPS[group](setting, sizes)
        results["machine"]["load_after"] = round(os.getloadavg()[0], 2)
    return {**results, "versions": dict(_take_versions(results))}


def _take_versions(part: Any) -> Iterator[tuple[str, str]]:
    """Move the versions that contestants told out of their costs: they are the same in all of them."""
    if isinstance(part, dict):
        yield from part.pop("versions", {}).items()
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        yield from _take_versions(inner)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three minutes: no limited servers, no million rows")
    parser.add_argument("--only", nargs="+", choices=GROUPS, metavar="GROUP", help=f"some of {', '.join(GROUPS)}")
    parser.add_argument("--rounds", type=int, help=f"how often, instead of {FULL.rounds} (quick: {QUICK.rounds})")
    parser.add_argument("--output", type=Path, help=f"default {RESULTS} for all, {OTHER_RESULTS} for less")
    asked = parser.parse_args()
    groups = asked.only or [group for group in GROUPS if not (asked.quick and group in NOT_QUICK)]
    if "speed" in groups and not PEERS.exists():
        parser.error("the peers are missing: make bench installs them")
    sizes = QUICK if asked.quick else FULL
    sizes = replace(sizes, rounds=asked.rounds or sizes.rounds)
    started = time.monotonic()
    results = measure(groups, sizes)
    output = asked.output or (OTHER_RESULTS if asked.quick or asked.only else RESULTS)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    print(f"\n{tables(results)}\n\n{(time.monotonic() - started) / 60:.1f} minutes; all of it is in {output}")


if __name__ == "__main__":
    main()
