"""Keeping the leads of one run that failed or were not sent."""

from __future__ import annotations

import secrets
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from airflow_reshape.delivery.checkpoint.checkpoint import SETTLED_BEFORE
from airflow_reshape.delivery.failures.folder import Folder
from airflow_reshape.delivery.failures.kept import KeptLead, kept_lead, row_and_digest
from airflow_reshape.delivery.failures.rows import Plain
from airflow_reshape.delivery.failures.run_folder import Names, RunFolder, run_folders, run_name
from airflow_reshape.delivery.ledger.claims import Claim
from airflow_reshape.delivery.ledger.store import SenderIdentity
from airflow_reshape.delivery.outcome import Kind, Outcome
from airflow_reshape.events.prepared import InvalidLead, Prepared, PreparedEvent

FAILED = frozenset({Kind.REJECTED, Kind.INVALID, Kind.UNSENT})
SETTLING_SKIPS = frozenset({Claim.ALREADY_SENT, Claim.CHANGED, Claim.BASELINE, Claim.FORGOTTEN})
"""Reasons for skipping after which there is nothing left to send."""
KEPT_AGAIN = "kept_again"
NO_EVENT = ("", "")
T = TypeVar("T")
IsForgotten = Callable[[object, Collection[str]], bool]


def nobody(row: object, ids: Collection[str]) -> bool:  # noqa: ARG001
    """Nobody was forgotten."""
    return False


def settles(outcome: Outcome) -> bool:
    """Whether nothing is left to do for a lead."""
    return outcome.kind is Kind.DELIVERED or (outcome.kind is Kind.SKIPPED and outcome.why in SETTLING_SKIPS)


class FailureStore:
    """Keeps failed leads of one run in a folder of its own.

    See :class:`~airflow_reshape.delivery.records.KeptFailures`.

    What an earlier try of the run kept is not kept twice, and is marked as settled when a later one delivers it.

    :param folder: of all runs of one destination.
    :param run: the task's try.
    :param failing: reasons for skipping that count as failures.
    :param now: current time, aware.
    :param retention: how long runs are kept.
    :param plain: makes plain values of what other libraries' classes hold.
    :param prepare: makes an event of a row, for leads that came after the end of a send. Default: nothing does.
    :param ids_of: finds the ids of lead, event and person in a row, by which it can be forgotten. Default: those in
        columns of these names are found.
    :param forgotten: asked once, when the folder is opened; it gives what tells of a row, and of ids found otherwise,
        whether they are those of a forgotten lead. Nothing is kept of it. Default: nobody was forgotten.
    :param token: random, hexadecimal, for names that no other try makes.
    """

    def __init__(
        self,
        folder: Folder,
        run: SenderIdentity,
        *,
        failing: frozenset[str],
        now: Callable[[], datetime],
        retention: timedelta,
        plain: Plain,
        prepare: Callable[[object], Prepared] | None = None,
        ids_of: Callable[[object], Collection[str]] = lambda _: (),
        forgotten: Callable[[], IsForgotten] = lambda: nobody,
        token: str | None = None,
    ) -> None:
        self._folder = folder
        self._run = run
        self._failing = failing
        self._now = now
        self._retention = retention
        self._plain = plain
        self._prepare = prepare
        self._ids_of = ids_of
        self._forgotten = forgotten
        self._is_of_forgotten: IsForgotten = nobody
        self._token = token or secrets.token_hex(6)
        self._names = Names(run.try_number, self._token, now)
        self._kept = RunFolder(folder, run_name(run, now(), self._token))
        self._by_digest: dict[str, deque[KeptLead]] = defaultdict(deque)
        self._by_event: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._open: set[str] = set()
        self._confirmed: set[str] = set()
        self._is_open = False
        self._number = 0
        self._written = 0

    @property
    def rows_kept(self) -> int:
        """Rows kept by now, without those that earlier tries kept."""
        return self._written

    def open(self) -> None:
        """Check that rows can be kept, remove old runs, and read what earlier tries kept.

        :raises FailuresUnwritableError: the folder cannot be used.
        """
        self._folder.make(self._kept.name)
        probe = f"{self._kept.name}/.writable-{self._token}"
        self._folder.put(probe, b"")
        self._folder.remove(probe)
        purge(self._folder, self._now() - self._retention)
        self._is_of_forgotten = self._forgotten()
        self._folder.make(self._kept.name)
        for lead in self._kept.unsettled():
            self._open.add(lead.id)
            self._by_digest[lead.digest].append(replace(lead, row=None))
            if lead.event:
                self._by_event[lead.event].append(lead.id)
        self._is_open = True

    def keeps(self, outcome: Outcome) -> bool:
        """Whether an outcome has to be written before ledger and checkpoint may pass it."""
        if self._fails(outcome):
            return True
        if not self._open:
            return False
        if outcome.why == SETTLED_BEFORE:  # a try that ended early while it read again could not tell that it was
            known = self._by_digest.get(self._digest(outcome), ())
            return any(lead.kind == Kind.UNSENT for lead in known)
        if not settles(outcome):
            return False
        return _event(outcome.lead) in self._by_event or self._digest(outcome) in self._by_digest

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """Keep failed leads in one file, and mark those of earlier tries that are settled in another.

        :raises FailuresUnwritableError: they could not be written.
        """
        at = self._now()
        leads: list[KeptLead] = []
        settled: dict[str, str] = {}
        for outcome in outcomes:
            content, digest = row_and_digest(outcome.row, self._plain)
            earlier = self._taken(digest)
            if not self._fails(outcome):
                how = outcome.kind.value if outcome.kind is Kind.DELIVERED else str(outcome.why)
                settled.update(self._settled(outcome, earlier, how))
            elif self._is_forgotten(outcome):
                settled.update(self._settled(outcome, earlier, Claim.FORGOTTEN))
            elif earlier is not None and _says_no_more(outcome, earlier):
                self._confirmed.add(earlier.id)
            else:
                leads.append(self._kept_lead(outcome, content, digest, at))
                settled.update(self._settled(outcome, earlier, KEPT_AGAIN))
        if leads:
            self._kept.write_part(self._names("part"), self._run, leads)
            self._written += len(leads)
        if settled:
            self._kept.settle(self._names("settled"), settled)

    def close(self) -> None:
        """Remove what is settled, and the folder if nothing was kept. It may be called again."""
        if self._is_open:
            self._is_open = False
            self._kept.remove_settled()

    def _fails(self, outcome: Outcome) -> bool:
        return outcome.kind in FAILED or (outcome.kind is Kind.SKIPPED and outcome.why in self._failing)

    def _is_forgotten(self, outcome: Outcome) -> bool:
        """Failures that the ledger was not asked about are looked at here: those of guards, and what was unsent."""
        lead = outcome.lead
        ids = {lead.lead_id if lead else None, (_event(lead) or NO_EVENT)[1]}
        return self._is_of_forgotten(outcome.row, {one for one in ids if one})

    def _digest(self, outcome: Outcome) -> str:
        return row_and_digest(outcome.row, self._plain)[1] if outcome.row is not None else ""

    def _kept_lead(self, outcome: Outcome, content: object, digest: str, at: datetime) -> KeptLead:
        self._number += 1
        lead = outcome.lead
        if lead is None and self._prepare is not None:
            lead = self._asked(self._prepare, outcome.row, None)
        return kept_lead(
            outcome,
            lead,
            content=content,
            digest=digest,
            named=self._asked(self._ids_of, outcome.row, ()),
            identity=f"{self._run.try_number or 0}-{self._token}-{self._number}",
            at=at,
        )

    @staticmethod
    def _asked(question: Callable[[object], T], row: object, otherwise: T) -> T:
        try:
            return question(row)
        except Exception:  # noqa: BLE001  # a row that cannot be read is kept all the same
            return otherwise

    def _settled(self, outcome: Outcome, same: KeptLead | None, how: str) -> dict[str, str]:
        """What earlier tries kept of an event: of the same row, and of other rows that this try has not met."""
        of_event = self._by_event.get(_event(outcome.lead) or NO_EVENT, [])
        known = [one for one in of_event if one in self._open and one not in self._confirmed]
        settled = dict.fromkeys(known if same is None else [same.id, *known], how)
        self._open.difference_update(settled)  # at once: the next of the batch must not rely on them
        return settled

    def _taken(self, digest: str) -> KeptLead | None:
        """What an earlier try kept of the same row. Each counts once: equal rows may be several leads."""
        known = self._by_digest.get(digest)
        while known:
            lead = known.popleft()
            if lead.id in self._open:
                return lead
        return None


def purge(folder: Folder, before: datetime) -> int:
    """Remove the runs whose newest part is older; how many."""
    old = [run for run in run_folders(folder) if (newest := run.newest()) is not None and newest < before]
    for run in old:
        run.remove()
    return len(old)


def _event(lead: Prepared | None) -> tuple[str, str] | None:
    return (lead.name, lead.id) if isinstance(lead, PreparedEvent) and lead.id else None


def _says_no_more(outcome: Outcome, earlier: KeptLead) -> bool:
    """Whether a failure is the one that is kept already. A lead that was not tried again failed as before."""
    if outcome.kind is Kind.UNSENT or outcome.why == Claim.REJECTED_THIS_RUN:
        return True
    problems = tuple((p.field, p.rule) for p in outcome.lead.problems) if isinstance(outcome.lead, InvalidLead) else ()
    return (outcome.kind, outcome.why, problems) == (earlier.kind, earlier.why, earlier.problems)
