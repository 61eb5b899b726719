"""A task that times out while its checkpoint is written: what is settled stays settled."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_reshape.exceptions import ReshapeFailedLeadsError
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.checkpoint.sends import everything, leads, received, send
from tests.checkpoint.stores import Store

pytestmark = pytest.mark.timeout(60)


class Timeout(BaseException):
    """Like Airflow's execution timeout."""


class TimesOut(Store):
    """The task times out once, at one of the calls.

    :param done: only when the call has been served.
    """

    def __init__(self, at: str, done: bool) -> None:
        super().__init__()
        self.at: str | None = at
        self.done = done

    def _serve(self, call: str, serve: Any) -> Any:
        if self.at != call:
            return serve()
        self.at = None
        if self.done:
            serve()
        raise Timeout

    def get(self, key: str) -> Any:
        return self._serve("get", lambda: super(TimesOut, self).get(key))

    def set(self, key: str, value: Any) -> None:
        self._serve("set", lambda: super(TimesOut, self).set(key, value))

    def delete(self, key: str) -> None:
        self._serve("delete", lambda: super(TimesOut, self).delete(key))


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize(("at", "failing"), [("get", False), ("delete", False), ("set", True)])
def test_the_next_try_sends_nothing_again(sandbox: RunningSandbox, at: str, failing: bool, done: bool) -> None:
    store = TimesOut(at, done)
    rows = leads(100)
    if failing:
        rows[3]["currency"] = "euros"
    with pytest.raises(Timeout):
        send(store, rows)
    if failing:
        with pytest.raises(ReshapeFailedLeadsError, match="1 of 100"):
            send(store, rows)
    else:
        send(store, rows)
        assert store.text is None
    expected = everything(100) - ({"3:qualified"} if failing else set())
    assert received(sandbox) == dict.fromkeys(expected, 1)


def test_a_failure_that_left_the_source_is_not_forgotten(sandbox: RunningSandbox) -> None:
    """It is told by the next try, for this one was not heard."""
    store = TimesOut("", True)
    rows = leads(100)
    rows[3]["currency"] = rows[70]["currency"] = "euros"
    with pytest.raises(ReshapeFailedLeadsError, match="2 of 100"):
        send(store, rows)
    del rows[3]
    store.at = "set"
    with pytest.raises(Timeout):
        send(store, rows)
    with pytest.raises(ReshapeFailedLeadsError, match="failed in an earlier try"):
        send(store, rows)
