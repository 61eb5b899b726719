"""Only one module asks what Airflow can do, and the documentation tells what follows."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_reshape import airflow_features
from tests.conftest import ROOT

PACKAGE = ROOT / "airflow_reshape"
ASKING = PACKAGE / "airflow_features.py"
TABLE = ROOT / "docs" / "compatibility.md"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != ASKING)
# Names that say something about a version of Airflow or of a provider.
VERSION_NAMES = {"AIRFLOW_V_3_0_PLUS", "AIRFLOW_V_3_1_PLUS", "AIRFLOW_V_3_2_PLUS", "AIRFLOW_V_3_3_PLUS"}
SEARCHES = ("find_spec('airflow", "importlib.util.find_spec('airflow", "version('apache-airflow")
CONTEXT_KEYS = {"task_state_store", "asset_state_store"}


def questions(tree: ast.AST) -> Iterator[str]:
    """What code asks about the Airflow around it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and any("ImportError" in ast.dump(each.type or node) for each in node.handlers):
            yield from (f"import of {name}, or not" for name in imported(node.body) if name.startswith("airflow."))
        elif isinstance(node, ast.Name) and node.id in VERSION_NAMES:
            yield node.id
        elif isinstance(node, ast.Call) and ast.unparse(node).startswith(SEARCHES):
            yield ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and node.module == "airflow" and node.names[0].name == "__version__":
            yield "airflow.__version__"
        elif isinstance(node, ast.Constant) and node.value in CONTEXT_KEYS:
            yield str(node.value)


def imported(statements: list[ast.stmt]) -> Iterator[str]:
    for statement in statements:
        for node in ast.walk(statement):
            if isinstance(node, ast.ImportFrom):
                yield f"{node.module}.{node.names[0].name}"
            elif isinstance(node, ast.Import):
                yield from (f"{name.name}." for name in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_other_module_asks(path: Path) -> None:
    assert list(questions(ast.parse(path.read_text()))) == []


def test_the_search_finds_what_the_module_asks() -> None:
    found = set(questions(ast.parse(ASKING.read_text())))
    assert found == {
        "task_state_store",
        "import of airflow.providers.common.sql.hooks.lineage.send_sql_hook_lineage, or not",
    }


def test_every_feature_is_in_the_table_of_the_documentation() -> None:
    features = {
        name
        for name, value in vars(airflow_features).items()
        if inspect.isfunction(value) and value.__module__ == airflow_features.__name__
    }
    lines = TABLE.read_text().splitlines()
    rows = {line.split("|")[1].strip().strip("`") for line in lines if line.startswith("| `")}
    assert rows == features
