"""Texts, ids and names out of whatever databases and clients give, and the words that stand for no value."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from uuid import UUID

from airflow_reshape.events.cleaning import clean, clean_code
from airflow_reshape.events.numbers import digits_of
from airflow_reshape.events.rules import broken

# Words that programs and people write where there is no value. "NA" is not among them: it is Namibia, and a surname.
PLACEHOLDERS = frozenset(
    (
        *("null", "none", "nan", "nil", "nat", "undefined", "unknown", "not set", "not provided", "not available"),
        *("n/a", "#n/a", "<na>", "<null>", "(null)", "[null]", "(none)", "(not set)", "[not provided]", "\\n"),
        *("#ref!", "#value!", "#name?", "#num!", "#div/0!", "#null!"),
        *("select", "please select", "choose", "not specified"),
    )
)
# Written as programs do not write them, these are people's names.
ALSO_NAMES = frozenset(("Null", "Nan", "Nat", "Nil"))
# Zeros of any kind, and -1, which stands for "unknown" in many warehouses; False is how Odoo writes an empty field.
_NO_ID = re.compile(r"[+-]?[0.\-{}]+|-1(\.0+)?|false", re.IGNORECASE)


def is_placeholder(text: str) -> bool:
    """Whether a text stands for no value: ``NULL``, ``N/A``, ``-``.

    :param text: cleaned, not empty.
    """
    return text.casefold() in PLACEHOLDERS or not (text[0].isalnum() or any(map(str.isalnum, text)))


def text(value: object) -> str:
    """A name or free text, cleaned. Numbers become their digits, for postal codes kept as numbers."""
    return _read(value, clean)


def code(value: object) -> str:
    """A contact, id or code, cleaned. Numbers become all their digits."""
    return _read(value, clean_code)


def identifier(value: object) -> str:
    """An id. Placeholders, zeros and ``-1`` are none: all leads that have one would be one lead."""
    read = code(value)
    if (read[0] in "0-+.{fF" and _NO_ID.fullmatch(read)) or is_placeholder(read):
        raise broken("id_placeholder", "must be an id, not a placeholder such as null, nan or 0")
    return read


def proper_name(value: object) -> str:
    """A part of a name or address. A placeholder is nobody's."""
    read = text(value)
    if is_placeholder(read) and read not in ALSO_NAMES:
        raise broken("name_placeholder", "must not be a placeholder such as NULL or N/A")
    return read


def _read(value: object, clean: Callable[[str], str]) -> str:
    if isinstance(value, bytes):
        value = decoded(value)
    if isinstance(value, str):
        read = clean(value)
        if not read:
            raise broken("text_empty", "must not be empty")
        return encodable(read)
    if value is False:  # how Odoo writes an empty field
        raise broken("text_empty", "must not be empty")
    if isinstance(value, bool):
        raise broken("text_type", "must be text")
    if isinstance(value, (int, float, Decimal)):
        return digits_of(value)
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


_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


def decoded(value: bytes) -> str:
    """Text from bytes as drivers return them for binary columns. Bytes that are no text are not made into one."""
    if _BINARY.search(value):
        raise broken("text_binary", "must be text, but holds bytes that are none: convert it in the query, as HEX(…)")
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise broken("text_encoding", "must be text, but holds bytes that are not UTF-8") from None


_NOTHING = ("", " ", "\n", "-", "--", "+", "0", "[]", "{}", "false", *PLACEHOLDERS)
HASHES_OF_NOTHING = frozenset(
    sha256(spelled.encode()).hexdigest()
    for word in _NOTHING
    for spelled in (word, word.upper(), word.capitalize(), "NaN", "NaT", "<NA>")
)
