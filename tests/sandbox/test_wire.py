"""How the sandbox ends a connection when it stops."""

from __future__ import annotations

import asyncio

import pytest

from airflow_reshape.sandbox.wire import Wire


class Connection(asyncio.Protocol):
    """The server's side of a connection, with what a web server has of it."""

    def __init__(self, made: asyncio.Queue[Connection]) -> None:
        self._made = made
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.client: tuple[str, int] = transport.get_extra_info("peername")
        self._made.put_nowait(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self.lost.set()

    async def receive(self) -> dict[str, str]:
        await self.lost.wait()
        return {"type": "http.disconnect"}


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_request_ends_with_its_connection_and_not_with_its_cancellation(cancelled: bool) -> None:
    async def cut_off() -> None:
        made: asyncio.Queue[Connection] = asyncio.Queue()
        server = await asyncio.get_running_loop().create_server(lambda: Connection(made), "127.0.0.1")
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            connection = await made.get()
            wire = Wire(lambda: [connection])
            request = asyncio.create_task(wire.cut_off({"client": connection.client}, connection.receive))
            await asyncio.sleep(0)  # it waits for the end of the connection
            assert not request.done()
            if cancelled:
                request.cancel()
            await request
            assert connection.lost.is_set()
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()

    asyncio.run(cut_off())
