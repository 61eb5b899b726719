"""Where a run takes place: its servers and its folder."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from airflow_reshape.sandbox.settings import DEFAULT_SCRIPT_ID, DEFAULT_TOKEN
from airflow_reshape.sandbox.testing import RunningSandbox
from benchmarks import leads
from benchmarks.contest import work_folder
from benchmarks.contestants.meter import Task
from benchmarks.nginx import Nginx
from benchmarks.sizes import WARM_UP, WINDOW

PATH = "/reshape/standard/event"


@dataclass
class Setting:
    """Makes the tasks of contestants; each has leads that nobody sent before."""

    server: Nginx
    postgres: str
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @contextmanager
    def rows(self, latency: int, count: int, *, ledger: bool = False, warm_up: int = WARM_UP) -> Iterator[Task]:
        """So many rows of a table, to nginx."""
        with work_folder() as folder:
            run = f"R{next(self.numbers)}"
            database = folder / "leads.sqlite"
            leads.write_leads(database, run, warm_up + count)
            yield Task(
                schema="https",
                host="127.0.0.1",
                port=self.server.ports[latency],
                path=PATH,
                token=DEFAULT_TOKEN,
                script_id=DEFAULT_SCRIPT_ID,
                ca_path=str(self.server.ca),
                folder=str(folder),
                run=run,
                database=str(database),
                warm_up=warm_up,
                rows=count,
                window=WINDOW,
                ledger=self.postgres if ledger else None,
            )

    @contextmanager
    def a_while(self, sandbox: RunningSandbox, seconds: float, window: int = WINDOW) -> Iterator[Task]:
        """Leads without end for some seconds, to a limited server."""
        with work_folder() as folder:
            yield Task(
                schema="http",
                host=sandbox.host,
                port=sandbox.port,
                path=PATH,
                token=sandbox.token,
                script_id=sandbox.script_id,
                ca_path=None,
                folder=str(folder),
                run=f"R{next(self.numbers)}",
                window=window,
                seconds=seconds,
            )
