"""A sandbox, and a store that outlives the tries of a task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_reshape.delivery.sender import Sender
from airflow_reshape.delivery.trouble import Trouble
from airflow_reshape.hooks import lead_send
from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox
from tests.checkpoint.stores import Store
from tests.connections import reshape_connection
from tests.delivery.leads import QUICK


@pytest.fixture(scope="module")
def running() -> Iterator[RunningSandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> RunningSandbox:
    """An empty sandbox as ``reshape_default``, for environment dev as ``reshape_dev``."""
    running.clear()
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_DEFAULT", reshape_connection(running))
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_DEV", reshape_connection(running, "dev"))
    return running


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage is given up after moments."""

    def quick(**options: Any) -> Sender:
        return Sender(**{**options, "retry": QUICK, "trouble": Trouble(max_outage=0.3)})

    monkeypatch.setattr(lead_send, "Sender", quick)
