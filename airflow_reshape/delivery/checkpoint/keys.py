"""What tells a row from another when a source is read again. Keyed: it says nothing of the lead."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_reshape.delivery.guards import Guards, stopped_by_content
from airflow_reshape.events.models import BaseEvent
from airflow_reshape.events.prepared import Prepared, PreparedEvent, SkippedLead

DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class RowKey:
    """A row, as a digest.

    :param key: of the event that the row makes, or of why it makes none; the same as long as the same is to be sent.
    :param failure: of the lead, by which a failed row is found again although it was mended meanwhile.
    """

    key: bytes
    failure: bytes


class RowKeys:
    """Makes the keys of one send.

    :param secret: keys the digests; from the connection.
    :param destination: script id and environment: what was sent to one says nothing of another.
    :param guards: of the send. A lead that a guard stopped, and that it would let pass now, has another key.
    """

    def __init__(self, secret: str, destination: str, guards: Guards) -> None:
        key = hashlib.blake2b(secret.encode(), digest_size=32, person=b"reshape row").digest()
        self._hasher = hashlib.blake2b(destination.encode(), digest_size=DIGEST_BYTES, key=key)
        self._guards = guards

    def of(self, row: object, lead: Prepared) -> RowKey:
        """The key of a row.

        :param lead: what the row makes.
        """
        why = stopped_by_content(lead, self._guards) if isinstance(lead, PreparedEvent) else None
        if isinstance(lead, PreparedEvent) and why is None:
            what = lead.id or json.dumps(lead.body, sort_keys=True, default=repr)
            key = self._digest("event", lead.environment, lead.name, what)
        else:
            key = self._digest("none", why or (lead.why if isinstance(lead, SkippedLead) else "invalid"))
        if lead.lead_id is not None:
            return RowKey(key, self._digest("lead", lead.lead_id))
        return RowKey(key, key if isinstance(lead, PreparedEvent) else self._digest("row", repr(_content(row))))

    def start(self) -> bytes:
        """The digest of no rows."""
        return self._hasher.digest()

    def _digest(self, *parts: str) -> bytes:
        hasher = self._hasher.copy()
        for part in parts:
            hasher.update(f"\x00{len(part)}\x00{part}".encode("utf-8", "surrogatepass"))
        return hasher.digest()


def _content(row: object) -> Any:
    try:
        if isinstance(row, BaseEvent):
            return row.model_dump_json()
        if isinstance(row, Mapping):
            return sorted((str(name), repr(value)) for name, value in row.items())
        return repr(row)
    except Exception:  # noqa: BLE001  # whatever the code of somebody's class raises; its lead is invalid anyway
        return type(row).__qualname__
