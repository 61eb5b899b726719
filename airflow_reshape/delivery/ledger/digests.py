"""Keyed digests: they tell whether something changed, or is the same, and not what it is."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
from collections.abc import Mapping
from json import JSONEncoder
from typing import Any

from airflow_reshape.delivery.ledger.plain import plain
from airflow_reshape.events.prepared import InvalidLead, PreparedEvent

_in_order = JSONEncoder(sort_keys=True, separators=(",", ":"), default=repr).encode


def event_key(destination: str, name: str, event_id: str) -> str:
    """The key of an event: name and id, at one destination."""
    # An id may hold half a surrogate pair.
    return hashlib.sha256("\x00".join((destination, name, event_id)).encode(errors="surrogatepass")).hexdigest()


def key_of(script_id: str, event: PreparedEvent) -> str | None:
    """The key of an event to be sent; None for events without an id, which cannot be told apart."""
    return None if event.id is None else event_key(destination_of(script_id, event), event.name, event.id)


def former_key_of(script_id: str, event: PreparedEvent) -> str | None:
    """The key that an event had before texts were cleaned, if that was another one."""
    former = event.former_id
    return None if former is None else event_key(destination_of(script_id, event), event.name, former)


def destination_of(script_id: str, event: PreparedEvent) -> str:
    """Where an event goes: a row may be ``dev`` on its own."""
    return f"{script_id}:{event.environment}"


class Digests:
    """Makes digests with one key.

    :param secret: the key; from the connection.
    """

    def __init__(self, secret: str) -> None:
        self._key = hashlib.sha256(b"airflow-reshape digest\x00" + secret.encode()).digest()
        self.version = hashlib.sha256(self._key).hexdigest()[:12]

    def of(self, *parts: Any) -> str:
        """The digest of values."""
        return hmac.digest(self._key, repr(parts).encode(), "sha256").hex()

    def of_event(self, event: PreparedEvent) -> str:
        """The digest of what would make it another event: value, currency and reason."""
        details = event.body["event"]
        reason = details.get("properties", {}).get("disqualification_reason")
        return self.of(details.get("value"), details.get("currency"), reason)

    def of_body(self, event: PreparedEvent) -> str:
        """The digest of all that is sent, whatever the order of its keys. Nothing of it is made at send time."""
        return self.of("body", _in_order(event.body))

    def of_invalid(self, destination: str, row: object, lead: InvalidLead) -> str:
        """The key of an invalid row: the very same row with the very same problems. No row makes an error."""
        return self.of(destination, "invalid", _content(row), [tuple(problem) for problem in lead.problems])

    def of_forgotten(self, script_id: str, lead_id: str) -> str:
        """The mark of a forgotten lead."""
        return self.of("forgotten", script_id, lead_id)


def _content(row: object) -> list[tuple[str, str]] | str:
    """A row in the order of its columns' names, or what it is if it has none."""
    if isinstance(row, Mapping):
        with contextlib.suppress(Exception):  # somebody else's mapping
            return sorted((key if isinstance(key, str) else plain(key), plain(value)) for key, value in row.items())
    return plain(row)
