"""The events: which fields each may hold, and which it must, in each API generation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, get_args

from airflow_reshape.sandbox.schemas.leaves import (
    CURRENCY,
    NUMBER,
    PROPERTIES,
    TEXT,
    Generation,
    Schema,
    rule,
)
from airflow_reshape.sandbox.schemas.objects import (
    CONSENT,
    CONTEXT,
    COOKIES,
    IDENTIFIED,
    OPEN_USER,
    PLAIN_USER,
    SHOP_LIST,
    closed,
)

GENERATIONS: Final[tuple[Generation, ...]] = get_args(Generation)

#: The schema of every event that is not one of the lead events.
GENERIC: Final = "generic"

_SHOP_LISTS: Final = ("products", "shipping", "payments", "coupons")


@dataclass(frozen=True)
class Strictness:
    """What the sandbox asks for beyond a field being well formed.

    :param require_reason: lead_disqualified must say ``event.properties.disqualification_reason``, as its
        document urges; the vocabulary stays open.
    :param require_identifier: the user of lead_disqualified must hold id, email or phone.
    """

    require_reason: bool = True
    require_identifier: bool = True


@dataclass(frozen=True)
class _Event:
    """One row of the table of lead events; sources are the vendor's pages of the same name."""

    required: tuple[str, ...]
    exchange_rate: bool = True
    user_required: bool = False
    # Hashes and several e-mails or phones are for the older generation only, never for lead_disqualified.
    always_plain: bool = False
    reason: bool = False


_TABLE: Final[dict[str, _Event]] = {
    "lead_qualified": _Event(required=("name", "currency", "id")),
    "lead_disqualified": _Event(
        required=("name", "value", "currency", "id"),
        exchange_rate=False,
        user_required=True,
        always_plain=True,
        reason=True,
    ),
    "lead_created": _Event(required=("name", "id")),
    "lead_closed": _Event(required=("name", "value", "currency", "id")),
    GENERIC: _Event(required=("name",)),
}

LEAD_EVENTS: Final = tuple(name for name in _TABLE if name != GENERIC)


def _event_object(name: str, row: _Event, strictness: Strictness) -> Schema:
    fields: dict[str, Schema] = {
        "name": TEXT if name == GENERIC else rule("name", f"must be {name}", const=name),
        "value": NUMBER,
        "currency": CURRENCY,
        "id": TEXT,
        "properties": PROPERTIES,
    }
    required = row.required
    if row.exchange_rate:
        fields["exchange_rate"] = NUMBER
    if row.reason:
        fields["properties"] = {**PROPERTIES, "properties": {"disqualification_reason": TEXT}}
        if strictness.require_reason:
            fields["properties"]["required"] = ["disqualification_reason"]
            required = (*required, "properties")
    return closed(fields, required=required)


def _user_object(row: _Event, generation: Generation, strictness: Strictness) -> Schema:
    plain = row.always_plain or generation == "webhooks"
    user = PLAIN_USER if plain else OPEN_USER
    if row.user_required and strictness.require_identifier:
        return {**user, "allOf": [IDENTIFIED]}
    return user


def schema_for(generation: Generation, name: str, strictness: Strictness | None = None) -> Schema:
    """The JSON Schema of a whole request body.

    :param generation: the API generation.
    :param name: a lead event, or :data:`GENERIC` for any other event.
    :param strictness: what to ask for beyond the form; all of it by default.
    :raises KeyError: for a name that is neither.
    """
    row = _TABLE[name]
    strictness = strictness or Strictness()
    fields: dict[str, Any] = {
        "event": _event_object(name, row, strictness),
        "context": CONTEXT[generation],
        "user": _user_object(row, generation, strictness),
        "cookies": COOKIES[generation],
    }
    if generation == "webhooks":
        fields["consent"] = CONSENT
    if name == GENERIC:
        fields.update(dict.fromkeys(_SHOP_LISTS, SHOP_LIST))
    body = closed(fields, required=("event", "user") if row.user_required else ("event",))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"{name} event, {generation} generation",
        **body,
    }
