"""The peak of the process's memory, for few rows and for many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.contest import cost_of
from benchmarks.setting import Setting
from benchmarks.sizes import Sizes


def measure(setting: Setting, sizes: Sizes, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """What a send of so many rows holds at most."""
    found = []
    for rows in sizes.memory_rows:
        with setting.rows(0, rows) as task:
            cost = cost_of("package", task)
        found.append({"rows": rows, **cost})
        tell(f"{rows:,} rows: at most {cost['peak_mb']:.0f} MB, {cost['events'] / cost['seconds']:,.0f}/s")
    return found
