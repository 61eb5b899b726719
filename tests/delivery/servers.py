"""A server that does what a test says, request by request, on loopback: what no well-behaved server can show."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

OK = b'{"result":"ok","detail":["Received. This has been processed"]}'


@dataclass(frozen=True)
class Request:
    """One request as it came over the wire.

    :param at: when it came, as ``time.monotonic`` tells.
    :param in_flight: requests without an answer then, this one among them.
    """

    number: int
    attempt: int
    method: str
    target: str
    headers: dict[str, str]
    raw: bytes
    at: float
    in_flight: int

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.raw)
        return body

    @property
    def id(self) -> str:
        return str(self.body["event"]["id"])


@dataclass(frozen=True)
class Reply:
    """What is answered.

    :param before: seconds of waiting.
    :param wire: these bytes instead of an HTTP answer.
    :param end: what becomes of the connection: kept, closed in order, reset, or left hanging.
    """

    status: int = 200
    body: bytes = OK
    content_type: str | None = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    before: float = 0.0
    wire: bytes | None = None
    end: str = "keep"
    gate: threading.Event | None = None

    def encoded(self) -> bytes:
        if self.wire is not None:
            return self.wire
        headers = {"Content-Length": str(len(self.body)), **self.headers}
        if self.content_type:
            headers["Content-Type"] = self.content_type
        lines = [f"HTTP/1.1 {self.status} Something", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


RESET = Reply(wire=b"", end="reset")
CLOSED = Reply(wire=b"", end="close")
HANGS = Reply(wire=b"", end="hang")
GARBAGE = Reply(wire=b"\x00\x01garbage that is no HTTP\r\n\r\n", end="close")
HALF = Reply(wire=b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\nContent-Type: application/json\r\n\r\n{", end="close")

Script = Callable[[Request], Reply]


class ScriptedServer:
    """Runs in a thread of its own; counts what comes before it answers."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None, host: str) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.most_in_flight = 0
        self.script = script
        self._tls = tls
        self._in_flight = 0
        self._seen: dict[str, int] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family)
        self._socket.bind((host, 0))
        self.host, self.port = host, self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="scripted-server")

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    @property
    def ids(self) -> list[str]:
        return [request.id for request in self.requests]

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(20)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connection, sock=self._socket, ssl=self._tls)
        self._ready.set()
        await self._stop.wait()
        server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            with contextlib.suppress(Exception):
                writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        raw = await reader.readexactly(int(headers.get("content-length", "0")))
        key = raw.decode("utf-8", "replace")
        self._seen[key] = self._seen.get(key, 0) + 1
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        number, now = len(self.requests) + 1, time.monotonic()
        request = Request(number, self._seen[key], method, target, headers, raw, now, self._in_flight)
        self.requests.append(request)
        try:
            reply = self.script(request)
            if reply.before:
                await asyncio.sleep(reply.before)
            if reply.gate is not None:
                await asyncio.to_thread(reply.gate.wait, 20)
        finally:
            self._in_flight -= 1
        if reply.end == "reset":
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        writer.write(reply.encoded())
        await writer.drain()
        if reply.end == "hang":
            await self._stop.wait()
        return reply.end == "keep"


@contextmanager
def scripted(
    script: Script | Reply | None = None, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[ScriptedServer]:
    """Run a server for as long as the block lasts.

    :param script: what to answer to each request, or to all of them. Default: 200.
    """
    chosen: Script = script if callable(script) else (lambda _, reply=script or Reply(): reply)  # type: ignore[misc]
    server = ScriptedServer(chosen, tls, host)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def closed_port() -> Iterator[int]:
    """A port of 127.0.0.1 where nobody listens, kept so for as long as the block lasts."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        yield held.getsockname()[1]


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port that never completes a connection: its queue of waiting connections is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(("127.0.0.1", port))
        yield port


def server_tls(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
