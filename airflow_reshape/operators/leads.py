"""Leads on their way into an operator, kept out of whatever Airflow shows or stores."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Any

from airflow.providers.common.compat.sdk import XComArg
from airflow.sdk.definitions._internal.mixins import ResolveMixin


class HiddenValue:
    """A value whose text tells its kind and number only.

    :param value: anything.
    """

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        kind = type(self.value).__name__
        try:
            sized = isinstance(self.value, Sized) and not isinstance(self.value, (str, bytes))
            return f"<{kind} of {len(self.value)}, not shown>" if sized else f"<{kind}, not shown>"
        except Exception:  # noqa: BLE001  # a lazy sequence may need Airflow for its length
            return f"<{kind}, not shown>"


class Leads(ResolveMixin, HiddenValue):
    """The ``leads`` argument: resolves references to upstream tasks, renders no templates, shows no lead.

    A lead that reads ``{{ conn.x.password }}`` is data, and stays so.

    :param value: leads, or a reference to a task's output.
    """

    def iter_references(self) -> Iterable[tuple[Any, str]]:
        """The upstream tasks, so that Airflow knows the dependency."""
        return XComArg.iter_xcom_references(self.value)

    def resolve(self, context: Any, *_: Any, **__: Any) -> Leads:
        """The same with its references followed."""
        return Leads(_followed(self.value, context))


def _followed(value: Any, context: Any) -> Any:
    if isinstance(value, ResolveMixin):
        return value.resolve(context)
    if isinstance(value, (list, tuple)) and any(isinstance(item, ResolveMixin) for item in value):
        return [_followed(item, context) for item in value]
    return value
