"""The pins of the matrix are what their names say, and those of the lowest cell what the package declares."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from matrix.cells import CELLS, PINS, REQUIREMENTS
from matrix.environments import TOOLS
from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
DECLARED = [Requirement(text) for text in (*PROJECT["dependencies"], *EXTRAS["sandbox"], *EXTRAS["postgres"])]
# What `make test` has and no cell needs: these look at the sources, which are the same everywhere, or build them.
ONLY_IN_MAKE_TEST = {
    "build",
    "import-linter",
    "mypy",
    "ruff",
    "uv",
    "apache-airflow",
    "apache-airflow-providers-postgres",
}
FILES = {path.name: path for path in (cell.pins for cell in CELLS.values()) if path}


def pinned(path: Path) -> dict[str, set[Version]]:
    """The versions that a file pins, by name; more than one where Pythons need different ones."""
    found = defaultdict(set)
    for name, version in re.findall(r"^([a-z0-9.-]+)(?:\[[a-z,]+\])?==([^ ;]+)", path.read_text(), re.MULTILINE):
        found[name].add(Version(version))
    return found


def asked(path: Path) -> Iterator[Requirement]:
    for line in path.read_text().splitlines():
        if line and not line.startswith(("#", "-r")):
            yield Requirement(line)


@pytest.mark.parametrize(("airflow", "path"), PINS.items())
def test_a_file_pins_the_airflow_of_its_cells(airflow: str, path: Path) -> None:
    assert pinned(path)["apache-airflow"] == {Version(airflow)}


@pytest.mark.parametrize("path", FILES.values(), ids=FILES)
def test_every_dependency_is_pinned_within_its_bounds(path: Path) -> None:
    pins = pinned(path)
    for dependency in DECLARED:
        assert pins[dependency.name], dependency
        assert all(version in dependency.specifier for version in pins[dependency.name]), dependency


def test_the_lowest_cell_has_the_lowest_versions() -> None:
    pins = pinned(REQUIREMENTS / "matrix" / "lowest.txt")
    for dependency in DECLARED:
        (bound,) = [Version(part.version) for part in dependency.specifier if part.operator == ">="]
        # 24.6 also means the first of 24.6.x where there is no 24.6.0.
        assert {version.release[: len(bound.release)] for version in pins[dependency.name]} == {bound.release}, (
            dependency
        )


def test_the_tools_are_those_of_make_test() -> None:
    files = (REQUIREMENTS / "demo.in", REQUIREMENTS / "test.in")
    needed = {one.name for path in files for one in asked(path) if not one.name.startswith("types-")}
    assert {one.name for one in asked(TOOLS)} == needed - ONLY_IN_MAKE_TEST


@pytest.mark.parametrize("path", [*FILES.values(), TOOLS], ids=lambda path: path.name)
def test_no_file_names_an_address(path: Path) -> None:
    assert "://" not in path.read_text()
