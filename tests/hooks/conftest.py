"""Airflow connections of the tests, given as a task finds them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings

from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.sandbox.testing import RunningSandbox

settings.register_profile("imports", deadline=None)  # the first example of a test may load a library
settings.load_profile("imports")

TOKEN = "token-of-the-tests"
SCRIPT_ID = "AB12CD34"

HookFor = Callable[..., ReshapeHook]


@pytest.fixture
def hook_for(monkeypatch: pytest.MonkeyPatch) -> HookFor:
    """A hook for a sandbox, a host or a whole connection; the connection stands in the environment."""

    def make(where: RunningSandbox | str, **extra: Any) -> ReshapeHook:
        connection: dict[str, Any] = {"conn_type": "reshape", "password": TOKEN}
        if isinstance(where, str):
            connection |= {"host": where}
        else:
            connection |= {"host": where.host, "port": where.port, "schema": where.schema, "password": where.token}
            extra = {"script_id": where.script_id, **extra}
        connection["extra"] = {"script_id": SCRIPT_ID, **extra}
        monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_TESTS", json.dumps(connection))
        return ReshapeHook("reshape_tests")

    return make
