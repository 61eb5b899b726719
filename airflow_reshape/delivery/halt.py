"""Why a send ended before its source did."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Stop(Enum):
    """The cause, which decides what the task ends in."""

    CREDENTIALS = "credentials"
    CONFIGURATION = "configuration"
    OUTAGE = "outage"
    REQUESTED = "requested"
    LEDGER = "ledger"
    LEDGER_UNUSABLE = "ledger_unusable"
    CLAIMED_ELSEWHERE = "claimed_elsewhere"
    FAILURES_NOT_KEPT = "failures_not_kept"
    TOO_MANY_EVENTS = "too_many_events"
    CONSENT_UNREADABLE = "consent_unreadable"
    ERROR = "error"
    """A bug; :meth:`~airflow_reshape.delivery.sender.Sender.send` raises it."""


@dataclass(frozen=True, slots=True)
class Halt:
    """A send that stopped early.

    :param why: the cause in words, without personal data.
    """

    stop: Stop
    why: str
