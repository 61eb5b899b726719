"""An HTTP server that only writes down what it receives, and sending one row to it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from airflow_reshape.exceptions import ReshapeFailedLeadsError
from airflow_reshape.hooks.reshape import ReshapeHook
from tests.delivery.servers import ScriptedServer, scripted

LEAD = {"lead_id": "L-1", "currency": "EUR"}


class Sent(NamedTuple):
    """What became of one row.

    :param body: what the server received; None if it received nothing.
    :param summary: of the send.
    """

    body: dict[str, Any] | None
    summary: dict[str, Any]

    def at(self, path: str) -> Any:
        """The value under a dotted path of the body; None where there is none."""
        value: Any = self.body
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return value

    @property
    def counted(self) -> set[str]:
        """The fields that the send says were left out or cut."""
        return {*self.summary["sent_without"], *self.summary["cleaned"]}


Send = Callable[..., Sent]


class ReportingHook(ReshapeHook):
    """Its report goes to a logger that a test can read."""

    @property
    def log(self) -> Any:
        return logging.getLogger("tests.values")


@pytest.fixture(scope="session")
def receiver() -> Iterator[ScriptedServer]:
    with scripted() as server:
        yield server


@pytest.fixture
def hook(receiver: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> ReshapeHook:
    receiver.requests.clear()
    connection = {"conn_type": "reshape", "host": receiver.url, "password": "t0ken-of-values"}
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_VALUES", json.dumps({**connection, "extra": {"script_id": "AB12CD34"}}))
    return ReportingHook("reshape_values")


@pytest.fixture
def send(hook: ReshapeHook, receiver: ScriptedServer) -> Send:
    """Sends one row as lead_qualified, with phones read in Romania unless the row says otherwise."""

    def send(row: dict[str, Any], **arguments: Any) -> Sent:
        options = {"event": "lead_qualified", "default_region": "RO", "max_rejected": 1, **arguments}
        try:
            summary = hook.send_events([{**LEAD, **row}], **options)
        except ReshapeFailedLeadsError as error:
            summary = error.summary or {}
        assert summary["read"] == sum(
            summary[kind] for kind in ("delivered", "rejected", "invalid", "skipped", "unsent")
        )
        bodies = [request.body for request in receiver.requests]
        assert len(bodies) == summary["delivered"] <= 1
        return Sent(bodies[0] if bodies else None, summary)

    return send
