"""The same text in other spellings: escaped for JSON, HTML or a URL, with other accents or in capitals."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from html.entities import html5
from urllib.parse import unquote

MOST_LAYERS = 4
"""How often a text may be escaped and still be read: JSON in JSON in a URL in a page."""
MOST_MISREAD = 2
# One pass over all kinds of escapes. No part can be read in two ways, so that nothing is tried twice.
_ESCAPED = re.compile(
    r"\\u(?P<json>[0-9a-f]{4})|%u(?P<script>[0-9a-f]{4})|(?P<url>(?:%[0-9a-f]{2})++)|\\x(?P<hex>[0-9a-f]{2})"
    r"|&#x(?P<page>[0-9a-f]{1,6}+);?|&#(?P<decimal>[0-9]{1,7}+);?|&(?P<named>[a-z]{2,31}+);|\\(?P<plain>[^ux])",
    re.IGNORECASE | re.DOTALL,
)
_LAST_CHARACTER = 0x10FFFF


def unescaped(text: str) -> str:
    """A text without the escapes of JSON, HTML, URLs and programs, whatever was put into what. Linear.

    :param text: of a server.
    """
    for _ in range(MOST_LAYERS):
        plain = _ESCAPED.sub(_character, text)
        if plain == text:
            break
        text = plain
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _character(escaped: re.Match[str]) -> str:
    kind, written = str(escaped.lastgroup), escaped[escaped.lastgroup or 0]
    if kind == "url":
        return unquote(written)
    if kind == "plain":
        return " " if written in "nrtfbv" else written
    if kind == "named":
        return html5.get(f"{written};", escaped[0])
    number = int(written, 10 if kind == "decimal" else 16)
    return chr(number) if number <= _LAST_CHARACTER else escaped[0]


def folded(text: str) -> str:
    """A text as it is compared: without case and accents, composed or not. Linear."""
    return text.lower() if text.isascii() else "".join(map(_fold, text))


def folded_with_places(text: str) -> Iterator[tuple[str, int]]:
    """The characters of :func:`folded`, each with the place in the text that it comes from."""
    return ((each, place) for place, character in enumerate(text) for each in _fold(character))


@lru_cache(maxsize=4096)
def _fold(character: str) -> str:
    # One by one: Python composes a pile of accents in time that grows with the square of its height.
    parts = unicodedata.normalize("NFKD", character)
    return "".join(each for each in parts if not unicodedata.combining(each)).casefold()


def misread(text: str) -> Iterator[str]:
    """What becomes of a text that was written in UTF-8 and read as Latin-1, once or twice, or put into ASCII."""
    if text.isascii():
        return
    spoilt = text
    for _ in range(MOST_MISREAD):
        spoilt = spoilt.encode("utf-8", "replace").decode("latin-1")
        yield spoilt
        yield spoilt.encode("latin-1").decode("cp1252", "replace")
    yield text.encode("ascii", "replace").decode()
