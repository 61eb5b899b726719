"""A cell's environment is found, and its tests are counted as pytest counts them."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from matrix.__main__ import Row, main, table
from matrix.cells import CELLS, PYTHONS
from matrix.environments import find_python
from matrix.tiers import ELSEWHERE, SHARED, TIERS, WITHOUT_AIRFLOW, Result, arguments, environment, read_report
from tests.conftest import ROOT

THREE_TESTS = """
import pytest
def test_good(): pass
def test_bad(): assert 1 == 2
@pytest.mark.skip(reason="why not")
def test_skipped(): pass
"""


def test_a_report_is_read_as_pytest_counts(tmp_path: Path) -> None:
    (tmp_path / "test_three.py").write_text(THREE_TESTS)
    report = tmp_path / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 failed, 1 passed, 1 skipped" in done.stdout
    result = read_report(report.read_text(), done.returncode)
    assert (result.tests, result.passed, result.failed, result.skipped) == (3, 1, 1, 1)


def test_a_run_that_ended_badly_is_a_failure() -> None:
    green = '<testsuites><testsuite tests="2" failures="0" errors="0" skipped="0" time="1.5"/></testsuites>'
    assert read_report(green, 0) == Result(2, 0, 0, 1.5)
    assert read_report(green, 3).failed == 1


@pytest.mark.parametrize("version", PYTHONS)
def test_a_python_that_is_found_has_that_version(version: str) -> None:
    python = find_python(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    assert subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == version


def test_there_is_no_python_of_the_future() -> None:
    assert find_python("3.99") is None


def test_a_cells_tests_see_nothing_of_another_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AIRFLOW__CORE__EXECUTOR", "AIRFLOW_CONN_RESHAPE_DEFAULT", "PYTHONPATH", "VIRTUAL_ENV"):
        monkeypatch.setenv(name, "elsewhere")
    cell = CELLS["lowest"]
    assert "elsewhere" not in environment(cell).values()
    assert environment(cell)["AIRFLOW_HOME"] == str(cell.home / "airflow")


def test_every_folder_of_the_tests_is_in_a_tier_or_has_a_reason() -> None:
    paths = [argument.removeprefix("--ignore=") for arguments in TIERS.values() for argument in arguments]
    assert all((ROOT / path).exists() for path in [*paths, *ELSEWHERE])


def test_a_cell_shares_the_tests_among_processes_as_make_test_does() -> None:
    assert f"-m pytest {' '.join(SHARED)}\n" in (ROOT / "Makefile").read_text()


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@pytest.mark.parametrize("folder", WITHOUT_AIRFLOW)
def test_what_the_older_airflows_are_spared_knows_no_airflow(folder: str) -> None:
    # The import contracts hold for these packages what is looked for here: no Airflow below them.
    known = ("delivery", "events", "mapping", "sandbox")
    may_import = (*(f"airflow_reshape.{name}" for name in known), *(one.replace("/", ".") for one in WITHOUT_AIRFLOW))
    found = {name for path in (ROOT / folder).rglob("*.py") for name in imported(path)}
    ours = {name for name in found if name.split(".")[0] in {"airflow", "airflow_reshape", "tests"}}
    assert ours
    assert {name for name in ours if not name.startswith(may_import)} <= {"tests.conftest"}


@pytest.mark.parametrize("python", PYTHONS)
def test_every_test_runs_on_every_python(python: str) -> None:
    ran = [arguments(cell, "unit") for cell in CELLS.values() if cell.python == python]
    assert TIERS["unit"] in ran
    assert arguments(CELLS["lowest"], "unit") == arguments(CELLS["newest"], "unit") == TIERS["unit"]


def test_the_table_tells_what_did_not_run() -> None:
    ran = Row("lowest", "Airflow 3.1.0 on Python 3.11.7", {"unit": Result(10, 1, 2, 3.4)}, failed=True)
    told = table([ran, Row("newest", "no Python 3.13 on this machine")], ["unit", "sandbox"])
    assert told[1:] == [
        "lowest  7 passed, 1 failed, 2 skipped (3 s)  -        FAILED   Airflow 3.1.0 on Python 3.11.7",
        "newest  -                                    -        not run  no Python 3.13 on this machine",
    ]


def test_an_unknown_cell_is_refused_with_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--cell", "2.11.0-py3.11"])
    assert "3.1.8-py3.11" in capsys.readouterr().err
