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
    """Rejected in another run, and the same body now."""
    REJECTED_THIS_RUN = "rejected_in_this_run"
    """Rejected by an earlier try of the same task in the same run, and the same body now: it is still a failure."""
    STILL_INVALID = "still_invalid"
    """The same row was found invalid in another run."""
    FORGOTTEN = "forgotten"
    """The lead asked to be forgotten: it is never sent again."""
    BASELINE = "baseline"
    """Known from now on, without being sent."""
    BUSY = "busy"
    """A living send has it; ask again."""


TAKEN = (Claim.OWNED, Claim.TAKEN_OVER)


class LedgerLostError(Exception):
    """The ledger's database does not answer, or another send took over: nothing more may be claimed.

    The text tells the kind of the error, never a statement or a value.
    """


class LedgerFencedError(LedgerLostError):
    """Others took over from this send, or may have: it must not send any more.

    A retry is harmless: it finds in the ledger what was sent.
    """


class LedgerUnusableError(LedgerLostError):
    """The ledger cannot be used as things are set up: trying again does not help. The text says what to do."""


class SendLedger(Protocol):
    """The ledger of one send, used from its event loop."""

    async def open(self, on_lost: Callable[[str], None]) -> None:
        """Sign in.

        :param on_lost: called once, with the cause, when the ledger cannot go on.
        :raises LedgerUnusableError: another version wrote the tables, or leads were forgotten with another key.
        :raises LedgerLostError: the database cannot be used.
        """
        ...

    async def claim(self, events: Sequence[PreparedEvent]) -> list[Claim]:
        """Claim events before they are sent.

        :raises LedgerLostError: the database does not answer.
        """
        ...

    async def knows_invalid(self, row: object, lead: InvalidLead) -> Claim | None:
        """What is known of a row that is invalid; it is remembered from now on.

        :returns: ``STILL_INVALID``: another run found the very same row invalid; ``FORGOTTEN``; or None: it is a
            failure.
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

    async def knows_invalid(self, row: object, lead: InvalidLead) -> Claim | None:  # noqa: ARG002
        """Nothing is known."""
        return None

    def settle(self, outcome: Outcome) -> None:
        """Nothing is kept."""

    async def close(self, summary: Mapping[str, Any]) -> None:
        """Nothing to do."""
