"""One send over one connection: its engine, its report, and the error it ends in."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from airflow_reshape.delivery.ledger.claims import SendLedger
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.report import CURES, report
from airflow_reshape.delivery.retry import RetryPolicy
from airflow_reshape.delivery.sender import Halt, Sender, Stop
from airflow_reshape.delivery.transport import AiohttpTransport, TransportUnusable
from airflow_reshape.events.prepared import Prepared
from airflow_reshape.exceptions import (
    ReshapeConfigurationError,
    ReshapeCredentialsError,
    ReshapeError,
    ReshapeFailedLeadsError,
    ReshapeLedgerError,
    ReshapeStoppedError,
    ReshapeUnavailableError,
)
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.settings import ReshapeSettings

HALT_ERRORS: dict[Stop, tuple[type[ReshapeError], str]] = {
    Stop.CREDENTIALS: (ReshapeCredentialsError, "Reshape refused the credentials"),
    Stop.CONFIGURATION: (ReshapeConfigurationError, "the connection is wrong"),
    Stop.OUTAGE: (ReshapeUnavailableError, "Reshape is not available; a retry sends what is left"),
    Stop.LEDGER: (ReshapeLedgerError, "the ledger cannot go on; a retry sends what is left"),
    Stop.CLAIMED_ELSEWHERE: (ReshapeLedgerError, "a retry looks again"),
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


class LeadSend:
    """Sends leads once; make a new one for the next send.

    :param settings: the resolved connection.
    :param plan: what is sent, and how.
    :param prepare: makes events of rows. Default: as the plan says.
    :param retry: when to try again. Default: patient, as a task can be.
    :param ledger: knows what was sent before. Default: nothing is known.
    """

    def __init__(
        self,
        settings: ReshapeSettings,
        plan: SendPlan,
        log: Log,
        prepare: Callable[[object], Prepared] | None = None,
        retry: RetryPolicy | None = None,
        ledger: SendLedger | None = None,
    ) -> None:
        self._settings = settings
        self._plan = plan
        self._log = log
        self._guards = plan.guards()
        self._tally = plan.tally()
        self._sender = Sender(
            transport=AiohttpTransport(settings.destination, plan.concurrency),
            prepare=prepare or plan.builder(settings),
            guards=self._guards,
            tally=self._tally,
            concurrency=plan.concurrency,
            retry=retry,
            # Nothing is written of what is not sent.
            ledger=None if plan.validate_only else ledger,
        )

    def run(self, chunks: Iterable[Sequence[object]]) -> dict[str, Any]:
        """Send all leads of a source.

        :param chunks: rows, in lists.
        :returns: the summary: counts only.
        :raises ReshapeError: see the classes; its ``summary`` holds the counts.
        """
        try:
            result = self._sender.send(chunks)
        except TransportUnusable as error:
            raise ReshapeConfigurationError(f"the connection is wrong: {error}", self.summary()) from None
        except BaseException:
            with contextlib.suppress(Exception):  # what ends the task is already on its way
                self._report(0.0)
            raise
        self._report(result.seconds)
        if result.halt is not None:
            raise self._halted(result.halt) from result.source_error
        if result.source_error is not None:
            raise result.source_error
        self._check_failures()
        return self.summary()

    def stop(self) -> None:
        """Ask the send to end; safe in a signal handler."""
        self._sender.stop()

    def summary(self) -> dict[str, Any]:
        """The counts up to now, without personal data."""
        return {
            **self._tally.summary(),
            "environment": self._settings.environment,
            "validate_only": self._plan.validate_only,
        }

    def _report(self, seconds: float) -> None:
        text = report(
            self._tally,
            environment=self._settings.environment,
            validate_only=self._plan.validate_only,
            seconds=seconds,
        )
        for line in text.splitlines():
            self._log.info("%s", line)

    def _halted(self, halt: Halt) -> ReshapeError:
        error, what = HALT_ERRORS[halt.stop]
        unsent = self._tally.unsent_by.total()
        return error(f"{what}: {halt.why} ({unsent:,} leads read are unsent)", self.summary())

    def _check_failures(self) -> None:
        failures = self._tally.failures(self._guards.failing)
        if self._plan.validate_only or self._plan.allows(failures, self._tally.read):
            if failures:
                self._log.warning("%s of %s leads failed; see above", f"{failures:,}", f"{self._tally.read:,}")
            return
        reasons = {
            **self._tally.invalid_by,
            **self._tally.rejected_by,
            **{CURES.get(why, why): n for why, n in self._tally.skipped_by.items() if why in self._guards.failing},
        }
        told = "; ".join(f"{reason} ({count:,})" for reason, count in list(reasons.items())[:5])
        raise ReshapeFailedLeadsError(
            f"{failures:,} of {self._tally.read:,} leads failed, {self._plan.max_rejected} allowed: {told}. "
            f"{self._tally.kinds[Kind.DELIVERED]:,} were delivered. Mend the data or the mapping, or set max_rejected.",
            self.summary(),
        )
