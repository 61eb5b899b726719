"""The one cleaning that every text passes before any rule looks at it.

CRMs hold invisible characters and other spellings of the same letters. Sent as they are, they match nobody.
"""

from __future__ import annotations

import re
import unicodedata

VIRAMA = 9  # Unicode's class of the signs that take a consonant's vowel away
JOINERS = "\u200c\u200d"
# Fillers that Unicode counts as letters or symbols, but that show nothing.
_FILLERS = "\u115f\u1160\u2800\u3164\uffa0"
_SELECTORS = "\u034f\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"
_BLANK = re.compile(rf"[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000{_FILLERS}]+")
_INVISIBLE = re.compile(f"[{_SELECTORS}{_FILLERS}]")
# Python composes a pile of accents in time that grows with the square of its height; no writing has higher ones
# (UAX 15, stream-safe text). In shorter texts it does not matter.
HIGHEST_PILE = 30
LONG = 500
MOST_CHARACTERS = 20_000
"""Kept in mind."""


def clean(text: str) -> str:
    """A name or free text: composed (NFC), one blank for any run of blanks and line breaks, nothing invisible.

    The joiners ZWJ and ZWNJ stay where a script needs them, as in Persian and Hindi.
    """
    text = _without_piles(text)
    return text if _is_clean(text) else _cleaned(text, keep_joiners=True)


def clean_code(text: str) -> str:
    """A contact, id, code or URL: as :func:`clean`, without any joiner."""
    text = _without_piles(text)
    return text if _is_clean(text) else _cleaned(text, keep_joiners=False)


def _without_piles(text: str) -> str:
    if len(text) <= LONG or text.isascii():
        return text
    kept, height = [], 0
    for character in text:
        height = height + 1 if unicodedata.combining(character) else 0
        if height <= HIGHEST_PILE:
            kept.append(character)
    return text if len(kept) == len(text) else "".join(kept)


def _is_clean(text: str) -> bool:
    # Printable means: no control, format or separator character but the ASCII blank.
    if not text.isprintable() or (" " in text and ("  " in text or text[0] == " " or text[-1] == " ")):
        return False
    return text.isascii() or (not _INVISIBLE.search(text) and unicodedata.is_normalized("NFC", text))


def _cleaned(text: str, *, keep_joiners: bool) -> str:
    text = _BLANK.sub(" ", text)
    if keep_joiners and any(joiner in text for joiner in JOINERS):
        text = "".join(
            character for at, character in enumerate(text) if character not in JOINERS or _joins(text, at)
        ).translate(_VISIBLE_OR_JOINERS)
    else:
        text = text.translate(_VISIBLE)
    return unicodedata.normalize("NFC", " ".join(text.split()))


class _Visible(dict[int, str | None]):
    """Characters by number, to be left out where they show nothing; made as they come."""

    def __missing__(self, number: int) -> str | None:
        character = chr(number)
        kept = None if _is_invisible(character) else character
        if len(self) < MOST_CHARACTERS:
            self[number] = kept
        return kept


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf") or bool(_INVISIBLE.match(character))


_VISIBLE = _Visible()
_VISIBLE_OR_JOINERS = _Visible({ord(joiner): joiner for joiner in JOINERS})


def _joins(text: str, at: int) -> bool:
    """Whether a joiner stands between characters of scripts that need it: from Arabic on, and emoji."""
    if at == 0:
        return False
    before = text[at - 1]
    if unicodedata.combining(before) == VIRAMA:
        return True  # it belongs to the letter, also at the end of a word
    return _may_be_joined(before) and at + 1 < len(text) and _may_be_joined(text[at + 1])


def _may_be_joined(character: str) -> bool:
    return "\u0600" <= character < "\u1e00" or character >= "\u2190"
