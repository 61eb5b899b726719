"""A mail server on loopback that keeps what it is given."""

from __future__ import annotations

import email
import email.policy
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage

ANSWERS = {"QUIT": "221 bye", "DATA": "354 go on"}


@dataclass
class Mailbox:
    """What arrived.

    :param port: of the server, on 127.0.0.1.
    """

    port: int
    mails: list[EmailMessage] = field(default_factory=list)


class _Dialogue(socketserver.StreamRequestHandler):
    """One client: each command is answered with yes, and a mail goes into the box."""

    server: _Server

    def handle(self) -> None:
        self.say("220 here")
        for line in self.rfile:
            command = line.decode().split(maxsplit=1)[0].upper()
            self.say(ANSWERS.get(command, "250 yes"))
            if command == "DATA":
                self.server.box.mails.append(self.mail())
                self.say("250 kept")
            elif command == "QUIT":
                return

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def mail(self) -> EmailMessage:
        lines = list(iter(self.rfile.readline, b".\r\n"))
        read = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        assert isinstance(read, EmailMessage)
        return read


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    box: Mailbox


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """Run the server for as long as the block lasts."""
    with _Server(("127.0.0.1", 0), _Dialogue) as server:
        server.box = Mailbox(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.box
        finally:
            server.shutdown()
            thread.join()
