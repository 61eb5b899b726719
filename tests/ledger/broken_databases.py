"""Databases that go down, run full or become read-only while a ledger uses them, and get well again."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from tests.databases import SECONDS_TO_START, SECONDS_TO_STOP, DatabaseServer, _as_server_account

PAGE = 512  # bytes; small, so that there is no slack in which a full database could go on writing

# What breaks a connection, and what makes it work.
SQLITE_PRAGMAS = {"full": ("max_page_count", 1, 2**30), "read-only": ("query_only", 1, 0)}


class Breakable(Protocol):
    """A database that can be broken."""

    def break_(self) -> None:
        """Break it from now on."""
        ...

    def mend(self) -> None:
        """Make it work again."""
        ...


class BrokenSqlite:
    """SQLite as every connection sees it from now on.

    :param kind: ``full``: the file may not grow by a page; ``read-only``: nothing may be written.
    :param file: of the database.
    """

    def __init__(self, kind: str, file: str) -> None:
        self._kind, self._file = kind, file
        self._pragma, self._broken, self._well = SQLITE_PRAGMAS[kind]
        self._value = self._well

    def break_(self) -> None:
        self._value = self._broken
        if self._kind == "full":
            self._fill()

    def mend(self) -> None:
        self._value = self._well

    def _fill(self) -> None:
        """Use up the pages that are free inside the file."""
        connection = sqlite3.connect(self._file, timeout=SECONDS_TO_START, isolation_level=None)
        with contextlib.closing(connection):
            connection.execute("CREATE TABLE IF NOT EXISTS filler (content BLOB)")
            connection.execute("PRAGMA max_page_count = 1")  # as many as there are
            with contextlib.suppress(sqlite3.OperationalError):  # full
                while True:
                    connection.execute(f"INSERT INTO filler VALUES (zeroblob({PAGE // 2}))")

    def _checkout(self, connection: Any, *_: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.execute(f"PRAGMA page_size = {PAGE}")  # of a new file
            connection.execute(f"PRAGMA {self._pragma} = {self._value}")

    @contextmanager
    def watched(self) -> Iterator[Breakable]:
        """For as long as the block lasts."""
        event.listen(Pool, "checkout", self._checkout)
        try:
            yield self
        finally:
            event.remove(Pool, "checkout", self._checkout)


class FullDisk:
    """A small disk in memory that runs full under a SQLite file. Only an administrator may mount one.

    :param folder: where it is to be.
    """

    SIZE = 4 * 2**20  # bytes

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._filler = folder / "filler"
        self.file = str(folder / "ledger.sqlite")

    def break_(self) -> None:
        connection = sqlite3.connect(self.file, timeout=SECONDS_TO_START, isolation_level=None)
        with contextlib.closing(connection):
            connection.execute("BEGIN EXCLUSIVE")  # a journal that somebody removes would leave room
            with self._filler.open("wb", buffering=0) as filler, contextlib.suppress(OSError):  # full
                for size in (2**16, 1):
                    with contextlib.suppress(OSError):
                        while filler.write(bytes(size)):
                            pass
            connection.execute("ROLLBACK")

    def mend(self) -> None:
        self._filler.unlink()

    @contextmanager
    def watched(self) -> Iterator[Breakable]:
        """For as long as the block lasts."""
        self._folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={self.SIZE}", "none", str(self._folder)]
        if shutil.which("mount") is None or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
            pytest.skip("a full disk needs the right to mount one")
        try:
            yield self
        finally:
            subprocess.run(["umount", "--lazy", str(self._folder)], check=True)


class BrokenPostgres:
    """A PostgreSQL server of the test's own.

    :param kind: ``down``: the server's process ends without a goodbye; ``read-only``: by configuration, also for
        sessions that are there; ``full``: writing fails with the error of a full disk, raised by a trigger, for a disk
        that can be filled needs an administrator.
    """

    FULL = """
        CREATE OR REPLACE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$;
        CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON reshape_event EXECUTE FUNCTION no_room();
        CREATE TRIGGER no_room BEFORE INSERT OR UPDATE ON reshape_sender EXECUTE FUNCTION no_room();
    """
    ROOM = "DROP TRIGGER no_room ON reshape_event; DROP TRIGGER no_room ON reshape_sender"

    def __init__(self, kind: str, server: DatabaseServer) -> None:
        self._kind = kind
        self._server = server
        self._again: subprocess.Popen[bytes] | None = None

    def break_(self) -> None:
        if self._kind == "down":
            self._server.crash()
        elif self._kind == "full":
            self._run(self.FULL)
        else:
            self._read_only("on")

    def mend(self) -> None:
        if self._kind == "down":
            self._restart()
        elif self._kind == "full":
            self._run(self.ROOM)
        else:
            self._read_only("off")

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._server.uri, autocommit=True)

    def _run(self, statement: Any) -> None:
        with self._connect() as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute(statement)

    def _read_only(self, setting: Any) -> None:
        self._run(f"ALTER SYSTEM SET default_transaction_read_only = {setting}")
        self._run("SELECT pg_reload_conf()")
        deadline = monotonic() + SECONDS_TO_START
        while monotonic() < deadline:
            with self._connect() as connection:
                told = connection.execute("SHOW default_transaction_read_only").fetchone()
            if told == (setting,):
                return
        raise TimeoutError

    def _restart(self) -> None:
        command: Any = self._server.process.args
        data = Path(command[command.index("-D") + 1])
        self._again = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **_as_server_account(data.parent),
        )
        deadline = monotonic() + SECONDS_TO_START
        while monotonic() < deadline:
            try:
                self._connect().close()
            except psycopg.OperationalError:
                continue
            return
        raise TimeoutError

    @contextmanager
    def watched(self) -> Iterator[Breakable]:
        """For as long as the block lasts."""
        try:
            yield self
        finally:
            if self._again is not None:
                self._again.send_signal(self._server.crash_signal)
                self._again.wait(SECONDS_TO_STOP)
