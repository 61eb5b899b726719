"""Starts contestants, each in the environment it lives in, and collects what they cost."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.contestants.meter import Task

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "build" / "peers" / "bin" / "python"
IN_THEIR_OWN = ("drt", "dlt", "dlt_parallel")
SECONDS_AT_MOST = 3600.0
SEEN = 3000


class ContestantError(RuntimeError):
    """A contestant did not finish, or lost events; the text ends with what it wrote."""


@contextlib.contextmanager
def started(name: str, task: Task) -> Iterator[Contestant]:
    """A contestant at work; it is ended with the block."""
    contestant = Contestant(name, task)
    try:
        yield contestant
    finally:
        contestant.end()


def cost_of(name: str, task: Task) -> dict[str, Any]:
    """Run a contestant to its end.

    :raises ContestantError: it failed, or the server did not accept each of the rows.
    """
    with started(name, task) as contestant:
        cost = contestant.cost()
    if task.rows and cost["events"] != task.rows:
        raise ContestantError(f"{name}: {cost['events']} of {task.rows} events were accepted")
    return cost


class Contestant:
    """A process that sends."""

    def __init__(self, name: str, task: Task) -> None:
        python = str(PEERS) if name in IN_THEIR_OWN else sys.executable
        self._name = name
        self._asked = Path(task.folder) / "task.json"
        self._answer = Path(task.folder) / "cost.json"
        self._log = Path(task.folder) / "log"
        self._asked.write_text(json.dumps(asdict(task)))
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [python, "-m", f"benchmarks.contestants.{name}", str(self._asked), str(self._answer)],
                cwd=ROOT,
                env=environment(Path(task.folder)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def cost(self) -> dict[str, Any]:
        """Wait for the end."""
        self.process.wait(SECONDS_AT_MOST)
        if self.process.returncode or not self._answer.exists():
            raise ContestantError(f"{self._name} failed:\n{self._log.read_text(errors='replace')[-SEEN:]}")
        cost: dict[str, Any] = json.loads(self._answer.read_text())
        return cost

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def environment(folder: Path) -> dict[str, str]:
    """Of a contestant: Airflow logs as a worker does by default, and nobody finds a proxy."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**kept, "AIRFLOW_HOME": str(folder / "airflow"), "PYTHONDONTWRITEBYTECODE": "1"}


@contextlib.contextmanager
def work_folder() -> Iterator[Path]:
    """A folder for one run."""
    base = ROOT / "build" / "bench"
    base.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=base) as folder:
        yield Path(folder)
