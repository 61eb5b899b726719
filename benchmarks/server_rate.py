"""What the server gives to wrk, which is written in C: it is not the bottleneck."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from benchmarks import leads
from benchmarks.contest import work_folder
from benchmarks.contestants.meter import Task
from benchmarks.setting import Setting
from benchmarks.sizes import WINDOW, Sizes

SCRIPT = """\
wrk.method = "POST"
wrk.body = [[{body}]]
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-Dre-Access-Token"] = "{token}"
"""


def measure(setting: Setting, sizes: Sizes) -> list[dict[str, Any]]:
    """Requests per second at each latency."""
    found = []
    for latency in sizes.rows:
        with setting.rows(latency, 1) as task, work_folder() as folder:
            rate = _wrk(task, folder, sizes.wrk_seconds)
        found.append({"latency_ms": latency, "connections": WINDOW, "per_second": rate})
    return found


def _wrk(task: Task, folder: Path, seconds: int) -> float:
    script = folder / "post.lua"
    body = json.dumps(leads.body(next(leads.rows(task.leads, 1, 1))))
    script.write_text(SCRIPT.format(body=body, token=task.token))
    arguments = ["-t1", f"-c{task.window}", f"-d{seconds}s", "-s", str(script), f"{task.base_url}{task.endpoint}"]
    told = subprocess.run(["wrk", *arguments], capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec: +([\d.]+)", told)
    if rate is None or "Non-2xx" in told:
        raise RuntimeError(f"wrk did not measure:\n{told}")
    return float(rate[1])
