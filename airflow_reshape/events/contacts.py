"""E-mail addresses and phone numbers as CRMs hold them: alone, several in a cell, in wrappings, hashed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, TypeGuard
from urllib.parse import unquote

from pydantic_core import PydanticCustomError

from airflow_reshape.events.cleaning import clean_code
from airflow_reshape.events.formats import flag
from airflow_reshape.events.json_values import opened
from airflow_reshape.events.rules import broken
from airflow_reshape.events.text import HASHES_OF_NOTHING, code, decoded

SHA256 = re.compile(r"[0-9a-f]{64}", re.IGNORECASE)
# Dotted words, one @, labels of a host name: a check against junk, not RFC 5322.
_WORD = r"[^\s@.,;:<>()\[\]\"\\\x00-\x1f\x7f\ufffd]++"
_LABEL = r"[^\W_](?:(?:[^\W_]|-){0,61}[^\W_])?"
EMAIL = re.compile(rf"(?=[^@]{{1,64}}@){_WORD}(?:\.{_WORD})*+@(?:{_LABEL}\.)+{_LABEL}")
# Reserved by RFC 6761: nobody has an address there. CRMs append .invalid to the addresses of test copies.
NOBODYS_DOMAINS = (".invalid", ".localhost")


def email(value: object) -> str:
    """An e-mail address, trimmed and lower-cased."""
    address = code(value).lower()
    # Every top-level domain begins with a letter; a host given by its IP address ends in digits.
    if len(address) > 254 or not EMAIL.fullmatch(address) or not address[address.rfind(".") + 1].isalpha():
        raise broken("email", "must be an e-mail address")
    if address.endswith(NOBODYS_DOMAINS):
        raise broken("email_nobodys", "must not be an address of .invalid or .localhost, which nobody has")
    return address


_IN_BRACKETS = re.compile(r"<([^<>]*+)>")
_ENDS_A_NAME = re.compile(r"[<>;,|\r\n]")
_BETWEEN_EMAILS = re.compile(r"[;,|\r\n\t]++")


def split_emails(text: str) -> list[str]:
    """The addresses in a cell: ``a@x.example;b@y.example``, ``"Ana Pop" <ana@x.example>``, ``mailto:…``.

    :param text: as the CRM holds it. One address gives itself.
    """
    if text.strip()[:7].lower() == "mailto:":
        text = unquote(text.strip()[7:].partition("?")[0])
    bracketed = _IN_BRACKETS.findall(text)
    if text[:1] == "{" and text[-1:] == "}":
        text = text[1:-1]  # an array of PostgreSQL as text
    rest = _BETWEEN_EMAILS.split(_without_named(text) if bracketed else text)
    if not bracketed and any(part.strip() and "@" not in part for part in rest):
        return [text]  # a broken address, such as ana@example.co,uk
    bare = [part for part in rest if part.strip() and ("@" in part or not bracketed)]
    # Without a separator, blanks separate, if each part is an address.
    bare = [each for part in bare for each in (part.split() if part.count("@") > 1 else [part])]
    return [part.strip()[7:] if part.strip()[:7].lower() == "mailto:" else part for part in bracketed + bare]


def _without_named(text: str) -> str:
    """The text with a comma for each quoted text, and for each address in brackets with the name before it."""
    ends = {found.start(): found.end() for found in _IN_BRACKETS.finditer(text)}
    kept, at, stop = [], 0, -1
    while at < len(text):
        if text[at] == '"' and (closed := text.find('"', at + 1)) >= 0:
            kept.append(",")
            at = closed + 1
            continue
        if stop < at:
            found = _ENDS_A_NAME.search(text, at)
            stop = found.start() if found else len(text)
        if stop in ends:
            kept.append(",")
            at = ends[stop]
            continue
        quote = text.find('"', at + 1, stop)
        following = quote if quote >= 0 else stop + 1
        kept.append(text[at:following])
        at = following
    return "".join(kept)


class Contacts(NamedTuple):
    """The contacts of a value.

    :param read: those that can be sent, the primary one first, each once.
    :param errors: of those that cannot.
    :param is_list: they were given as a list, or there are several.
    """

    read: list[str]
    errors: list[PydanticCustomError]
    is_list: bool


# What CRMs call the contact in an object, such as Pipedrive's {"label": "work", "value": …, "primary": true}.
_VALUE_KEYS = ("value", "email", "phone", "address", "number", "email_address", "phone_number", "emailaddress")
LONGEST_CELL = 10_000
"""Characters of a cell with several contacts; a longer one holds none."""
_PRIMARY_KEYS = ("primary", "is_primary", "isprimary", "main", "default", "preferred")


def contacts(
    value: object, read: Callable[[object], str], split: Callable[[str], Sequence[str]], *, takes_hashes: bool
) -> Contacts:
    """The contacts in a value.

    :param value: a text with one or several, also as JSON; a list of texts or of objects with ``value`` and
        ``primary``; one such object.
    :param read: reads one contact, or raises ``PydanticCustomError``.
    :param split: splits a text with several.
    :param takes_hashes: a SHA-256 is one.
    """
    if isinstance(value, str) and value.isprintable():  # a line break may stand between two
        with suppress(PydanticCustomError):
            return Contacts([read(value)], [], is_list=False)  # most are one contact by themselves
    value = opened(decoded(bytes(value)) if isinstance(value, (bytes, bytearray)) else value)
    is_list = isinstance(value, (list, tuple, set, frozenset))
    items = list(value) if is_list else [value]  # type: ignore[call-overload]
    if any(isinstance(item, Mapping) for item in items):
        items = [_value_of(item) for item in sorted(items, key=_is_not_primary)]
    parts = [part for item in items for part in (split(item) if _may_be_split(item) else (item,))]
    found: dict[str, None] = {}
    errors = []
    for part in parts:
        try:
            found[_contact(part, read, takes_hashes=takes_hashes)] = None
        except PydanticCustomError as error:
            errors.append(error)
    return Contacts(list(found), errors, is_list or len(found) > 1)


def _may_be_split(item: object) -> TypeGuard[str]:
    return isinstance(item, str) and len(item) <= LONGEST_CELL


def _contact(part: object, read: Callable[[object], str], *, takes_hashes: bool) -> str:
    part = decoded(part) if isinstance(part, bytes) else part
    if isinstance(part, str) and SHA256.fullmatch(hashed := clean_code(part).lower()):
        if not takes_hashes:
            raise broken("contact_hashed", "must be plain text, not a hash")
        if hashed in HASHES_OF_NOTHING:
            raise broken("contact_hash_of_nothing", "must not be the hash of an empty text or a placeholder")
        return hashed
    return read(part)


def _value_of(item: object) -> object:
    if not isinstance(item, Mapping):
        return item
    named = {str(key).lower(): value for key, value in item.items()}
    if any("country" in key and value for key, value in named.items()):
        return item  # a number of another country, perhaps: nobody's
    return next((named[key] for key in _VALUE_KEYS if named.get(key) not in (None, "")), item)


def _is_not_primary(item: object) -> bool:
    if not isinstance(item, Mapping):
        return True
    named = {str(key).lower().replace("-", "_"): value for key, value in item.items()}
    return not any(_is_yes(named.get(key)) for key in _PRIMARY_KEYS)


def _is_yes(value: object) -> bool:
    try:
        return flag(value)
    except PydanticCustomError:
        return False
