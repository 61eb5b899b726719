"""Operators executed without Airflow's database, against the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox
from tests.connections import reshape_connection


class TaskInstance:
    """Keeps what is pushed."""

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


@pytest.fixture(scope="session")
def running() -> Iterator[RunningSandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> RunningSandbox:
    """An empty sandbox, connected as ``reshape_default``."""
    running.clear()
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_DEFAULT", reshape_connection(running))
    return running


@pytest.fixture
def ti() -> TaskInstance:
    return TaskInstance()
