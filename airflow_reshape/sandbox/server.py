"""The web server around a sandbox: binding, running, stopping."""

from __future__ import annotations

import importlib.util
import ipaddress
import socket
from pathlib import Path
from typing import Literal

import uvicorn

from airflow_reshape.sandbox.app import create_app, create_bench
from airflow_reshape.sandbox.bench import Bench
from airflow_reshape.sandbox.clock import Clock
from airflow_reshape.sandbox.settings import Settings

#: Seconds that a stopping server waits for requests in work; a hanging one is then cut off.
PATIENCE_AT_STOP = 1


def is_loopback(host: str) -> bool:
    """Whether every address of a host name belongs to this machine alone.

    :param host: a name or an address.
    :raises OSError: if the name is unknown.
    """
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return all(ipaddress.ip_address(str(address[4][0]).partition("%")[0]).is_loopback for address in found)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket, so that clients may connect from this moment on.

    :param host: name or address to listen on.
    :param port: TCP port, 0 for any free one.
    :raises OSError: if the address is taken, unknown or forbidden.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    # With the protocol left open, asyncio would not send small answers at once (Nagle): 40 ms each.
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def create_server(
    settings: Settings,
    *,
    clock: Clock | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
) -> tuple[uvicorn.Server, Bench]:
    """A web server that is not running yet, and the sandbox it serves. Make and run it on one thread.

    :param settings: how the sandbox is set up.
    :param clock: where the time comes from; the system's clocks by default.
    :param certificate: PEM file of a certificate chain; with it the server speaks TLS.
    :param key: PEM file of its private key.
    :raises airflow_reshape.sandbox.store.StoreError: if the database file cannot be used.
    """
    bench = create_bench(settings, lambda: server.server_state.connections, clock)
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(bench),
            http=_best_parser(),
            ws="none",
            lifespan="off",
            access_log=False,
            # In a test the loggers belong to somebody else.
            log_config=None,
            log_level="warning",
            # The client's own address finds its connection; a forwarded one would not.
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=60,
            timeout_graceful_shutdown=PATIENCE_AT_STOP,
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
    )
    return server, bench


def _best_parser() -> Literal["httptools", "h11"]:
    return "httptools" if importlib.util.find_spec("httptools") else "h11"
