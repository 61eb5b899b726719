"""Hides the values that were sent, and their words, in a text that quotes them. Linear in text and values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from typing import Any

from airflow_reshape.delivery.spellings import folded, folded_with_places, misread

HIDDEN = "…"
SHORTEST_REDACTED = 2
# A shorter value is taken out only where it stands alone: RO is a part of "error".
SHORTEST_WITHIN_A_WORD = 4
# So much of a value that begins within a word is it, cut short.
SHORTEST_CUT = 8
# No more of a value is compared at once: the rest of a longer one is looked for by itself.
LONGEST_COMPARED = 40
# Of the shortest values of a lead, so many characters are also looked for in parts, backwards and misread; of the
# others, which are free texts, the words alone.
MOST_LOOKED_AT_CLOSELY = 4000
_WORD = re.compile(r"[^\W_]++")


def without(text: str, values: Iterable[str], *patterns: re.Pattern[str]) -> str:
    """The text with ``…`` where it quotes a value, a word of one, or a part of such a word.

    :param patterns: what they match is hidden as well.
    """
    hidden = bytearray(len(text))
    for begin, end in chain(
        _quoted(text, values), (found.span() for each in patterns for found in each.finditer(text))
    ):
        hidden[begin:end] = b"\1" * (end - begin)
    runs = groupby(range(len(text)), key=hidden.__getitem__)
    return "".join(HIDDEN if is_hidden else "".join(text[at] for at in places) for is_hidden, places in runs)


def _quoted(text: str, values: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Where the text quotes a value: begins and ends."""
    places = list(folded_with_places(text))
    plain = "".join(character for character, _ in places)
    words = _Words(values, plain)
    at = 0
    while at < len(plain):
        end = words.end(plain, at)
        if end > at:
            yield places[at][1], places[end - 1][1] + 1
        at = max(end, at + 1)


class _Words:
    """Values and their words as a tree of characters, so that one pass over a text finds all of them.

    :param values: what was sent.
    :param text: where they are looked for, folded: what does not begin anywhere in it is left out of the tree.
    """

    END = ""

    def __init__(self, values: Iterable[str], text: str) -> None:
        self._tree: dict[str, Any] = {}
        begins = {text[at : at + size] for size in range(1, SHORTEST_WITHIN_A_WORD + 1) for at in range(len(text))}
        looked_at = 0
        for value in sorted(values, key=len):
            plain = folded(value)
            looked_at += len(value)
            closely = looked_at <= MOST_LOOKED_AT_CLOSELY
            for part in chain(_words(plain), _spoilt(value, plain) if closely else ()):
                if len(part) >= SHORTEST_REDACTED and part[:SHORTEST_WITHIN_A_WORD] in begins:
                    self._add(part)[self.END] = True
            for end in _ends(plain) if closely else ():
                if end[:SHORTEST_WITHIN_A_WORD] in begins:
                    self._add(end)

    def _add(self, part: str) -> dict[str, Any]:
        node = self._tree
        for character in part:
            node = node.setdefault(character, {})
        return node

    def end(self, text: str, begin: int) -> int:
        """Where the longest value or word ends that begins here; the beginning where none does."""
        starts_word = begin == 0 or not text[begin - 1].isalnum()
        node, at, found = self._tree, begin, begin
        while at < len(text) and (deeper := node.get(text[at])) is not None:
            node, at = deeper, at + 1
            long = at - begin >= SHORTEST_WITHIN_A_WORD
            if self.END in node and (long or (starts_word and _ends_word(text, at))):
                found = at
        is_cut = at - begin >= SHORTEST_WITHIN_A_WORD and starts_word and _ends_word(text, at)
        return at if is_cut or at - begin >= SHORTEST_CUT else found


def _words(plain: str) -> Iterator[str]:
    """A value and its words."""
    yield _beginning(plain)
    for word in dict.fromkeys(_WORD.findall(plain)):
        if len(word) <= LONGEST_COMPARED:
            yield word
        else:
            yield from (word[begin : begin + LONGEST_COMPARED] for begin in range(0, len(word), LONGEST_COMPARED))


def _spoilt(value: str, plain: str) -> Iterator[str]:
    """A value and its words backwards, and what becomes of it under a wrong charset."""
    yield _beginning(plain[::-1])
    yield from (word[::-1][:LONGEST_COMPARED] for word in _WORD.findall(plain))
    for spoilt in map(folded, misread(value)):
        yield from map(_beginning, (spoilt, *spoilt.split()))


def _ends(plain: str) -> Iterator[str]:
    """What a word that was cut in front may begin with: found only where it stands alone."""
    for word in _WORD.findall(plain):
        short = word[:LONGEST_COMPARED]
        yield from (short[begin:] for begin in range(1, len(short) - SHORTEST_WITHIN_A_WORD + 1))


def _beginning(value: str) -> str:
    return " ".join(value[: 2 * LONGEST_COMPARED].split())[:LONGEST_COMPARED]


def _ends_word(text: str, at: int) -> bool:
    return at == len(text) or not text[at].isalnum()
