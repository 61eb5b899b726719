"""A sandbox as ``reshape_default``, and a collector of lineage as Airflow has it where somebody reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox
from tests.airflow_versions import collected_lineage
from tests.connections import reshape_connection


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
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    """What gives the collector of lineage; it is empty at first."""
    with collected_lineage(monkeypatch) as current:
        yield current
