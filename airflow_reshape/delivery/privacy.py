"""Taking persons out of what is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

SHOWN = ("event.name", "event.currency", "context.environment", "context.data_source")
SHORTEST_REDACTED = 2
HIDDEN = "…"
_EMAIL_LIKE = re.compile(r"[^\s@\"'<>]+@[^\s@\"'<>]+")
_PHONE_LIKE = re.compile(r"\+?\d[\d\s().\-/]{5,}\d")
LONGEST_LABEL = 60


def redacted(text: str, body: Mapping[str, Any]) -> str:
    """Text of the server without anything that equals a value sent, or that looks like an e-mail or phone.

    :param body: the body that was sent.
    """
    sent = {str(value) for path, value in _leaves(body) if path not in SHOWN and not isinstance(value, bool)}
    for value in sorted((v for v in sent if len(v) >= SHORTEST_REDACTED), key=len, reverse=True):
        text = re.sub(re.escape(value), HIDDEN, text, flags=re.IGNORECASE)
    return _PHONE_LIKE.sub(HIDDEN, _EMAIL_LIKE.sub(HIDDEN, text))


def label(text: str) -> str:
    """A short text from the data (a stage's name), unless it looks like a person's."""
    if _EMAIL_LIKE.search(text) or _PHONE_LIKE.search(text):
        return "(hidden: looks like a personal value)"
    return " ".join(text.split())[:LONGEST_LABEL]


def masked(body: Any, path: str = "") -> Any:
    """A body to look at: structure, numbers and the sender's own settings, but no text of a person."""
    if isinstance(body, Mapping):
        return {key: masked(value, f"{path}.{key}" if path else str(key)) for key, value in body.items()}
    if isinstance(body, list):
        return [masked(item, path) for item in body]
    if path in SHOWN or not isinstance(body, str):
        return body
    kind = "e-mail" if _EMAIL_LIKE.fullmatch(body) else "phone" if _PHONE_LIKE.fullmatch(body) else "text"
    return f"<{kind}, {len(body)} characters>"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, path)
    else:
        yield path, value
