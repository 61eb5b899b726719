"""One send over one connection: its engine, its report, and the error it ends in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from airflow.sdk import Asset

from airflow_reshape.delivery.checkpoint.checkpoint import Checkpoint, StateStore
from airflow_reshape.delivery.checkpoint.keys import RowKeys
from airflow_reshape.delivery.halt import Halt, Stop
from airflow_reshape.delivery.ledger.claims import SendLedger
from airflow_reshape.delivery.ledger.store import SenderIdentity
from airflow_reshape.delivery.outage_notice import OutageNotice
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.pace import Pace
from airflow_reshape.delivery.progress_line import ProgressLine
from airflow_reshape.delivery.records import KeptFailures, Records
from airflow_reshape.delivery.repeats import EventIds
from airflow_reshape.delivery.report import CURES, report, warnings
from airflow_reshape.delivery.retry import RetryPolicy
from airflow_reshape.delivery.sender import Sender, SendResult
from airflow_reshape.delivery.source import total_of
from airflow_reshape.delivery.tally import Example
from airflow_reshape.delivery.transport import AiohttpTransport, TransportUnusable
from airflow_reshape.delivery.trouble import Trouble
from airflow_reshape.events.prepared import Prepared
from airflow_reshape.events.probe import PROBE_EVENT
from airflow_reshape.events.wire import to_bytes, to_wire
from airflow_reshape.exceptions import (
    ReshapeConfigurationError,
    ReshapeCredentialsError,
    ReshapeError,
    ReshapeFailedLeadsError,
    ReshapeFailuresNotKeptError,
    ReshapeLedgerError,
    ReshapeStoppedError,
    ReshapeTooManyEventsError,
    ReshapeUnavailableError,
)
from airflow_reshape.hooks.garbage import older_objects_left_alone
from airflow_reshape.hooks.lineage import sent_assets
from airflow_reshape.hooks.metrics import SendMetrics, metric_tags
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.settings import ReshapeSettings

MOST_REASONS = 5
"""Reasons for failing that an error names."""

HALT_ERRORS: dict[Stop, tuple[type[ReshapeError], str]] = {
    Stop.CREDENTIALS: (ReshapeCredentialsError, "Reshape refused the credentials"),
    Stop.CONFIGURATION: (ReshapeConfigurationError, "the connection is wrong"),
    Stop.OUTAGE: (ReshapeUnavailableError, "Reshape is not available; a retry sends what is left"),
    Stop.LEDGER: (ReshapeLedgerError, "the ledger cannot go on; a retry sends what is left"),
    Stop.LEDGER_UNUSABLE: (ReshapeConfigurationError, "the ledger cannot be used"),
    Stop.CLAIMED_ELSEWHERE: (ReshapeLedgerError, "a retry looks again"),
    Stop.FAILURES_NOT_KEPT: (ReshapeFailuresNotKeptError, "failed leads cannot be kept at failures_path"),
    Stop.CONSENT_UNREADABLE: (ReshapeConfigurationError, "no lead's consent can be read"),
    Stop.TOO_MANY_EVENTS: (
        ReshapeTooManyEventsError,
        "narrow the source, mark what is old as known (baseline=True) or raise max_events",
    ),
    Stop.REQUESTED: (ReshapeStoppedError, "stopped; a retry sends what is left"),
}


class Log(Protocol):
    """The part of a logger that is used; a hook's is structlog's."""

    def info(self, message: str, /, *args: Any) -> Any:
        """Log at INFO."""
        ...

    def warning(self, message: str, /, *args: Any) -> Any:
        """Log at WARNING."""
        ...


class Watch(Protocol):
    """Looks at a running send, and tells somebody."""

    def pulse(self) -> None:
        """Look, about once a second."""
        ...

    def end(self) -> None:
        """Look for the last time."""
        ...


class LeadSend:
    """Sends leads once; make a new one for the next send.

    :param settings: the resolved connection.
    :param plan: what is sent, and how.
    :param prepare: makes events of rows. Default: as the plan says.
    :param retry: when to try again. Default: patient, as a task can be.
    :param ledger: knows what was sent before. Default: nothing is known.
    :param state_store: keeps how far the tries of the task came; unused with a ledger. Default: nothing does.
    :param failures: keeps the rows of failed leads. Default: nothing does.
    :param holds: with ``max_events``, nothing is sent before all events are counted. Default True.
    :param is_one_source: rows that repeat an event id are found. Default True; a replay has rows of several sources.
    :param identity: the task's try, for the tags of the metrics. Default: no metrics.
    """

    def __init__(
        self,
        settings: ReshapeSettings,
        plan: SendPlan,
        log: Log,
        prepare: Callable[[object], Prepared] | None = None,
        retry: RetryPolicy | None = None,
        ledger: SendLedger | None = None,
        state_store: StateStore | None = None,
        failures: KeptFailures | None = None,
        holds: bool = True,
        is_one_source: bool = True,
        identity: SenderIdentity | None = None,
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._log = log
        self._guards = plan.guards()
        self._tally = plan.tally()
        self._prepare = prepare or plan.builder(settings)
        self._checkpoint: Checkpoint | None = None
        if state_store is not None and plan.resume and ledger is None and not plan.validate_only:
            destination = f"{settings.destination.script_id}:{settings.environment}"
            keys = RowKeys(settings.destination.token, destination, self._guards)
            self._checkpoint = Checkpoint(
                state_store,
                keys,
                self._guards.failing,
                tell=lambda line: log.info("%s", line),
                warn=lambda line: log.warning("%s", line),
            )
        self._failures = None if plan.validate_only else failures
        self._sender = Sender(
            transport=AiohttpTransport(settings.destination, plan.concurrency),
            prepare=self._prepare,
            guards=self._guards,
            tally=self._tally,
            concurrency=plan.concurrency,
            rate_limit=plan.rate_limit,
            retry=retry,
            trouble=Trouble(max_outage=plan.max_outage.total_seconds()),
            # Nothing is written of what is not sent.
            records=None if plan.validate_only else Records(ledger, self._checkpoint, failures),
            max_events=None if plan.validate_only else plan.max_events,
            holds=holds,
            event_ids=EventIds() if is_one_source else None,
            probe=to_bytes(to_wire(PROBE_EVENT, settings.generation, "dev", settings.data_source)),
            pulse=self._pulse,
        )
        self._identity = identity
        self._watches: list[Watch] = []

    def run(self, chunks: Iterable[Sequence[object]]) -> dict[str, Any]:
        """Send all leads of a source.

        :param chunks: rows, in lists.
        :returns: the summary: counts only.
        :raises ReshapeError: see the classes; its ``summary`` holds the counts.
        """
        self._watches = self._new_watches(total_of(chunks))
        try:
            if self._checkpoint is not None:
                chunks = self._checkpoint.resume(chunks, self._prepare)
            with older_objects_left_alone():
                result = self._sender.send(chunks)
            self._remember(result)
            self._end_watches()
            self._report(result.seconds)
        except TransportUnusable as error:
            raise ReshapeConfigurationError(f"the connection is wrong: {error}", self.summary()) from None
        except BaseException:
            if self._checkpoint is not None:
                self._checkpoint.save()  # also after its end: what times out now is tried again
            with contextlib.suppress(Exception):  # what ends the task is already on its way
                self._end_watches()
                self._report(0.0)
            raise
        if result.halt is not None:
            raise self._halted(result.halt) from result.source_error
        if result.source_error is not None:
            raise result.source_error
        self._check_failures()
        return self.summary()

    def _pulse(self) -> None:
        for watch in self._watches:
            watch.pulse()
        if self._checkpoint is not None:
            self._checkpoint.pulse()

    def _new_watches(self, total: int | None) -> list[Watch]:
        tally, warn = self._tally, self._warn

        def pace() -> Pace:
            return self._sender.pace

        watches: list[Watch] = [
            ProgressLine(tally, pace, lambda line: self._log.info("%s", line), total),
            OutageNotice(pace, warn, self._plan.max_outage.total_seconds()),
        ]
        if self._identity is not None and not self._plan.validate_only:
            tags = metric_tags(self._identity, self._settings.environment)
            watches.append(SendMetrics(tally, pace, tags, warn))
        return watches

    def _end_watches(self) -> None:
        watches, self._watches = self._watches, []
        for watch in watches:
            watch.end()

    def _warn(self, line: str) -> None:
        self._log.warning("%s", line)

    def stop(self) -> None:
        """Ask the send to end; safe in a signal handler."""
        self._sender.stop()

    def summary(self) -> dict[str, Any]:
        """The counts up to now, without personal data."""
        return {
            **self._tally.summary(),
            **({"over_tries": over_tries} if (over_tries := self._over_tries()) else {}),
            "environment": self._settings.environment,
            "validate_only": self._plan.validate_only,
        }

    @property
    def examples(self) -> Sequence[Example]:
        """The first leads that failed: where they stand, and what is wrong, without a value of them."""
        return self._tally.examples

    def assets(self) -> list[Asset]:
        """What it writes to, as assets: one for each event that it can make, with the counts up to now as extra."""
        return sent_assets(self._settings, self._plan.events, self.summary())

    def _remember(self, result: SendResult) -> None:
        if self._checkpoint is None:
            return
        if result.halt is None and result.source_error is None:
            self._checkpoint.end(failures=self._failed())
        else:
            self._checkpoint.save()

    def _report(self, seconds: float) -> None:
        text = report(
            self._tally,
            environment=self._settings.environment,
            validate_only=self._plan.validate_only,
            seconds=seconds,
        )
        if over_tries := self._over_tries():
            tries, delivered, requests = (over_tries.get(name, 0) for name in ("tries", "delivered", "requests"))
            asked = _counted(requests, "request", "requests")
            text += f"\n  over {_counted(tries, 'try', 'tries')}: {delivered:,} delivered, {asked}"
        loud = set(warnings(self._tally))
        for line in text.splitlines():
            (self._log.warning if line in loud else self._log.info)("%s", line)
        if self._failures is not None and self._failures.rows_kept:
            self._log.warning(
                "Kept the rows of %s, failed or not sent, in %s; ReshapeReplayOperator sends them again",
                _counted(self._failures.rows_kept, "lead", "leads"),
                self._plan.failures_path,
            )

    def _over_tries(self) -> dict[str, int]:
        return self._checkpoint.over_tries() if self._checkpoint else {}

    def _failed(self) -> int:
        """Leads that failed, also in earlier tries."""
        remembered = self._checkpoint.remembered_failures() if self._checkpoint else 0
        return self._tally.failures + remembered

    def _halted(self, halt: Halt) -> ReshapeError:
        error, what = HALT_ERRORS[halt.stop]
        unsent = _counted(self._tally.unsent_by.total(), "lead read is", "leads read are")
        return error(f"{what}: {halt.why} ({unsent} unsent)", self.summary())

    def _check_failures(self) -> None:
        failures = self._failed()
        if self._plan.validate_only or self._plan.allows(failures, self._tally.read):
            if failures:
                read = _counted(self._tally.read, "lead", "leads")
                self._log.warning("%s of %s failed; see above", f"{failures:,}", read)
            return
        remembered = self._checkpoint.remembered_failures() if self._checkpoint else 0
        reasons = {
            **({"failed in an earlier try": remembered} if remembered else {}),
            **self._tally.invalid_by,
            **self._tally.rejected_by,
            **{CURES.get(why, why): n for why, n in self._tally.skipped_by.items() if why in self._tally.failing_skips},
        }
        told = "; ".join(f"{reason} ({count:,})" for reason, count in list(reasons.items())[:MOST_REASONS])
        if (more := len(reasons) - MOST_REASONS) > 0:
            told += f"; and {_counted(more, 'more reason', 'more reasons')}"
        delivered = self._tally.kinds[Kind.DELIVERED]
        none_taken = self._tally.kinds[Kind.REJECTED] > 1 and not delivered
        raise ReshapeFailedLeadsError(
            f"{failures:,} of {_counted(self._tally.read, 'lead', 'leads')} failed, "
            f"{self._plan.max_rejected} allowed: {told}. {_counted(delivered, 'was', 'were')} delivered. "
            f"{'None was accepted: check host and script_id of the connection first. ' if none_taken else ''}"
            "Mend the data or the mapping and clear the task, or set max_rejected.",
            self.summary(),
        )


def _counted(count: int, one: str, several: str) -> str:
    """A number and what there is of it."""
    return f"{count:,} {one if count == 1 else several}"
