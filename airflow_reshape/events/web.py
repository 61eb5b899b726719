"""What a browser left behind: IP addresses, web addresses and cookies, without what is personal in them."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from airflow_reshape.events.json_values import json_object
from airflow_reshape.events.rules import broken
from airflow_reshape.events.text import code, decoded, is_placeholder

_PORT = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<v4>[0-9.]+))(?::\d+)?")

_BETWEEN_ADDRESSES = re.compile(r"[,;]")
LONGEST_ADDRESSES = 8000
"""Characters of a list of addresses; a header is no longer."""


def address(value: object) -> str | None:
    """The first public IPv4 or IPv6 address; None if there are only private, loopback or otherwise local ones.

    :param value: one address, also with a port, or a list of them as ``X-Forwarded-For`` and ``Forwarded`` have it.
    """
    if isinstance(value, (ipaddress.IPv4Address, ipaddress.IPv6Address)):
        value = str(value)
    given = code(value)
    if len(given) > LONGEST_ADDRESSES:
        raise broken("ip", "must be an IPv4 or IPv6 address")
    found = [ip for part in _BETWEEN_ADDRESSES.split(given) if (ip := _ip(part)) is not None]
    if not found:
        raise broken("ip", "must be an IPv4 or IPv6 address")
    return next((str(ip) for ip in found if ip.is_global and not ip.is_multicast), None)


def _ip(part: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    given = part.strip().strip('"')
    if given[:4].lower() == "for=":
        given = given[4:].strip('"')
    if (ported := _PORT.fullmatch(given)) is not None:
        given = ported["v6"] or ported["v4"] or ""
    try:
        ip = ipaddress.ip_address(given.partition("%")[0])  # an interface name means nothing elsewhere
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


# Names of query parameters that hold persons or secrets, whatever their value.
PERSONAL_PARAMETER = re.compile(
    r"e-?mail|phone|mobile|^tel$|telefon|msisdn|whatsapp|(first|last|full|sur|user|given|family|middle|nick)[_-]?name|"
    r"^[fl]_?name$|^(your|contact)[_-]?name$|^(name|fn|ln|vorname|nachname|prenom|nom|nombre|apellidos?|cognome)$|"
    r"^(nume|prenume|voornaam|achternaam|naam|imie|nazwisko|navn|namn|isim|celular|movil|handy|tlf|telefoon)$|"
    r"token|session|sess_?id|^sid$|passw|^pwd$|secret|^auth|api[_-]?key|^code$|^otp$|^jwt$|signature|"
    r"address|street|^dob$|birth|iban|^ssn$|^cnp$",
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
_EMAIL_INSIDE = re.compile(
    r"(?<![^\s@/:;,=&?#<>])[^\s@/:;,=&?#<>]++@(?!\dx\.)[^\s@/:;,=&?#<>]+\.\w"
)  # but not icon@2x.png
_IN_PATH = re.compile(r";(?P<name>[^/;=]*+)=[^/;]*+")
_WITHOUT_SCHEME = re.compile(r"(?://)?(?P<rest>(?:[^\W_][\w-]*+(?<![_-])\.)++[^\W\d_]{2,}+(?::\d++)?+(?:[/?#].*+)?+)")
# Servers refuse longer ones (RFC 9110, 4.1, asks for 8,000); of a URL within a URL within a URL, nobody reads more.
LONGEST_URL = 8000
MOST_NESTED = 5


def _plain(encoded: str) -> str:
    for _ in range(3):  # a URL within a URL is encoded twice
        encoded = unquote(encoded)
    return encoded


def _is_contact(text: str) -> bool:
    return ("@" in text and bool(_EMAIL_INSIDE.search(text))) or bool(_DIALLED.match(text.strip()))


def _without_sessions(path: str) -> str:
    return _IN_PATH.sub(lambda part: "" if "sess" in part["name"].lower() else part[0], path)


def _is_personal(parameter: str, depth: int = 0) -> bool:
    plain = _plain(parameter)
    if "@" in plain and _EMAIL_INSIDE.search(plain):
        return True
    name, equals, value = plain.partition("=")
    if not equals:
        return _is_contact(plain)
    if CAMPAIGN_PARAMETER.search(name):
        return False
    if PERSONAL_PARAMETER.search(name) or _DIALLED.match(value.strip()):
        return True
    inner = [each for each in value.partition("?")[2].split("&") if each]
    return bool(inner) and (depth == MOST_NESTED or any(_is_personal(each, depth + 1) for each in inner))


class CleanUrl(NamedTuple):
    """A URL, and whether something was taken out of it."""

    url: str
    cleaned: bool


def url(value: object) -> CleanUrl:
    """A web address without credentials, and without e-mails, phones, names and sessions in path and query.

    Both pages warn of personal identifiers and session tokens in URLs. Campaign parameters and click ids stay. An
    address without a scheme is read with ``https``.
    """
    given = code(value)
    if len(given) > LONGEST_URL:
        raise broken("url_long", "must be a URL of at most 8,000 characters")
    given = _BLANK.sub(lambda blank: quote(blank[0]), given)
    if "\\" in given:
        raise broken("url", "must be a URL, without a backslash")  # readers differ on the host then
    if (bare := _WITHOUT_SCHEME.fullmatch(given)) is not None:
        given = f"https://{bare['rest']}"
    try:
        parts = urlsplit(given)
        host = parts.hostname
    except ValueError:
        raise broken("url", "must be a URL") from None
    if parts.scheme not in ("http", "https") or not host or "%" in host:
        raise broken("url", "must be a complete URL, with https:// before the host")
    path = _impersonal(_without_sessions(parts.path), "/", lambda step: _is_contact(_plain(step)))
    query = _impersonal(parts.query, "&", _is_personal)
    route, mark, rest = parts.fragment.partition("?")
    fragment = (_impersonal(route, "&", _is_personal) + mark + _impersonal(rest, "&", _is_personal)).removesuffix("?")
    netloc = parts.netloc.rpartition("@")[2]
    if (netloc, path, query, fragment) == (parts.netloc, parts.path, parts.query, parts.fragment.removesuffix("?")):
        return CleanUrl(given, False)
    return CleanUrl(urlunsplit((parts.scheme, netloc, path, query, fragment)), True)


_BLANK = re.compile(r"\s")


def _impersonal(text: str, separator: str, is_personal: Callable[[str], bool]) -> str:
    return separator.join(part for part in text.split(separator) if not is_personal(part)) if text else text


def cookies(value: object) -> object:
    """Cookies as a map of name and value; those without a name or a value are none.

    :param value: a map, JSON text, a list of objects with name and value, or a header such as ``_fbp=…; _ga=…``.
    """
    if isinstance(value, bytes):
        value = decoded(value)
    if isinstance(value, str) and "=" in value and value.lstrip()[:1] not in ("{", "["):
        value = _of_header(value)
    value = json_object(value)
    if isinstance(value, list):
        if not all(isinstance(cookie, Mapping) for cookie in value):
            raise broken("cookies", "must be an object, or a list of objects with name and value")
        named = [{str(key).lower(): item for key, item in each.items()} for each in value]
        pairs = [(each.get("name"), each.get("value")) for each in named]
    elif isinstance(value, Mapping):
        pairs = list(value.items())
    else:
        return value
    return {code(name): content for name, content in pairs if name not in (None, "") and content is not None}


def cookie(value: object) -> str:
    """A cookie's value. A placeholder is none: all leads that have one would be one browser."""
    read = code(value)
    if is_placeholder(read):
        raise broken("cookie_placeholder", "must not be a placeholder such as undefined or null")
    return read


_BETWEEN_COOKIES = re.compile(r"[;\r\n]")
_COOKIE_HEADER = re.compile(r"^\s*cookie:", re.IGNORECASE)


def _of_header(header: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in _BETWEEN_COOKIES.split(_COOKIE_HEADER.sub("", header)))
    return {name.strip(): content.strip().strip('"') for name, _, content in pairs if name.strip() and content.strip()}
