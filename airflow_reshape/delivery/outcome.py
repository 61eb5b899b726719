"""What became of one lead."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from airflow_reshape.events.prepared import Prepared


class Kind(StrEnum):
    """Every lead read ends in exactly one of these."""

    DELIVERED = "delivered"
    REJECTED = "rejected"
    INVALID = "invalid"
    SKIPPED = "skipped"
    UNSENT = "unsent"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one lead in one send.

    :param position: number of the lead in its source, from 1.
    :param lead: the event, or why there is none.
    :param why: short reason, without personal data; None for delivered.
    :param status: HTTP status of the last answer, or None.
    :param detail: what the server said, redacted, or None.
    :param attempts: requests made.
    :param in_doubt: a request went out and its answer is not known.
    :param row: what the lead was made of, for those who keep failed leads.
    """

    kind: Kind
    position: int
    lead: Prepared | None
    why: str | None = None
    status: int | None = None
    detail: str | None = None
    attempts: int = 0
    in_doubt: bool = False
    row: object = field(default=None, repr=False, compare=False)
