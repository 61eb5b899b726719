"""The ledger's server is restarted in the middle of a send: the send goes on, and nothing is repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from signal import SIGINT, SIGKILL, SIGQUIT, SIGTERM, Signals
from typing import Any

import pytest

from airflow_reshape.sandbox.testing import RunningSandbox
from tests.connections import reshape_connection
from tests.databases import DatabaseServer, mariadb_server, postgres_server
from tests.ledger.leads import leads
from tests.ledger.restarts import restarting
from tests.ledger.task import send_as

COUNT = 3_000
RESTARTS_AT = (800, 1_900)
MARIADB = (pytest.mark.mysql, pytest.mark.hostile)
durable_mariadb = partial(mariadb_server, durable=True)


@pytest.mark.parametrize(
    ("new_server", "by"),
    [
        pytest.param(postgres_server, SIGINT, id="postgresql, in order"),
        pytest.param(postgres_server, SIGQUIT, id="postgresql, crashed"),
        pytest.param(durable_mariadb, SIGTERM, id="mariadb, in order", marks=MARIADB),
        pytest.param(durable_mariadb, SIGKILL, id="mariadb, crashed", marks=MARIADB),
    ],
)
def test_a_send_goes_on_when_its_ledgers_server_was_restarted(
    running: RunningSandbox,
    monkeypatch: pytest.MonkeyPatch,
    new_server: Callable[[], AbstractContextManager[DatabaseServer]],
    by: Signals,
) -> None:
    # A busy machine may start a server slowly; what is tried here is not for how long the send waits.
    monkeypatch.setattr("airflow_reshape.delivery.ledger.databases.SECONDS_TO_REPEAT", 45.0)
    running.clear()
    running.set_faults(latency=0.005)
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_DEFAULT", reshape_connection(running))
    with new_server() as server, restarting(server) as restarts:
        monkeypatch.setenv("AIRFLOW_CONN_LEDGER", server.airflow_connection())

        def source() -> Iterator[dict[str, Any]]:
            for number, lead in enumerate(leads(0, COUNT)):
                if number in RESTARTS_AT:
                    restarts.restart(by)
                yield lead

        summary = send_as("run", 1, source())
        assert (summary["delivered"], summary["unsent"], summary["sent_again"]) == (COUNT, 0, 0)
        received = running.summary()
        assert (received["distinct_taken"], received["duplicates"]) == (COUNT, 0)
        assert send_as("run", 2, leads(0, COUNT))["skipped_by"] == {"already_sent": COUNT}
