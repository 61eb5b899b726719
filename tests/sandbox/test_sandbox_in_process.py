"""``running_sandbox``, and that the sandbox stands on its own."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_reshape.sandbox.schemas import Strictness
from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox

ROOT = Path(__file__).parents[2]


def test_it_tells_its_addresses(sandbox: RunningSandbox) -> None:
    assert sandbox.url == f"http://127.0.0.1:{sandbox.port}"
    assert sandbox.event_url() == f"{sandbox.url}/reshape/standard/event?id=SANDBOX1"
    assert sandbox.event_url("webhooks") == f"{sandbox.url}/webhooks/reshape/event?id=SANDBOX1"
    assert sandbox.event_url("webhooks", test=True) == f"{sandbox.url}/webhooks/reshape/event/test?id=SANDBOX1"
    with pytest.raises(ValueError, match="no test route"):
        sandbox.event_url("standard", test=True)


def test_it_is_gone_after_the_block() -> None:
    with running_sandbox() as sandbox:
        threads = {thread.name for thread in threading.enumerate()}
        assert "reshape-sandbox" in threads
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((sandbox.host, sandbox.port), timeout=5)


def test_it_is_gone_after_a_block_that_failed() -> None:
    with pytest.raises(KeyError), running_sandbox() as sandbox:
        raise KeyError
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((sandbox.host, sandbox.port), timeout=5)


def test_two_sandboxes_know_nothing_of_each_other(client_of: Any, lead: Any) -> None:
    with running_sandbox(token="one") as first, running_sandbox(token="two", script_id="AB12CD34") as second:
        assert client_of(first).send(lead()).status == 200
        assert client_of(second).send(lead()).status == 200
        assert client_of(second).send(lead(), token="one").status == 401
        assert (first.summary()["requests"], second.summary()["requests"]) == (1, 2)


def test_a_port_in_use_is_an_error_at_once(sandbox: RunningSandbox) -> None:
    with pytest.raises(OSError, match="in use"), running_sandbox(port=sandbox.port):
        pass


def test_the_reason_may_be_left_to_the_sender(client_of: Any, lead: Any) -> None:
    body = lead(name="lead_disqualified", value=0)
    with running_sandbox(strictness=Strictness(require_reason=False)) as lenient:
        assert client_of(lenient).send(body).status == 200
        schema = client_of(lenient).ask("GET", "/schemas").json["standard"]["lead_disqualified"]
        assert schema["properties"]["event"]["required"] == ["name", "value", "currency", "id"]


def test_impossible_faults_are_refused_before_they_are_sent(sandbox: RunningSandbox) -> None:
    with pytest.raises(ValidationError):
        sandbox.set_faults(latence=1)
    with pytest.raises(ValidationError):
        sandbox.set_faults({"statuses": {500: 0.9}, "reset_after": 0.9})


def test_clear_forgets_events_and_faults(client: Any, sandbox: RunningSandbox, lead: Any) -> None:
    client.send(lead())
    sandbox.set_faults(outage=500)
    sandbox.clear()
    assert sandbox.received() == []
    assert client.send(lead()).status == 200


def test_all_that_was_received_comes_even_if_it_is_long(client: Any, sandbox: RunningSandbox) -> None:
    connection = http.client.HTTPConnection(sandbox.host, sandbox.port, timeout=20)
    for _ in range(5_003):
        connection.request("POST", "/reshape/standard/event", b"{}")
        connection.getresponse().read()
    connection.close()
    sequence = [kept["seq"] for kept in sandbox.received()]
    assert len(sequence) == 5_003
    assert sequence == sorted(set(sequence))


def test_tls_with_a_certificate_that_is_checked(client_of: Any, lead: Any) -> None:
    with running_sandbox(tls=True) as sandbox:
        assert sandbox.url.startswith("https://127.0.0.1:")
        assert sandbox.ca_path is not None
        assert client_of(sandbox).send(lead()).status == 200
        assert sandbox.summary()["taken"] == 1

        for name in ("localhost", "127.0.0.1"):
            trust = ssl.create_default_context(cafile=str(sandbox.ca_path))
            with (
                socket.create_connection((sandbox.host, sandbox.port), timeout=20) as plain,
                trust.wrap_socket(plain, server_hostname=name) as stream,
            ):
                assert stream.version() == "TLSv1.3"
        stranger = http.client.HTTPSConnection(
            sandbox.host, sandbox.port, timeout=20, context=ssl.create_default_context()
        )
        with pytest.raises(ssl.SSLCertVerificationError):
            stranger.request("GET", "/health")
        stranger.close()
    assert not sandbox.ca_path.exists()


def test_it_imports_neither_airflow_nor_the_rest_of_the_package() -> None:
    program = (
        "import sys, airflow_reshape.sandbox.__main__, airflow_reshape.sandbox.testing\n"
        "rest = ('events', 'mapping', 'delivery', 'hooks', 'operators', 'transfers', 'decorators')\n"
        "foreign = {'airflow', 'aiohttp', *(f'airflow_reshape.{folder}' for folder in rest)}\n"
        "print(sorted(foreign & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
