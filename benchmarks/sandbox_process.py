"""The sandbox in a process of its own, as the server with limits."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator

from airflow_reshape.sandbox.settings import DEFAULT_SCRIPT_ID, DEFAULT_TOKEN
from airflow_reshape.sandbox.testing import RunningSandbox


@contextlib.contextmanager
def sandbox_process() -> Iterator[RunningSandbox]:
    """A sandbox that shares no interpreter with those who send."""
    command = [sys.executable, "-u", "-m", "airflow_reshape.sandbox", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ports = (re.search(r"received +http://[^:]+:(\d+)/", line) for line in process.stdout)
        port = int(next(found for found in ports if found)[1])
        yield RunningSandbox("127.0.0.1", port, DEFAULT_TOKEN, DEFAULT_SCRIPT_ID)
    finally:
        process.terminate()
        process.communicate()
