"""A sandbox inside a test: a real server on a real port, in a thread of the same process."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlencode

import uvicorn

from airflow_reshape.sandbox.certificates import CertificateFiles, write_certificates
from airflow_reshape.sandbox.clock import Clock
from airflow_reshape.sandbox.faults import Faults
from airflow_reshape.sandbox.inspection import ROUTES
from airflow_reshape.sandbox.received_routes import LONGEST_LIST
from airflow_reshape.sandbox.schemas import Generation, Strictness
from airflow_reshape.sandbox.server import bind, create_server
from airflow_reshape.sandbox.settings import DEFAULT_SCRIPT_ID, DEFAULT_TOKEN, Settings

# Seconds; a machine under load starts a thread late, but not this late.
_LONGEST_START: Final = 30.0
_LONGEST_STOP: Final = 30.0


@dataclass(frozen=True)
class RunningSandbox:
    """A sandbox that answers.

    :param host: loopback address it listens on.
    :param port: its port.
    :param token: the access token it accepts.
    :param script_id: the script id it knows.
    :param ca_path: PEM file of the authority behind its certificate, None without TLS.
    """

    host: str
    port: int
    token: str
    script_id: str
    ca_path: Path | None = None

    @property
    def schema(self) -> Literal["http", "https"]:
        """``https`` with TLS, else ``http``."""
        return "https" if self.ca_path else "http"

    @property
    def url(self) -> str:
        """Scheme, host and port, without a slash at the end."""
        return f"{self.schema}://{self.host}:{self.port}"

    def event_url(self, generation: Generation = "standard", *, test: bool = False) -> str:
        """The address that takes events, script id included.

        :param generation: the API generation.
        :param test: the test route (``webhooks`` only).
        :raises ValueError: for a test route that does not exist.
        """
        for route in ROUTES:
            if (route.generation, route.test) == (generation, test):
                return f"{self.url}{route.path}?id={self.script_id}"
        raise ValueError(f"{generation} has no test route")

    def received(self, **filters: Any) -> list[dict[str, Any]]:
        """Every request that passes the filters, oldest first, with bodies.

        :param filters: ``name, id, valid, taken, duplicates, environment, search, after``, as ``/received``
            takes them; None does not filter.
        """
        found: list[dict[str, Any]] = []
        while True:
            page = self._call("GET", "/received", {**filters, "limit": LONGEST_LIST})["events"]
            found += page
            if len(page) < LONGEST_LIST:
                return found
            filters["after"] = page[-1]["seq"]

    def summary(self) -> dict[str, Any]:
        """The totals, as ``/received/summary`` gives them."""
        totals: dict[str, Any] = self._call("GET", "/received/summary")
        return totals

    def set_faults(self, *layers: Faults | Mapping[str, Any], **fields: Any) -> None:
        """Misbehave from now on, instead of any way it did before.

        :param layers: several layers of faults.
        :param fields: or one layer, by the fields of :class:`~airflow_reshape.sandbox.faults.Faults`.
        :raises pydantic.ValidationError: if something unknown or impossible is asked for.
        """
        plan = [Faults.model_validate(layer) for layer in (*layers, *([fields] if fields else []))]
        self._call("PUT", "/control/faults", body=[layer.model_dump(mode="json") for layer in plan])

    def clear_faults(self) -> None:
        """Behave from now on."""
        self._call("DELETE", "/control/faults")

    def clear(self) -> None:
        """Forget everything received and behave: as if just started."""
        self.clear_faults()
        self._call("DELETE", "/received")

    def _call(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        asked = {
            key: json.dumps(value) if isinstance(value, bool) else value
            for key, value in (query or {}).items()
            if value is not None
        }
        connection = self._connect()
        try:
            connection.request(
                method,
                f"{path}?{urlencode(asked)}",
                body=None if body is None else json.dumps(body),
                headers={"Content-Type": "application/json"},
            )
            answer = connection.getresponse()
            content = answer.read()
            if answer.status != 200:
                raise ValueError(f"the sandbox answered {answer.status}: {content.decode()}")
            return json.loads(content)
        finally:
            connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        if self.ca_path is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=60)
        trust = ssl.create_default_context(cafile=str(self.ca_path))
        return http.client.HTTPSConnection(self.host, self.port, timeout=60, context=trust)


@contextmanager
def running_sandbox(
    *,
    token: str = DEFAULT_TOKEN,
    script_id: str = DEFAULT_SCRIPT_ID,
    tls: bool = False,
    database: Path | None = None,
    strictness: Strictness | None = None,
    clock: Clock | None = None,
    port: int = 0,
) -> Iterator[RunningSandbox]:
    """Run a sandbox for as long as the block lasts.

    :param token: the access token it accepts.
    :param script_id: the script id it knows.
    :param tls: speak TLS with a throw-away certificate; ``ca_path`` is what to trust.
    :param database: a SQLite file for what is received; memory if None.
    :param strictness: what its schemas ask for beyond well-formed fields.
    :param clock: where its time comes from; the system's clocks by default.
    :param port: TCP port on 127.0.0.1, any free one by default.
    :raises OSError: if the port is taken.
    :raises airflow_reshape.sandbox.store.StoreError: if the database file cannot be used.
    """
    settings = Settings(token=token, script_id=script_id, database=database, strictness=strictness or Strictness())
    with tempfile.TemporaryDirectory(prefix="reshape-sandbox-") as directory:
        files = write_certificates(Path(directory), datetime.now(UTC)) if tls else None
        listener = bind("127.0.0.1", port)
        port = listener.getsockname()[1]
        thread = _Server(settings, clock, files, listener)
        try:
            thread.start()
            thread.wait_until_it_answers(port)
            yield RunningSandbox(
                host="127.0.0.1",
                port=port,
                token=token,
                script_id=script_id,
                ca_path=files.ca if files else None,
            )
        finally:
            thread.stop()


class _Server(threading.Thread):
    """The server's thread. The sandbox is made on it, because its database belongs to one thread."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock | None,
        files: CertificateFiles | None,
        listener: socket.socket,
    ) -> None:
        super().__init__(name="reshape-sandbox", daemon=True)
        self._settings, self._clock, self._files, self._listener = settings, clock, files, listener
        self._made = threading.Event()
        self._server: uvicorn.Server | None = None
        self._failure: BaseException | None = None

    def run(self) -> None:
        try:
            self._server, bench = create_server(
                self._settings,
                clock=self._clock,
                certificate=self._files.certificate if self._files else None,
                key=self._files.key if self._files else None,
            )
            self._made.set()
            try:
                self._server.run(sockets=[self._listener])
            finally:
                bench.store.close()
        except BaseException as error:  # noqa: BLE001 – raised again on the thread that waits
            self._failure = error
        finally:
            self._listener.close()
            self._made.set()

    def wait_until_it_answers(self, port: int) -> None:
        """Poll until the server runs and its socket takes connections."""
        self._made.wait(_LONGEST_START)
        deadline = time.monotonic() + _LONGEST_START
        while self._server is None or not self._server.started:
            if self._failure:
                raise self._failure
            if not self.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("the sandbox did not start")
            self.join(0.002)
        socket.create_connection(("127.0.0.1", port), timeout=_LONGEST_START).close()

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
        if self.is_alive():
            self.join(_LONGEST_STOP)
        self._listener.close()
        if self.is_alive():
            raise RuntimeError("the sandbox did not stop")
