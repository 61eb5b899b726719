"""An experiment that is not shipped: libcurl instead of aiohttp behind the engine's transport.

``python -m benchmarks.pycurl_transport`` measures both in one run: processor time of a bare POST, and of a whole send
from rows in memory to outcomes. Both take turns, and every other round the other way; nginx answers over TLS.
docs/decisions.md tells what came out.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import itertools
import json
import os
import ssl
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from unittest import mock

from airflow_reshape.delivery.hidden_token import TokenFinder
from airflow_reshape.delivery.transport import (
    CONNECT_SECONDS,
    LARGEST_ANSWER,
    AiohttpTransport,
    Answer,
    Destination,
    Transport,
    TransportFailure,
    TransportUnusable,
)
from benchmarks import leads
from benchmarks.contest import work_folder
from benchmarks.nginx import Nginx, nginx

try:
    pycurl: Any = importlib.import_module("pycurl")
    pycurl.AsyncCurlMulti  # noqa: B018  # libcurl on an asyncio loop
except (ImportError, AttributeError):
    sys.exit(
        "This experiment needs pycurl with AsyncCurlMulti (7.49 has it), and nothing else does: pip install pycurl"
    )

NOT_SENT = {
    pycurl.E_COULDNT_RESOLVE_PROXY: "proxy",
    pycurl.E_COULDNT_RESOLVE_HOST: "name",
    pycurl.E_SSL_CONNECT_ERROR: "tls",
    pycurl.E_PEER_FAILED_VERIFICATION: "certificate",
    pycurl.E_OPERATION_TIMEDOUT: "connect",
}
"""Kinds of failure by libcurl's code, as long as no request has begun."""


class _Exchange:
    """A reusable handle of libcurl, and what it hears during one request."""

    def __init__(self, destination: Destination) -> None:
        self.curl = pycurl.Curl()
        self.lines: list[bytes] = []
        self.content = bytearray()
        self.begun = False
        for option, value in _options(destination).items():
            self.curl.setopt(option, value)
        self.curl.setopt(pycurl.PREREQFUNCTION, self._begin)
        self.curl.setopt(pycurl.HEADERFUNCTION, self.lines.append)
        self.curl.setopt(pycurl.WRITEFUNCTION, self._write)

    def prepare(self, body: bytes) -> None:
        self.lines.clear()
        self.content.clear()
        self.begun = False
        self.curl.setopt(pycurl.POSTFIELDS, body)

    def _begin(self, *_addresses: object) -> int:
        # libcurl repeats a request by itself when a used connection breaks, although the server may have taken it.
        if self.begun:
            return int(pycurl.PREREQFUNC_ABORT)
        self.begun = True
        return int(pycurl.PREREQFUNC_OK)

    def _write(self, piece: bytes) -> int | None:
        self.content += piece
        return 0 if self.full else None  # taking less than was offered ends the transfer

    @property
    def full(self) -> bool:
        return len(self.content) >= LARGEST_ANSWER

    def headers(self) -> dict[bytes, str]:
        """Those of the last answer: interim ones such as 103 come before it."""
        found: dict[bytes, str] = {}
        for line in self.lines:
            if line.startswith(b"HTTP/"):
                found.clear()
            else:
                name, _, value = line.partition(b":")
                found[name.lower()] = value.strip().decode("latin-1")
        return found


class PycurlTransport:
    """One ``AsyncCurlMulti`` for one send; a :class:`~airflow_reshape.delivery.transport.Transport`.

    Never follows a redirect, never repeats a request by itself, speaks HTTP/1.1.

    :param destination: where to send.
    :param connections: most connections open at a time.
    """

    def __init__(self, destination: Destination, connections: int) -> None:
        self._destination = destination
        self._connections = connections
        self._multi: Any = None
        self._idle: list[_Exchange] = []

    async def __aenter__(self) -> Self:
        _check_ca_path(self._destination)
        self._multi = pycurl.AsyncCurlMulti()
        self._multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, self._connections)
        self._multi.setopt(pycurl.M_MAXCONNECTS, self._connections)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._multi is not None:
            await self._multi.aclose()
        for exchange in self._idle:
            exchange.curl.close()
        self._idle.clear()

    async def post(self, body: bytes) -> Answer:
        """See :meth:`airflow_reshape.delivery.transport.Transport.post`."""
        assert self._multi is not None, "open the transport first"
        exchange = self._idle.pop() if self._idle else _Exchange(self._destination)
        exchange.prepare(body)
        try:
            await self._multi.add_handle(exchange.curl)  # cancelled, it aborts the transfer; the handle is not reused
        except pycurl.error as error:
            self._idle.append(exchange)
            if not exchange.full:
                raise TransportFailure(self._kind(exchange, error.args[0])) from None  # its text may quote the request
            return self._answer(exchange)
        self._idle.append(exchange)
        return self._answer(exchange)

    def _kind(self, exchange: _Exchange, code: int) -> str:
        if exchange.begun:
            return "timeout" if code == pycurl.E_OPERATION_TIMEDOUT else "reset"
        return NOT_SENT.get(code, "proxy" if self._destination.proxy else "connect")

    def _answer(self, exchange: _Exchange) -> Answer:
        headers = exchange.headers()
        return Answer(
            status=exchange.curl.getinfo(pycurl.RESPONSE_CODE),
            content_type=headers.get(b"content-type", "").partition(";")[0].strip().lower(),
            retry_after=headers.get(b"retry-after"),
            location=headers.get(b"location"),
            text=self._without_token(bytes(exchange.content[:LARGEST_ANSWER]).decode("utf-8", "replace")),
        )

    def _without_token(self, text: str) -> str:
        token = self._destination.token
        return TokenFinder(token).hidden(text)


def _options(destination: Destination) -> dict[int, object]:
    return {
        pycurl.URL: destination.url,
        pycurl.POST: 1,
        pycurl.HTTP_VERSION: pycurl.CURL_HTTP_VERSION_1_1,
        pycurl.HTTPHEADER: [
            "Content-Type: application/json",
            f"X-Dre-Access-Token: {destination.token}",
            "Expect:",  # no question before the body
        ],
        # The headers above are not for a proxy that is asked for a tunnel.
        pycurl.HEADEROPT: pycurl.HEADER_SEPARATE,
        pycurl.PROXY: destination.proxy or "",  # empty: not the environment's either
        pycurl.NOPROXY: "",
        pycurl.FOLLOWLOCATION: 0,
        pycurl.NOSIGNAL: 1,
        pycurl.TIMEOUT_MS: round(destination.timeout * 1000),
        pycurl.CONNECTTIMEOUT_MS: round(min(CONNECT_SECONDS, destination.timeout * 0.8) * 1000),
        pycurl.SSL_VERIFYPEER: int(destination.verify),
        pycurl.SSL_VERIFYHOST: 2 * destination.verify,
        **_authorities(destination),
    }


def _authorities(destination: Destination) -> dict[int, object]:
    """The libcurl of the wheels looks for the system's where only Red Hat keeps them; Python knows better."""
    if destination.ca_path:
        return {pycurl.CAPATH if Path(destination.ca_path).is_dir() else pycurl.CAINFO: destination.ca_path}
    system = ssl.get_default_verify_paths()
    found = {pycurl.CAINFO: system.cafile, pycurl.CAPATH: system.capath}
    return {option: path for option, path in found.items() if path}


def _check_ca_path(destination: Destination) -> None:
    if not (destination.verify and destination.ca_path) or Path(destination.ca_path).is_dir():
        return
    try:
        ssl.create_default_context(cafile=destination.ca_path)
    except OSError as error:  # an SSLError is one; libcurl would say so at every request
        what = "holds no certificates in PEM" if isinstance(error, ssl.SSLError) else "cannot be read on this worker"
        raise TransportUnusable(f"extra 'ca_path': the file {what}") from None


# The measurement

TRANSPORTS: dict[str, Callable[[Destination, int], Transport]] = {
    "aiohttp": AiohttpTransport,
    "pycurl": PycurlTransport,
}
WARM_UP = 300
runs = itertools.count(1)


class Cost(NamedTuple):
    """What one event takes, in seconds."""

    elapsed: float
    processor: float


def connection(server: Nginx, latency: int) -> str:
    """The connection to one of the server's ports, as Airflow reads it from the environment."""
    extra = {"script_id": "AB12CD34", "ca_path": str(server.ca)}
    port = server.ports[latency]
    whole = {"conn_type": "reshape", "schema": "https", "host": "127.0.0.1", "port": port, "password": "of-the-bench"}
    return json.dumps({**whole, "extra": extra})


def post(transport: str, conn_id: str, count: int, window: int) -> Cost:
    """Ready bytes, a fixed number of workers: the limit of a transport."""
    from airflow_reshape.hooks.reshape import ReshapeHook

    destination = ReshapeHook(conn_id).settings.destination
    bodies = (json.dumps(leads.body(row)).encode() for row in leads.endless(f"bare{next(runs)}"))
    ready = iter(list(itertools.islice(bodies, count)))

    async def work(opened: Transport) -> None:
        for body in ready:
            answer = await opened.post(body)
            assert answer.status == 200, answer

    async def everything() -> None:
        async with TRANSPORTS[transport](destination, window) as opened, asyncio.TaskGroup() as workers:
            for _ in range(window):
                workers.create_task(work(opened))

    started, worked = time.perf_counter(), time.process_time()
    asyncio.run(everything())
    return Cost((time.perf_counter() - started) / count, (time.process_time() - worked) / count)


def send(transport: str, conn_id: str, count: int, window: int) -> Cost:
    """New leads, one e-mail and one phone each, as a task sends them."""
    from airflow_reshape.hooks import lead_send
    from airflow_reshape.hooks.reshape import ReshapeHook

    rows = list(itertools.islice(leads.endless(f"send{next(runs)}"), count))
    with mock.patch.object(lead_send, "AiohttpTransport", TRANSPORTS[transport]):
        started, worked = time.perf_counter(), time.process_time()
        summary = ReshapeHook(conn_id).send_events(rows, event=leads.EVENT, concurrency=window)
        cost = Cost((time.perf_counter() - started) / count, (time.process_time() - worked) / count)
    assert summary["delivered"] == count, summary
    return cost


def compare(
    measure: Callable[[str, str, int, int], Cost], conn_id: str, count: int, rounds: int, window: int
) -> dict[str, Cost]:
    """The median cost by transport."""
    costs: dict[str, list[Cost]] = {name: [] for name in TRANSPORTS}
    for name in TRANSPORTS:
        measure(name, conn_id, WARM_UP, window)
    for number in range(rounds):
        for name in list(TRANSPORTS)[:: 1 if number % 2 else -1]:
            costs[name].append(measure(name, conn_id, count, window))
    return {name: Cost(*map(statistics.median, zip(*of, strict=True))) for name, of in costs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leads", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--latency", type=int, nargs="+", default=[0, 50], help="milliseconds the server waits")
    asked = parser.parse_args()
    with nginx(asked.latency) as server, work_folder() as folder:
        os.environ |= {"AIRFLOW_HOME": str(folder / "airflow"), "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR"}
        os.environ |= {f"AIRFLOW_CONN_LATER{latency}": connection(server, latency) for latency in asked.latency}
        print(f"{pycurl.version}\n{asked.leads} leads, window {asked.window}, median of {asked.rounds}")
        print(f"{'latency':>8} {'what':>10} {'transport':>10} {'events/s':>9} {'CPU an event':>13} {'share':>6}")
        for latency, (what, measure) in itertools.product(asked.latency, {"bare POST": post, "send": send}.items()):
            medians = compare(measure, f"later{latency}", asked.leads, asked.rounds, asked.window)
            for name, cost in medians.items():
                print(
                    f"{latency:>5} ms {what:>10} {name:>10} {1 / cost.elapsed:>9.0f} {cost.processor * 1e6:>10.0f} µs "
                    f"{cost.processor / medians['aiohttp'].processor:>6.0%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
