"""Folders for kept leads, and a sandbox to send them to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]

from airflow_reshape.delivery.failures.folder import Folder, LocalFolder, ObjectFolder
from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox


@pytest.fixture
def objects() -> Iterator[MemoryFileSystem]:
    """An object store: whole objects under any name, no folders."""
    files = MemoryFileSystem(skip_instance_cache=True)
    files.store, files.pseudo_dirs = {}, [""]
    yield files
    files.store, files.pseudo_dirs = {}, [""]


@pytest.fixture(params=["local", "objects"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """An empty folder of either kind."""
    if request.param == "local":
        return LocalFolder(tmp_path / "failures" / "AB12CD34_prod")
    return ObjectFolder(request.getfixturevalue("objects"), "/bucket/failures/AB12CD34_prod")


@pytest.fixture(scope="session")
def running() -> Iterator[RunningSandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: RunningSandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RunningSandbox:
    """An empty sandbox as ``reshape_default``, and a ledger as ``ledger``."""
    running.clear()
    made = {
        "conn_type": "reshape",
        "schema": "http",
        "host": running.host,
        "port": running.port,
        "password": running.token,
        "extra": {"script_id": running.script_id},
    }
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_DEFAULT", json.dumps(made))
    ledger = {"conn_type": "sqlite", "host": str(tmp_path / "ledger.sqlite")}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(ledger))
    return running
