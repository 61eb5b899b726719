"""Leads that must not be sent although they are valid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

from airflow_reshape.delivery.repeats import Repeat
from airflow_reshape.events.cleaning import clean_code
from airflow_reshape.events.prepared import PreparedEvent

DEFAULT_MAX_AGE = timedelta(hours=72)
"""Destinations refuse or misattribute older events: GA4 after 72 hours, Meta after 7 days."""
CLOCKS_MAY_DIFFER = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Guards:
    """What a lead has to meet.

    :param max_age: oldest ``occurred_at`` to send. Default 72 hours.
    :param max_age_is_chosen: the user set it: too old leads are then expected, and no failure.
    :param require_consent: names of the consents that a lead must have given.
    :param require_identifier: an event needs one of user.id, user.email, user.phone.
    :param allow_fan_out: rows that repeat an event id with other data are no failures.
    :param exclude_emails: addresses or patterns (``*@example.com``) of people not to send, such as testers.
    :param validate_only: nothing is sent.
    :param baseline: nothing is sent, and whatever a later run might let pass is remembered.
    """

    max_age: timedelta = DEFAULT_MAX_AGE
    max_age_is_chosen: bool = False
    require_consent: Sequence[str] = ()
    require_identifier: bool = False
    exclude_emails: Sequence[str] = ()
    allow_fan_out: bool = False
    validate_only: bool = False
    baseline: bool = False

    @property
    def failing(self) -> frozenset[str]:
        """Reasons for skipping that count as failures: nobody chose to lose these leads."""
        chosen = {"too_old": self.max_age_is_chosen, Repeat.FAN_OUT.value: self.allow_fan_out}
        return frozenset(
            {"unknown_stage", "in_future", "rejected_in_this_run", "unreadable_consent"}
            | {why for why, is_chosen in chosen.items() if not is_chosen}
        )


def _too_old(event: PreparedEvent, guards: Guards, now: datetime) -> bool:
    return event.occurred_at is not None and now - event.occurred_at > guards.max_age


def _in_future(event: PreparedEvent, guards: Guards, now: datetime) -> bool:
    return event.occurred_at is not None and event.occurred_at - now > CLOCKS_MAY_DIFFER


def _no_consent(event: PreparedEvent, guards: Guards, now: datetime) -> bool:
    if not guards.require_consent:
        return False
    consent, unread = event.event.consent, event.answers.unread
    return any(name not in unread and not (consent and getattr(consent, name)) for name in guards.require_consent)


def _unreadable_consent(event: PreparedEvent, guards: Guards, now: datetime) -> bool:
    return any(name in event.answers.unread for name in guards.require_consent)


def _no_identifier(event: PreparedEvent, guards: Guards, now: datetime) -> bool:
    user = event.event.user
    return guards.require_identifier and not (user and (user.id or user.email or user.phone))


def _excluded(event: PreparedEvent, guards: Guards, now: datetime) -> bool:
    if not guards.exclude_emails or event.event.user is None or event.event.user.email is None:
        return False
    emails = event.event.user.email
    return any(
        fnmatchcase(email, clean_code(pattern).lower())
        for email in (*([emails] if isinstance(emails, str) else emails), *event.other_emails)
        for pattern in guards.exclude_emails
    )


def _validate_only(event: PreparedEvent, guards: Guards, now: datetime) -> bool:
    return guards.validate_only


VALIDATE_ONLY = "validate_only"
GUARDS: dict[str, Callable[[PreparedEvent, Guards, datetime], bool]] = {
    "too_old": _too_old,
    "in_future": _in_future,
    "no_consent": _no_consent,
    "unreadable_consent": _unreadable_consent,
    "excluded": _excluded,
    "no_identifier": _no_identifier,
    VALIDATE_ONLY: _validate_only,
}
"""In this order; the first that holds gives the reason."""


OF_A_BASELINE = ("in_future",)
"""Guards that hold in a baseline: a wrong time zone is a mistake there, too."""
OF_THE_CONTENT = ("no_consent", "unreadable_consent", "excluded", "no_identifier")
"""Guards that look at the lead only, not at the time."""


def stopped_by_content(event: PreparedEvent, guards: Guards) -> str | None:
    """The reason why a lead as it is now is not sent at any time, or None."""
    never = datetime.max.replace(tzinfo=UTC)
    return next((why for why in OF_THE_CONTENT if GUARDS[why](event, guards, never)), None)


def stopped_by(event: PreparedEvent, guards: Guards, now: datetime) -> str | None:
    """The reason why a lead is not sent, or None.

    :param now: aware current time.
    """
    asked = OF_A_BASELINE if guards.baseline else GUARDS
    return next((why for why in asked if GUARDS[why](event, guards, now)), None)
