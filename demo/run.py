"""``make demo``: a messy CRM, a real Airflow, a stand-in of the API, and a check of every single event."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests
from rich.console import Console
from rich.text import Text

from demo import report, services, stack
from demo.compare import differences
from demo.crm import Crm
from demo.sending import DAG_ID, POLICY, send_leads
from demo.services import NotStartedError, Service
from demo.truth import expected

NAME = "demo"
MOST_SHOWN = 20


def main() -> int:
    """Run the demo.

    :returns: 0 if CRM, package and sandbox agree on every event; 1 if not; 2 if it could not be tried.
    """
    console = Console(highlight=False)
    services.end_on_signals()
    running: list[Service] = []
    try:
        services.stop(services.remembered(stack.pids_of(NAME)))  # after a kill -9, say
        here = stack.new_stack(NAME)
        return _demo(console, here, running)
    except (NotStartedError, RuntimeError, requests.RequestException) as error:
        console.print(Text(f"The demo could not run: {error}", style="red"))
        console.print(Text(f"Logs: {stack.BUILD / NAME / 'logs'}"))
        return 2
    except KeyboardInterrupt:
        console.print("Interrupted.")
        return 130
    finally:
        services.ignore_signals()
        services.stop(running)


def _demo(console: Console, here: stack.Stack, running: list[Service]) -> int:
    console.print(Text(f"Logs of everything that runs: {here.logs.relative_to(stack.ROOT)}/"))
    with _step(console, "Made a CRM"):
        crm = stack.make_crm_file(here)
        rows = expected(crm, POLICY)
    with _step(console, "Started the sandbox and Airflow"):
        api = stack.bring_up(here, running, [DAG_ID], use_schedule=False, triggerer=False)
    with _step(console, f"Ran {DAG_ID} in Airflow"):
        summary = send_leads(api, here, running, rows).summary
    received = _received(here)

    console.print()
    console.print(Text(f"{len(crm.leads):,} leads, {len(rows):,} stages entered, read by {DAG_ID}."))
    report.show(console, crm, rows, received, summary)
    return _verdict(console, crm, differences(rows, received, summary), len(received))


@contextmanager
def _step(console: Console, what: str) -> Iterator[None]:
    started = time.monotonic()
    with console.status(f"{what}…"):
        yield
    console.print(Text(f"{what} ({time.monotonic() - started:.0f} s)"))


def _received(here: stack.Stack) -> list[dict[str, Any]]:
    page, received = 1000, list[dict[str, Any]]()
    while True:
        answer = requests.get(
            f"{here.sandbox_url}/received", params={"limit": page, "offset": len(received)}, timeout=30
        )
        answer.raise_for_status()
        events = answer.json()["events"]
        received += events
        if len(events) < page:
            return received


def _verdict(console: Console, crm: Crm, found: list[str], requests_made: int) -> int:
    if not found:
        console.print(
            Text(
                f"CRM, package and sandbox agree on every row of {len(crm.leads):,} leads "
                f"and on every field of {requests_made:,} events.",
                style="bold green",
            )
        )
        return 0
    console.print(Text(f"CRM, package and sandbox differ in {len(found)} points:", style="bold red"))
    for difference in found[:MOST_SHOWN]:
        console.print(Text(f"  {difference}"))
    if len(found) > MOST_SHOWN:
        console.print(f"  and {len(found) - MOST_SHOWN} more")
    return 1


if __name__ == "__main__":
    sys.exit(main())
