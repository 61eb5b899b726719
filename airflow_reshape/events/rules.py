"""What a send lays down about how events are read: generation of the API, region, time zone, reasons."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from pydantic_core import PydanticCustomError

Generation = Literal["standard", "webhooks"]
Environment = Literal["prod", "dev"]
OnBadField = Literal["leave_out", "reject"]

GENERATIONS: tuple[Generation, ...] = ("standard", "webhooks")


@dataclass(frozen=True, slots=True)
class Rules:
    """How values are read and which of them are allowed.

    :param generation: generation of the API that the event is for; it decides whether hashed and
        several e-mails and phones are allowed. Default ``standard``.
    :param default_region: ISO 3166 two-letter country of phone numbers without one, or None.
    :param timezone: IANA name of the zone of times that carry none. Default ``UTC``.
    :param require_reason: lead_disqualified needs ``disqualification_reason``. Default True.
    :param allow_other_reasons: reasons outside the vocabulary pass. Default False.
    :param on_bad_field: ``leave_out`` drops a bad recommended field and notes it,
        ``reject`` makes the lead invalid.
    """

    generation: Generation = "standard"
    default_region: str | None = None
    timezone: str = "UTC"
    require_reason: bool = True
    allow_other_reasons: bool = False
    on_bad_field: OnBadField = "leave_out"


def broken(code: str, rule: str) -> PydanticCustomError:
    """The error for a broken rule.

    :param code: short name of the rule, for machines.
    :param rule: the rule in words; it is shown and counted, so it must not hold the value.
    """
    return PydanticCustomError(code, rule)


LONGEST_NAME = 60


def shown(name: object) -> str:
    """A field's or column's name as it may be told, ``…`` for one that could itself be a person's.

    Names come with the data too: as keys of a JSON object, which somebody may have filled with e-mail addresses.
    """
    if not isinstance(name, (str, int)):
        return f"({type(name).__name__})"
    told = str(name).strip() or "(no name)"
    digits = sum(character.isdigit() for character in told)
    harmless = told.isprintable() and "@" not in told and digits < 7 and len(told) <= LONGEST_NAME
    return told if harmless else "…"


class Problem(NamedTuple):
    """A rule that a field breaks. Never holds the value.

    :param field: dotted path, e.g. ``user.phone``.
    :param rule: what the field has to be, in words.
    """

    field: str
    rule: str

    def __str__(self) -> str:
        return f"{self.field}: {self.rule}"


@dataclass(slots=True)
class Reading:
    """The state of reading one event: the rules, and what was noticed on the way.

    :param left_out: fields with a bad value, dropped.
    :param cleaned: fields that lost a part on purpose (a private address, personal query parameters).
    :param doubtful: fields sent although they may be wrong (a possible but not valid phone).
    :param other_emails: of the lead, beside the one that the event takes.
    :param country_is_unknown: a country was given that cannot be read, so that a phone number has none either.
    """

    rules: Rules = field(default_factory=Rules)
    one_plain_contact: bool = False
    left_out: list[Problem] = field(default_factory=list)
    cleaned: list[Problem] = field(default_factory=list)
    doubtful: list[Problem] = field(default_factory=list)
    other_emails: list[str] = field(default_factory=list, repr=False)
    country_is_unknown: bool = False
