"""What a send writes down: kept failures first, then ledger and checkpoint, which may pass a lead only afterwards."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from airflow_reshape.delivery.checkpoint.checkpoint import Checkpoint
from airflow_reshape.delivery.checkpoint.resume import KnownRow
from airflow_reshape.delivery.halt import Halt, Stop
from airflow_reshape.delivery.ledger.claims import Claim, NoLedger, SendLedger
from airflow_reshape.delivery.outcome import Outcome
from airflow_reshape.events.prepared import InvalidLead, Prepared, PreparedEvent

SECONDS_BETWEEN_PARTS = 0.5


class FailuresUnwritableError(Exception):
    """Failed leads cannot be kept. The text tells the kind of the error, never a value."""


class KeptFailures(Protocol):
    """Keeps the rows of failed leads. All but :meth:`keeps` may block, and run in a thread."""

    @property
    def rows_kept(self) -> int:
        """Rows kept by now."""
        ...

    def open(self) -> None:
        """Make sure that rows can be kept.

        :raises FailuresUnwritableError: they cannot.
        """
        ...

    def keeps(self, outcome: Outcome) -> bool:
        """Whether an outcome has to be written; asked in the event loop."""
        ...

    def write(self, outcomes: Sequence[Outcome]) -> None:
        """Write outcomes; they are safe when it returns.

        :raises FailuresUnwritableError: they are not.
        """
        ...

    def close(self) -> None:
        """Nothing more will be written."""
        ...


class Records:
    """The records of one send, used from its event loop.

    :param ledger: knows what was sent before. Default: nothing is known.
    :param checkpoint: how far the tries of the task came. Default none.
    :param failures: keeps the rows of failed leads. Default none.
    """

    def __init__(
        self,
        ledger: SendLedger | None = None,
        checkpoint: Checkpoint | None = None,
        failures: KeptFailures | None = None,
    ) -> None:
        self._ledger: SendLedger = ledger or NoLedger()
        self._checkpoint = checkpoint
        self._failures = failures
        self._to_keep: list[Outcome] = []
        self._halt: Callable[[Halt], None] = lambda _: None
        self._closing = False
        self._writer: asyncio.Task[None] | None = None

    async def open(self, halt: Callable[[Halt], None]) -> None:
        """Open all of them.

        :param halt: called when the send has to end because something cannot be written down.
        :raises LedgerLostError: the ledger's database cannot be used.
        :raises FailuresUnwritableError: failed leads cannot be kept.
        """
        self._halt = halt
        self._wake = asyncio.Event()
        if self._failures is not None:
            await asyncio.to_thread(self._failures.open)
            self._writer = asyncio.create_task(self._write())
        is_open = False

        def lost(why: str) -> None:
            if is_open:  # before that it is raised
                halt(Halt(Stop.LEDGER, why))

        await self._ledger.open(lost)
        is_open = True

    async def claim(self, events: Sequence[PreparedEvent]) -> list[Claim]:
        """Claim events before they are sent.

        :raises LedgerLostError: the database does not answer.
        """
        return await self._ledger.claim(events)

    async def knows_invalid(self, row: object, lead: InvalidLead) -> Claim | None:
        """What is known of an invalid row; None: it is a failure.

        :raises LedgerLostError: the database does not answer.
        """
        return await self._ledger.knows_invalid(row, lead)

    def take(self, row: object, lead: Prepared) -> None:
        """The next row of the source was read."""
        if self._checkpoint is not None:
            self._checkpoint.take(row, lead)

    def take_known(self, known: KnownRow) -> None:
        """The next row of the source was dealt with in an earlier try."""
        if self._checkpoint is not None:
            self._checkpoint.take_known(known)

    def left(self) -> list[object]:
        """Rows that the checkpoint holds back for ever, for the source ended early; once nobody reads any more."""
        return self._checkpoint.left() if self._checkpoint is not None else []

    def settle(self, outcome: Outcome) -> None:
        """Write down what became of a lead, soon."""
        if self._failures is not None and self._failures.keeps(outcome):
            self._to_keep.append(outcome)
        else:
            self._pass(outcome)

    async def close(self, summary: Mapping[str, Any]) -> None:
        """Write what is left.

        :param summary: the send's counts.
        :raises LedgerLostError: the ledger could not be written.
        """
        self._closing = True
        try:
            if self._writer is not None:
                self._wake.set()
                await self._writer
        finally:
            await self._ledger.close(summary)

    def finish(self) -> None:
        """Write what came after :meth:`close`; in any thread.

        :raises FailuresUnwritableError: failed leads cannot be kept.
        """
        if self._failures is None:
            return
        late, self._to_keep = self._to_keep, []
        try:
            if late:
                self._keep(late)
        finally:
            self._failures.close()

    def _pass(self, outcome: Outcome) -> None:
        self._ledger.settle(outcome)
        if self._checkpoint is not None:
            self._checkpoint.settle(outcome)

    def _keep(self, outcomes: Sequence[Outcome]) -> None:
        assert self._failures is not None
        try:
            self._failures.write(outcomes)
        except FailuresUnwritableError:
            raise
        except Exception as error:  # noqa: BLE001  # ledger and checkpoint are still to be closed
            raise FailuresUnwritableError(f"failed leads cannot be written ({type(error).__name__})") from None

    async def _write(self) -> None:
        """Write failed leads until closed; what cannot be written stays open, for the next try."""
        while not self._closing or self._to_keep:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), SECONDS_BETWEEN_PARTS)
            batch, self._to_keep = self._to_keep, []
            if not batch:
                continue
            try:
                await asyncio.to_thread(self._keep, batch)
            except FailuresUnwritableError as error:
                self._halt(Halt(Stop.FAILURES_NOT_KEPT, str(error)))
                continue
            for outcome in batch:
                self._pass(outcome)
