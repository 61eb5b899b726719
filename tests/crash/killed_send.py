"""One try of a send, in a process of its own, to be killed or stopped."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow.providers.sqlite.hooks.sqlite import SqliteHook

from airflow_reshape.delivery.ledger.store import SenderIdentity
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.transfers.sql_stream import SqlStream
from tests.crash.state_file import StateFile


@dataclass(frozen=True)
class Try:
    """What a try needs to know.

    :param number: of the try, from 1.
    :param connections: Airflow connections, JSON by id.
    :param sql: query of the CRM, whose connection is ``crm``.
    :param plan: arguments of the send.
    :param state: file of the task's state store; without one there is none.
    :param folder: for ``outcome.json`` and ``log``.
    """

    number: int
    connections: dict[str, str]
    sql: str
    folder: Path
    plan: dict[str, Any] = field(default_factory=dict)
    state: Path | None = None

    @property
    def outcome(self) -> Path:
        return self.folder / "outcome.json"

    @property
    def log(self) -> Path:
        return self.folder / "log"


class TaskTimeout(BaseException):
    """Airflow's is none of ``Exception`` either."""


def run(one: Try) -> None:
    """Send, and write how it ended."""
    with one.log.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.update({f"AIRFLOW_CONN_{name.upper()}": value for name, value in one.connections.items()})
    identity = SenderIdentity("dag", "run", "task", -1, one.number)
    store: dict[str, Any] = {"state_store": StateFile(one.state)} if one.state else {}
    send = ReshapeHook().lead_send(SendPlan(event="lead_qualified", **one.plan), identity, **store)

    def on_term(*_: object) -> None:
        send.stop()  # what on_kill does

    def on_alarm(*_: object) -> None:
        raise TaskTimeout

    def in_a_finalizer(_: object) -> None:
        # Python drops what a signal handler raises there: the alarm rings once more.
        signal.setitimer(signal.ITIMER_REAL, 0.01)

    sys.unraisablehook = in_a_finalizer
    signal.signal(signal.SIGTERM, on_term)
    signal.signal(signal.SIGALRM, on_alarm)
    error, told = None, ""
    try:
        with SqlStream(SqliteHook("crm"), one.sql) as rows:
            send.run(rows)
    except BaseException as raised:  # noqa: BLE001  # told to the test
        error, told = type(raised).__name__, str(raised)
    one.outcome.write_text(json.dumps({"error": error, "told": told, "summary": send.summary()}))
    sys.exit(error is not None)
