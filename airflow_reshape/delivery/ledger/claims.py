"""What a send asks of a ledger. :class:`NoLedger` answers for sends without one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

from airflow_reshape.delivery.outcome import Outcome
from airflow_reshape.events.prepared import InvalidLead, PreparedEvent


class Claim(StrEnum):
    """The answer to a claim. An event is sent only if it is owned or taken over."""

    OWNED = "owned"
    TAKEN_OVER = "taken_over"
    """Owned; an earlier send died with it, perhaps after its POST."""
    ALREADY_SENT = "already_sent"
    CHANGED = "changed"
    """Already sent, with another value, currency or reason."""
    STILL_REJECTED = "still_rejected"
    BASELINE = "baseline"
    """Known from now on, without being sent."""
    BUSY = "busy"
    """A living send has it; ask again."""


TAKEN = (Claim.OWNED, Claim.TAKEN_OVER)


class LedgerLostError(Exception):
    """The ledger's database does not answer, or another send took over: nothing more may be claimed.

    The text tells the kind of the error, never a statement or a value.
    """


class SendLedger(Protocol):
    """The ledger of one send, used from its event loop."""

    async def open(self, on_lost: Callable[[str], None]) -> None:
        """Sign in.

        :param on_lost: called once, with the cause, when the ledger cannot go on.
        :raises LedgerLostError: the database cannot be used.
        """
        ...

    async def claim(self, events: Sequence[PreparedEvent]) -> list[Claim]:
        """Claim events before they are sent.

        :raises LedgerLostError: the database does not answer.
        """
        ...

    async def knows_invalid(self, row: object, lead: InvalidLead) -> bool:
        """Whether the very same row was found invalid before; it is remembered from now on.

        :raises LedgerLostError: the database does not answer.
        """
        ...

    def settle(self, outcome: Outcome) -> None:
        """Note what became of a lead; ignored for leads that were not claimed."""
        ...

    async def close(self, summary: Mapping[str, Any]) -> None:
        """Write what is left, and sign off.

        :param summary: the send's counts.
        :raises LedgerLostError: it could not be written.
        """
        ...


class NoLedger:
    """Everything is new."""

    async def open(self, on_lost: Callable[[str], None]) -> None:
        """Nothing to do."""

    async def claim(self, events: Sequence[PreparedEvent]) -> list[Claim]:
        """All are owned."""
        return [Claim.OWNED] * len(events)

    async def knows_invalid(self, row: object, lead: InvalidLead) -> bool:  # noqa: ARG002
        """Nothing is known."""
        return False

    def settle(self, outcome: Outcome) -> None:
        """Nothing is kept."""

    async def close(self, summary: Mapping[str, Any]) -> None:
        """Nothing to do."""
