"""A server that is not the bottleneck: nginx over TLS that says yes, at once or after a while."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from airflow_reshape.sandbox.certificates import write_certificates

ANSWER = json.dumps({"result": "ok", "detail": ["Received. This has been processed"]}, separators=(",", ":"))
ECHO_MODULE = Path("/usr/lib/nginx/modules/ngx_http_echo_module.so")
SECONDS_TO_START = 10.0
SETTINGS = """\
load_module {module};
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log {folder}/log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/json;
    keepalive_requests 1000000000;
    keepalive_timeout 3600;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
{servers}}}
"""
SERVER = """\
    server {{
        listen 127.0.0.1:{port} ssl backlog=2048;
        location / {{ {what} }}
        location @answer {{ return 200 '{answer}'; }}
    }}
"""
WHAT_INSTANT = "return 200 '{answer}';"
WHAT_LATER = "echo_read_request_body; echo_sleep {seconds}; echo_exec @answer;"


@dataclass(frozen=True)
class Nginx:
    """A running server.

    :param ports: by the milliseconds before the answer.
    """

    ca: Path
    ports: dict[int, int]
    version: str


def program() -> str:
    """Where nginx lies; Debian keeps servers in /usr/sbin, which is not on every PATH."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None or not ECHO_MODULE.exists():
        raise SystemExit("nginx or its echo module is missing: make bench installs both")
    return found


@contextlib.contextmanager
def nginx(latencies: Sequence[int]) -> Iterator[Nginx]:
    """Run nginx with one port for each latency, in milliseconds."""
    with tempfile.TemporaryDirectory(prefix="bench-nginx-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        files = write_certificates(folder, datetime.now(UTC))
        ports = dict(zip(latencies, _free_ports(len(latencies)), strict=True))
        settings = folder / "nginx.conf"
        settings.write_text(
            SETTINGS.format(
                module=ECHO_MODULE,
                folder=folder,
                certificate=files.certificate,
                key=files.key,
                servers="".join(_server(port, latency) for latency, port in ports.items()),
            )
        )
        command = [program(), "-p", str(folder), "-c", str(settings), "-e", str(folder / "log")]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        stack.callback(_stop, process)
        for port in ports.values():
            _wait_for(port, process)
        told = subprocess.run([program(), "-v"], capture_output=True, text=True, check=True).stderr
        yield Nginx(files.ca, ports, told.strip().rpartition("/")[2])


def _server(port: int, latency: int) -> str:
    what = WHAT_LATER.format(seconds=latency / 1000) if latency else WHAT_INSTANT.format(answer=ANSWER)
    return SERVER.format(port=port, what=what, answer=ANSWER)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.02)
    raise RuntimeError("nginx did not start; what it wrote stands above")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(SECONDS_TO_START)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
