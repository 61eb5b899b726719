"""How much of its speed a send keeps with a ledger: ``python -m benchmarks.ledger_throughput``.

The sandbox runs in a process of its own, PostgreSQL too, all on loopback. Sends without and with a ledger alternate,
each of leads that nobody sent before; the medians are compared. On a busy machine the processor time of the send's
own process tells more than the speed.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from airflow_reshape.sandbox.settings import DEFAULT_SCRIPT_ID, DEFAULT_TOKEN
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.databases import postgres_server

NO_LEDGER = "none"
WARM_UP = 500
numbers = itertools.count(1)


@contextlib.contextmanager
def sandbox_process() -> Iterator[RunningSandbox]:
    """A sandbox that shares no interpreter with the send."""
    command = [sys.executable, "-u", "-m", "airflow_reshape.sandbox", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ports = (re.search(r"received +http://[^:]+:(\d+)/", line) for line in process.stdout)
        port = int(next(found for found in ports if found)[1])
        running = RunningSandbox("127.0.0.1", port, DEFAULT_TOKEN, DEFAULT_SCRIPT_ID)
        running.clear()
        yield running
    finally:
        process.terminate()
        process.communicate()


class Cost(NamedTuple):
    """What one lead takes, in seconds."""

    elapsed: float
    processor: float


def send(ledger: str, count: int, concurrency: int) -> Cost:
    """Send new leads."""
    from airflow_reshape.hooks.reshape import ReshapeHook

    first = next(numbers) * 1_000_000
    rows = [
        {
            "lead_id": f"L-{n}",
            "email": f"person{n}@example.com",
            "phone": f"+4072{n % 10_000_000:07d}",
            "currency": "EUR",
            "value": n % 1000,
        }
        for n in range(first, first + count)
    ]
    options = {} if ledger == NO_LEDGER else {"ledger_conn_id": ledger}
    started, worked = time.perf_counter(), time.process_time()
    summary = ReshapeHook().send_events(rows, event="lead_qualified", concurrency=concurrency, **options)
    cost = Cost((time.perf_counter() - started) / count, (time.process_time() - worked) / count)
    assert summary["delivered"] == count, summary
    return cost


def compare(ledgers: list[str], count: int, rounds: int, concurrency: int) -> dict[str, Cost]:
    """The median cost of each; they take turns, and every other round the other way."""
    costs: dict[str, list[Cost]] = {ledger: [] for ledger in ledgers}
    for ledger in ledgers:
        send(ledger, WARM_UP, concurrency)
    for number in range(rounds):
        for ledger in ledgers if number % 2 else ledgers[::-1]:
            costs[ledger].append(send(ledger, count, concurrency))
    return {ledger: Cost(*map(statistics.median, zip(*of, strict=True))) for ledger, of in costs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leads", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--latency", type=float, nargs="+", default=[0.0, 0.01], help="seconds the sandbox waits")
    parser.add_argument("--ledgers", nargs="+", default=["postgresql", "sqlite"])
    asked = parser.parse_args()
    with contextlib.ExitStack() as stack:
        sandbox = stack.enter_context(sandbox_process())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        environment = {
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
            "AIRFLOW_CONN_RESHAPE_DEFAULT": json.dumps(
                {
                    "conn_type": "reshape",
                    "schema": "http",
                    "host": sandbox.host,
                    "port": sandbox.port,
                    "password": sandbox.token,
                    "extra": {"script_id": sandbox.script_id},
                }
            ),
            "AIRFLOW_CONN_SQLITE": json.dumps({"conn_type": "sqlite", "host": str(folder / "ledger.sqlite")}),
        }
        if "postgresql" in asked.ledgers:
            environment["AIRFLOW_CONN_POSTGRESQL"] = stack.enter_context(postgres_server()).airflow_connection()
        os.environ |= environment
        print(f"{asked.leads} leads, median of {asked.rounds}")
        print(f"{'latency':>8} {'at once':>8} {'ledger':>11} {'leads/s':>8} {'share':>6} {'CPU a lead':>11}")
        for latency, concurrency in itertools.product(asked.latency, asked.concurrency):
            sandbox.clear()
            sandbox.set_faults(latency=latency)
            medians = compare([NO_LEDGER, *asked.ledgers], asked.leads, asked.rounds, concurrency)
            for ledger, cost in medians.items():
                share = medians[NO_LEDGER].elapsed / cost.elapsed
                print(
                    f"{latency * 1000:>5.0f} ms {concurrency:>8} {ledger:>11} {1 / cost.elapsed:>8.0f} {share:>6.0%} "
                    f"{cost.processor * 1e6:>8.0f} µs",
                    flush=True,
                )


if __name__ == "__main__":
    main()
