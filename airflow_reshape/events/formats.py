"""Normalising of single values: e-mail, phone, currency, time, address, URL, number, text.

Pure functions: a value goes in, the value that Reshape wants comes out, or a ``PydanticCustomError``
is raised whose text names the rule and never the value.
"""

from __future__ import annotations

import ipaddress
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit, urlunsplit
from uuid import UUID

import pendulum
import phonenumbers
import pycountry
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_extra_types.currency_code import ISO4217

SHA256 = re.compile(r"^[0-9a-f]{64}$", re.IGNORECASE)
# One @, a dotted domain, no blanks, quotes, brackets or separators: a check against junk, not RFC 5322.
EMAIL = re.compile(r"^[^@\s,;:<>()\[\]\"]+@[^@\s,;:<>()\[\]\".]+(\.[^@\s,;:<>()\[\]\".]+)+$")
LARGEST_INTEGER = 2**53  # JSON numbers beyond it change on the way (IEEE 754 doubles)
# Epoch numbers below this are seconds: as milliseconds they would all lie before March 1973.
SMALLEST_EPOCH_MS = 100_000_000_000
LAST_EPOCH_MS = 4_102_444_800_000  # 2100-01-01: whatever lies beyond is not a time
DEEPEST_NESTING = 12


def broken(code: str, rule: str) -> PydanticCustomError:
    """The error for a broken rule.

    :param code: short name of the rule, for machines.
    :param rule: the rule in words; it is shown and counted, so it must not hold the value.
    """
    return PydanticCustomError(code, rule)


def text(value: object) -> str:
    """Text, trimmed. Whole numbers become their digits, for ids and postal codes kept as numbers."""
    if isinstance(value, bytes):
        value = decoded(value)
    if isinstance(value, str):
        trimmed = value.strip()
        if not trimmed:
            raise broken("text_empty", "must not be empty")
        return encodable(trimmed)
    if isinstance(value, bool):
        raise broken("text_type", "must be text")
    if isinstance(value, (int, float, Decimal)):
        return str(number(value))
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    raise broken("text_type", "must be text")


def encodable(value: str) -> str:
    """The text itself, unless it cannot be written as UTF-8 (lone surrogates)."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise broken("text_encoding", "must be text that UTF-8 can write") from None
    return value


def decoded(value: bytes) -> str:
    """Text from bytes as drivers return them for binary columns."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise broken("text_encoding", "must be text, but holds bytes that are not UTF-8") from None


def number(value: object) -> int | float:
    """A finite JSON number. Whole floats and decimals become integers, so that an id keeps its digits."""
    if isinstance(value, (bool, bytes, list, dict)):
        raise broken("number_type", "must be a number")
    if isinstance(value, str):
        try:
            value = Decimal(value.strip())
        except InvalidOperation:
            raise broken("number_type", "must be a number, with a dot for decimals") from None
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise broken("number_finite", "must be a finite number")
        if value.adjusted() > 300:
            raise broken("number_range", "is too large a number")
        value = int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise broken("number_finite", "must be a finite number")
        if value.is_integer() and abs(value) <= LARGEST_INTEGER:
            return int(value)
        return value
    if isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            raise broken("number_range", "is too large a number")
        return value
    raise broken("number_type", "must be a number")


FLAGS: dict[object, bool] = {
    **dict.fromkeys((1, "1", "true", "t", "yes", "y", "on"), True),
    **dict.fromkeys((0, "0", "false", "f", "no", "n", "off"), False),
}


def flag(value: object) -> bool:
    """A boolean, also from 0/1 in any numeric type and from true/false, yes/no, t/f, y/n, on/off."""
    if isinstance(value, bool):
        return value
    key: object = value
    if isinstance(value, bytes):
        key = int.from_bytes(value, "big") if len(value) == 1 and value in b"\x00\x01" else decoded(value)
    if isinstance(key, str):
        key = key.strip().lower()
    elif not isinstance(key, (int, float, Decimal)) or key != key:
        raise broken("flag_type", "must be true or false")
    if key not in FLAGS:
        raise broken("flag_type", "must be true or false")
    return FLAGS[key]


def email(value: object) -> str:
    """An e-mail address, trimmed and lower-cased."""
    address = text(value).lower()
    if len(address) > 254 or not EMAIL.match(address) or ".." in address:
        raise broken("email", "must be an e-mail address")
    return address


class Phone(NamedTuple):
    """A phone number in E.164, and whether the numbering plan knows it."""

    e164: str
    valid: bool


def phone(value: object, region: str | None) -> Phone:
    """A phone number in E.164.

    A number that is not *possible* (wrong length for its country) is bad; one that is possible but not
    *valid* passes and says so, because numbering plans age faster than libraries.

    :param region: ISO 3166 two-letter country for a number without one, or None.
    """
    digits = text(value)
    if digits.startswith("00"):
        digits = "+" + digits[2:]
    try:
        parsed = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException as error:
        if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE and region is None:
            raise broken("phone_region", "has no country code: map user.country or set default_region") from None
        raise broken("phone", "must be a phone number") from None
    if phonenumbers.is_possible_number_with_reason(parsed) != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise broken("phone_possible", "must be a possible phone number (its length does not fit its country)")
    e164 = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return Phone(e164, phonenumbers.is_valid_number(parsed))


@lru_cache(maxsize=1024)
def region_of(country: str) -> str | None:
    """The ISO 3166 two-letter code of a country given by name or code, or None if it is not known."""
    if country.strip().upper() == "UK":
        return "GB"
    try:
        return str(pycountry.countries.lookup(country.strip()).alpha_2)
    except LookupError:
        return None


_ISO4217: TypeAdapter[ISO4217] = TypeAdapter(ISO4217)


@lru_cache(maxsize=512)
def _known_currency(code: str) -> bool:
    try:
        _ISO4217.validate_python(code)
    except ValidationError:
        return False
    return True


def currency(value: object) -> str:
    """A currency, ISO 4217, three letters, upper-cased."""
    code = text(value).upper()
    if len(code) != 3 or not _known_currency(code):
        raise broken("currency", "must be a currency of ISO 4217, three letters, for example EUR")
    return code


def moment(value: object, timezone: str) -> datetime:
    """An aware point in time.

    :param value: datetime, date, ISO 8601 text, or epoch seconds or milliseconds (numbers below
        100,000,000,000 are seconds).
    :param timezone: IANA name of the zone of values that carry none.
    """
    zone = pendulum.timezone(timezone)
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=zone)
    if isinstance(value, date):
        return datetime.combine(value, time.min, tzinfo=zone)
    if isinstance(value, bytes):
        value = decoded(value)
    if isinstance(value, str):
        stripped = value.strip()
        if not _NUMERIC.match(stripped):
            return _parsed(stripped, zone)
        value = stripped
    epoch = number(value)
    milliseconds = epoch * 1000 if abs(epoch) < SMALLEST_EPOCH_MS else epoch
    if not 0 <= milliseconds < LAST_EPOCH_MS:
        raise broken("time_range", "must be a time between 1970 and 2100")
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


_NUMERIC = re.compile(r"^[+-]?\d{5,}(\.\d+)?$")  # four digits are a year


def _parsed(value: str, zone: pendulum.Timezone | pendulum.FixedTimezone) -> datetime:
    try:
        parsed: object = pendulum.parse(value, tz=zone)
    except (ValueError, OverflowError):
        raise broken("time", "must be a time: ISO 8601 text, or epoch seconds or milliseconds") from None
    if not isinstance(parsed, datetime):
        raise broken("time", "must be a point in time")
    return parsed


def epoch_ms(value: object, timezone: str) -> int:
    """Milliseconds since the Unix epoch, from all that :func:`moment` takes."""
    try:
        milliseconds = round(moment(value, timezone).timestamp() * 1000)
    except (OverflowError, ValueError, OSError):
        raise broken("time_range", "must be a time between 1970 and 2100") from None
    if not 0 <= milliseconds < LAST_EPOCH_MS:
        raise broken("time_range", "must be a time between 1970 and 2100")
    return milliseconds


def address(value: object) -> str | None:
    """A public IPv4 or IPv6 address; None for a private, loopback or otherwise local one."""
    try:
        ip = ipaddress.ip_address(text(value))
    except ValueError:
        raise broken("ip", "must be an IPv4 or IPv6 address") from None
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return str(ip) if ip.is_global else None


# Names of query parameters that hold persons or secrets, whatever their value.
PERSONAL_PARAMETER = re.compile(
    r"e-?mail|phone|mobile|^tel$|telefon|(first|last|full|sur|user)[_-]?name|token|session|^sid$|"
    r"passw|^pwd$|secret|^auth|api[_-]?key|^code$|^otp$|^jwt$|signature|address|^dob$|birth|iban|^ssn$|^cnp$",
    re.IGNORECASE,
)
# Campaign parameters and click ids: what the whole tracking is for.
CAMPAIGN_PARAMETER = re.compile(
    r"^(utm_|gad_|hsa_|mc_|matomo_|pk_)|clid$|^(gbraid|wbraid|_gl|srsltid|ref|epik)$|"
    r"^(campaign|adgroup|ad|creative|placement|keyword|network|device|matchtype)(_?id)?$",
    re.IGNORECASE,
)
_DIALLED = re.compile(r"^(\+|0)[\d\s().\-/]{8,18}$")


def _personal(parameter: str) -> bool:
    name, _, value = parameter.partition("=")
    name, value = unquote(name), unquote(value).strip()
    if "@" in value and EMAIL.match(value.lower()):
        return True
    if CAMPAIGN_PARAMETER.search(name):
        return False
    return bool(PERSONAL_PARAMETER.search(name) or _DIALLED.match(value))


class CleanUrl(NamedTuple):
    """A URL, and whether something was taken out of it."""

    url: str
    cleaned: bool


def url(value: object) -> CleanUrl:
    """A URL without credentials and without query parameters that look personal.

    Both pages warn of personal identifiers and session tokens in URLs. Campaign parameters and click ids stay.
    """
    given = text(value)
    try:
        parts = urlsplit(given)
    except ValueError:
        raise broken("url", "must be a URL") from None
    if not parts.scheme or not parts.netloc or any(c.isspace() for c in parts.netloc):
        raise broken("url", "must be a complete URL, with https:// before the host")
    query = _impersonal(parts.query)
    fragment = _impersonal(parts.fragment) if "=" in parts.fragment else parts.fragment
    netloc = parts.netloc.rpartition("@")[2]
    if (query, fragment, netloc) == (parts.query, parts.fragment, parts.netloc):
        return CleanUrl(given, False)
    return CleanUrl(urlunsplit((parts.scheme, netloc, parts.path, query, fragment)), True)


def _impersonal(query: str) -> str:
    return "&".join(p for p in query.split("&") if not _personal(p)) if query else query


def json_value(value: Any, depth: int = 0) -> Any:
    """A value of a free map, as JSON can write it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, (int, float, Decimal)):
        return number(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return number(value.total_seconds())
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes):
        return decoded(value)
    if depth >= DEEPEST_NESTING:
        raise broken("json_depth", "is nested too deeply")
    if isinstance(value, Mapping):
        return {encodable(str(k)): json_value(v, depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_value(item, depth + 1) for item in value]
    raise broken("json_type", "must be text, a number, true or false, or a list of these")


def json_object(value: object) -> object:
    """The object that a JSON text holds; anything else as it is."""
    if isinstance(value, bytes):
        value = decoded(value)
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise broken("json_text", "must be an object, or text that holds one as JSON") from None
