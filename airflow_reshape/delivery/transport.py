"""One POST to Reshape: bytes go in, an answer or a failure comes out. No judgement and no retry here."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit

import aiohttp
from aiohttp.http_exceptions import LineTooLong

from airflow_reshape.delivery.answer_text import decoded_answer
from airflow_reshape.delivery.hidden_token import TokenFinder

# What the vendor may say in an answer fits in here; more is a wrong host's page.
LARGEST_ANSWER = 64 * 1024
# Bytes of one header of an answer. Cookies and policies of proxies may well be longer than the 8 KB of aiohttp.
LONGEST_HEADER = 64 * 1024
# A host that does not answer the connection attempt within this will not do so in the rest of the timeout.
CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Destination:
    """Where events go.

    :param base_url: scheme, host and port, without a path.
    :param path: path of the event route.
    :param script_id: identifies the site; part of the query.
    :param token: access token; part of a header, never shown.
    :param timeout: seconds for one request, from connecting to the last byte.
    :param verify: check the server's certificate.
    :param ca_path: file or folder with the certificate authorities to trust instead of the system's, or None.
    :param proxy: URL of an HTTP proxy, or None.
    """

    base_url: str
    path: str
    script_id: str
    token: str = field(repr=False)
    timeout: float = 30.0
    verify: bool = True
    ca_path: str | None = None
    proxy: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The full URL of the route. It holds no secret."""
        return f"{self.base_url}{self.path}?id={self.script_id}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said.

    :param text: its body, without the token where that stands as it is.
    :param quotes_token: the token stands in the text in another spelling, so that it must not be shown.
    :param is_cut: there was more of the body.
    """

    status: int
    content_type: str = ""
    retry_after: str | None = None
    location: str | None = None
    text: str = field(default="", repr=False)
    quotes_token: bool = False
    is_cut: bool = False


class TransportFailure(Exception):
    """No answer came.

    :param kind: ``connect``, ``name``, ``tls``, ``proxy``, ``proxy login``, ``proxy refusal``, ``certificate`` (nothing
        was sent), ``timeout``, ``reset``, ``headers`` (sent perhaps).
    :param about: who said so and what, or None.
    """

    def __init__(self, kind: str, about: str | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.about = about

    @property
    def sent(self) -> bool:
        """Whether the request may have reached the server."""
        return self.kind in ("timeout", "reset", "headers")


class TransportUnusable(Exception):
    """The transport cannot be opened as it is set up; the text holds the cure."""


class Transport(Protocol):
    """Sends one body. Opened once for a send, used by many tasks of one event loop.

    Opening may raise :class:`TransportUnusable`.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def post(self, body: bytes) -> Answer:
        """Send one body.

        :raises TransportFailure: no complete answer came.
        """
        ...


class AiohttpTransport:
    """One aiohttp session for one send.

    Never follows a redirect: the token would travel to another host.

    :param destination: where to send.
    :param connections: most connections open at a time.
    """

    def __init__(self, destination: Destination, connections: int) -> None:
        self._destination = destination
        self._connections = connections
        self._token = TokenFinder(destination.token)
        self._session: aiohttp.ClientSession | None = None
        # With each request, not the session's: aiohttp shows those to a proxy, in clear, when it asks for a tunnel.
        self._headers = {"Content-Type": "application/json", "X-Dre-Access-Token": destination.token}

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, ssl=_tls(self._destination)),
            timeout=aiohttp.ClientTimeout(
                total=self._destination.timeout,
                # Less than the total: else nobody could tell whether something was sent.
                sock_connect=min(CONNECT_SECONDS, self._destination.timeout * 0.8),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def post(self, body: bytes) -> Answer:
        """See :meth:`Transport.post`."""
        assert self._session is not None, "open the transport first"
        try:
            async with self._session.post(
                self._destination.url,
                data=body,
                headers=self._headers,
                allow_redirects=False,
                proxy=self._destination.proxy,
            ) as response:
                content, is_cut = await _bounded(response)
                text = self._token.hidden(decoded_answer(content, _charset(response)))
                headers = response.headers
                return Answer(
                    status=response.status,
                    content_type=response.content_type if "Content-Type" in headers else "",
                    retry_after=headers.get("Retry-After"),
                    location=headers.get("Location"),
                    text=text,
                    quotes_token=self._token.is_in(text),
                    is_cut=is_cut,
                )
        except Exception as error:  # noqa: BLE001  # unknown ones are raised on
            raise TransportFailure(
                _kind(error), _about(error, self._destination)
            ) from None  # its text may quote the request


async def _bounded(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """The body, and whether there was more."""
    content = bytearray()
    while len(content) <= LARGEST_ANSWER and (piece := await response.content.readany()):
        content += piece
    return bytes(content[:LARGEST_ANSWER]), len(content) > LARGEST_ANSWER


def _charset(response: aiohttp.ClientResponse) -> str | None:
    try:
        return response.charset
    except (LookupError, ValueError):
        return None


# First match counts: the more special class stands first.
FAILURE_KINDS: tuple[tuple[type[BaseException], str], ...] = (
    (aiohttp.ClientConnectorCertificateError, "certificate"),
    (aiohttp.ServerFingerprintMismatch, "certificate"),
    (aiohttp.ConnectionTimeoutError, "connect"),
    (aiohttp.ClientProxyConnectionError, "proxy"),
    (aiohttp.ClientHttpProxyError, "proxy"),
    (aiohttp.ClientConnectorDNSError, "name"),
    (aiohttp.ClientConnectorSSLError, "tls"),
    (aiohttp.ClientConnectorError, "connect"),
    (asyncio.TimeoutError, "timeout"),
    (aiohttp.ClientError, "reset"),
    (OSError, "reset"),
)
PROXY_IS_BUSY = frozenset({408, 425, 429, *range(500, 600)})
"""What a proxy answers to CONNECT that may be otherwise soon. The rest is no matter of time."""


def _kind(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientHttpProxyError) and error.status not in PROXY_IS_BUSY:
        return "proxy login" if error.status == 407 else "proxy refusal"
    if _is_of_long_header(error):
        return "headers"
    for family, kind in FAILURE_KINDS:
        if isinstance(error, family):
            return kind
    raise error


def _is_of_long_header(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, LineTooLong):
        error = error.__cause__
    return error is not None


def _about(error: Exception, destination: Destination) -> str | None:
    if not isinstance(error, aiohttp.ClientHttpProxyError) or destination.proxy is None:
        return None
    return f"{urlsplit(destination.proxy).netloc.rpartition('@')[2]} answered {error.status}"  # without its login


def _tls(destination: Destination) -> ssl.SSLContext | bool:
    if not destination.verify:
        return False
    if not destination.ca_path:
        return True
    path = Path(destination.ca_path)
    try:
        if path.is_dir():
            return ssl.create_default_context(capath=str(path))
        return ssl.create_default_context(cafile=str(path))
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        what = "holds no certificates in PEM" if isinstance(error, ssl.SSLError) else "cannot be read on this worker"
        raise TransportUnusable(f"extra 'ca_path': the file {what}") from None
