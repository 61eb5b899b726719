"""Reading kept leads again, and noting which of them need no further replay."""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from airflow_reshape.delivery.failures.folder import Folder
from airflow_reshape.delivery.failures.kept import FILE_NAME, KeptLead
from airflow_reshape.delivery.failures.rows import decoded_row
from airflow_reshape.delivery.failures.run_folder import Names, RunFolder, run_folders
from airflow_reshape.delivery.failures.store import settles
from airflow_reshape.delivery.ledger.store import SenderIdentity
from airflow_reshape.delivery.outcome import Kind, Outcome

CHUNK_ROWS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which kept leads to send again; what is None does not matter.

    :param reasons: outcomes (``invalid``, ``rejected``, ``unsent``, ``skipped``) or reasons as the report tells them,
        or fields of invalid leads. Empty: any.
    :param since: kept at this time or later, aware.
    :param until: kept before this time, aware.
    """

    dag_id: str | None = None
    task_id: str | None = None
    run_id: str | None = None
    reasons: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None

    def takes_run(self, run: SenderIdentity) -> bool:
        """Whether leads of a run are wanted."""
        asked = ((self.dag_id, run.dag_id), (self.task_id, run.task_id), (self.run_id, run.run_id))
        return all(wanted is None or wanted == given for wanted, given in asked)

    def takes(self, lead: KeptLead) -> bool:
        """Whether a lead of such a run is wanted."""
        at = datetime.fromisoformat(lead.at)
        if (self.since is not None and at < self.since) or (self.until is not None and at >= self.until):
            return False
        return not self.reasons or not self.reasons.isdisjoint(lead.reasons())


@dataclass(frozen=True, slots=True)
class _Origin:
    row: object  # held, so that no other row gets its identity
    run: RunFolder
    record: str


class ReplayedFailures:
    """The source of a replay, and its records; see :class:`~airflow_reshape.delivery.records.KeptFailures`.

    Rows that are delivered, or known as sent, are marked in the folder of the run that kept them. Those that fail
    again stay there as they are.

    :param folder: of all runs of one destination.
    :param wanted: which leads.
    :param now: current time, aware.
    :param try_number: of the replaying task.
    :param token: random, hexadecimal.
    """

    def __init__(
        self,
        folder: Folder,
        wanted: Wanted,
        *,
        now: Callable[[], datetime],
        try_number: int | None = None,
        token: str | None = None,
    ) -> None:
        self._folder = folder
        self._wanted = wanted
        self._token = token or secrets.token_hex(6)
        self._names = Names(try_number, self._token, now)
        self._origins: dict[int, _Origin] = {}
        self._touched: dict[str, RunFolder] = {}

    def chunks(self, *, marks: bool = True) -> Iterator[list[object]]:
        """The rows, oldest first, in lists; read lazily.

        :param marks: outcomes will be written.
        :raises FailuresUnwritableError: a file cannot be read.
        """
        chunk: list[object] = []
        for run, lead in self._leads():
            row = decoded_row(lead.row)
            if marks:
                self._origins[id(row)] = _Origin(row, run, lead.id)
            chunk.append(row)
            if len(chunk) >= CHUNK_ROWS:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    @property
    def rows_kept(self) -> int:
        """None: what fails again lies where it was."""
        return 0

    def tasks(self) -> dict[str, int]:
        """The tasks that kept something, and how many rows of each are not settled."""
        found: Counter[str] = Counter()
        for run in run_folders(self._folder):
            left = sum(1 for _ in run.unsettled())
            for name in run.files("part")[:1]:
                identity, _ = run.part(name)
                found[f"{identity.dag_id}.{identity.task_id}"] += left
        return {task: count for task, count in found.items() if count}

    def open(self) -> None:
        """Check that marks can be written.

        :raises FailuresUnwritableError: they cannot.
        """
        self._folder.make("")
        probe = f".writable-{self._token}"
        self._folder.put(probe, b"")
        self._folder.remove(probe)

    def keeps(self, outcome: Outcome) -> bool:
        """Whether a mark has to be written."""
        if settles(outcome):
            return id(outcome.row) in self._origins
        self._origins.pop(id(outcome.row), None)
        return False

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """Mark rows as settled, in one file for each run.

        :raises FailuresUnwritableError: they could not be written.
        """
        settled: dict[str, dict[str, str]] = defaultdict(dict)
        for outcome in outcomes:
            origin = self._origins.pop(id(outcome.row), None)
            if origin is not None:
                how = outcome.kind.value if outcome.kind is Kind.DELIVERED else str(outcome.why)
                settled[origin.run.name][origin.record] = how
                self._touched[origin.run.name] = origin.run
        for run, records in settled.items():
            self._touched[run].settle(self._names("settled"), records)

    def close(self) -> None:
        """Remove what is settled."""
        for run in self._touched.values():
            run.remove_settled()

    def _leads(self) -> Iterator[tuple[RunFolder, KeptLead]]:
        runs = run_folders(self._folder)
        parts = [(FILE_NAME.fullmatch(name), run, name) for run in runs for name in run.files("part")]
        parts.sort(key=lambda part: (part[0]["at"] if part[0] else "", part[1].name, part[2]))
        settled: dict[str, set[str]] = {}
        for _, run, name in parts:
            identity, leads = run.part(name)
            if not self._wanted.takes_run(identity):
                continue
            if run.name not in settled:
                settled[run.name] = run.settled()
            done = settled[run.name]
            for lead in sorted(leads, key=lambda lead: lead.position):
                if lead.id not in done and self._wanted.takes(lead):
                    done.add(lead.id)
                    yield run, lead
