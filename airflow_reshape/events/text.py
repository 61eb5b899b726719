"""The one cleaning that every text passes before any rule looks at it, and the texts that stand for no value.

CRMs hold invisible characters, other spellings of the same letters and words such as ``null``. Sent as they are, they
match nobody, or somebody else.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date, datetime
from decimal import Decimal
from hashlib import sha256
from uuid import UUID

from airflow_reshape.events.numbers import digits_of
from airflow_reshape.events.rules import broken

JOINERS = "\u200c\u200d"
# Fillers that Unicode counts as letters or symbols, but that show nothing.
_FILLERS = "\u115f\u1160\u2800\u3164\uffa0"
_SELECTORS = "\u034f\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"
_BLANK = re.compile(rf"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000{_FILLERS}]+")
_INVISIBLE = re.compile(f"[{_SELECTORS}{_FILLERS}]")


def clean(text: str) -> str:
    """A name or free text: composed (NFC), one blank for any run of blanks and line breaks, nothing invisible.

    The joiners ZWJ and ZWNJ stay where a script needs them, as in Persian and Hindi.
    """
    return text if _is_clean(text) else _cleaned(text, keep_joiners=True)


def clean_code(text: str) -> str:
    """A contact, id, code or URL: as :func:`clean`, without any joiner."""
    return text if _is_clean(text) else _cleaned(text, keep_joiners=False)


def _is_clean(text: str) -> bool:
    # Printable means: no control, format or separator character but the ASCII blank.
    if not text.isprintable() or "  " in text or text[:1] == " " or text[-1:] == " ":
        return False
    return text.isascii() or (not _INVISIBLE.search(text) and unicodedata.is_normalized("NFC", text))


def _cleaned(text: str, *, keep_joiners: bool) -> str:
    text = _BLANK.sub(" ", text)
    kept = [
        character
        for at, character in enumerate(text)
        if not _is_invisible(character) or (keep_joiners and character in JOINERS and _joins(text, at))
    ]
    return unicodedata.normalize("NFC", " ".join("".join(kept).split()))


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf") or bool(_INVISIBLE.match(character))


def _joins(text: str, at: int) -> bool:
    """Whether a joiner stands between characters of scripts that need it: from Arabic on, and emoji."""
    neighbours = text[at - 1 : at] + text[at + 1 : at + 2]
    return len(neighbours) == 2 and all("\u0600" <= each < "\u1e00" or each >= "\u2190" for each in neighbours)


# Words that programs and people write where there is no value. "NA" is not among them: it is Namibia, and a surname.
PLACEHOLDERS = frozenset(
    ("null", "none", "nan", "nil", "nat", "undefined", "unknown", "not set", "not provided", "not available")
    + ("n/a", "#n/a", "<na>", "<null>", "(null)", "[null]", "(none)", "(not set)", "[not provided]", "\\n")
    + ("#ref!", "#value!", "#name?", "#num!", "#div/0!", "#null!")
)
_ZEROS = re.compile(r"[0.\-{}]+")


def is_placeholder(text: str) -> bool:
    """Whether a text stands for no value: ``NULL``, ``N/A``, ``-``.

    :param text: cleaned.
    """
    return text.casefold() in PLACEHOLDERS or not any(map(str.isalnum, text))


def text(value: object) -> str:
    """A name or free text, cleaned. Numbers become their digits, for postal codes kept as numbers."""
    return _text(value, keep_joiners=True)


def code(value: object) -> str:
    """A contact, id or code, cleaned. Numbers become all their digits."""
    return _text(value, keep_joiners=False)


def identifier(value: object) -> str:
    """An id. Placeholders, zeros and ``-1`` are none: all leads that have one would be one lead."""
    read = code(value)
    if read == "-1" or _ZEROS.fullmatch(read) or is_placeholder(read):
        raise broken("id_placeholder", "must be an id, not a placeholder such as null, nan or 0")
    return read


def name(value: object) -> str:
    """A part of a name or address. A placeholder is nobody's."""
    read = text(value)
    if is_placeholder(read):
        raise broken("name_placeholder", "must not be a placeholder such as NULL or N/A")
    return read


def _text(value: object, *, keep_joiners: bool) -> str:
    if isinstance(value, bytes):
        value = decoded(value)
    if isinstance(value, str):
        read = value if _is_clean(value) else _cleaned(value, keep_joiners=keep_joiners)
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


HASHES_OF_NOTHING = frozenset(sha256(word.encode()).hexdigest() for word in ("", " ", "-", "0", *PLACEHOLDERS))
