"""Starts programs in the background, waits until they answer, and ends exactly what was started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

PATIENCE = 10.0  # seconds that a program gets to end by itself


class NotStartedError(Exception):
    """A program did not come up. The text says which, and where its log is."""


@dataclass(frozen=True)
class Service:
    """A program that was started.

    :param started: when, by the operating system: with the pid it names one process for good.
    :param log: file with its output.
    """

    name: str
    pid: int
    started: float
    log: str

    def process(self) -> psutil.Process | None:
        """The process, if it still runs."""
        try:
            process = psutil.Process(self.pid)
            if process.create_time() == self.started and process.status() != psutil.STATUS_ZOMBIE:
                return process
        except psutil.NoSuchProcess:
            pass
        return None


def end_on_signals() -> None:
    """Let SIGINT (Ctrl-C) and SIGTERM raise KeyboardInterrupt, also where a shell had SIGINT ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)


def ignore_signals() -> None:
    """From here on nothing interrupts: what was started is being ended."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def start(name: str, command: Sequence[str], env: Mapping[str, str], folder: Path, logs: Path) -> Service:
    """Start a program in a session of its own, so that a Ctrl-C reaches it only through :func:`stop`.

    :param command: program and arguments.
    :param folder: to run in.
    :param logs: folder for its output, in ``<name>.log``.
    """
    log = logs / f"{name}.log"
    with log.open("wb") as output:
        started = subprocess.Popen(
            command,
            env=dict(env),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Service(name, started.pid, psutil.Process(started.pid).create_time(), str(log))


def stop(services: Iterable[Service]) -> None:
    """End services and all that they started: first asked, after ten seconds forced."""
    roots: list[psutil.Process] = []
    family: list[psutil.Process] = []
    for service in services:
        process = service.process()
        if process is None:
            continue
        with contextlib.suppress(psutil.NoSuchProcess):
            family += [process, *process.children(recursive=True)]
            roots.append(process)
    # Only the roots are asked: Airflow's scheduler waits in vain for workers that were ended behind its back.
    for process in roots:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, left = psutil.wait_procs(family, timeout=PATIENCE)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    for root in roots:
        # What was started meanwhile: each service leads a process group of its own.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(root.pid, signal.SIGKILL)
    psutil.wait_procs(left, timeout=PATIENCE)


def wait_until(what: str, holds: Callable[[], bool], services: Sequence[Service], seconds: float) -> None:
    """Wait until something holds.

    :param what: named in the error.
    :param holds: asked four times a second; a refused connection is a no.
    :param services: must all stay alive meanwhile.
    :param seconds: to wait at most.
    :raises NotStartedError: it does not hold in time, or a service ended.
    """
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):  # requests' errors are OSErrors too
            if holds():
                return
        for service in services:
            if service.process() is None:
                raise NotStartedError(f"{service.name} ended while waiting for {what}; its log: {service.log}")
        if time.monotonic() > deadline:
            logs = f"; logs: {services[0].log}" if services else ""
            raise NotStartedError(f"{what} did not happen within {seconds:.0f} s{logs}")
        time.sleep(0.25)


def free_ports(*wanted: int) -> list[int]:
    """Free TCP ports on loopback, all different.

    :param wanted: for each, the port to take if it is free, else any; 0 for any.
    """
    with contextlib.ExitStack() as held:  # all at once, so that none is given twice
        return [_bound(port, held) for port in wanted]


def _bound(wanted: int, held: contextlib.ExitStack) -> int:
    for port in (wanted, 0):
        probe = held.enter_context(socket.socket())
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise NotStartedError("no free port on 127.0.0.1")


def remember(services: Sequence[Service], path: Path) -> None:
    """Write down what runs."""
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps([asdict(service) for service in services], indent=1))
    unfinished.replace(path)


def remembered(path: Path) -> list[Service]:
    """What was written down; nothing if there is no such file."""
    if not path.exists():
        return []
    return [Service(**service) for service in json.loads(path.read_text())]


def clean_environment() -> dict[str, str]:
    """This process's environment without the settings of any other Airflow on this machine."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
    # Whatever proxy there is, this machine is reached without it.
    return {**kept, "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost"}
