"""An event on its way, and the outcomes it may end in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from airflow_reshape.delivery.outcome import Kind, Outcome
from airflow_reshape.delivery.privacy import redacted
from airflow_reshape.delivery.throttling import ThrottleHistory
from airflow_reshape.delivery.transport import Answer
from airflow_reshape.delivery.trouble import Trial
from airflow_reshape.delivery.verdict import Verdict
from airflow_reshape.events.prepared import PreparedEvent


class Attempt(NamedTuple):
    """One request and what came of it.

    :param request: its number, as :class:`~airflow_reshape.delivery.trouble.Trouble` counts.
    :param answer: None if none came.
    """

    request: int
    verdict: Verdict
    answer: Answer | None


@dataclass(slots=True)
class Pending:
    """A lead without an outcome.

    :param position: number of the lead in its source, from 1.
    :param row: what the lead was made of.
    :param payload: what is sent: the event's body as JSON.
    :param in_doubt: a request went out and its answer is not known.
    :param unreadable: answers of success that could not be read.
    :param owned: the ledger gave it to this send.
    :param explores: it is tried while the server takes a probe and no lead.
    :param is_parked: it waits to be tried again, and makes room for others.
    """

    position: int
    event: PreparedEvent
    row: object
    payload: bytes = field(repr=False)
    trial: Trial = field(default_factory=Trial)
    throttle: ThrottleHistory = field(default_factory=ThrottleHistory)
    in_doubt: bool = False
    unreadable: int = 0
    owned: bool = False
    is_parked: bool = False
    explores: bool = False

    @property
    def key(self) -> str | None:
        """Events of one key keep their order."""
        return self.event.order_key

    def answered(self, kind: Kind, attempt: Attempt, why: str | None = None) -> Outcome:
        """The outcome that an attempt led to."""
        answer, verdict = attempt.answer, attempt.verdict
        detail = None
        if verdict.detail:
            sent = {**self.event.body, "lead_id": self.event.lead_id}  # ids of events are often made of it
            detail = redacted(verdict.detail, sent)
        return Outcome(
            kind,
            self.position,
            self.event,
            why,
            status=answer.status if answer else None,
            detail=detail,
            attempts=self.trial.attempts,
            in_doubt=self.in_doubt,
            row=self.row,
        )

    def unsent(self, why: str) -> Outcome:
        """The outcome of what was not sent, or whose answer is not known."""
        return Outcome(
            Kind.UNSENT,
            self.position,
            self.event,
            why,
            attempts=self.trial.attempts,
            in_doubt=self.in_doubt,
            row=self.row,
        )
