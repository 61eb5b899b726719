"""The arguments of a send, checked when the DAG is parsed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

import pendulum
import phonenumbers

from airflow_reshape.delivery.guards import DEFAULT_MAX_AGE, Guards
from airflow_reshape.delivery.tally import Tally
from airflow_reshape.events.rules import OnBadField, Rules
from airflow_reshape.exceptions import ReshapeConfigurationError
from airflow_reshape.hooks.settings import ReshapeSettings
from airflow_reshape.mapping import EventBuilder, FieldMap, MappingError, Steering, default_paths
from airflow_reshape.mapping.consent import CONSENTS, ConsentMap
from airflow_reshape.mapping.field_map import UnknownColumns
from airflow_reshape.mapping.paths import Path


@dataclass(frozen=True, kw_only=True)
class SendPlan:
    """What is sent, and how.

    :param event: event name of every lead; None if ``stage_map`` or the rows' ``event.name`` say it.
    :param mapping: target path to source column, for names that the source cannot give. Default none.
    :param defaults: path to value, for fields that a lead lacks, such as ``{"event.currency": "EUR"}``.
    :param unknown_columns: ``error`` (default), ``ignore``, ``event.properties`` or ``user.properties``.
    :param property_columns: columns that the last two may take.
    :param stage_map: CRM stage to event name, or to None for no event.
    :param reason_map: the CRM's reason to the vocabulary's, or to None for leads not to be sent.
    :param event_id: format string of column names for the event id, such as ``"{lead_id}:{stage}"``.
    :param disqualified_value: value of lead_disqualified: a number, ``"row"``, or None: 0 when the send makes
        other events too, else the row's own.
    :param require_reason: lead_disqualified needs a reason. Default True.
    :param allow_other_reasons: reasons outside the vocabulary pass. Default False.
    :param default_region: ISO 3166 two-letter country of phone numbers without one. Default none.
    :param timezone: IANA zone of times without one. Default ``UTC``.
    :param on_bad_field: ``leave_out`` (default) drops a bad recommended field and counts it; ``reject`` makes
        the lead invalid.
    :param max_age: oldest ``occurred_at`` to send, a timedelta. Default 72 hours, where too old leads count as
        failures; set it to say that they are expected.
    :param require_consent: consents a lead must have given: ``analytics``, ``personalization``, ``marketing``.
    :param require_identifier: an event needs user.id, user.email or user.phone. Default False.
    :param consent_map: the CRM's own words for a yes (True) and a no (False), by purpose, such as
        ``{"marketing": {"granted": True, "withdrawn": False}}``, besides yes, no, true, false, 1, 0 and the like.
        Default none.
    :param allow_fan_out: rows that repeat an event id of the source with other data, as a JOIN makes them, are left out
        without being failures. Default False.
    :param exclude_emails: addresses or patterns such as ``*@example.com`` not to send.
    :param concurrency: most requests in flight; there are fewer where the server can do no more. Default 64.
    :param rate_limit: most events a second, a number above 0. Default: as many as the server takes.
    :param max_outage: how long the server may take nothing before the send is given up, a timedelta. Default 5
        minutes.
    :param max_rejected: how many leads may fail (int), or which share of them (float). Default 0.
    :param validate_only: map, validate and report, send nothing. Default False.
    :param ledger_conn_id: connection of a SQL database (SQLite, PostgreSQL, MySQL or MariaDB) that remembers what was
        sent, so that a retry, a rerun or an overlapping window sends no event again. Default none.
    :param baseline: remember every event that the source makes as known, whatever its age, and send nothing; needs a
        ledger. Default False.
    :param ledger_retention: how long the ledger remembers what is settled, a timedelta, not shorter than ``max_age``.
        Default 396 days, 13 months.
    :param retry_rejected: send events once more that the ledger knows as rejected, although nothing in them changed:
        for a rejection whose cause was on the other side. Default False.
    :param resume: without a ledger, a retry or a cleared task goes on where the task stopped, on Airflow 3.3 and
        later. Default True.
    :param failures_path: folder for the rows of leads that failed or were not sent, such as
        ``s3://my_aws@bucket/reshape``, for sources that cannot be read again. They are personal data. Default none.
    :param failures_retention: how long they are kept, a timedelta. Default 30 days.
    :param max_events: most events that one send may send; if there are more, it sends none. Default no limit.
    :raises ReshapeConfigurationError: an argument is wrong; the text says which and what to write.
    """

    event: str | None = None
    mapping: Mapping[str, str] | None = None
    defaults: Mapping[str, Any] | None = None
    unknown_columns: UnknownColumns = "error"
    property_columns: Sequence[str] = ()
    stage_map: Mapping[str, str | None] | None = None
    reason_map: Mapping[str, str | None] | None = None
    event_id: str | None = None
    disqualified_value: float | Literal["row"] | None = None
    require_reason: bool = True
    allow_other_reasons: bool = False
    default_region: str | None = None
    timezone: str = "UTC"
    on_bad_field: OnBadField = "leave_out"
    max_age: timedelta | None = None
    require_consent: Sequence[str] = ()
    require_identifier: bool = False
    consent_map: Mapping[str, Any] | None = None
    allow_fan_out: bool = False
    exclude_emails: Sequence[str] = ()
    concurrency: int = 64
    rate_limit: float | None = None
    max_outage: timedelta = timedelta(minutes=5)
    max_rejected: float = 0
    validate_only: bool = False
    ledger_conn_id: str | None = None
    baseline: bool = False
    ledger_retention: timedelta = timedelta(days=396)
    retry_rejected: bool = False
    resume: bool = True
    failures_path: str | None = None
    failures_retention: timedelta = timedelta(days=30)
    max_events: int | None = None
    field_map: FieldMap = field(init=False, repr=False, compare=False)
    _steering: Steering = field(init=False, repr=False, compare=False)
    _consent_map: ConsentMap = field(init=False, repr=False, compare=False)
    _defaults: dict[Path, Any] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, (holds, rule) in ARGUMENT_RULES.items():
            if not holds(getattr(self, name)):
                raise ReshapeConfigurationError(f"{name} {rule}")
        if self.baseline and not self.ledger_conn_id:
            raise ReshapeConfigurationError("baseline needs ledger_conn_id: something has to remember")
        if self.ledger_retention < self.guards().max_age:
            raise ReshapeConfigurationError(
                "ledger_retention must not be shorter than max_age: what is forgotten would be sent again"
            )
        try:
            steering = Steering(
                event=self.event,
                stage_map=self.stage_map,
                reason_map=self.reason_map,
                event_id=self.event_id,
                disqualified_value=self.disqualified_value,
                allow_other_reasons=self.allow_other_reasons,
            )
            field_map = FieldMap(self.mapping, self.unknown_columns, self.property_columns, steering.columns)
            defaults = default_paths(self.defaults)
            consent_map = ConsentMap(self.consent_map)
        except MappingError as error:
            raise ReshapeConfigurationError(str(error)) from None
        object.__setattr__(self, "field_map", field_map)
        object.__setattr__(self, "_steering", steering)
        object.__setattr__(self, "_defaults", defaults)
        object.__setattr__(self, "_consent_map", consent_map)

    @property
    def events(self) -> frozenset[str]:
        """The names of the events that it can make; empty if the rows name them."""
        return self._steering.events

    def check_columns(self, columns: Sequence[str]) -> None:
        """Check the columns of a source that tells them before its rows.

        :raises ReshapeConfigurationError: a column is unknown, or one that is needed is not there.
        """
        try:
            self.field_map.check_columns(columns)
        except MappingError as error:
            raise ReshapeConfigurationError(str(error)) from None
        if self.require_consent and not self.field_map.maps_consent(columns):
            wanted = ", ".join(f"consent.{name}" for name in self.require_consent)
            raise ReshapeConfigurationError(f"require_consent needs a column {wanted}: without it no lead is sent")

    def rules(self, settings: ReshapeSettings) -> Rules:
        """How values are read for a connection."""
        return Rules(
            generation=settings.generation,
            default_region=self.default_region.upper() if self.default_region else None,
            timezone=self.timezone,
            require_reason=self.require_reason,
            allow_other_reasons=self.allow_other_reasons,
            on_bad_field=self.on_bad_field,
        )

    def builder(self, settings: ReshapeSettings) -> EventBuilder:
        """What makes events of rows for a connection."""
        return EventBuilder(
            self.field_map,
            self._steering,
            self.rules(settings),
            self._defaults,
            settings.environment,
            settings.data_source,
            self._consent_map,
            # A tester whose address cannot be read would go out as a lead.
            crucial=[("user", "email")] if self.exclude_emails else (),
        )

    def guards(self) -> Guards:
        """Which leads are not sent."""
        return Guards(
            max_age=self.max_age if self.max_age is not None else DEFAULT_MAX_AGE,
            max_age_is_chosen=self.max_age is not None,
            require_consent=tuple(self.require_consent),
            require_identifier=self.require_identifier,
            exclude_emails=tuple(self.exclude_emails),
            allow_fan_out=self.allow_fan_out,
            validate_only=self.validate_only,
            baseline=self.baseline and not self.validate_only,
        )

    def tally(self) -> Tally:
        """A tally that counts days in the plan's time zone."""
        zone = pendulum.timezone(self.timezone)
        return Tally(
            lambda at: (at or datetime.now(UTC)).astimezone(zone).date().isoformat(),
            failing_skips=self.guards().failing,
            knows_stage=self._steering.names_stage,
            configured_events=self._steering.events,
        )

    def allows(self, failures: int, read: int) -> bool:
        """Whether so many failed leads are few enough."""
        # A quotient: 29 of 100 are 0.29, but 0.29 × 100 is a little less than 29.
        failed = failures / max(1, read) if isinstance(self.max_rejected, float) else failures
        return failed <= self.max_rejected


def _is_zone(name: Any) -> bool:
    try:
        return isinstance(name, str) and pendulum.timezone(name) is not None
    except (ValueError, OSError):  # OSError: a folder of the zone database, such as "Europe"
        return False


def _is_duration(value: Any) -> bool:
    return isinstance(value, timedelta) and value > timedelta(0)


def _is_limit(limit: Any) -> bool:
    if isinstance(limit, bool) or not isinstance(limit, (int, float)):
        return False
    return limit >= 0 and (isinstance(limit, int) or limit <= 1)


def _is_rate(rate: Any) -> bool:
    if rate is None:
        return True
    return isinstance(rate, (int, float)) and not isinstance(rate, bool) and math.isfinite(rate) and rate > 0


def _are_names(names: Any) -> bool:
    return isinstance(names, (list, tuple, set, frozenset)) and all(isinstance(n, str) and n.strip() for n in names)


def _is_map(names: Any) -> bool:
    return names is None or isinstance(names, Mapping)


def _is_map_of_names(names: Any) -> bool:
    return _is_map(names) and all(isinstance(name, str) for name in names or ())


def _is_text(value: Any) -> bool:
    return value is None or (isinstance(value, str) and bool(value.strip()))


def _is_value(value: Any) -> bool:
    if value is None or value == "row":
        return True
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


_FLAG = (lambda value: isinstance(value, bool), "must be True or False")

ARGUMENT_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "event": (_is_text, "must be the name of an event, such as lead_qualified"),
    "mapping": (_is_map_of_names, 'must be a dict of fields and columns, such as {"user.email": "mail"}'),
    "defaults": (_is_map_of_names, 'must be a dict of fields and values, such as {"event.currency": "EUR"}'),
    "stage_map": (_is_map, 'must be a dict of stages and events, such as {"SQL": "lead_qualified", "New": None}'),
    "reason_map": (_is_map, 'must be a dict of reasons, such as {"Too small": "out_of_icp", "Merged": None}'),
    "event_id": (_is_text, 'must be a format string, such as "{lead_id}:{stage}"'),
    "disqualified_value": (_is_value, 'must be a number or "row"'),
    "timezone": (_is_zone, "must be the IANA name of a time zone, such as Europe/Bucharest"),
    "default_region": (
        lambda region: region is None or str(region).upper() in phonenumbers.SUPPORTED_REGIONS,
        "must be an ISO 3166 two-letter country, such as RO",
    ),
    "on_bad_field": (lambda choice: choice in get_args(OnBadField), "must be leave_out or reject"),
    "max_age": (
        lambda age: age is None or _is_duration(age),
        "must be a positive timedelta, such as timedelta(hours=72)",
    ),
    "require_consent": (
        lambda names: _are_names(names) and set(names) <= set(CONSENTS),
        f"must be a list of {', '.join(CONSENTS)}",
    ),
    "exclude_emails": (_are_names, 'must be a list of addresses or patterns, such as ["*@example.com"]'),
    "consent_map": (
        _is_map,
        'must be a dict of purposes, each with its words, such as {"marketing": {"granted": True, "denied": False}}',
    ),
    "allow_fan_out": _FLAG,
    "property_columns": (_are_names, "must be a list of column names"),
    "ledger_retention": (_is_duration, "must be a positive timedelta, such as timedelta(days=396)"),
    "failures_retention": (_is_duration, "must be a positive timedelta, such as timedelta(days=30)"),
    "failures_path": (_is_text, "must be a folder, such as s3://my_aws@bucket/reshape or file:///var/lib/reshape"),
    "max_events": (
        lambda n: n is None or (isinstance(n, int) and not isinstance(n, bool) and n >= 1),
        "must be a positive int",
    ),
    "concurrency": (
        lambda n: isinstance(n, int) and not isinstance(n, bool) and 1 <= n <= 1024,
        "must be between 1 and 1024",
    ),
    "rate_limit": (_is_rate, "must be a number of events a second, above 0"),
    "max_outage": (_is_duration, "must be a positive timedelta, such as timedelta(minutes=5)"),
    "max_rejected": (_is_limit, "must be a count (int) or a share between 0.0 and 1.0 (float)"),
    "require_reason": _FLAG,
    "allow_other_reasons": _FLAG,
    "require_identifier": _FLAG,
    "validate_only": _FLAG,
    "baseline": _FLAG,
    "retry_rejected": _FLAG,
    "resume": _FLAG,
    "ledger_conn_id": (lambda name: name is None or (isinstance(name, str) and bool(name)), "must be a connection id"),
}
