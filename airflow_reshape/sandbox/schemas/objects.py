"""The objects of an event body: user, context, cookies, consent, and the shop lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from airflow_reshape.sandbox.schemas.leaves import (
    ANY_TEXT,
    BOOLEAN,
    ENVIRONMENT,
    EPOCH_MS,
    IP_ADDRESS,
    NUMBER,
    OPEN_EMAIL,
    OPEN_PHONE,
    PLAIN_EMAIL,
    PLAIN_PHONE,
    PROPERTIES,
    TEXT,
    URL,
    Generation,
    Schema,
    rule,
)


def closed(
    properties: dict[str, Schema], *, required: tuple[str, ...] = (), hints: Mapping[str, str] | None = None
) -> Schema:
    """An object that may hold only these fields, so that a misspelt one is seen.

    :param properties: the fields it may hold.
    :param required: the fields it must hold.
    :param hints: likely misspellings and what they should have been.
    """
    schema = rule(
        "object",
        "must be an object",
        type="object",
        properties=properties,
        required=list(required),
        additionalProperties=False,
    )
    return {**schema, "x-hints": dict(hints)} if hints else schema


_USER_FIELDS: Final[dict[str, Schema]] = {
    "id": TEXT,
    "first_name": TEXT,
    "last_name": TEXT,
    "country": TEXT,
    "region": TEXT,
    "city": TEXT,
    "street": TEXT,
    "postal_code": TEXT,
    "orders_total_number": NUMBER,
    "orders_canceled_number": NUMBER,
    "orders_total_value": NUMBER,
    "orders_refunded_value": NUMBER,
    "predicted_value": NUMBER,
    "created_at": EPOCH_MS,
    "properties": PROPERTIES,
    # In the code samples of lead_qualified only, but the user object is one and the same for all events.
    "new_customer": BOOLEAN,
}

#: A user whose e-mail and phone may be several, plaintext or hashed (the older generation).
OPEN_USER: Final = closed({**_USER_FIELDS, "email": OPEN_EMAIL, "phone": OPEN_PHONE})

#: A user with at most one e-mail and one phone, both plaintext (newer generation; lead_disqualified always).
PLAIN_USER: Final = closed({**_USER_FIELDS, "email": PLAIN_EMAIL, "phone": PLAIN_PHONE})

IDENTIFIED: Final = rule(
    "identifier",
    "must hold at least one of id, email, phone",
    anyOf=[{"required": ["id"]}, {"required": ["email"]}, {"required": ["phone"]}],
)

_CONTEXT_FIELDS: Final[dict[str, Schema]] = {
    "environment": ENVIRONMENT,
    "data_source": TEXT,
    "user_agent": TEXT,
    "url": URL,
    "landing_url": URL,
    "page_type": TEXT,
}

# The two generations spell two fields differently; the hint is shown beside the unknown field.
CONTEXT: Final[dict[Generation, Schema]] = {
    "standard": closed(
        {**_CONTEXT_FIELDS, "overide_ip": IP_ADDRESS, "referring_url": URL},
        hints={"override_ip": "overide_ip", "referrer_url": "referring_url"},
    ),
    "webhooks": closed(
        {**_CONTEXT_FIELDS, "override_ip": IP_ADDRESS, "referrer_url": URL},
        hints={"overide_ip": "override_ip", "referring_url": "referrer_url"},
    ),
}

COOKIES: Final[dict[Generation, Schema]] = {
    "standard": rule(
        "cookies",
        "must be an array of objects with name and value",
        type="array",
        items=closed({"name": TEXT, "value": ANY_TEXT}, required=("name", "value")),
    ),
    # The real service takes a malformed one as empty without a word: cookies get lost. Here it shows.
    "webhooks": rule(
        "cookies",
        "must be an object of cookie names and values",
        type="object",
        additionalProperties=ANY_TEXT,
    ),
}

CONSENT: Final = closed(
    {"analytics": BOOLEAN, "personalization": BOOLEAN, "marketing": BOOLEAN, "id": TEXT},
    required=("analytics", "personalization", "marketing"),
)

#: Lists of shop events; what is in them is carried through untouched.
SHOP_LIST: Final = rule(
    "array",
    "must be an array of objects",
    type="array",
    items=rule("object", "must be an object", type="object"),
)
