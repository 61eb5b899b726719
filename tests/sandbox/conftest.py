"""A running sandbox and a plain HTTP client that hides nothing."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def detail(self) -> list[str]:
        assert self.json["result"] == "error"
        details: list[str] = self.json["detail"]
        return details


class Client:
    """One request per connection, so that a broken connection is seen as what it is."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self.sandbox = sandbox

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        if self.sandbox.ca_path:
            trust = ssl.create_default_context(cafile=str(self.sandbox.ca_path))
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self.sandbox.host, self.sandbox.port, timeout=20, context=trust
            )
        else:
            connection = http.client.HTTPConnection(self.sandbox.host, self.sandbox.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def send(
        self,
        body: object,
        path: str = "/reshape/standard/event",
        *,
        token: str | None = None,
        script_id: str | None = None,
        content_type: str | None = "application/json",
    ) -> Answer:
        """Send an event; ``body`` is JSON unless it is bytes. An empty token or script id is left out."""
        headers = {"Content-Type": content_type} if content_type else {}
        token = self.sandbox.token if token is None else token
        if token:
            headers["X-Dre-Access-Token"] = token
        script_id = self.sandbox.script_id if script_id is None else script_id
        query = f"?id={quote(script_id)}" if script_id else ""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", f"{path}{query}", raw, headers)


@pytest.fixture(scope="session")
def one_sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(one_sandbox: RunningSandbox) -> RunningSandbox:
    """A sandbox that has received nothing and behaves."""
    one_sandbox.clear()
    return one_sandbox


@pytest.fixture
def client(sandbox: RunningSandbox) -> Client:
    return Client(sandbox)


@pytest.fixture(scope="session")
def client_of() -> Callable[[RunningSandbox], Client]:
    return Client


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], object]], None]:
    """Waits for something the sandbox says about itself; fails if it never comes true."""

    def wait(holds: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.005)

    return wait


@pytest.fixture
def lead() -> Callable[..., dict[str, Any]]:
    """Bodies that are right in both generations."""

    def make(id_: str = "lead-1", name: str = "lead_qualified", **event: Any) -> dict[str, Any]:
        return {
            "event": {"name": name, "currency": "EUR", "id": id_, **event},
            "user": {"id": "customer-1", "email": "ana.ionescu@example.com"},
        }

    return make
