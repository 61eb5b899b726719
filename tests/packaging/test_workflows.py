"""The public continuous integration runs targets that there are, with actions that cannot change under us."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from matrix.cells import CELLS
from tests.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGET = re.compile(r"^([a-z][a-z -]*):", re.MULTILINE)


def read(path: Path) -> dict[str, Any]:
    # BaseLoader, for YAML takes the key `on` for a yes.
    workflow: dict[str, Any] = yaml.load(path.read_text(), Loader=yaml.BaseLoader)  # makes texts only
    return workflow


def steps(workflow: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job.get("steps", ())


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.name)
def workflow(request: pytest.FixtureRequest) -> dict[str, Any]:
    return read(request.param)


def test_there_are_two() -> None:
    assert [path.name for path in WORKFLOWS] == ["publish.yml", "tests.yml"]


def test_actions_are_pinned_to_a_commit(workflow: dict[str, Any]) -> None:
    for step in steps(workflow):
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step["uses"]), step


def test_every_target_is_in_the_makefile(workflow: dict[str, Any]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = {name for match in TARGET.finditer(makefile) for name in match[1].split()}
    called = [word for step in steps(workflow) for word in re.findall(r"\bmake ([a-z-]+)", step.get("run", ""))]
    assert called
    assert set(called) <= targets


def test_nothing_may_be_written_unless_a_job_says_so(workflow: dict[str, Any]) -> None:
    assert "write" not in (workflow["permissions"] or {}).values()
    writing = {
        (name, right)
        for name, job in workflow["jobs"].items()
        for right, value in job.get("permissions", {}).items()
        if value == "write"
    }
    assert writing <= {("attest", "attestations"), ("attest", "id-token"), ("publish", "id-token")}


def test_only_the_last_job_publishes_after_all_others() -> None:
    jobs = read(ROOT / ".github" / "workflows" / "publish.yml")["jobs"]
    assert set(jobs["publish"]["needs"]) == set(jobs) - {"publish"}
    assert set(jobs["attest"]["needs"]) == {"tests", "build"}
    (upload,) = [step for step in jobs["publish"]["steps"] if "publish" in step["uses"]]
    assert upload["with"] == {"attestations": "true"}  # and no password


def test_the_cells_are_those_of_make_matrix() -> None:
    listed = subprocess.run([sys.executable, "-m", "matrix", "--list"], cwd=ROOT, capture_output=True, check=True)
    cells = json.loads(listed.stdout)
    assert cells == [{"name": cell.name, "python": cell.python} for cell in CELLS.values()]
    job = read(ROOT / ".github" / "workflows" / "tests.yml")["jobs"]["cell"]
    assert job["strategy"]["matrix"] == {"cell": "${{ fromJSON(needs.cells.outputs.cells) }}"}
    assert job["steps"][-1] == {"run": "make matrix", "env": {"CELL": "${{ matrix.cell.name }}"}}
