"""Normalising of single values: e-mail, phone, currency, time, address, URL, number, text.

Pure functions: a value goes in, the value that Reshape wants comes out, or a ``PydanticCustomError``
is raised whose text names the rule and never the value.
"""

from __future__ import annotations

import gettext
import ipaddress
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit
from uuid import UUID

import pendulum
import phonenumbers
import pycountry
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_extra_types.currency_code import ISO4217

SHA256 = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)
# Dotted words, one @, labels of a host name: a check against junk, not RFC 5322.
_WORD = r"[^\s@.,;:<>()\[\]\"\\\x00-\x1f\x7f]+"
_LABEL = r"[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?"
EMAIL = re.compile(rf"(?=[^@]{{1,64}}@){_WORD}(?:\.{_WORD})*@(?:{_LABEL}\.)+{_LABEL}")
LARGEST_INTEGER = 2**53  # JSON numbers beyond it change on the way (IEEE 754 doubles)
LONGEST_NUMBER = 40  # digits; databases hold 38
# Epoch numbers below this are seconds: as milliseconds they would all lie before March 1973. What is earlier is no
# time that a CRM recorded, but a placeholder, an Excel day or a date written as one number.
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
    """Text, trimmed. Numbers become their digits, for ids and postal codes kept as numbers."""
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
        return _digits(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    raise broken("text_type", "must be text")


def _digits(value: float | Decimal) -> str:
    """All digits of a number: ids of 64 bits do not fit into a JSON number, but into text they do."""
    if isinstance(value, float):
        value = number(value)
        if isinstance(value, float) and value.is_integer():
            raise broken("number_range", "is too large a number")  # and has lost its last digits already
        return str(value)
    exact = Decimal(value)
    if not exact.is_finite():
        raise broken("number_finite", "must be a finite number")
    if exact and abs(exact.adjusted()) > LONGEST_NUMBER:
        raise broken("number_range", "is too large a number")
    written = f"{exact:f}" if exact else "0"
    return written.rstrip("0").rstrip(".") if "." in written else written


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
    """A finite JSON number. Whole floats and decimals become integers."""
    if isinstance(value, bytes):
        value = decoded(value)
    if isinstance(value, str):
        try:
            value = Decimal(value.strip())
        except InvalidOperation:
            raise broken("number_type", "must be a number, with a dot for decimals") from None
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise broken("number_type", "must be a number")
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
    if abs(value) > LARGEST_INTEGER:
        raise broken("number_range", "is too large a number: its last digits would change")
    return int(value)


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
    elif not isinstance(key, (int, float, Decimal)) or (isinstance(key, Decimal) and not key.is_finite()):
        raise broken("flag_type", "must be true or false")
    if key not in FLAGS:
        raise broken("flag_type", "must be true or false")
    return FLAGS[key]


def email(value: object) -> str:
    """An e-mail address, trimmed and lower-cased."""
    address = text(value).lower()
    # Every top-level domain begins with a letter; a host given by its IP address ends in digits.
    if len(address) > 254 or not EMAIL.fullmatch(address) or not address[address.rfind(".") + 1].isalpha():
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
            raise broken(
                "phone_region",
                "has no country code, and the lead no country that is known: map user.country, or set default_region "
                "for leads without one",
            ) from None
        raise broken("phone", "must be a phone number") from None
    if phonenumbers.is_possible_number_with_reason(parsed) != phonenumbers.ValidationResult.IS_POSSIBLE:
        raise broken("phone_possible", IMPOSSIBLE_PHONE)
    e164 = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    valid = phonenumbers.is_valid_number(parsed)
    if not E164.fullmatch(e164) or not (valid or _reads_as_itself(e164)):
        raise broken("phone_possible", IMPOSSIBLE_PHONE)
    return Phone(e164, valid)


IMPOSSIBLE_PHONE = "must be a possible phone number (its length does not fit its country)"
E164 = re.compile(r"\+[1-9][0-9]{6,14}")


def _reads_as_itself(e164: str) -> bool:
    """Whether a reader takes no digit for a trunk prefix: +40 0 0… would be another number to the next one."""
    try:
        again = phonenumbers.parse(e164)
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.format_number(again, phonenumbers.PhoneNumberFormat.E164) == e164)


# English names in daily use that ISO 3166 does not list.
COUNTRY_NAMES = {
    **dict.fromkeys(("uk", "great britain", "england", "scotland", "wales", "northern ireland"), "GB"),
    "holland": "NL",
    "kosovo": "XK",
    "russia": "RU",
    "turkey": "TR",
    "uae": "AE",
}


@lru_cache(maxsize=1024)
def region_of(country: str) -> str | None:
    """The two-letter code under which phone numbers know a country, or None if it is not known.

    :param country: ISO 3166 code, or a name in any language that pycountry speaks: CRMs hold "România".
    """
    name = country.strip()
    try:
        code = str(pycountry.countries.lookup(name).alpha_2)
    except LookupError:
        folded = name.casefold()
        code = COUNTRY_NAMES.get(folded) or _names_in_all_languages().get(folded) or name.upper()
    return code if code in phonenumbers.SUPPORTED_REGIONS else None


@lru_cache(maxsize=1)
def _names_in_all_languages() -> dict[str, str | None]:
    """Country codes by casefolded name; None where one name means two countries. Takes half a second, once."""
    names: dict[str, str | None] = {}
    for language in Path(pycountry.LOCALES_DIR).iterdir():
        try:
            translated = gettext.translation("iso3166-1", language.parent, [language.name]).gettext
        except OSError:
            continue
        for country in pycountry.countries:
            for english in (country.name, getattr(country, "common_name", country.name)):
                name = translated(english).casefold()
                names[name] = country.alpha_2 if names.get(name, country.alpha_2) == country.alpha_2 else None
    return names


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
    """An aware point in time, between March 1973 and 2100.

    :param value: datetime, date, ISO 8601 text, or epoch seconds or milliseconds (numbers below
        100,000,000,000 are seconds).
    :param timezone: IANA name of the zone of values that carry none.
    """
    if isinstance(value, bytes):
        value = decoded(value)
    try:
        at = _moment(value, pendulum.timezone(timezone))
        in_range = EARLIEST <= at < LATEST
    except (ValueError, TypeError, OverflowError, OSError, NotImplementedError):  # the last: a zone without offset
        raise broken("time", "must be a time: ISO 8601 text, or epoch seconds or milliseconds") from None
    if not in_range:
        raise broken("time_range", "must be a time between March 1973 and 2100")
    return at


EARLIEST = datetime.fromtimestamp(SMALLEST_EPOCH_MS / 1000, UTC)
LATEST = datetime.fromtimestamp(LAST_EPOCH_MS / 1000, UTC)
_NUMERIC = re.compile(r"[+-]?\d{9,}(\.\d+)?")  # shorter ones are a year or a date without dashes


def _moment(value: object, zone: pendulum.Timezone | pendulum.FixedTimezone) -> datetime:
    if isinstance(value, str) and not _NUMERIC.fullmatch(value.strip()):
        value = _parsed(value.strip())
    if isinstance(value, datetime):
        return value if value.utcoffset() is not None else value.replace(tzinfo=zone)
    if isinstance(value, date):
        return datetime.combine(value, time.min, tzinfo=zone)
    epoch = number(value)
    return datetime.fromtimestamp(epoch if abs(epoch) < SMALLEST_EPOCH_MS else epoch / 1000, UTC)


def _parsed(value: str) -> datetime | date:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        pass
    # pendulum reads more forms, among them "now" and times without a day, which mean another moment at each try.
    parsed: object = None if value == "now" else pendulum.parse(value, exact=True, tz=None)
    if not isinstance(parsed, date):
        raise TypeError("no point in time")
    return parsed


def epoch_ms(value: object, timezone: str) -> int:
    """Milliseconds since the Unix epoch, from all that :func:`moment` takes."""
    return round(moment(value, timezone).timestamp() * 1000)


def address(value: object) -> str | None:
    """A public IPv4 or IPv6 address; None for a private, loopback or otherwise local one."""
    given = str(value) if isinstance(value, (ipaddress.IPv4Address, ipaddress.IPv6Address)) else text(value)
    try:
        ip = ipaddress.ip_address(given.partition("%")[0])  # an interface name means nothing elsewhere
    except ValueError:
        raise broken("ip", "must be an IPv4 or IPv6 address") from None
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return str(ip) if ip.is_global and not ip.is_multicast else None


# Names of query parameters that hold persons or secrets, whatever their value.
PERSONAL_PARAMETER = re.compile(
    r"e-?mail|phone|mobile|^tel$|telefon|(first|last|full|sur|user)[_-]?name|token|session|sess_?id|^sid$|"
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


# An address within something longer, such as a search or another URL.
_EMAIL_INSIDE = re.compile(r"[^\s@/:;,=&?#<>]+@[^\s@/:;,=&?#<>]+\.\w")
_SESSION_IN_PATH = re.compile(r";[^/;=]*sess[^/;=]*=[^/;]*", re.IGNORECASE)


def _personal(parameter: str) -> bool:
    plain = parameter
    for _ in range(3):  # a URL within a URL is encoded twice
        plain = unquote(plain)
    if "@" in plain and _EMAIL_INSIDE.search(plain):
        return True
    name, equals, value = plain.partition("=")
    if not equals:
        return bool(_DIALLED.match(plain.strip()))
    if CAMPAIGN_PARAMETER.search(name):
        return False
    if PERSONAL_PARAMETER.search(name) or _DIALLED.match(value.strip()):
        return True
    return any(_personal(inner) for inner in value.partition("?")[2].split("&") if inner)


class CleanUrl(NamedTuple):
    """A URL, and whether something was taken out of it."""

    url: str
    cleaned: bool


def url(value: object) -> CleanUrl:
    """A web address without credentials and without query parameters that look personal.

    Both pages warn of personal identifiers and session tokens in URLs. Campaign parameters and click ids stay.
    """
    given = _BLANK.sub(lambda blank: quote(blank[0]), text(value))
    try:
        parts = urlsplit(given)
        host = parts.hostname
    except ValueError:
        raise broken("url", "must be a URL") from None
    if parts.scheme not in ("http", "https") or not host or "%" in host:
        raise broken("url", "must be a complete URL, with https:// before the host")
    path = _SESSION_IN_PATH.sub("", parts.path)
    query = _impersonal(parts.query)
    route, mark, rest = parts.fragment.partition("?")
    fragment = (_impersonal(route) + mark + _impersonal(rest)).removesuffix("?")
    netloc = parts.netloc.rpartition("@")[2]
    if (netloc, path, query, fragment) == (parts.netloc, parts.path, parts.query, parts.fragment.removesuffix("?")):
        return CleanUrl(given, False)
    return CleanUrl(urlunsplit((parts.scheme, netloc, path, query, fragment)), True)


_BLANK = re.compile(r"[\s\x00-\x1f\x7f]")


def _impersonal(query: str) -> str:
    return "&".join(p for p in query.split("&") if not _personal(p)) if query else query


def json_value(value: Any, depth: int = 0) -> Any:
    """Any value that JSON can write."""
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


def property_value(value: Any) -> Any:
    """A value of a free map: text, a number, true or false, or a list of texts, which is all that the pages show."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_listed(item) for item in value if item is not None]
    if isinstance(value, Mapping):
        raise broken("property_type", "must be text, a number, true or false, or a list of texts")
    return json_value(value)


def _listed(item: object) -> str:
    return str(item).lower() if isinstance(item, bool) else text(item)


def properties(value: object) -> object:
    """A free map, also from JSON text, without the keys that have no value."""
    value = json_object(value)
    if not isinstance(value, Mapping):
        return value
    return {encodable(key) if isinstance(key, str) else key: item for key, item in value.items() if item is not None}


def objects(value: object) -> list[Any]:
    """A list of objects, also from JSON text; what is in them stays as it is."""
    value = json_object(value)
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, Mapping) for item in value):
        raise broken("objects", "must be a list of objects")
    return [json_value(item) for item in value]


def cookies(value: object) -> object:
    """Cookies as a map of name and value, also from JSON text and from a list of objects with name and value.

    Those without a name or a value are none.
    """
    value = json_object(value)
    if isinstance(value, list):
        if not all(isinstance(cookie, Mapping) for cookie in value):
            raise broken("cookies", "must be an object, or a list of objects with name and value")
        pairs = [(cookie.get("name"), cookie.get("value")) for cookie in value]
    elif isinstance(value, Mapping):
        pairs = list(value.items())
    else:
        return value
    return {text(name): content for name, content in pairs if name not in (None, "") and content is not None}


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
