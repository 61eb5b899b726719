"""Salesforce's REST API over TLS, as its documentation shows it: OAuth login, queries in pages, errors.

It is reached as any name below ``my.salesforce.com`` through a proxy, itself: the hook only logs in at such a name.
"""

from __future__ import annotations

import base64
import json
import socketserver
import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.recipes.salesforce_org import Org, Refused

HOST = "acme.my.salesforce.com"
KEY, SECRET = "consumer-key", "consumer-secret"


@dataclass
class Salesforce:
    """A running stand-in.

    :param page: most records of an answer.
    :param failures: (status, code) to answer the next queries with, instead of running them; None runs one.
    :param asked: the paths of all queries, with their SOQL.
    :param meanwhile: happens once, after the next query.
    """

    org: Org
    ca: Path
    port: int = 0
    page: int = 2000
    failures: deque[tuple[int, str] | None] = field(default_factory=deque)
    asked: list[tuple[str, str]] = field(default_factory=list)
    meanwhile: Callable[[], None] | None = None
    logins: int = 0
    rest: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def token(self) -> str:
        """The session that is valid: the last one."""
        return f"00D!session-{self.logins}"

    def connection(self, **extra: Any) -> str:
        """It as an Airflow connection, in JSON."""
        proxies = {"https": f"http://127.0.0.1:{self.port}"}
        app = {"domain": "acme.my", "consumer_key": KEY, "consumer_secret": SECRET}
        return json.dumps({"conn_type": "salesforce", "extra": {"proxies": proxies, **app, **extra}})

    def log_in(self, authorization: str, form: dict[str, list[str]]) -> tuple[int, Any]:
        """Answer of the token endpoint."""
        expected = "Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
        if form.get("grant_type") != ["client_credentials"]:
            return 400, {"error": "unsupported_grant_type", "error_description": "grant type not supported"}
        if authorization != expected:
            return 400, {"error": "invalid_client", "error_description": "invalid client credentials"}
        self.logins += 1
        return 200, {
            "access_token": self.token,
            "signature": "c2lnbmF0dXJl",
            "token_format": "opaque",
            "instance_url": f"https://{HOST}",
            "id": "https://login.salesforce.com/id/00D000000000001EAA/005000000000001AAA",
            "token_type": "Bearer",
            "issued_at": "1700000000000",
        }

    def answer(self, path: str, soql: str, authorization: str) -> tuple[int, Any]:
        """Answer of the data API."""
        if authorization != f"Bearer {self.token}":
            return 401, _problem("INVALID_SESSION_ID", "Session expired or invalid")
        self.asked.append((path, soql))
        failure = self.failures.popleft() if self.failures else None
        if failure:
            return failure[0], _problem(failure[1], "refused for the test")
        base, _, resource = path.partition("/services/data/v59.0/")[2].partition("/")
        if base not in ("query", "queryAll"):
            return 404, _problem("NOT_FOUND", "The requested resource does not exist")
        if resource:
            return self._page(resource)
        try:
            found = self.org.run(soql, deleted=base == "queryAll")
        except Refused as refused:
            return 400, _problem(refused.code, str(refused))
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()
        locator = f"01g00000000000{len(self.asked):04d}"
        self.rest[locator] = found
        return self._page(f"{locator}-0")

    def _page(self, resource: str) -> tuple[int, Any]:
        locator, _, start = resource.partition("-")
        if locator not in self.rest:
            return 400, _problem("INVALID_QUERY_LOCATOR", "invalid query locator")
        found, end = self.rest[locator], int(start) + self.page
        page: dict[str, Any] = {"totalSize": len(found), "done": end >= len(found)}
        if not page["done"]:
            page["nextRecordsUrl"] = f"/services/data/v59.0/query/{locator}-{end}"
        return 200, {**page, "records": found[int(start) : end]}


def _problem(code: str, message: str) -> list[dict[str, str]]:
    return [{"message": message, "errorCode": code}]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    salesforce: Salesforce
    tls: ssl.SSLContext

    def do_CONNECT(self) -> None:  # the names that http.server calls
        self.send_response(200)
        self.end_headers()
        self.connection = self.tls.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb")
        self.wfile = socketserver._SocketWriter(self.connection)  # type: ignore[attr-defined]
        self.close_connection = False

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        soql = parse_qs(url.query).get("q", [""])[0]
        self._say(*self.salesforce.answer(url.path.rstrip("/"), soql, self.headers.get("Authorization", "")))

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self._say(*self.salesforce.log_in(self.headers.get("Authorization", ""), form))

    def _say(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json;charset=UTF-8")
        self.send_header("Sforce-Limit-Info", "api-usage=18/100000")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def running_salesforce(folder: Path) -> Iterator[Salesforce]:
    """Run an empty Salesforce for as long as the block lasts.

    :param folder: for its certificate.
    """
    salesforce = Salesforce(Org(), ca=folder / "salesforce.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(_certificate(salesforce.ca))
    handler = type("Handler", (_Handler,), {"salesforce": salesforce, "tls": tls})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        salesforce.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield salesforce
        finally:
            server.shutdown()
            thread.join(10)


def _certificate(path: Path) -> Path:
    """A certificate that is its own authority, and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Salesforce of the tests")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject_name=name, issuer_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("*.my.salesforce.com")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    path.touch(mode=0o600)
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path
