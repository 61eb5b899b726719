"""The tiers of tests that a cell runs, and what they counted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from matrix.cells import ROOT, Cell

# Folders and files of tests/ that are no matter of the versions around the package, each with the reason.
ELSEWHERE = {
    "tests/benchmarks": "read what `make bench` wrote",
    "tests/crash": "kills sends for minutes; `make test` and `make crash` do",
    "tests/docs": "run what the pages say, which is the same everywhere",
    "tests/packaging/test_wheel.py": "builds the wheel, and installs it beside the pins of `make test`",
}
# Folders whose tests import nothing of Airflow, and test what imports nothing of it. They run on every Python beside
# the newest Airflow, and beside the lowest and the newest versions of all that they do use.
WITHOUT_AIRFLOW = (
    "tests/delivery",
    "tests/events",
    "tests/limits",
    "tests/mapping",
)
TIERS = {
    "unit": (
        "tests",
        "--ignore=tests/sandbox",
        "--ignore=tests/in_airflow",
        *(f"--ignore={path}" for path in ELSEWHERE),
    ),
    "sandbox": ("tests/sandbox",),
    "dag": ("tests/in_airflow",),
}
# As `make test` does.
SHARED = ("--numprocesses", "auto", "--maxprocesses", "4", "--dist", "loadfile", "--no-loadscope-reorder")


@dataclass(frozen=True)
class Result:
    """What a tier counted in a cell.

    :param tests: that ran, or were skipped.
    :param failed: failures and errors.
    :param skipped: those that say why they cannot run here.
    :param seconds: they took together.
    """

    tests: int
    failed: int
    skipped: int
    seconds: float

    @property
    def passed(self) -> int:
        """How many did what they should."""
        return self.tests - self.failed - self.skipped


def arguments(cell: Cell, tier: str) -> tuple[str, ...]:
    """What pytest runs.

    :param tier: a key of :data:`TIERS`.
    """
    if tier != "unit" or not cell.airflow_alone:
        return TIERS[tier]
    return (*TIERS[tier], *(f"--ignore={path}" for path in WITHOUT_AIRFLOW))


def run_tier(cell: Cell, tier: str, python: Path) -> Result:
    """Run a tier in a cell's environment; pytest's own output goes to the screen.

    :param tier: a key of :data:`TIERS`.
    :param python: of the environment.
    :returns: with at least one failure if pytest did not get to its end.
    """
    report = cell.home / f"{tier}.xml"
    report.unlink(missing_ok=True)
    # What is deprecated is an error, which the newest Airflow shows. An older one warns of its own parts.
    warnings = ("-W", "default::FutureWarning") if cell.is_older else ()
    command = [str(python), "-m", "pytest", "-q", *SHARED, *warnings, f"--junitxml={report}", *arguments(cell, tier)]
    done = subprocess.run(command, cwd=ROOT, env=environment(cell), check=False)
    if not report.exists():
        print(f"{cell.name}, {tier}: pytest ended with {done.returncode} before its report", file=sys.stderr)
        return Result(tests=1, failed=1, skipped=0, seconds=0.0)
    return read_report(report.read_text(), done.returncode)


def read_report(xml: str, returncode: int) -> Result:
    """The sums of pytest's JUnit report.

    :param returncode: pytest's; if it is not 0, the result has at least one failure.
    """
    # Written by the pytest that has just run here.
    suites = ElementTree.fromstring(xml).iter("testsuite")  # noqa: S314
    tests = failed = skipped = 0
    seconds = 0.0
    for suite in suites:
        tests += int(suite.attrib["tests"])
        failed += int(suite.attrib["failures"]) + int(suite.attrib["errors"])
        skipped += int(suite.attrib["skipped"])
        seconds += float(suite.attrib["time"])
    return Result(tests, max(failed, int(returncode != 0)), skipped, seconds)


def environment(cell: Cell) -> Mapping[str, str]:
    """The environment variables of a cell's tests: an Airflow home of its own, and nothing of other environments."""
    foreign = ("AIRFLOW", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "AIRFLOW_HOME": str(cell.home / "airflow"), "PYTHONDONTWRITEBYTECODE": "1"}
