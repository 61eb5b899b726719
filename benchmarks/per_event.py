"""What one event costs us beside what its POST costs: ``python -m benchmarks.per_event``."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

from benchmarks.contest import ROOT, cost_of, environment, work_folder
from benchmarks.nginx import nginx
from benchmarks.setting import Setting
from benchmarks.sizes import FULL, Sizes

POSTS = 5000


def measure(setting: Setting, sizes: Sizes) -> dict[str, Any]:
    """Microseconds of processor time: of each of our parts, and of a bare POST before and after them."""
    posts = [_post(setting) for _ in range(2)]
    parts = _parts(sizes.repeats)
    posts += [_post(setting) for _ in range(2)]
    return {"parts_us": parts, "ours_us": sum(parts.values()), "bare_post_us": statistics.median(posts)}


def _post(setting: Setting) -> float:
    with setting.rows(0, POSTS) as task:
        cost = cost_of("bare", task)
    microseconds: float = cost["cpu_seconds"] / cost["events"] * 1e6
    return microseconds


def _parts(repeats: int) -> dict[str, float]:
    with work_folder() as folder:
        answer, log = folder / "parts.json", folder / "log"
        with log.open("wb") as output:
            subprocess.run(
                [sys.executable, "-m", "benchmarks.contestants.parts", str(repeats), str(answer)],
                cwd=ROOT,
                env=environment(folder),
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if not answer.exists():
            raise RuntimeError(f"the parts were not measured:\n{log.read_text(errors='replace')[-3000:]}")
        parts: dict[str, float] = json.loads(answer.read_text())
        return parts


def main() -> None:
    with nginx([0]) as server:
        found = measure(Setting(server, postgres=""), FULL)
    for name, cost in found["parts_us"].items():
        print(f"{name:>24} {cost:>6.0f} µs")
    print(f"{'ours, without the POST':>24} {found['ours_us']:>6.0f} µs")
    print(f"{'bare aiohttp POST (TLS)':>24} {found['bare_post_us']:>6.0f} µs")


if __name__ == "__main__":
    main()
