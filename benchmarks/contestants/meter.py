"""What a contestant is asked for, and what its sending costs. Standard library only: peers run it too."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one contestant has to do.

    :param schema: ``http`` or ``https``.
    :param ca_path: PEM file of the authority to trust, or None.
    :param database: SQLite file with the leads, or None where they are made endlessly.
    :param folder: where the contestant may write.
    :param run: keeps the leads of two runs apart.
    :param warm_up: rows to send first, outside of the measurement.
    :param rows: rows to send then.
    :param window: most requests in flight, for those who can do more than one.
    :param seconds: how long to send where there is no number of rows.
    :param ledger: Airflow's connection of the ledger, or None.
    """

    schema: str
    host: str
    port: int
    path: str
    token: str
    script_id: str
    ca_path: str | None
    folder: str
    run: str
    database: str | None = None
    warm_up: int = 0
    rows: int = 0
    window: int = 64
    seconds: float = 0.0
    ledger: str | None = None

    @property
    def base_url(self) -> str:
        return f"{self.schema}://{self.host}:{self.port}"

    @property
    def endpoint(self) -> str:
        return f"{self.path}?id={self.script_id}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Type": "application/json", "X-Dre-Access-Token": self.token}

    @property
    def leads(self) -> str:
        """The file with the leads, where there has to be one."""
        if self.database is None:
            raise ValueError("this contestant needs a database")
        return self.database


@dataclass(kw_only=True)
class Cost:
    """What the sending took.

    :param events: events that the server accepted.
    :param refused: requests that it did not.
    :param peak_mb: most memory that the process ever held, in MB.
    """

    events: int
    refused: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_mb: float = 0.0


@contextlib.contextmanager
def measured() -> Iterator[Cost]:
    """Fill a cost in while the block lasts; the block says how many events there were."""
    cost = Cost(events=0)
    worked, started = _cpu_seconds(), time.perf_counter()
    yield cost
    cost.seconds = time.perf_counter() - started
    cost.cpu_seconds = _cpu_seconds() - worked
    cost.peak_mb = _peak_mb()


def _cpu_seconds() -> float:
    """Of this process and of the children it waited for."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak_mb() -> float:
    # Not ru_maxrss: a child inherits its parent's.
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise OSError("the system does not tell the peak of a process's memory")
    return int(found[1]) / 1000


def run(contestant: Callable[[Task], Cost], *packages: str) -> None:
    """Do what the command line's first file asks for, and write the cost into the second.

    :param packages: distributions whose versions are told with it.
    """
    asked, answer = map(Path, sys.argv[1:])
    cost = contestant(Task(**json.loads(asked.read_text())))
    answer.write_text(json.dumps({**asdict(cost), "versions": {name: version(name) for name in packages}}))
