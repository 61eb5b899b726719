"""Taking persons out of what is shown."""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

SHOWN = ("event.name", "event.currency", "context.environment", "context.data_source")
SHORTEST_REDACTED = 2
# A shorter value is taken out only where it stands alone: RO is a part of "error".
SHORTEST_WITHIN_A_WORD = 4
HIDDEN = "…"
LONGEST_LABEL = 60
LONGEST_DETAIL = 300
# A vocabulary has no more words than that, and each is used again and again.
MOST_WORDS = 30
LONGEST_WORD = 40
LEAST_USES = 3
# Numbers with more digits may identify somebody: phones, national ids, times to the millisecond.
MOST_DIGITS_SHOWN = 6
_EMAIL_LIKE = re.compile(r"[^\s@\"'<>]+@[^\s@\"'<>]+")
_PHONE_LIKE = re.compile(r"\+?\d[\d\s().\-/]{5,}\d")
_EVENT_NAME_LIKE = re.compile(r"[A-Za-z][\w.\-:]{0,59}", re.ASCII)
_LOOKS_PERSONAL = "(hidden: looks like a personal value)"


def redacted(text: str, body: Mapping[str, Any]) -> str:
    """Text of the server without anything that equals a value sent, or that looks like an e-mail or phone.

    Shortened afterwards: half a value would not be recognised.

    :param body: the body that was sent.
    """
    text = _comparable(text)
    sent = {
        spelling
        for path, value in _leaves(body)
        if path not in SHOWN and value is not None and not isinstance(value, bool)
        for spelling in _spellings(str(value))
        if len(spelling) >= SHORTEST_REDACTED
    }
    for value in sorted(sent, key=len, reverse=True):
        pattern = re.escape(value)
        if len(value) < SHORTEST_WITHIN_A_WORD:
            pattern = rf"(?<!\w){pattern}(?!\w)"
        text = re.sub(pattern, HIDDEN, text, flags=re.IGNORECASE)
    return _PHONE_LIKE.sub(HIDDEN, _EMAIL_LIKE.sub(HIDDEN, text))[:LONGEST_DETAIL]


def label(text: str) -> str:
    """A short text from the data (the name of a stage or field), unless it looks like a person's."""
    if _EMAIL_LIKE.search(text) or _PHONE_LIKE.search(text):
        return _LOOKS_PERSONAL
    return " ".join(text.split())[:LONGEST_LABEL]


def words_told(used: Mapping[str, int], least_uses: int = LEAST_USES) -> dict[str, int]:
    """The words of a vocabulary that somebody uses, such as reasons, and how often.

    Where they are in truth what people write down, one by one, nothing is told: words of a vocabulary are few, short,
    and come again.

    :param used: the texts as they came, and how often.
    :param least_uses: of a word. Default 3.
    """
    if len(used) > MOST_WORDS:
        return {}
    return {
        label(text): count
        for text, count in used.items()
        if count >= least_uses and len(text) <= LONGEST_WORD and label(text) != _LOOKS_PERSONAL
    }


def event_label(name: str) -> str:
    """An event's name; a wrongly mapped column may have brought something else."""
    return name if _EVENT_NAME_LIKE.fullmatch(name) else _LOOKS_PERSONAL


def masked(body: Any, path: str = "") -> Any:
    """A body to look at: structure, short numbers and the sender's own settings, but no text of a person."""
    if isinstance(body, Mapping):
        return {label(str(key)): masked(value, f"{path}.{key}" if path else str(key)) for key, value in body.items()}
    if isinstance(body, list):
        return [masked(item, path) for item in body]
    if body is None or isinstance(body, bool):
        return body
    if not isinstance(body, str):
        digits = sum(character.isdigit() for character in str(body))
        return body if digits <= MOST_DIGITS_SHOWN else f"<number, {digits} digits>"
    if path in SHOWN:
        return event_label(body) if path == "event.name" else label(body)
    kind = "e-mail" if _EMAIL_LIKE.fullmatch(body) else "phone" if _PHONE_LIKE.fullmatch(body) else "text"
    return f"<{kind}, {len(body)} characters>"


def _comparable(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _spellings(value: str) -> Iterator[str]:
    """A value as a server may quote it: plain, or out of JSON, HTML or a URL."""
    plain = _comparable(value)
    yield plain
    yield json.dumps(plain)[1:-1]
    yield json.dumps(plain, ensure_ascii=False)[1:-1]
    yield html.escape(plain)
    yield quote(plain, safe="")
    yield quote_plus(plain)


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, path)
    else:
        yield path, value
