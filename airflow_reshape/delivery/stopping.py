"""The end of a send before that of its source: who asked for it first, and who must be heard all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from airflow_reshape.delivery.halt import Halt, Stop
from airflow_reshape.delivery.ledger.claims import LedgerLostError, LedgerUnusableError
from airflow_reshape.delivery.records import FailuresUnwritableError

SOURCE_BROKE = "source"
"""Why a lead is unsent that its source gave before it raised an error."""
NOT_WRITTEN = (Stop.LEDGER, Stop.FAILURES_NOT_KEPT)


class UnexpectedError(RuntimeError):
    """A bug, of this package or of a function given to it. The text tells where, never what a lead holds."""


class Stopping:
    """Whether a send goes on. The first halt counts.

    :param on_halt: called once, when it halts, in the event loop's thread.
    """

    def __init__(self, on_halt: Callable[[], None]) -> None:
        self.halt: Halt | None = None
        self.bug: Exception | None = None
        self.over = False
        self._on_halt = on_halt
        self._halted: asyncio.Event | None = None

    def open(self) -> None:
        """The event loop runs."""
        self._halted = asyncio.Event()

    def is_halted(self) -> bool:
        """Whether nothing more is sent."""
        return self.halt is not None

    @property
    def why(self) -> str:
        """Why leads are unsent."""
        return self.halt.stop.value if self.halt else SOURCE_BROKE

    def stop(self, halt: Halt) -> None:
        """Halt."""
        if self.halt is not None and self.halt.stop is Stop.REQUESTED and halt.stop in NOT_WRITTEN:
            self.halt = halt  # a request to stop that came when all was done is forgotten; this must not be
        if self.halt is None:
            self.halt = halt
            if not self.over:
                if self._halted is not None:
                    self._halted.set()
                self._on_halt()

    def failed(self, error: BaseException, doing: str) -> None:
        """Halt for an error: of the records, or a bug.

        :param doing: what was being done, without a value of a lead.
        """
        if isinstance(error, LedgerLostError):
            stop = Stop.LEDGER_UNUSABLE if isinstance(error, LedgerUnusableError) else Stop.LEDGER
            self.stop(Halt(stop, str(error)))
        elif isinstance(error, FailuresUnwritableError):
            self.stop(Halt(Stop.FAILURES_NOT_KEPT, str(error)))
        else:
            self.found_bug(error, doing)

    def found_bug(self, error: BaseException, doing: str) -> None:
        """Halt for an error that nobody expected; the first is raised at the end.

        :param doing: as for :meth:`failed`.
        """
        if self.bug is None:
            # The error's own text may quote a lead; where it came from is in the traceback.
            bug = UnexpectedError(f"{type(error).__name__} while {doing}: please report this as a bug")
            self.bug = bug.with_traceback(error.__traceback__)
        self.stop(Halt(Stop.ERROR, type(error).__name__))

    async def sleep(self, seconds: float) -> None:
        """Sleep, unless the send halts."""
        assert self._halted is not None
        try:
            await asyncio.wait_for(self._halted.wait(), seconds)
        except TimeoutError:
            return
