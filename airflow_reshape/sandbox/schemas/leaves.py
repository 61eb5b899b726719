"""Single values of the event API: texts, numbers, addresses, hashes."""

from __future__ import annotations

from typing import Any, Literal

Schema = dict[str, Any]
Generation = Literal["standard", "webhooks"]


def rule(name: str, says: str, **schema: Any) -> Schema:
    """A schema that knows its rule.

    :param name: short name of the rule, shown as ``rule`` in a violation.
    :param says: what the value must be, completing the sentence "<field> …".
    :param schema: the JSON Schema keywords.
    """
    return {"x-rule": name, "x-says": says, **schema}


TEXT = rule("text", "must be a text that is not empty", type="string", minLength=1)
ANY_TEXT = rule("text", "must be a text", type="string")
NUMBER = rule("number", "must be a number", type="number")
BOOLEAN = rule("boolean", "must be true or false", type="boolean")

CURRENCY = rule(
    "currency",
    "must be an ISO 4217 code of three capital letters",
    type="string",
    pattern="^[A-Z]{3}$",
    format="currency",
)
ENVIRONMENT = rule("environment", "must be prod or dev", enum=["prod", "dev"])
URL = rule("url", "must be a complete http(s) address", type="string", format="web-address")
IP_ADDRESS = rule("ip", "must be an IPv4 or IPv6 address", type="string", format="ip-address")

# Milliseconds since 1970. Seconds of today have ten digits, microseconds sixteen: both fall outside these
# bounds, which in milliseconds are March 1973 and November 5138.
EPOCH_MS = rule(
    "milliseconds",
    "must be a Unix time in milliseconds (this number looks like another unit)",
    type="number",
    minimum=100_000_000_000,
    maximum=100_000_000_000_000,
)

# The examples of both documents hold texts, numbers, booleans and arrays of texts, and nothing else.
PROPERTY = rule(
    "property",
    "must be a text, a number, a boolean or an array of texts",
    type=["string", "number", "boolean", "array"],
    items=rule("property", "must be a text: only arrays of texts are documented", type="string"),
)
PROPERTIES = rule("object", "must be an object", type="object", additionalProperties=PROPERTY)

PLAIN_EMAIL = rule(
    "plaintext-email",
    "must be one plaintext e-mail address; arrays and hashes are forbidden here",
    type="string",
    format="plaintext-email",
)
PLAIN_PHONE = rule(
    "plaintext-phone",
    "must be one possible plaintext phone number in E.164 form; arrays and hashes are forbidden here",
    type="string",
    format="plaintext-phone",
)
OPEN_EMAIL = rule(
    "email",
    "must be an e-mail address or the hex SHA-256 of one, or an array of them",
    type=["string", "array"],
    format="email-or-sha256",
    minItems=1,
    items=rule(
        "email",
        "must be an e-mail address or the hex SHA-256 of one",
        type="string",
        format="email-or-sha256",
    ),
)
OPEN_PHONE = rule(
    "phone",
    "must be a possible phone number in E.164 form or the hex SHA-256 of one, or an array of them",
    type=["string", "array"],
    format="phone-or-sha256",
    minItems=1,
    items=rule(
        "phone",
        "must be a possible phone number in E.164 form or the hex SHA-256 of one",
        type="string",
        format="phone-or-sha256",
    ),
)
