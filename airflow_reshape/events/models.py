"""The events that Reshape accepts, field by field.

Sources: the lead_qualified page, the lead_disqualified page and the knowledge base; which page a rule comes
from stands in docs/events.md. Names are those of the current generation of the API; the older spellings
(``overide_ip``, ``referring_url``, cookies as a list) are read as well. How a generation wants an event
written is :mod:`airflow_reshape.events.wire`'s business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from airflow_reshape.events import web
from airflow_reshape.events.contacts import contacts, email, split_emails
from airflow_reshape.events.countries import country_in, region_of
from airflow_reshape.events.formats import currency, flag
from airflow_reshape.events.json_values import json_object, objects, properties, property_value
from airflow_reshape.events.numbers import number, positive
from airflow_reshape.events.phones import phone, split_phones
from airflow_reshape.events.reasons import REASONS
from airflow_reshape.events.rules import Environment, Problem, Reading, Rules, broken
from airflow_reshape.events.text import code, identifier, proper_name, text
from airflow_reshape.events.times import epoch_ms


def _optional(read: Callable[[Any], Any]) -> PlainValidator:
    """Reads a field that may be empty: None, or ``False`` as Odoo writes it."""
    return PlainValidator(lambda value: None if value is None or value is False else read(value))


Text = Annotated[str | None, _optional(text)]
Code = Annotated[str | None, _optional(code)]
Name = Annotated[str | None, _optional(proper_name)]
OptionalId = Annotated[str | None, _optional(identifier)]
Id = Annotated[str, PlainValidator(identifier, json_schema_input_type=str)]
Number = Annotated[int | float, PlainValidator(number, json_schema_input_type=float)]
Positive = Annotated[int | float, PlainValidator(positive, json_schema_input_type=float)]
Flag = Annotated[bool, PlainValidator(flag, json_schema_input_type=bool)]
Currency = Annotated[str, PlainValidator(currency, json_schema_input_type=str)]
PropertyValue = Annotated[Any, PlainValidator(property_value)]
Properties = Annotated[dict[str, PropertyValue], BeforeValidator(properties)]
Cookies = Annotated[dict[str, Annotated[str, PlainValidator(web.cookie)]], BeforeValidator(web.cookies)]
ShopObjects = Annotated[list[dict[str, Any]], PlainValidator(objects)]

_STRICT = Rules()


def _reading(info: ValidationInfo) -> Reading | None:
    return info.context if isinstance(info.context, Reading) else None


def _rules(info: ValidationInfo) -> Rules:
    reading = _reading(info)
    return reading.rules if reading else _STRICT


class Part(BaseModel):
    """A part of an event. Unknown fields are refused; neither errors nor ``repr`` show a value."""

    # A part made elsewhere is read again by the rules of the send.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, revalidate_instances="always")

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        # Whoever logs or returns an event must not put a person into a log.
        for name in self.model_fields_set:
            value = getattr(self, name)
            yield name, value if isinstance(value, Part) else ...


class Context(Part):
    """Where an event comes from.

    :param environment: ``prod``, or ``dev`` (logged by Reshape, not processed).
    :param override_ip: IP address of the lead; Reshape takes the sender's without it.
    :param url: page of the event. Like both other URLs it loses parameters that look personal.
    """

    environment: Environment | None = None
    data_source: Code = None
    user_agent: Text = None
    override_ip: str | None = None
    url: str | None = None
    landing_url: str | None = None
    referrer_url: str | None = None
    page_type: Code = None

    OLDER_NAMES: ClassVar = {"overide_ip": "override_ip", "referring_url": "referrer_url"}

    @model_validator(mode="before")
    @classmethod
    def _older_names(cls, given: Any) -> Any:
        given = json_object(given)
        if not isinstance(given, Mapping) or not cls.OLDER_NAMES.keys() & given.keys():
            return given
        renamed = {name: value for name, value in given.items() if name not in cls.OLDER_NAMES}
        for older, name in cls.OLDER_NAMES.items():
            if renamed.get(name) is None and older in given:
                renamed[name] = given[older]
        return renamed

    @field_validator("environment", mode="before")
    @classmethod
    def _environment(cls, value: Any) -> Any:
        return code(value).lower() if isinstance(value, (str, bytes)) else value

    @field_validator("override_ip", mode="plain")
    @classmethod
    def _ip(cls, value: Any, info: ValidationInfo) -> str | None:
        if value is None or value is False:
            return None
        public = web.address(value)
        if public is None and (reading := _reading(info)):
            reading.cleaned.append(Problem("context.override_ip", "private address dropped"))
        return public

    @field_validator("url", "landing_url", "referrer_url", mode="plain")
    @classmethod
    def _url(cls, value: Any, info: ValidationInfo) -> str | None:
        if value is None or value is False:
            return None
        clean = web.url(value)
        if clean.cleaned and (reading := _reading(info)):
            reading.cleaned.append(Problem(f"context.{info.field_name}", "personal parts taken out"))
        return clean.url


Contact = str | list[str]


def _contact(
    value: Any,
    info: ValidationInfo,
    one_plain: bool,
    field: str,
    read: Callable[[object], str],
    split: Callable[[str], list[str]],
) -> Contact | None:
    """One contact or several. The pages differ: lead_qualified takes lists and hashes, lead_disqualified neither."""
    if value is None or value is False:
        return None
    reading = _reading(info)
    one_plain = one_plain or (reading is not None and reading.one_plain_contact)
    found = contacts(value, read, split, takes_hashes=not one_plain)
    if found.errors and (not found.read or reading is None or reading.rules.on_bad_field == "reject"):
        raise found.errors[0]
    if reading:
        reading.left_out.extend(Problem(field, error.message()) for error in found.errors)
        if one_plain and field == "user.email":
            reading.other_emails.extend(found.read[1:])
        if one_plain and len(found.read) > 1:
            reading.cleaned.append(Problem(field, "only the primary or first of several sent: this event takes one"))
    if not found.read:
        return None
    return found.read if found.is_list and not one_plain else found.read[0]


class User(Part):
    """The person behind a lead.

    :param email: one e-mail address, or several, in plain text or as SHA-256.
    :param phone: one phone number, or several, in E.164 or as SHA-256. National formats are read with the
        country of the user, else with the default region of the send.
    :param country: name or ISO code, also as ``[id, name]`` or ``{"code": …}``.
    :param created_at: first seen; time in any form, written as milliseconds since the epoch.
    :param properties: free map.
    :param new_customer: only in the code samples of the lead_qualified page.
    """

    ONE_PLAIN_CONTACT: ClassVar[bool] = False

    id: OptionalId = None
    country: str | None = None  # before phone, which reads it
    email: Contact | None = None
    phone: Contact | None = None
    first_name: Name = None
    last_name: Name = None
    region: Name = None
    city: Name = None
    street: Name = None
    postal_code: Name = None
    orders_total_number: Number | None = None
    orders_canceled_number: Number | None = None
    orders_total_value: Number | None = None
    orders_refunded_value: Number | None = None
    predicted_value: Number | None = None
    created_at: int | None = None
    properties: Properties | None = None
    new_customer: Flag | None = None

    @model_validator(mode="before")
    @classmethod
    def _given_as_json_text(cls, given: Any) -> Any:
        return json_object(given)

    @field_validator("country", mode="plain")
    @classmethod
    def _country(cls, value: Any, info: ValidationInfo) -> str | None:
        reading = _reading(info)
        try:
            country = country_in(value) if value is not None else None
        except PydanticCustomError as error:
            if reading is None or reading.rules.on_bad_field == "reject":
                raise
            # Not left out as other fields are: what is read next must know that a country was given.
            reading.left_out.append(Problem("user.country", error.message()))
            reading.country_is_unknown = True
            return None
        if reading and country is None and value is not None and value is not False:
            reading.cleaned.append(Problem("user.country", "a placeholder, taken for no country"))
        return country

    @field_validator("email", mode="plain")
    @classmethod
    def _email(cls, value: Any, info: ValidationInfo) -> Contact | None:
        return _contact(value, info, cls.ONE_PLAIN_CONTACT, "user.email", email, split_emails)

    @field_validator("phone", mode="plain")
    @classmethod
    def _phone(cls, value: Any, info: ValidationInfo) -> Contact | None:
        reading = _reading(info)
        country = info.data.get("country")
        # A country that is given and not known must not make a number of another country.
        unknown = reading is not None and reading.country_is_unknown
        region = region_of(country) if country else None if unknown else _rules(info).default_region

        def e164(item: object) -> str:
            read = phone(item, region)
            if reading and not read.valid:
                reading.doubtful.append(Problem("user.phone", "possible, but not in the numbering plan"))
            if reading and read.cut:
                reading.cleaned.append(Problem("user.phone", "a label or an extension taken off"))
            return read.e164

        return _contact(value, info, cls.ONE_PLAIN_CONTACT, "user.phone", e164, split_phones)

    @field_validator("created_at", mode="plain")
    @classmethod
    def _created_at(cls, value: Any, info: ValidationInfo) -> int | None:
        return None if value is None or value is False else epoch_ms(value, _rules(info).timezone)


class PlainContactUser(User):
    """A user whose e-mail and phone are single and in plain text, as the lead_disqualified page asks."""

    ONE_PLAIN_CONTACT: ClassVar[bool] = True

    @model_validator(mode="before")
    @classmethod
    def _given_as_user(cls, given: Any) -> Any:
        return given.model_dump(exclude_none=True) if isinstance(given, User) else given

    @model_validator(mode="after")
    def _identified(self) -> Self:
        if not (self.id or self.email or self.phone):
            raise broken("user_identified", "needs at least one of id, email, phone")
        return self


class Consent(Part):
    """What the lead consented to. All three answers are needed once consent is sent (webhooks generation)."""

    analytics: Flag
    personalization: Flag
    marketing: Flag
    id: OptionalId = None

    @model_validator(mode="before")
    @classmethod
    def _given_as_json_text(cls, given: Any) -> Any:
        return json_object(given)


class EventDetails(Part):
    """The event itself: what happened, worth how much.

    :param value: amount in ``currency``.
    :param exchange_rate: rate for accounts in several currencies; Reshape assumes 1 without it.
    :param id: key of deduplication, together with the name.
    """

    name: Annotated[str, PlainValidator(code, json_schema_input_type=str)]
    value: Number | None = None
    currency: Currency | None = None
    exchange_rate: Positive | None = None
    id: OptionalId = None
    properties: Properties | None = None


class BaseEvent(Part):
    """What all events share."""

    event: EventDetails
    context: Context = Field(default_factory=Context)
    user: User | None = None
    cookies: Cookies | None = None
    consent: Consent | None = None


class Event(BaseEvent):
    """An event of any name. The parts of shop events are carried through untouched."""

    products: ShopObjects | None = None
    shipping: ShopObjects | None = None
    payments: ShopObjects | None = None
    coupons: ShopObjects | None = None


class LeadQualifiedDetails(EventDetails):
    """Currency and id are required; value is recommended (lead_qualified page)."""

    name: Literal["lead_qualified"] = "lead_qualified"
    currency: Currency
    id: Id


class LeadQualified(BaseEvent):
    """A lead that meets the qualification criteria.

    Source: lead_qualified page. ``LeadQualified(event={"id": "42:MQL", "currency": "EUR"}, user=User(…))``
    """

    event: LeadQualifiedDetails


class DisqualificationProperties(Part):
    """The reason, and any other properties.

    :param disqualification_reason: one of :class:`DisqualificationReason` unless other reasons are allowed.
    """

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)
    __pydantic_extra__: dict[str, PropertyValue]

    disqualification_reason: str | None = Field(default=None, validate_default=True)
    disqualification_detail: Text = None
    disqualification_stage: Text = None

    @model_validator(mode="before")
    @classmethod
    def _given_as_json_text(cls, given: Any) -> Any:
        return properties(given)

    @field_validator("disqualification_reason", mode="plain")
    @classmethod
    def _reason(cls, value: Any, info: ValidationInfo) -> str | None:
        rules = _rules(info)
        if value is None or value is False:
            if rules.require_reason:
                raise broken("reason_missing", "is required: without it the event is useless")
            return None
        reason = code(value)
        if reason.lower() in REASONS:
            return reason.lower()
        if not rules.allow_other_reasons:
            raise broken(
                "reason",
                "must be a reason of the vocabulary: add it to reason_map or set allow_other_reasons",
            )
        return reason


class LeadDisqualifiedDetails(Part):
    """Value (typically 0), currency, id and the reason are required; there is no exchange rate."""

    name: Literal["lead_disqualified"] = "lead_disqualified"
    value: Number
    currency: Currency
    id: Id
    properties: DisqualificationProperties = Field(default_factory=dict, validate_default=True)


class LeadDisqualified(BaseEvent):
    """A lead removed from active pursuit.

    Source: lead_disqualified page. The id is the lead's, the same as in its lead_created event.
    ``LeadDisqualified(event={"id": "42", "value": 0, "currency": "EUR", "properties":
    {"disqualification_reason": "no_budget"}}, user=User(id="c-7"))``
    """

    event: LeadDisqualifiedDetails  # type: ignore[assignment]  # has no exchange_rate
    user: PlainContactUser


class LeadCreatedDetails(EventDetails):
    """The id is the lead's (knowledge base, /events/forms/lead_created)."""

    name: Literal["lead_created"] = "lead_created"
    id: Id


class LeadCreated(BaseEvent):
    """A new lead."""

    event: LeadCreatedDetails


class LeadClosedDetails(EventDetails):
    """Won or lost: value, currency and the lead's id (knowledge base, /events/forms/lead_closed)."""

    name: Literal["lead_closed"] = "lead_closed"
    value: Number
    currency: Currency
    id: Id


class LeadClosed(BaseEvent):
    """A lead won or lost."""

    event: LeadClosedDetails


EVENT_MODELS: dict[str, type[BaseEvent]] = {
    "lead_qualified": LeadQualified,
    "lead_disqualified": LeadDisqualified,
    "lead_created": LeadCreated,
    "lead_closed": LeadClosed,
}


def model_for(name: str) -> type[BaseEvent]:
    """The model of an event name; :class:`Event` for names without one of their own."""
    return EVENT_MODELS.get(name, Event)
