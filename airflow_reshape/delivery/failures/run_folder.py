"""The folder of one run: immutable parts with kept leads, and beside them which of these are settled."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import count

from airflow_reshape.delivery.failures.folder import TEMPORARY, Folder
from airflow_reshape.delivery.failures.kept import (
    FILE_NAME,
    STAMP,
    KeptLead,
    part_text,
    read_part,
    read_settled,
    settled_text,
    stamp_of,
)
from airflow_reshape.delivery.ledger.store import SenderIdentity
from airflow_reshape.delivery.records import FailuresUnwritableError

LONGEST_NAME = 80


def run_name(run: SenderIdentity, started: datetime, token: str) -> str:
    """The name of a run's folder: the same for all tries of a task instance, a new one outside a task.

    :param token: random.
    """
    if run.dag_id is None or run.run_id is None or run.task_id is None:
        return f"no_task-{started.strftime(STAMP)}-{token}"
    exact = (run.dag_id, run.task_id, run.run_id, -1 if run.map_index is None else run.map_index)
    readable = re.sub(r"[^A-Za-z0-9_.-]+", "_", ".".join(map(str, exact[:3])))[:LONGEST_NAME].strip(".")
    return f"{readable}-{hashlib.sha256(repr(exact).encode()).hexdigest()[:16]}"


class Names:
    """Makes names of files that nobody else makes.

    :param token: random, hexadecimal.
    :param now: current time, aware.
    """

    def __init__(self, try_number: int | None, token: str, now: Callable[[], datetime]) -> None:
        self._writer = f"{try_number or 0}-{token}"
        self._now = now
        self._numbers = count(1)

    def __call__(self, kind: str) -> str:
        """The next name."""
        return f"{kind}-{self._now().strftime(STAMP)}-{self._writer}-{next(self._numbers)}.jsonl"


class RunFolder:
    """The kept leads of one run.

    :param folder: of all runs.
    :param name: of the run's folder in it.
    :param files: the names of its files. Default: they are read.
    """

    def __init__(self, folder: Folder, name: str, files: Iterable[str] | None = None) -> None:
        self._folder = folder
        self.name = name
        self._files = None if files is None else list(files)

    def files(self, kind: str) -> list[str]:
        """The names of its files of a kind, oldest first."""
        if self._files is None:
            self._files = [path.rpartition("/")[2] for path in self._folder.names(self.name)]
        found = [(match["at"], name) for name in self._files if (match := FILE_NAME.fullmatch(name)) is not None]
        return [name for _, name in sorted(found) if name.startswith(f"{kind}-")]

    def part(self, name: str) -> tuple[SenderIdentity, list[KeptLead]]:
        """The run and the leads of a part, settled ones too; none if it was removed meanwhile.

        :raises FailuresUnwritableError: it cannot be read.
        """
        content = self._folder.read(f"{self.name}/{name}")
        with _readable(name):
            return (SenderIdentity(), []) if content is None else read_part(content)

    def settled(self) -> set[str]:
        """The ids of settled records."""
        done: set[str] = set()
        for name in self.files("settled"):
            content = self._folder.read(f"{self.name}/{name}")
            with _readable(name):
                done |= read_settled(content or b"")
        return done

    def unsettled(self) -> Iterator[KeptLead]:
        """The leads that are not settled, each once."""
        done = self.settled()
        for name in self.files("part"):
            for lead in self.part(name)[1]:
                if lead.id not in done:
                    done.add(lead.id)  # a part that is written anew lies beside the old one for a moment
                    yield lead

    def write_part(self, name: str, run: SenderIdentity, leads: Collection[KeptLead]) -> None:
        """Write a part."""
        self._folder.put(f"{self.name}/{name}", part_text(run, leads))
        self._files = None

    def settle(self, name: str, settled: Mapping[str, str]) -> None:
        """Note that records are settled."""
        self._folder.put(f"{self.name}/{name}", settled_text(settled))
        self._files = None

    def remove_settled(self) -> None:
        """Remove parts of which nothing is left, and what says so when all are removed."""
        done = self.settled()
        parts = self.files("part")
        over = [name for name in parts if all(lead.id in done for lead in self.part(name)[1])]
        self._remove(over)
        if len(over) == len(parts):
            self._remove(self.files("settled"))
            self._folder.tidy(self.name)

    def leads_of(self, ids: Collection[str]) -> set[str]:
        """The ids of the records that :meth:`forget` would remove."""
        leads = (lead for name in self.files("part") for lead in self.part(name)[1])
        return {lead.id for lead in leads if not lead.ids().isdisjoint(ids)}

    def forget(self, ids: Collection[str], names: Names) -> int:
        """Remove the leads of some ids; how many there were."""
        gone: set[str] = set()
        for name in self.files("part"):
            run, leads = self.part(name)
            theirs = {lead.id for lead in leads if not lead.ids().isdisjoint(ids)}
            if not theirs:
                continue
            others = [lead for lead in leads if lead.id not in theirs]
            if others:
                # First the new part: after a crash between, both are there, and read as one.
                self._folder.put(f"{self.name}/{names('part')}", part_text(run, others))
            self._remove([name])
            gone |= theirs
        # Of a writer that died; one that lives writes it again.
        self._remove([path.rpartition("/")[2] for path in self._folder.names(self.name) if path.endswith(TEMPORARY)])
        self._folder.tidy(self.name)
        return len(gone)

    def remove(self) -> None:
        """Remove it."""
        self._remove([path.rpartition("/")[2] for path in self._folder.names(self.name)])
        self._folder.tidy(self.name)

    def newest(self) -> datetime | None:
        """When its newest part was written, or whatever else it has; None for what is no run's folder."""
        names = self._files if self._files is not None else []
        parts = [at for name in names if name.startswith("part-") and (at := stamp_of(name))]
        others = [at for name in names if (at := stamp_of(name))]
        return max(parts or others, default=None)

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            self._folder.remove(f"{self.name}/{name}")
        self._files = None


def run_folders(folder: Folder) -> list[RunFolder]:
    """The runs in a folder."""
    files: dict[str, list[str]] = defaultdict(list)
    for path in folder.names():
        run, _, name = path.rpartition("/")
        if run:
            files[run].append(name)
    return [RunFolder(folder, run, names) for run, names in files.items()]


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        # The error's text may quote a lead.
        raise FailuresUnwritableError(
            f"{name} in the folder for failures cannot be read ({type(error).__name__}): it is damaged, or another "
            "version wrote it; move it away"
        ) from None
