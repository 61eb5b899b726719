"""A database server that ends, and comes again with the same data on the same port."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from signal import Signals
from typing import Any

from tests.databases import SECONDS_TO_STOP, DatabaseServer, _as_server_account


class Restarts:
    """Restarts of one server.

    :param server: it must belong to the test alone.
    """

    def __init__(self, server: DatabaseServer) -> None:
        self._process = server.process
        self._command: Any = server.process.args
        self._cwd = Path(f"/proc/{server.process.pid}/cwd").resolve()

    def restart(self, by: Signals) -> None:
        """End it by a signal, and start it again; it is not waited for."""
        self._process.send_signal(by)
        self._process.wait(SECONDS_TO_STOP)
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        account: dict[str, Any] = {**quiet, **_as_server_account(self._cwd)}
        self._process = subprocess.Popen(self._command, start_new_session=True, **account)

    def end(self) -> None:
        self._process.kill()
        self._process.wait(SECONDS_TO_STOP)


@contextmanager
def restarting(server: DatabaseServer) -> Iterator[Restarts]:
    """For as long as the block lasts; the server is gone then."""
    restarts = Restarts(server)
    try:
        yield restarts
    finally:
        restarts.end()
