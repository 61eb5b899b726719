"""``make up``: Airflow's UI and the sandbox's page, left running, with connections, CRM and DAGs in place."""

from __future__ import annotations

import sys
import time

import requests
from rich.console import Console
from rich.text import Text

from demo import services, stack
from demo.airflow_api import AirflowApi
from demo.services import NotStartedError, Service

NAME = "up"
AIRFLOW_PORT = 8080
SANDBOX_PORT = 8800
DAG_IDS = ("crm_sql_lead_sync", "crm_api_lead_sync", "crm_xcom_lead_sync")


def main() -> int:
    """Start what does not run yet, and print the addresses.

    :returns: 0 if everything answers.
    """
    console = Console(highlight=False)
    services.end_on_signals()
    here = running_stack()
    if here is not None:
        _print_addresses(console, here)
        return 0
    services.stop(services.remembered(stack.pids_of(NAME)))  # what is left of it
    running: list[Service] = []
    try:
        started = time.monotonic()
        with console.status("Starting the sandbox and Airflow…"):
            here = _start(running)
        console.print(Text(f"Everything is up and healthy ({time.monotonic() - started:.0f} s)."))
    except (NotStartedError, RuntimeError, requests.RequestException) as error:
        services.ignore_signals()
        services.stop(running)
        console.print(Text(f"It could not be started: {error}", style="red"))
        return 1
    except KeyboardInterrupt:
        services.ignore_signals()
        services.stop(running)
        return 130
    _print_addresses(console, here)
    return 0


def running_stack() -> stack.Stack | None:
    """The stack that an earlier `make up` left running, if all of it still answers."""
    here = stack.saved(NAME)
    if here is None:
        return None
    parts = services.remembered(here.pids)
    if not parts or any(service.process() is None for service in parts):
        return None
    try:
        healthy = stack.is_sandbox_up(here) and AirflowApi(here.airflow_url).is_healthy(stack.HEALTH_PARTS)
    except requests.RequestException:
        return None
    return here if healthy else None


def _start(running: list[Service]) -> stack.Stack:
    here = stack.new_stack(NAME, AIRFLOW_PORT, SANDBOX_PORT)
    stack.make_crm_file(here)
    stack.bring_up(here, running, DAG_IDS, use_schedule=True, triggerer=True)
    stack.save(here)
    return here


def _print_addresses(console: Console, here: stack.Stack) -> None:
    home = (here.home / "airflow").relative_to(stack.ROOT)
    lines = (
        f"Airflow  {here.airflow_url}  (no login: whoever on this machine opens it is admin)",
        f"Sandbox  {here.sandbox_url}  (a stand-in of the DATA Reshape API, not the real one)",
        f"CRM      {here.crm_file.relative_to(stack.ROOT)}  (SQLite, connection {stack.CRM_CONN_ID})",
        "DAGs     dags/  (yours too: Airflow finds new files within moments)",
        f"Logs     {here.logs.relative_to(stack.ROOT)}/",
        "",
        "Once a DAG has sent something, ask the ledger, or run any airflow command, like this:",
        f"  AIRFLOW_HOME=$PWD/{home} .venv/bin/python -m airflow_reshape week --ledger-conn-id {stack.LEDGER_CONN_ID}",
        "",
        f"Trigger {DAG_IDS[0]} with max_rejected 0.05 and watch the sandbox's page;",
        "with its default, 0, the CRM's broken leads turn the run red. End it all with: make down",
    )
    for line in lines:
        console.print(Text(line), soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
