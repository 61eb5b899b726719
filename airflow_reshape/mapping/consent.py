"""What a lead answered to each purpose: yes, no, or something that nobody can read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from airflow_reshape.events.cleaning import clean_code
from airflow_reshape.events.formats import flag
from airflow_reshape.events.text import code, is_placeholder
from airflow_reshape.events.times import moment
from airflow_reshape.mapping.field_map import MappingError
from airflow_reshape.mapping.values import plain

CONSENTS = ("analytics", "personalization", "marketing")
UNREAD = None


SPELLINGS = {"1": ("1", "true"), "0": ("0", "false"), "true": ("true", "1"), "false": ("false", "0")}


def _words(value: object) -> tuple[str, ...]:
    """The spellings of an answer: True is also 1, as databases write it."""
    if isinstance(value, bytes) and value in (b"\x00", b"\x01"):
        value = value == b"\x01"
    if isinstance(value, bool):
        return ("true", "1") if value else ("false", "0")
    word = code(value).casefold()
    return SPELLINGS.get(word, (word,))


class ConsentMap:
    """Reads answers: a CRM's own words, then those that everybody has (yes, no, true, false, 1, 0 …).

    :param given: by purpose (``analytics``, ``personalization``, ``marketing``) the CRM's words and whether each is a
        yes, such as ``{"marketing": {"granted": True, "withdrawn": False}}``. Words without a purpose hold for all.
    :raises MappingError: it is no such dict, or makes a built-in no a yes.
    """

    def __init__(self, given: Mapping[Any, Any] | None = None) -> None:
        self._words: dict[str, dict[str, bool]] = {purpose: {} for purpose in CONSENTS}
        for key, answer in (given or {}).items():
            if isinstance(answer, Mapping):
                if key not in CONSENTS:
                    raise MappingError(f"consent_map: {key!r} is no purpose; there are {', '.join(CONSENTS)}")
                for word, meant in answer.items():
                    self._add(key, word, meant)
            else:
                for purpose in CONSENTS:
                    self._add(purpose, key, answer)

    def _add(self, purpose: str, word: object, answer: object) -> None:
        if not isinstance(answer, bool):
            raise MappingError(f"consent_map: {word!r} must be True for a yes, or False for a no")
        try:
            key = _words(plain(word))[0]
        except ValueError:
            raise MappingError(f"consent_map: {word!r} must be a word of the CRM") from None
        if answer and (_built_in(key) is False or is_placeholder(key) or not key.strip("0.+-")):
            raise MappingError(f"consent_map: {word!r} is a no, and cannot be made a yes")
        if self._words[purpose].setdefault(key, answer) is not answer:
            raise MappingError(f"consent_map says two things for {word!r}: case and blanks make no difference")

    def read(self, purpose: str, value: object) -> bool | None:
        """The answer, or None if it is neither yes nor no.

        :param purpose: one of :data:`CONSENTS`.
        :param value: as the CRM has it.
        """
        if words := self._words[purpose]:
            try:
                meant = {words[word] for word in _words(value) if word in words}
            except ValueError:
                meant = set()
            if meant:
                return meant == {True}
        return _built_in(value)


def _built_in(value: object) -> bool | None:
    try:
        return flag(value)
    except ValueError:
        return UNREAD


def kind_of(value: object) -> str:
    """What an answer is, without saying it: ``text``, ``timestamp``, ``number`` …"""
    if isinstance(value, (datetime, date)):
        return "timestamp"
    if isinstance(value, (str, bytes)):
        return "timestamp" if _is_time(value) else "text"
    if isinstance(value, (int, float)):
        return "number"
    return "list" if isinstance(value, list) else "object" if isinstance(value, dict) else type(value).__name__


def _is_time(value: str | bytes) -> bool:
    text = value.decode(errors="replace") if isinstance(value, bytes) else value
    if not any(map(str.isdigit, clean_code(text))):
        return False
    try:
        moment(text, "UTC")
    except ValueError:
        return False
    return True
