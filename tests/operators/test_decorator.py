"""``@task.reshape`` when the DAG is parsed; how it runs is tested in a real Airflow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from airflow.sdk import DAG, task

from airflow_reshape.decorators.reshape import ReshapeDecoratedOperator, reshape_task
from airflow_reshape.exceptions import ReshapeConfigurationError
from airflow_reshape.sandbox.testing import RunningSandbox


def test_both_names_make_the_same_task() -> None:
    with DAG("d") as dag:

        @task.reshape(event="lead_qualified")
        def one() -> list[dict[str, Any]]:
            return []

        @reshape_task(event="lead_qualified")
        def two() -> list[dict[str, Any]]:
            return []

        one()
        two()
    assert {type(each) for each in dag.tasks} == {ReshapeDecoratedOperator}


def test_async_functions_are_refused_when_the_dag_is_parsed() -> None:
    async def coroutine() -> list[dict[str, Any]]:
        return []

    async def generator() -> AsyncIterator[dict[str, Any]]:
        yield {}

    for function in (coroutine, generator):
        with pytest.raises(ReshapeConfigurationError, match="is async"), DAG("d"):
            task.reshape(event="lead_qualified")(function)()


def test_wrong_arguments_are_told_when_the_dag_is_parsed() -> None:
    with DAG("d"):

        @task.reshape(event="lead_qualified", mapping={"user.fone": "x"})
        def leads() -> list[dict[str, Any]]:
            return []

        with pytest.raises(ReshapeConfigurationError, match=r"did you mean 'user\.phone'"):
            leads()


def test_a_dict_annotation_makes_one_xcom() -> None:
    with DAG("d") as dag:

        @task.reshape(event="lead_qualified")
        def lead() -> dict[str, Any]:
            return {}

        lead()
    (made,) = dag.tasks
    assert isinstance(made, ReshapeDecoratedOperator)
    assert made.multiple_outputs is False


def test_a_generator_is_sent(sandbox: RunningSandbox, ti: Any) -> None:
    def leads(count: int) -> Any:
        yield from ({"lead_id": n + 1, "currency": "EUR"} for n in range(count))

    operator = ReshapeDecoratedOperator(
        task_id="t", python_callable=leads, op_args=[25], op_kwargs={}, event="lead_qualified"
    )
    assert operator.execute({"ti": ti})["delivered"] == 25
    assert len(sandbox.received()) == 25
