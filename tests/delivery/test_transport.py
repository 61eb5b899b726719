"""One POST over real sockets: TLS, proxies, time limits, and every way to lose an answer."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from airflow_reshape.delivery.halt import Stop
from airflow_reshape.delivery.transport import (
    LARGEST_ANSWER,
    LONGEST_HEADER,
    AiohttpTransport,
    Answer,
    Destination,
    TransportFailure,
    TransportUnusable,
    _about,
)
from airflow_reshape.delivery.trouble import Trouble
from airflow_reshape.sandbox.certificates import CertificateFiles, write_certificates
from airflow_reshape.sandbox.testing import running_sandbox
from tests.delivery.leads import TOKEN, destination, leads, send
from tests.delivery.servers import (
    CLOSED,
    GARBAGE,
    HALF,
    HANGS,
    RESET,
    Reply,
    closed_port,
    deaf_port,
    scripted,
    server_tls,
)

pytestmark = pytest.mark.timeout(30)


def post(where: Destination, body: bytes = b'{"event":{"id":"e1"}}') -> Answer:
    async def one() -> Answer:
        async with AiohttpTransport(where, 1) as transport:
            return await transport.post(body)

    return asyncio.run(one())


def failure(where: Destination) -> TransportFailure:
    with pytest.raises(TransportFailure) as caught:
        post(where)
    assert caught.value.__cause__ is None
    assert TOKEN not in str(caught.value)
    return caught.value


def test_an_answer_is_handed_over_as_it_came() -> None:
    headers = {"Retry-After": "7", "Location": "https://elsewhere.example.com/"}
    with scripted(Reply(503, b"not \xff now", "text/plain; charset=utf-8", headers)) as server:
        answer = post(destination(server.url))
    assert answer == Answer(503, "text/plain", "7", "https://elsewhere.example.com/", "not � now")


def test_a_missing_content_type_is_empty() -> None:
    with scripted(Reply(204, b"", None)) as server:
        assert post(destination(server.url)) == Answer(204)


def test_a_huge_answer_is_not_read_to_its_end() -> None:
    with scripted(Reply(200, b"x" * (LARGEST_ANSWER * 20), "text/plain")) as server:
        assert len(post(destination(server.url)).text) == LARGEST_ANSWER


@pytest.mark.parametrize("reply", [RESET, CLOSED, GARBAGE, HALF], ids=["reset", "closed", "garbage", "half"])
def test_a_lost_answer_may_have_been_sent(reply: Reply) -> None:
    with scripted(reply) as server:
        lost = failure(destination(server.url))
    assert (lost.kind, lost.sent) == ("reset", True)


@pytest.mark.parametrize("length", [9_000, LONGEST_HEADER - 1_000])
def test_long_headers_are_read(length: int) -> None:
    with scripted(Reply(headers={"Set-Cookie": "x" * length, "X-Policy": "y" * length})) as server:
        assert post(destination(server.url)).status == 200


def test_headers_that_are_too_long_are_named_and_the_event_is_in_doubt() -> None:
    with scripted(Reply(headers={"Set-Cookie": "x" * (LONGEST_HEADER + 1_000)})) as server:
        lost = failure(destination(server.url))
        assert (lost.kind, lost.sent) == ("headers", True)
        sent = send(server.url, leads(1), trouble=Trouble(max_outage=0.5))
    assert sent.result.halt is not None
    assert "the answer's headers are longer than 64 KB" in sent.result.halt.why
    assert (sent.counts, sent.tally.in_doubt) == ({"unsent": 1}, 1)


def test_one_answer_with_too_long_headers_costs_no_lead() -> None:
    too_long = Reply(headers={"Set-Cookie": "x" * (LONGEST_HEADER + 1_000)})
    with scripted(lambda request: too_long if request.number == 5 else Reply()) as server:
        assert send(server.url, leads(20), concurrency=2).counts == {"delivered": 20}
        assert len(server.requests) == 21


def test_an_answer_that_never_comes() -> None:
    with scripted(HANGS) as server:
        lost = failure(destination(server.url, timeout=0.5))
        assert len(server.requests) == 1
    assert (lost.kind, lost.sent) == ("timeout", True)


def test_an_answer_whose_end_never_comes() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    with scripted(Reply(wire=head, end="hang")) as server:
        assert failure(destination(server.url, timeout=0.5)).kind == "timeout"


def test_a_refused_connection_sent_nothing() -> None:
    with closed_port() as port:
        lost = failure(destination(f"http://127.0.0.1:{port}"))
    assert (lost.kind, lost.sent) == ("connect", False)


def test_a_connection_that_is_never_made_sent_nothing() -> None:
    with deaf_port() as port:
        lost = failure(destination(f"http://127.0.0.1:{port}", timeout=0.6))
    assert (lost.kind, lost.sent) == ("connect", False)


def test_a_host_that_does_not_exist() -> None:
    lost = failure(destination("http://reshape.invalid"))
    assert (lost.kind, lost.sent) == ("name", False)


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateFiles:
    return write_certificates(tmp_path_factory.mktemp("tls"), datetime.now(UTC))


def test_a_certificate_that_is_not_trusted_stops_the_send(certificates: CertificateFiles) -> None:
    with scripted(tls=server_tls(certificates.certificate, certificates.key)) as server:
        sent = send(server.url, leads(20))
    assert server.requests == []
    assert sent.result.halt is not None
    assert sent.result.halt.stop is Stop.CONFIGURATION
    assert "ca_path" in sent.result.halt.why
    assert sent.counts == {"unsent": sent.tally.read}
    assert sent.tally.in_doubt == 0


def test_ca_path_makes_it_trusted(certificates: CertificateFiles) -> None:
    with scripted(tls=server_tls(certificates.certificate, certificates.key)) as server:
        sent = send(destination(server.url, ca_path=str(certificates.ca)), leads(20))
    assert sent.counts == {"delivered": 20}
    assert len(server.requests) == 20


def test_a_name_that_the_certificate_does_not_hold_is_not_trusted(certificates: CertificateFiles) -> None:
    with scripted(tls=server_tls(certificates.certificate, certificates.key), host="127.0.0.2") as server:
        assert failure(destination(server.url, ca_path=str(certificates.ca))).kind == "certificate"
    assert server.requests == []


def test_verify_false_takes_any_certificate(certificates: CertificateFiles) -> None:
    with scripted(tls=server_tls(certificates.certificate, certificates.key)) as server:
        assert post(destination(server.url, verify=False)).status == 200


@pytest.mark.parametrize("what", ["missing", "no certificate", "folder"])
def test_a_ca_path_that_cannot_be_used_is_told_before_anything_is_read(what: str, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if what == "no certificate":
        path.write_text("this is no PEM")
    rows = iter(leads(3))
    with scripted() as server:
        where = destination(server.url, ca_path=str(tmp_path if what == "folder" else path))
        if what == "folder":  # OpenSSL reads folders when it needs them
            send(where, rows)
        else:
            with pytest.raises(TransportUnusable, match="ca_path"):
                send(where, rows)
            assert len(list(rows)) == 3
            assert server.requests == []


def test_https_to_a_server_that_speaks_plain_http() -> None:
    with running_sandbox() as sandbox:
        lost = failure(destination(sandbox.url.replace("http:", "https:")))
    assert (lost.kind, lost.sent) == ("tls", False)


def test_a_tls_handshake_that_is_cut_off_sent_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def slam() -> None:
            with contextlib.suppress(OSError):
                while True:
                    listener.accept()[0].close()

        threading.Thread(target=slam, daemon=True).start()
        lost = failure(destination(f"https://127.0.0.1:{listener.getsockname()[1]}"))
    assert (lost.kind, lost.sent) in {("connect", False), ("tls", False)}


# Proxies


class Proxy:
    """A tiny HTTP proxy: tunnels after CONNECT, forwards plain requests."""

    def __init__(self, listener: socket.socket, refuses: int | None) -> None:
        self.heads: list[str] = []
        self.port = listener.getsockname()[1]
        self._listener = listener
        self._refuses = refuses

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                data += client.recv(65536)
            head, _, rest = data.partition(b"\r\n\r\n")
            self.heads.append(head.decode())
            method, target, _ = head.decode().split("\r\n")[0].split(" ")
            if self._refuses is not None:
                client.sendall(f"HTTP/1.1 {self._refuses} Something\r\nContent-Length: 0\r\n\r\n".encode())
                return
            authority = target if method == "CONNECT" else target.split("/")[2]
            host, _, port = authority.partition(":")
            with socket.create_connection((host, int(port))) as server:
                if method == "CONNECT":
                    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                else:
                    server.sendall(head + b"\r\n\r\n" + rest)
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def proxy(refuses: int | None = None) -> Iterator[Proxy]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = Proxy(listener, refuses)
        threading.Thread(target=running.serve, daemon=True).start()
        yield running


def test_https_goes_through_a_tunnel_that_does_not_see_the_token(certificates: CertificateFiles) -> None:
    with scripted(tls=server_tls(certificates.certificate, certificates.key)) as server, proxy() as through:
        url = through.url.replace("http://", "http://user:secret@")
        sent = send(destination(server.url, ca_path=str(certificates.ca), proxy=url), leads(10), concurrency=2)
    assert sent.counts == {"delivered": 10}
    assert len(server.requests) == 10
    assert 1 <= len(through.heads) <= 2
    for head in through.heads:
        assert head.startswith(f"CONNECT 127.0.0.1:{server.port} ")
        assert f"Basic {base64.b64encode(b'user:secret').decode()}" in head
        assert TOKEN not in head
    assert all("proxy-authorization" not in request.headers for request in server.requests)


def test_plain_http_is_forwarded() -> None:
    with scripted() as server, proxy() as through:
        sent = send(destination(server.url, proxy=through.url), leads(3), concurrency=1)
    assert sent.counts == {"delivered": 3}
    assert through.heads[0].startswith(f"POST {server.url}/reshape/standard/event?id=")


def test_a_proxy_that_is_not_there() -> None:
    with scripted() as server, closed_port() as port:
        lost = failure(destination(server.url, proxy=f"http://127.0.0.1:{port}"))
        assert (lost.kind, lost.sent) == ("proxy", False)
        assert server.connections == 0


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (407, "proxy login"),
        *((status, "proxy refusal") for status in (201, 302, 400, 401, 403, 404, 405, 451)),
        *((status, "proxy") for status in (408, 425, 429, 500, 502, 503, 504)),
    ],
)
def test_a_proxy_that_refuses_the_tunnel(certificates: CertificateFiles, status: int, kind: str) -> None:
    with scripted(tls=server_tls(certificates.certificate, certificates.key)) as server, proxy(status) as through:
        lost = failure(destination(server.url, proxy=through.url.replace("//", "//user:secret@")))
        assert (lost.kind, lost.sent) == (kind, False)
        assert lost.about == f"127.0.0.1:{through.port} answered {status}"
        assert server.connections == 0


@pytest.mark.parametrize(
    ("status", "stop", "told"),
    [
        (407, Stop.CONFIGURATION, "the proxy wants a login: correct extra 'proxies'"),
        (403, Stop.CONFIGURATION, "the proxy refuses to connect to the host"),
        (405, Stop.CONFIGURATION, "the proxy refuses to connect to the host"),
        (502, Stop.OUTAGE, "no connection through the proxy"),
    ],
)
def test_what_a_proxy_says_to_connect_decides_whether_to_wait(
    certificates: CertificateFiles, status: int, stop: Stop, told: str
) -> None:
    with scripted(tls=server_tls(certificates.certificate, certificates.key)) as server, proxy(status) as through:
        where = destination(server.url, proxy=through.url.replace("//", "//user:secret@"))
        sent = send(where, leads(20), concurrency=4, trouble=Trouble(0.5 if stop is Stop.OUTAGE else 3_600))
    halt = sent.result.halt
    assert halt is not None
    assert halt.stop is stop
    assert told in halt.why
    assert f"(127.0.0.1:{through.port} answered {status})" in halt.why
    assert "secret" not in halt.why
    assert sent.counts == {"unsent": sent.tally.read}
    assert sent.tally.in_doubt == 0
    assert (len(through.heads) <= 4) is (stop is Stop.CONFIGURATION)


def test_an_ipv6_proxy_is_told_without_its_login() -> None:
    refused = aiohttp.ClientHttpProxyError(None, (), status=407)  # type: ignore[arg-type]
    where = destination("https://dre2.example.com", proxy="http://user:se@cret@[::1]:3128")
    assert _about(refused, where) == "[::1]:3128 answered 407"


def test_a_proxy_that_wants_a_login_stops_the_send() -> None:
    with scripted() as server, proxy(407) as through:
        sent = send(destination(server.url, proxy=through.url), leads(5), concurrency=1)
        assert server.connections == 0
    assert sent.result.halt is not None
    assert sent.result.halt.stop is Stop.CONFIGURATION
    assert "proxies" in sent.result.halt.why


def test_the_environments_proxy_is_not_taken_behind_the_settings_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted() as server, proxy() as through:
        monkeypatch.setenv("HTTP_PROXY", through.url)
        monkeypatch.setenv("http_proxy", through.url)
        assert post(destination(server.url)).status == 200
        assert through.heads == []


def test_ipv6() -> None:
    with scripted(host="::1") as server:
        assert post(destination(server.url)).status == 200


def test_the_destination_does_not_show_its_secrets() -> None:
    where = destination("https://dre2.example.com", proxy="http://user:secret@proxy:3128")
    assert TOKEN not in repr(where)
    assert "secret" not in repr(where)
    assert TOKEN not in where.url
