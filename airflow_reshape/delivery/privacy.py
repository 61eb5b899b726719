"""Taking persons out of what is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_reshape.delivery.hidden_values import HIDDEN, without
from airflow_reshape.delivery.server_words import WORDS
from airflow_reshape.delivery.spellings import unescaped

SHOWN = ("event.name", "event.currency", "context.environment", "context.data_source")
# No more of a text is looked at, for others wait meanwhile: what is shown is much shorter.
LONGEST_LOOKED_AT = 2000
LONGEST_LABEL = 60
LONGEST_DETAIL = 300
# A vocabulary has no more words than that, and each is used again and again.
MOST_WORDS = 30
LONGEST_WORD = 40
LEAST_USES = 3
# Numbers with more digits may identify somebody: phones, national ids, times to the millisecond.
MOST_DIGITS_SHOWN = 6
# Each begins where a run of its characters does, and gives nothing back: the time grows with the text, not its square.
_EMAIL_LIKE = re.compile(r"(?<![^\s@\"'<>])[^\s@\"'<>]++@[^\s@\"'<>]++")
_PHONE_LIKE = re.compile(r"\+?\d[\d\s().\-/]{5,}\d")
# Hashes of e-mails and phones in hexadecimal or Base64.
_HASH_LIKE = re.compile(r"(?<![A-Za-z0-9+/_\-])(?:[0-9A-Fa-f]{32,}+|[A-Za-z0-9+/_\-]{40,}+={0,2}+)(?![A-Za-z0-9+/_\-])")
# S. O. C., or a name with blanks between its letters.
_LETTERS_APART = re.compile(r"(?<!\w)\w(?:[ .,'’\-]{1,3}+\w(?!\w)){2,}+")
_EVENT_NAME_LIKE = re.compile(r"[A-Za-z][\w.\-:]{0,59}", re.ASCII)
# Of other keys, such as "Ana Pop" and ana_pop, nobody knows whether a program or a person has that name.
_KEY_OF_A_PROGRAM = re.compile(r"_?[a-z0-9_]{1,59}", re.ASCII)
_FREE_KEYS = re.compile(r"(?P<root>(?:event|user)\.properties|cookies|properties)\.(?P<key>.+)", re.DOTALL)
COOKIES = frozenset(("_ga", "_fbp", "_fbc", "_ttp", "_uetvid", "_gcl_au", "_gcl_aw", "_pin_unauth", "FPID", "FPLC"))
HIDDEN_KEY = "<key {}>"
_LOOKS_PERSONAL = "(hidden: looks like a personal value)"


def redacted(text: str, body: Mapping[str, Any]) -> str:
    """Text of the server without the values sent and their words, however spelt, and without anything that looks like
    an e-mail, a phone or a hash.

    :param text: only its beginning is looked at.
    :param body: the body that was sent.
    """
    plain = " ".join(unescaped(text[:LONGEST_LOOKED_AT]).split())
    plain = _HASH_LIKE.sub(HIDDEN, _EMAIL_LIKE.sub(HIDDEN, plain))
    sent = (str(v) for path, v in _leaves(body) if path not in SHOWN and v is not None and not isinstance(v, bool))
    return without(plain, sent, _PHONE_LIKE, _LETTERS_APART)[:LONGEST_DETAIL]


def label(text: str) -> str:
    """A short text from the data (the name of a stage or field), unless it looks like a person's.

    :param text: only its beginning is looked at.
    """
    text = text[:LONGEST_LOOKED_AT]
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


def free_key_hidden(field: str) -> str | None:
    """A field's path without its key, if that came with the data and may be a person's name; None if it may be told.

    :param field: such as ``user.properties.Ana Pop``.
    """
    found = _FREE_KEYS.fullmatch(field[:LONGEST_LOOKED_AT])
    return f"{found['root']}.{HIDDEN}" if found and not _is_of_a_program(found["key"]) else None


def _is_of_a_program(key: str) -> bool:
    if key in COOKIES:
        return True
    parts = key.strip("_").split("_")
    return bool(_KEY_OF_A_PROGRAM.fullmatch(key)) and all(part in WORDS or part.isdecimal() for part in parts)


def masked(body: Any, path: str = "") -> Any:
    """A body to look at: structure, short numbers and the sender's own settings, but no text of a person."""
    if isinstance(body, Mapping):
        return _masked_mapping(body, path)
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


def _masked_mapping(body: Mapping[Any, Any], path: str) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for number, (key, value) in enumerate(body.items(), 1):
        inner = f"{path}.{key}" if path else str(key)
        is_hidden = path and free_key_hidden(inner)
        shown[HIDDEN_KEY.format(number) if is_hidden else label(str(key))] = masked(value, inner)
    return shown


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, path)
    else:
        yield path, value
