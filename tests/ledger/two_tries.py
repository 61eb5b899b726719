"""Two living tries of one task instance, as two processes; what the server received is counted.

``python -m tests.ledger.two_tries`` prints the figures for every database that is here.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, func, select

import tests.conftest  # noqa: F401  # Airflow's home lies below build/, also where this is no test
from airflow_reshape.delivery.ledger.tables import senders
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.connections import reshape_connection
from tests.ledger.living_try import CONCURRENCY, run

# A server that forks: a process of its own for each try without importing everything anew.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.ledger.living_try"])
SECONDS = 240.0
LOOK = 0.005  # seconds between two looks at the server
DRIVERS = {"postgres": "postgresql+psycopg", "mysql": "mysql+mysqldb"}


def two_living_tries(sandbox: RunningSandbox, ledger_connection: str, count: int) -> dict[str, Any]:
    """Start a try, start the next one while it sends at full speed, and let both end by themselves.

    The last tenth of the earlier try's leads comes when the later one has signed in, so that it is not through before.

    :param sandbox: empty; how slowly it answers is the caller's matter.
    :param ledger_connection: Airflow's connection of an empty ledger, as JSON.
    :returns: ``events``; ``taken_at_takeover``: by the server, when the later try was let go; ``lost``; ``repeated``;
        ``most_in_flight``: requests that a try may have in flight, the bound of ``repeated``; ``sent_again``: as the
        later try counts; and of the earlier and the later one ``delivered``, ``exit_codes``, ``errors`` and ``told``.
    """
    connections = {
        "AIRFLOW_CONN_RESHAPE_DEFAULT": reshape_connection(sandbox),
        "AIRFLOW_CONN_LEDGER": ledger_connection,
    }
    with ExitStack() as stack:
        earlier, later = (stack.enter_context(_Try(number, count, connections)) for number in (1, 2))
        for each in (earlier, later):
            assert each.hear() == "ready"
        earlier.tell("go")
        _until(earlier, lambda: sandbox.summary()["taken"] >= count // 10)
        taken_at_takeover = sandbox.summary()["taken"]
        later.tell("go", "the rest")
        _until(later, lambda: _signed_in(ledger_connection) == 2)
        earlier.tell("the rest")
        ended = [each.end() for each in (earlier, later)]
    received = Counter(event["id"] for event in sandbox.received(taken=True))
    return {
        "events": count,
        "taken_at_takeover": taken_at_takeover,
        "lost": count - len(received),
        "repeated": received.total() - len(received),
        "most_in_flight": CONCURRENCY,
        "sent_again": ended[1]["summary"]["sent_again"],
        "delivered": [each["summary"]["delivered"] for each in ended],
        "exit_codes": [each["exit_code"] for each in ended],
        "errors": [each["error"] for each in ended],
        "told": [each["told"] for each in ended],
    }


class _Try:
    """A process that sends; killed at the end if it still runs."""

    def __init__(self, number: int, count: int, environment: dict[str, str]) -> None:
        self._told, its = PROCESSES.Pipe()
        self.process = PROCESSES.Process(target=run, args=(number, count, environment, its), daemon=True)
        self.process.start()
        its.close()

    def __enter__(self) -> _Try:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.join(SECONDS)

    def hear(self) -> Any:
        assert self._told.poll(SECONDS), "a try says nothing"
        return self._told.recv()

    def tell(self, *lines: str) -> None:
        for line in lines:
            self._told.send(line)

    def end(self) -> dict[str, Any]:
        told = self.hear()
        self.process.join(SECONDS)
        return {**told, "exit_code": self.process.exitcode}


def _until(sending: _Try, reached: Callable[[], object]) -> None:
    while not reached():
        assert sending.process.exitcode is None, "the try ended too early"
        threading.Event().wait(LOOK)


def _signed_in(ledger_connection: str) -> int:
    made = json.loads(ledger_connection)
    if made["conn_type"] == "sqlite":
        url = f"sqlite:///{made['host']}"
    else:
        address = f"{made['login']}:{made['password']}@{made['host']}:{made['port']}/{made['schema']}"
        url = f"{DRIVERS[made['conn_type']]}://{address}"
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(senders)) or 0
    finally:
        engine.dispose()


def main() -> None:
    """Print a line of JSON for each database."""
    from airflow_reshape.sandbox.testing import running_sandbox
    from tests.databases import DatabaseUnavailableError, mariadb_server, postgres_server

    count = int(sys.argv[1]) if len(sys.argv) > 1 else 6_000
    with tempfile.TemporaryDirectory() as folder, running_sandbox() as sandbox:
        sqlite = json.dumps({"conn_type": "sqlite", "host": str(Path(folder) / "ledger.sqlite")})
        for name, server in (("sqlite", None), ("postgresql", postgres_server), ("mariadb", mariadb_server)):
            sandbox.clear()
            sandbox.set_faults(latency=0.005)
            try:
                with ExitStack() as stack:
                    made = stack.enter_context(server()).airflow_connection() if server else sqlite
                    figures = two_living_tries(sandbox, made, count)
            except DatabaseUnavailableError as error:
                figures = {"not here": str(error).partition("\n")[0]}
            sys.stdout.write(json.dumps({"database": name, **figures}) + "\n")


if __name__ == "__main__":
    main()
