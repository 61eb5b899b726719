"""An event ready to be sent, with what steers its sending."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_reshape.events.models import BaseEvent
from airflow_reshape.events.rules import Problem


@dataclass(frozen=True, slots=True)
class Answers:
    """How a lead's answers about consent were read. NULL is no answer, and a no.

    :param read: purposes with a yes or a no.
    :param unread: purposes with an answer that is neither, and what kind of value it is (``text``, ``timestamp`` …).
    """

    read: frozenset[str] = frozenset()
    unread: Mapping[str, str] = field(default_factory=dict)


NO_ANSWERS = Answers()


@dataclass(frozen=True, slots=True)
class PreparedEvent:
    """A valid event in wire form. Its ``repr`` shows no value of the lead.

    :param event: the model, for guards.
    :param body: the body in the form of the connection's generation.
    :param order_key: events with one key keep their order; None lets the event overtake freely.
    :param occurred_at: when the CRM says it happened; it is not sent, there is no field for it.
    :param stage: the CRM's stage, or None.
    :param defaulted: fields filled from ``defaults``.
    :param answers: about consent.
    :param other_emails: of the lead, that the event has no place for; guards look at them.
    :param former_id: the event id as it was before texts were cleaned, where it was another one.
    :param former_ids: likewise the ids of lead, event and person, by which a lead may have been forgotten.
    """

    event: BaseEvent
    body: dict[str, Any] = field(repr=False)
    order_key: str | None = field(default=None, repr=False)
    lead_id: str | None = field(default=None, repr=False)
    occurred_at: datetime | None = field(default=None, repr=False)
    stage: str | None = field(default=None, repr=False)
    left_out: tuple[Problem, ...] = ()
    cleaned: tuple[Problem, ...] = ()
    doubtful: tuple[Problem, ...] = ()
    defaulted: tuple[str, ...] = ()
    answers: Answers = NO_ANSWERS
    other_emails: tuple[str, ...] = field(default=(), repr=False)
    former_id: str | None = field(default=None, repr=False)
    former_ids: tuple[str, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        """Event name."""
        return self.event.event.name

    @property
    def id(self) -> str | None:
        """Event id, the key of deduplication together with the name."""
        return self.event.event.id

    @property
    def environment(self) -> str:
        """The environment that it is sent to: the row's own, unless the connection is for ``dev``."""
        environment: str = self.body["context"]["environment"]
        return environment


@dataclass(frozen=True, slots=True)
class InvalidLead:
    """A lead that makes no valid event.

    :param lead_id: as far as the row tells it.
    :param reason: why it was disqualified, in the CRM's words, where that is what is wrong.
    :param event_id: of the event that it would make, as far as the row tells it.
    """

    problems: tuple[Problem, ...]
    stage: str | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)
    lead_id: str | None = field(default=None, repr=False)
    reason: str | None = field(default=None, repr=False)
    event_id: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class SkippedLead:
    """A lead that is not to be sent.

    :param why: short name of the reason, counted.
    :param lead_id: as far as the row tells it.
    """

    why: str
    stage: str | None = field(default=None, repr=False)
    name: str | None = field(default=None, repr=False)
    lead_id: str | None = field(default=None, repr=False)


Prepared = PreparedEvent | InvalidLead | SkippedLead
