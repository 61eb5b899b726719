"""A sandbox, and a store that outlives the tries of a task."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox
from tests.checkpoint.stores import Store
from tests.connections import reshape_connection


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
