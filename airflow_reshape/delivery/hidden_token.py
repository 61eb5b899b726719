"""Finds the access token in what a server says, however it is spelt."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from functools import lru_cache

from airflow_reshape.delivery.spellings import folded, unescaped

HIDDEN_TOKEN = "<token>"  # noqa: S105
# A shorter one may be part of an ordinary word.
SHORTEST_HIDDEN_TOKEN = 6
# So many characters of a token in a row are taken for it, cut short.
SHORTEST_PART = 8
_BETWEEN_LETTERS = re.compile(r"[\W_]++")


class TokenFinder:
    """Knows one token in all spellings: escaped for JSON, a page or a URL, in capitals, in parts, with something
    between its characters, backwards, in hexadecimal and in Base64 with whatever stands before it.

    :param token: the secret. One of fewer than 6 characters is not looked for.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        self._parts = tuple(dict.fromkeys(_parts(token))) if len(token) >= SHORTEST_HIDDEN_TOKEN else ()
        self.is_in = lru_cache(maxsize=16)(self._is_in)  # most answers of a server are the same
        """Whether a text holds the token, or a part of it, in any spelling."""

    def hidden(self, text: str) -> str:
        """The text with ``<token>`` where the token stands as it is."""
        return text.replace(self._token, HIDDEN_TOKEN) if self._parts else text

    def _is_in(self, text: str) -> bool:
        return any(part in plain for plain in {_letters(text), _letters(unescaped(text))} for part in self._parts)


def _letters(text: str) -> str:
    return folded(_BETWEEN_LETTERS.sub("", text))


def _parts(token: str) -> Iterator[str]:
    yield from _windows(_letters(token), SHORTEST_PART)
    yield from _windows(_letters(token)[::-1], SHORTEST_PART)
    content = token.encode("utf-8", "surrogatepass")
    yield from _windows(content.hex(), 2 * SHORTEST_PART)
    for before in range(3):
        # Without the characters that depend on what stands before and behind.
        written = base64.b64encode(b"\0" * before + content).decode().rstrip("=")
        yield from _windows(_letters(written[4 if before else 0 : -2]), SHORTEST_PART * 4 // 3)


def _windows(text: str, size: int) -> Iterator[str]:
    if len(text) >= SHORTEST_HIDDEN_TOKEN:
        for begin in range(max(1, len(text) - size + 1)):
            yield text[begin : begin + size]
