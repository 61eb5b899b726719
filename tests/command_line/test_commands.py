"""``python -m airflow_reshape``, run as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def command(sandbox: RunningSandbox) -> Run:
    sandbox.clear()

    def run(*arguments: str, **connection: Any) -> subprocess.CompletedProcess[str]:
        made = {
            "conn_type": "reshape",
            "schema": "http",
            "host": sandbox.host,
            "port": sandbox.port,
            "password": sandbox.token,
            "extra": {"script_id": sandbox.script_id, "environment": "prod"},
            **connection,
        }
        return subprocess.run(
            [sys.executable, "-m", "airflow_reshape", *arguments],
            env={**os.environ, "AIRFLOW_CONN_RESHAPE_DEFAULT": json.dumps(made), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_check_tells_the_connection_and_sends_one_dev_event(command: Run, sandbox: RunningSandbox) -> None:
    done = command("check", "reshape_default")

    assert done.returncode == 0, done.stdout + done.stderr
    for shown in (sandbox.host, sandbox.script_id, "/reshape/standard/event", "prod", "Accepted"):
        assert shown in done.stdout
    assert sandbox.token not in done.stdout + done.stderr
    assert done.stdout.splitlines()[0].strip() == "Connection reshape_default"
    assert "leads read" not in done.stdout + done.stderr
    (event,) = sandbox.received()
    assert event["environment"] == "dev"
    assert event["valid"]


def test_check_tells_a_refused_token(command: Run, sandbox: RunningSandbox) -> None:
    done = command("check", "reshape_default", password="another-token")

    assert done.returncode == 1
    assert "the access token is refused" in done.stdout
    assert "another-token" not in done.stdout + done.stderr


def test_check_tells_a_connection_of_another_type(command: Run, sandbox: RunningSandbox) -> None:
    done = command("check", "reshape_default", conn_type="http")

    assert done.returncode == 1
    assert "its type is 'http', and must be 'reshape'" in done.stdout
    assert sandbox.received() == []


def test_check_tells_a_connection_that_is_not_there(command: Run) -> None:
    done = command("check", "nowhere")
    assert done.returncode == 1
    assert "there is no connection 'nowhere'" in done.stdout


def test_try_maps_a_row_and_sends_it_as_dev(command: Run, sandbox: RunningSandbox) -> None:
    row = {"lead_id": 7, "email": "Ana@Example.com", "phone": "0722 123 456", "currency": "EUR"}
    done = command(
        *("try", "reshape_default", "--event", "lead_qualified", "--default-region", "RO", "--row", json.dumps(row))
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("Sending, as a dev event:\n{")
    assert "leads read" not in done.stdout + done.stderr
    assert "+40722123456" in done.stdout
    (event,) = sandbox.received()
    assert event["environment"] == "dev"
    assert event["body"]["user"] == {"email": "ana@example.com", "phone": "+40722123456"}


def test_try_tells_what_reshape_said_of_a_refused_event(command: Run, sandbox: RunningSandbox) -> None:
    sandbox.set_faults(statuses={"422": 1.0})
    done = command("try", "reshape_default", "--event", "lead_qualified", "--row", '{"lead_id": 7, "currency": "EUR"}')
    sandbox.clear_faults()

    assert done.returncode == 1
    assert "rejected: 422 refused by the server: " in done.stdout


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ('{"lead_id": 7}', "event.currency: is required"),
        ('{"lead_id": 7, "emial": "x"}', "did you mean 'user.email'"),
        ("[1]", "must be a JSON object"),
        ("{", "must be JSON"),
    ],
)
def test_try_tells_what_is_wrong(command: Run, sandbox: RunningSandbox, row: str, told: str) -> None:
    done = command("try", "reshape_default", "--event", "lead_qualified", "--row", row)
    assert done.returncode != 0
    assert told in " ".join((done.stdout + done.stderr).split())
    assert sandbox.received() == []
