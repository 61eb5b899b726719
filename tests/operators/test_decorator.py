"""``@task.reshape`` when the DAG is parsed; how it runs is tested in a real Airflow."""

from __future__ import annotations

import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException
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


PERSON = "Ruxandra Marker"


def broken_at_once() -> Any:
    raise ValueError(PERSON)


def broken_later() -> Iterator[dict[str, Any]]:
    yield {"lead_id": 1, "currency": "EUR"}
    try:
        raise KeyError(PERSON)
    except KeyError as error:
        raise RuntimeError(f"no page of {PERSON}") from error


def fails() -> Iterator[dict[str, Any]]:
    yield {"lead_id": 1, "currency": "EUR"}
    raise AirflowFailException(PERSON)


def skips() -> Any:
    raise AirflowSkipException(PERSON)


def ran(function: Callable[[], Any], **options: Any) -> str:
    """The whole traceback of what a task of a function raised."""
    operator = ReshapeDecoratedOperator(
        task_id="t", python_callable=function, op_args=[], op_kwargs={}, event="lead_qualified", **options
    )
    with pytest.raises(Exception) as raised:  # noqa: PT011  # of any kind
        operator.execute({})
    return "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("function", [broken_at_once, broken_later, fails, skips])
def test_an_error_of_the_function_shows_its_text_unless_it_is_hidden(
    sandbox: RunningSandbox, function: Callable[[], Any]
) -> None:
    assert PERSON in ran(function)
    hidden = ran(function, hide_errors=True)
    assert PERSON not in hidden
    assert f"in {function.__name__}, line " in hidden
    assert "test_decorator.py" in hidden


@pytest.mark.parametrize(("function", "kind"), [(fails, AirflowFailException), (skips, AirflowSkipException)])
def test_a_hidden_error_still_says_whether_to_try_again(
    sandbox: RunningSandbox, function: Callable[[], Any], kind: type[Exception]
) -> None:
    operator = ReshapeDecoratedOperator(
        task_id="t", python_callable=function, op_args=[], op_kwargs={}, event="lead_qualified", hide_errors=True
    )
    with pytest.raises(kind) as raised:
        operator.execute({})
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


def test_leads_before_a_hidden_error_are_sent(sandbox: RunningSandbox) -> None:
    ran(broken_later, hide_errors=True)
    assert sandbox.summary()["requests"] == 1
