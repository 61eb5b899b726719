"""A try of a task in a process of its own, that nobody watches."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any

from airflow_reshape.exceptions import ReshapeError
from tests.ledger.leads import leads
from tests.ledger.task import send_as

CONCURRENCY = 16


def source(count: int, told: Connection) -> Iterator[dict[str, Any]]:
    """Leads, of which the last tenth comes when it is told."""
    rows = leads(0, count)
    yield from rows[: count - count // 10]
    told.recv()
    yield from rows[count - count // 10 :]


def run(number: int, count: int, environment: dict[str, str], told: Connection) -> None:
    """Say that all is imported, wait to be told, send, and tell how it ended; the process ends as a task's does."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.environ.update(environment)
    told.send("ready")
    told.recv()
    error, text = None, ""
    try:
        summary = send_as("run", number, source(count, told), concurrency=CONCURRENCY)
    except ReshapeError as raised:
        error, text, summary = type(raised).__name__, str(raised), raised.summary
    told.send({"error": error, "told": text, "summary": summary})
    sys.exit(error is not None)
