"""``python -m airflow_reshape.sandbox`` as a user starts and stops it."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from airflow_reshape.sandbox.__main__ import cli, greeting
from airflow_reshape.sandbox.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def start() -> Iterator[Callable[..., tuple[subprocess.Popen[str], list[str], int]]]:
    """Starts the command on a free port and reads what it prints until it is ready."""
    running: list[subprocess.Popen[str]] = []

    def run(*options: str) -> tuple[subprocess.Popen[str], list[str], int]:
        command = [sys.executable, "-m", "airflow_reshape.sandbox", "--port", "0", *options]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        running.append(process)
        assert process.stdout is not None
        printed: list[str] = []
        for line in process.stdout:
            printed.append(line.rstrip())
            if "connections add" in line:
                break
        found = re.search(r"http://127\.0\.0\.1:(\d+)/$", "\n".join(printed), re.MULTILINE)
        assert found, printed
        return process, printed, int(found[1])

    yield run
    for process in running:
        process.kill()
        process.communicate()


def ask(port: int, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, json.dumps(body) if body else None, headers or {})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def test_it_starts_takes_events_and_ends_cleanly_on_sigterm(start: Any, tmp_path: Path) -> None:
    file = tmp_path / "received.db"
    process, printed, port = start(
        "--token", "t/ok?en", "--script-id", "AB12CD34", "--db", str(file), "--faults", '{"fail_first": 1}',
        "--no-require-reason",
    )  # fmt: skip
    assert "not the real service" in printed[0]
    assert f"'reshape://:t%2Fok%3Fen@127.0.0.1:{port}/http?script_id=AB12CD34'" in printed[-1]
    (path,) = [line.split()[1].partition(str(port))[2] for line in printed if line.startswith("  standard ")]
    headers = {"Content-Type": "application/json", "X-Dre-Access-Token": "t/ok?en"}
    body = {
        "event": {"name": "lead_disqualified", "value": 0, "currency": "EUR", "id": "a"},
        "user": {"id": "c"},
    }
    assert ask(port, "POST", path, body, headers)["result"] == "error"
    assert ask(port, "POST", path, body, headers)["result"] == "ok"
    assert ask(port, "GET", "/received/summary")["taken"] == 1

    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert rest.splitlines()[-1] == "received 2, taken 1"
    assert "Traceback" not in rest
    with sqlite3.connect(file) as kept:
        assert kept.execute("SELECT status, taken FROM received ORDER BY seq").fetchall() == [(503, 0), (200, 1)]
    kept.close()


def test_it_ends_cleanly_on_sigint_while_a_request_hangs(start: Any, until: Any) -> None:
    process, _, port = start("--faults", '{"hang_before": 1}')
    with socket.create_connection(("127.0.0.1", port), timeout=20) as stream:
        stream.sendall(
            b"POST /reshape/standard/event?id=SANDBOX1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
        )
        until(lambda: ask(port, "GET", "/received/summary")["in_work"] == 1)
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert rest.splitlines()[-1] == "received 1, taken 0"
    assert "Traceback" not in rest


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--host", "0.0.0.0"], "--allow-remote"),
        (["--host", "::"], "--allow-remote"),
        (["--host", "192.0.2.1"], "--allow-remote"),
        (["--host", "192.0.2.1", "--allow-remote"], "cannot listen on 192.0.2.1"),
        (["--script-id", "sandbox1"], "eight capital letters or digits"),
        (["--token", ""], "must be printable ASCII and not empty"),
        (["--faults", '{"latence": 1}'], "Invalid value for '--faults': latence: there is no such fault"),
        (["--faults", "{"], "Invalid value for '--faults': Invalid JSON: "),
        (["--faults", "@/nowhere/faults.json"], "cannot read"),
        (["--db", "/nowhere/received.db"], "cannot be used"),
    ],
)
def test_what_it_refuses(options: list[str], says: str) -> None:
    result = CliRunner().invoke(cli, ["--port", "0", *options], env={"COLUMNS": "400", "TERM": "dumb"})
    assert result.exit_code == 2
    assert says in result.output
    assert "Traceback" not in result.output


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        result = CliRunner().invoke(cli, ["--port", str(port)], env={"COLUMNS": "400", "TERM": "dumb"})
    assert result.exit_code == 2
    assert f"port {port}" in result.output


def test_faults_may_stand_in_a_file(start: Any, tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    file.write_text('[{"outage": 503}, {"latency": 0.5}]')
    _, _, port = start("--faults", f"@{file}")
    assert ask(port, "GET", "/control/faults") == [{"outage": 503}, {"latency": 0.5}]


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert "reshape://:sandbox-token@[::1]:8800/http?script_id=SANDBOX1" in greeting(Settings(), "::1", 8800)
