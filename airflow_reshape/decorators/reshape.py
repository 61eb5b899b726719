"""``@task.reshape``: a function returns or yields leads, and they are sent without passing XCom."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    Context,
    DecoratedOperator,
    context_merge,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_reshape.decorators.hidden_errors import without_texts_of_errors
from airflow_reshape.exceptions import ReshapeConfigurationError
from airflow_reshape.hooks.chunks import chunked
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.operators.events import BaseReshapeOperator
from airflow_reshape.operators.leads import HiddenValue

if TYPE_CHECKING:
    from airflow.sdk.bases.decorator import TaskDecorator

SHOWN = (bool, type(None))


class ReshapeDecoratedOperator(DecoratedOperator, BaseReshapeOperator):
    """Sends the leads that a function returns or yields.

    The function's arguments are rendered as those of any decorated task, then hidden: they may be leads.

    :param python_callable: the function.
    :param hide_errors: an error that the function raises is told by its type and place alone, for its text and its
        causes may hold leads. Default False.
    :raises ReshapeConfigurationError: when the DAG is parsed: the function is ``async``.
    """

    template_fields: Sequence[str] = ("op_args", "op_kwargs", *BaseReshapeOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "op_args": "py",
        "op_kwargs": "py",
        **BaseReshapeOperator.template_fields_renderers,
    }
    custom_operator_name: str = "@task.reshape"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Sequence[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        hide_errors: bool = False,
        **kwargs: Any,
    ) -> None:
        self.hide_errors = hide_errors
        if inspect.iscoroutinefunction(python_callable) or inspect.isasyncgenfunction(python_callable):
            raise ReshapeConfigurationError(
                f"@task.reshape: {python_callable.__name__} is async; write it as a plain function or generator"
            )
        kwargs.pop("multiple_outputs", None)
        super().__init__(
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            multiple_outputs=False,  # a "-> dict" annotation would make an XCom of each count
            **kwargs,
        )

    def _do_render_template_fields(self, parent: Any, *args: Any, **kwargs: Any) -> None:
        # Not render_template_fields: a mapped task's arguments are rendered through this method only.
        super()._do_render_template_fields(parent, *args, **kwargs)
        parent.op_args = [_hidden(value) for value in parent.op_args]
        parent.op_kwargs = {name: _hidden(value) for name, value in parent.op_kwargs.items()}

    def chunks(self, plan: SendPlan) -> Iterable[Sequence[object]]:  # noqa: ARG002
        """What the function returns or yields."""
        function = partial(self.python_callable, *self._args, **self._kwargs)
        return chunked(without_texts_of_errors(function) if self.hide_errors else function())

    def execute(self, context: Context) -> dict[str, Any]:
        """Call the function and send its leads."""
        self._args = [_shown(value) for value in self.op_args]
        op_kwargs = {name: _shown(value) for name, value in self.op_kwargs.items()}
        context_merge(context, op_kwargs)
        self._kwargs = determine_kwargs(self.python_callable, self._args, context)
        try:
            return BaseReshapeOperator.execute(self, context)
        finally:
            # OpenLineage may be told all attributes of a task that ended.
            del self._args, self._kwargs


def _hidden(value: Any) -> Any:
    return value if isinstance(value, SHOWN) else HiddenValue(value)


def _shown(value: Any) -> Any:
    return value.value if isinstance(value, HiddenValue) else value


def reshape_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """Make a task of a function that returns or yields leads. Also available as ``@task.reshape``.

    ::

        @task.reshape(event="lead_qualified")
        def qualified():
            for page in pages():
                yield from page["results"]

    :param kwargs: the arguments of :class:`~airflow_reshape.operators.events.BaseReshapeOperator` and of any task, and
        ``hide_errors``: an error that the function raises is told by its type and place alone. Default False.
    :raises ReshapeConfigurationError: when the DAG is parsed: the function is ``async``, or an argument is wrong.
    """
    kwargs.pop("multiple_outputs", None)
    return task_decorator_factory(
        python_callable=python_callable,
        multiple_outputs=False,
        decorated_operator_class=ReshapeDecoratedOperator,
        **kwargs,
    )
