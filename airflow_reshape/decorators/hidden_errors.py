"""Errors of a user's function, told without their texts: these may quote leads."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException

from airflow_reshape.exceptions import ReshapeError


class HiddenError(AirflowException):
    """A function raised an error; the text tells its type and place."""


class HiddenFailure(HiddenError, AirflowFailException):
    """The function said that a retry does not help."""


class HiddenSkip(AirflowSkipException):
    """The function said that the task is to be skipped."""


KINDS = ((AirflowFailException, HiddenFailure), (AirflowSkipException, HiddenSkip))


def without_texts_of_errors(function: Callable[[], Any]) -> Any:
    """What a function returns; it, and the iterator or generator that it returns, raise errors without their texts."""
    try:
        returned = function()
    except ReshapeError:
        raise
    except Exception as error:  # noqa: BLE001  # told by its type
        hidden = _hidden(error)
    else:
        return _guarded(returned) if isinstance(returned, Iterator) else returned
    raise hidden


def _guarded(leads: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from leads
    except ReshapeError:
        raise
    except Exception as error:  # noqa: BLE001  # told by its type
        hidden = _hidden(error)
    else:
        return
    raise hidden


def _hidden(error: Exception) -> Exception:
    kind = next((ours for theirs, ours in KINDS if isinstance(error, theirs)), HiddenError)
    return kind(f"{type(error).__name__} {_place(error.__traceback__)} (its text is hidden: hide_errors)")


def _place(trace: TracebackType | None) -> str:
    """The deepest line of the function's own file: libraries that it called are of less help."""
    frames = traceback.extract_tb(trace, limit=None)[1:]
    if not frames:
        return "when it was called"
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    return f"in {own[-1].name}, line {own[-1].lineno} of {Path(own[-1].filename).name}"
