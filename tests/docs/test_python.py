"""The Python of the pages is run: imports resolve, and each operator checks its arguments as in a real DAG."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest

from airflow_reshape.exceptions import ReshapeConfigurationError
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.docs.exceptions import exception_for
from tests.docs.pages import Block, blocks

TUTORIAL = "docs/tutorial.md"  # run to the letter by test_tutorial.py
# What a reader has seen on the pages before.
KNOWN = """
from datetime import timedelta
from airflow.sdk import DAG, Param, task
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.operators.events import (
    ReshapeLeadDisqualifiedOperator, ReshapeLeadQualifiedOperator, ReshapeSendEventsOperator,
)
from airflow_reshape.operators.replay import ReshapeReplayOperator
from airflow_reshape.transfers.sql_to_reshape import SqlToReshapeOperator
"""
BUCKET = "s3://my_aws@crm-bucket"
# Three dots stand for what is not the matter at hand.
ELIDED: dict[str, dict[str, Any]] = {
    "SqlToReshapeOperator": {"task_id": "elided", "sql_conn_id": "crm_db", "sql": "SELECT 1"},
    "ReshapeLeadQualifiedOperator": {"task_id": "elided", "leads": []},
    "ReshapeLeadDisqualifiedOperator": {"task_id": "elided", "leads": []},
    "ReshapeSendEventsOperator": {"task_id": "elided", "leads": []},
    "ReshapeReplayOperator": {"task_id": "elided", "failures_path": "file:///tmp/elided"},
}


class Filled(ast.NodeTransformer):
    """Puts something in for three dots among the arguments of an operator."""

    def visit_Call(self, node: ast.Call) -> ast.AST:  # ast's name
        self.generic_visit(node)
        dots = [each for each in node.args if isinstance(each, ast.Constant) and each.value is ...]
        if dots and isinstance(node.func, ast.Name):
            node.args = [each for each in node.args if each not in dots]
            given = {each.arg for each in node.keywords}
            for name, value in ELIDED[node.func.id].items():
                if name not in given:
                    node.keywords.append(ast.keyword(name, ast.parse(repr(value), mode="eval").body))
        return node


def run(block: Block) -> dict[str, Any]:
    """Run a block inside of a DAG; tasks that it defines and does not call are called. A folder stands for a bucket."""
    from airflow.sdk import DAG
    from airflow.sdk.bases.decorator import _TaskDecorator

    names: dict[str, Any] = {}
    exec(KNOWN, names)
    tree = ast.fix_missing_locations(Filled().visit(ast.parse(block.text.replace(BUCKET, f"file://{Path.cwd()}"))))
    with DAG("page") as dag:
        exec(compile(tree, str(block), "exec"), names)
        for name, made in list(names.items()):
            if isinstance(made, _TaskDecorator) and name not in dag.task_ids:
                needs = inspect.signature(made.function).parameters.values()
                made(**{each.name: None for each in needs if each.default is each.empty})
    return names


CHECKED = [each for each in blocks("python") if each.page != TUTORIAL and not exception_for(each)]


@pytest.mark.parametrize("block", CHECKED, ids=str)
def test_it_runs(block: Block, world: RunningSandbox) -> None:
    run(block)


def test_there_are_blocks() -> None:
    assert len(CHECKED) > 10


@pytest.mark.parametrize(
    ("wrong", "error", "told"),
    [
        ("SqlToReshapeOperator(..., stage_mapp={})", Exception, "stage_mapp"),
        ("SqlToReshapeOperator(..., default_region='Romania')", ReshapeConfigurationError, "default_region"),
        ("SqlToReshapeOperator(..., mapping={'user.mail': 'mail'})", ReshapeConfigurationError, "user.email"),
        ("@task.reshape(rate_limit=0)\ndef leads():\n    yield {}", ReshapeConfigurationError, "rate_limit"),
        ("from airflow_reshape.operators.events import ReshapeLeadOperator", ImportError, "ReshapeLeadOperator"),
    ],
)
def test_a_wrong_block_is_found(wrong: str, error: type[Exception], told: str, world: RunningSandbox) -> None:
    with pytest.raises(error, match=told):
        run(Block("page.md", 1, "python", wrong))
