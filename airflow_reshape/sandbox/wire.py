"""Real misbehaviour of a TCP connection: reset, end of stream without an answer or in the middle of one, silence."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from airflow_reshape.sandbox.reactions import Drop

# l_onoff = 1, l_linger = 0: closing sends RST and throws away what was not sent yet.
_NO_LINGER: Final = struct.pack("ii", 1, 0)

#: What is sent before the stream ends, where something is.
_LAST_WORDS: Final[dict[Drop, bytes]] = {
    "babble": b"\x00\x15 these bytes are no HTTP\r\n\r\n",
    "break_off": b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 64\r\n\r\n{"result":',
}

Receive = Callable[[], Any]


class Wire:
    """Finds the connection below a request and ends it badly.

    :param connections: the server's open connections, each with ``client`` (address, port) and ``transport``.
    """

    def __init__(self, connections: Callable[[], Iterable[Any]]) -> None:
        self._connections = connections

    def _transport(self, client: tuple[str, int] | None) -> asyncio.Transport | None:
        return next((each.transport for each in self._connections() if each.client == client), None)

    async def drop(self, scope: MutableMapping[str, Any], receive: Receive, how: Drop, seconds: float) -> None:
        """Leave a request without a whole answer. Returns when the connection is gone.

        :param scope: the ASGI scope of the request.
        :param receive: its ASGI ``receive``, with the body already read.
        :param how: ``reset`` at once; ``babble`` sends bytes that are no HTTP and ``break_off`` the first part of an
            answer, then the stream ends; ``half_close`` ends our side of the stream; ``hang`` does nothing. The last
            two end in a reset if the client has not gone away.
        :param seconds: how long to wait for the client to go away.
        """
        transport = self._transport(scope.get("client"))
        if transport is None:
            return
        if how in _LAST_WORDS:
            transport.write(_LAST_WORDS[how])
            transport.close()  # once that is written
            await _gone(receive)
            return
        if how == "half_close":
            with suppress(OSError), _socket_of(transport) as raw:
                raw.shutdown(socket.SHUT_WR)
        if how != "reset":
            await wait_for_client_to_go(receive, seconds)
        _reset(transport)
        await _gone(receive)

    async def cut_off(self, scope: MutableMapping[str, Any], receive: Receive) -> None:
        """Reset the connection below a request that was cancelled. Returns when it is gone, even if cancelled again.

        :param scope: the ASGI scope of the request.
        :param receive: its ASGI ``receive``, with the body already read.
        """
        transport = self._transport(scope.get("client"))
        if transport is not None:
            _reset(transport)
        gone = False
        while not gone:
            # The server cancels a request, and then its event loop cancels what is left. The loop tells of the reset
            # in its next round, so this ends; a request that ends before that would be taken for a broken one.
            with suppress(asyncio.CancelledError):
                await _gone(receive)
                gone = True


def _reset(transport: asyncio.Transport) -> None:
    # The client may have gone away meanwhile; then there is no socket left to do this to.
    with suppress(OSError), _socket_of(transport) as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


async def wait_for_client_to_go(receive: Receive, seconds: float) -> bool:
    """Wait, but not longer than the client does.

    Even a wait of nothing lets the other requests in, so that what arrived meanwhile counts as at once.

    :param receive: the ASGI ``receive`` of a request whose body was read.
    :param seconds: how long to wait at most.
    :returns: whether the client went away.
    """
    if not seconds:
        await asyncio.sleep(0)
        return False
    try:
        await asyncio.wait_for(_gone(receive), seconds)
    except TimeoutError:
        return False
    return True


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


@contextmanager
def _socket_of(transport: asyncio.Transport) -> Iterator[socket.socket]:
    """A second handle on the socket below a transport, below TLS too: event loops hide the first."""
    known = transport.get_extra_info("socket")
    if known is None:
        raise OSError("the connection is gone")
    raw = socket.socket(fileno=os.dup(known.fileno()))
    try:
        yield raw
    finally:
        raw.close()
