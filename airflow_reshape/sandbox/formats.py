"""Shapes of texts that a JSON Schema cannot state: e-mail, phone, IP, web address, currency.

Written on their own, with other means than the package uses, so that one mistake is not made twice.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import phonenumbers
import pycountry
from jsonschema import FormatChecker  # type: ignore[import-untyped, unused-ignore]

_SHA256_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_EMAIL_LOCAL: Final = re.compile(r"[^\s@\"(),:;<>\[\]\\.]+(?:\.[^\s@\"(),:;<>\[\]\\.]+)*")
_DOMAIN_LABEL: Final = re.compile(r"[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?")
_BLANK: Final = re.compile(r"[\s\x00-\x1f]")


def is_sha256(text: str) -> bool:
    """Whether the text is a SHA-256 digest in hex."""
    return _SHA256_HEX.fullmatch(text) is not None


def is_email(text: str) -> bool:
    """Whether the text has the shape of one e-mail address (RFC 5321 lengths, no quoted local parts)."""
    local, at, domain = text.rpartition("@")
    labels = domain.split(".")
    return (
        bool(at)
        and len(text) <= 254
        and len(local) <= 64
        and len(labels) > 1
        and not labels[-1].isdigit()
        and _EMAIL_LOCAL.fullmatch(local) is not None
        and all(_DOMAIN_LABEL.fullmatch(label) for label in labels)
    )


@lru_cache(maxsize=65_536)
def is_phone(text: str) -> bool:
    """Whether the text is a phone number in E.164 form that is possible in its numbering plan.

    *Possible*, not *valid*: numbering plans age, and a new range must not be refused.
    """
    if not _E164.fullmatch(text):
        return False
    try:
        length = phonenumbers.is_possible_number_with_reason(phonenumbers.parse(text))
    except phonenumbers.NumberParseException:
        return False
    # A number without its area code is possible within a town, but E.164 is for the whole world.
    return length == phonenumbers.ValidationResult.IS_POSSIBLE


def is_ip(text: str) -> bool:
    """Whether the text is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_web_address(text: str) -> bool:
    """Whether the text is an absolute http or https address."""
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(host) and not _BLANK.search(text)


@lru_cache(maxsize=1024)
def is_currency(text: str) -> bool:
    """Whether ISO 4217 knows the code."""
    return pycountry.currencies.get(alpha_3=text) is not None


_FORMATS: Final[dict[str, Callable[[str], bool]]] = {
    "currency": is_currency,
    "ip-address": is_ip,
    "web-address": is_web_address,
    "plaintext-email": is_email,
    "plaintext-phone": is_phone,
    "email-or-sha256": lambda text: is_sha256(text) or is_email(text),
    "phone-or-sha256": lambda text: is_sha256(text) or is_phone(text),
}


def format_checker() -> FormatChecker:
    """The checks above under the names that the schemas use; ``type`` sees to what is no text."""
    checker = FormatChecker(formats=())
    for name, holds in _FORMATS.items():
        checker.checks(name)(lambda value, holds=holds: not isinstance(value, str) or holds(value))
    return checker
