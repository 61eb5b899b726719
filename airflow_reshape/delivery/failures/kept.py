"""One kept lead, and the files that hold such leads."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any

from airflow_reshape.delivery.failures.rows import TAG, Plain, encoded_row, holds_unreadable, row_text
from airflow_reshape.delivery.ledger.store import SenderIdentity
from airflow_reshape.delivery.outcome import Outcome
from airflow_reshape.events.prepared import InvalidLead, Prepared, PreparedEvent

FORMAT = 1
STAMP = "%Y%m%dT%H%M%S%fZ"
FILE_NAME = re.compile(r"(?P<kind>part|settled)-(?P<at>\d{8}T\d{12}Z)-[0-9]+-[0-9a-f]+-[0-9]+\.jsonl")
# Columns by which a person may ask to be forgotten; others may hold anybody's numbers.
ID_COLUMNS = frozenset({"lead_id", "event.id", "user.id"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLead:
    """A lead that failed or was not sent.

    :param id: of this record; it stays when the file is written anew.
    :param at: when it was kept.
    :param kind: its outcome.
    :param problems: field and rule of an invalid lead.
    :param named: ids of the lead, its event and its person, as far as the mapping finds them in the row.
    :param row: the raw row, encoded.
    :param digest: of the row: the same row has the same.
    :param unreadable: a value of the row is kept as text only, or could not be read in the first place.
    """

    id: str
    at: str
    kind: str
    why: str | None
    problems: tuple[tuple[str, str], ...] = ()
    position: int
    name: str | None = None
    event_id: str | None = None
    lead_id: str | None = None
    named: tuple[str, ...] = ()
    status: int | None = None
    detail: str | None = None
    attempts: int = 0
    in_doubt: bool = False
    digest: str
    unreadable: bool = False
    row: Any

    @property
    def event(self) -> tuple[str, str] | None:
        """Name and id of the event, what Reshape knows it by; None where it has no id."""
        return (self.name, self.event_id) if self.name and self.event_id else None

    def reasons(self) -> set[str]:
        """Whatever somebody may call the reason for which it is here, as the report writes it."""
        told = {
            self.kind,
            *(f"{field}: {rule}" for field, rule in self.problems),
            *(field for field, _ in self.problems),
        }
        return told | {self.why} if self.why else told

    def ids(self) -> set[str]:
        """The ids by which its person may be known. A row that tells none may be anybody's: then any value counts."""
        told = {self.lead_id, self.event_id, *self.named, *_ids_in(self.row)}
        return {one for one in told if one} or set(_values_in(self.row))


def kept_lead(
    outcome: Outcome,
    lead: Prepared | None,
    *,
    content: Any,
    digest: str,
    named: Collection[str],
    identity: str,
    at: datetime,
) -> KeptLead:
    """What is kept of an outcome.

    :param lead: what its row made.
    :param content: the encoded row.
    :param identity: the record's id.
    """
    event = lead if isinstance(lead, PreparedEvent) else None
    return KeptLead(
        id=identity,
        at=at.isoformat(),
        kind=outcome.kind.value,
        why=outcome.why,
        problems=tuple((p.field, p.rule) for p in lead.problems) if isinstance(lead, InvalidLead) else (),
        position=outcome.position,
        name=lead.name if lead else None,
        event_id=event.id if event else None,
        lead_id=lead.lead_id if lead else None,
        named=tuple(named),
        status=outcome.status,
        detail=outcome.detail,
        attempts=outcome.attempts,
        in_doubt=outcome.in_doubt,
        digest=digest,
        unreadable=holds_unreadable(content),
        row=content,
    )


def row_and_digest(row: object, plain: Plain) -> tuple[Any, str]:
    """An encoded row, and its digest."""
    content = encoded_row(row, plain)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return content, hashlib.sha256(text.encode()).hexdigest()[:32]


def part_text(run: SenderIdentity, leads: Collection[KeptLead]) -> bytes:
    """A part file: a line about the run, then a line for each lead."""
    lines = [json.dumps({"format": FORMAT, **asdict(run)})]
    lines += (row_text({field.name: getattr(lead, field.name) for field in fields(KeptLead)}) for lead in leads)
    return ("\n".join(lines) + "\n").encode()


def read_part(content: bytes) -> tuple[SenderIdentity, list[KeptLead]]:
    """The run and the leads of a part file.

    :raises ValueError: another version of this package wrote it, or it is damaged.
    """
    head, *lines = content.decode().splitlines()
    run = json.loads(head)
    if run.pop("format", None) != FORMAT:
        raise ValueError("another version of this package wrote it")
    return SenderIdentity(**run), [_read_lead(json.loads(line)) for line in lines]


def settled_text(settled: Mapping[str, str]) -> bytes:
    """A file of marks: which records are settled, and how."""
    return "".join(json.dumps({"id": one, "as": how}) + "\n" for one, how in settled.items()).encode()


def read_settled(content: bytes) -> set[str]:
    """The ids of settled records."""
    return {json.loads(line)["id"] for line in content.decode().splitlines()}


def stamp_of(name: str) -> datetime | None:
    """When a file was written, from its name, also that of a temporary file; None for foreign files."""
    found = FILE_NAME.search(name)
    return datetime.strptime(found["at"], STAMP).replace(tzinfo=UTC) if found else None


def _read_lead(read: dict[str, Any]) -> KeptLead:
    problems = tuple((field, rule) for field, rule in read["problems"])
    return KeptLead(**{**read, "named": tuple(read["named"]), "problems": problems})


def _ids_in(row: Any, above: str = "") -> Iterator[str]:
    """The values of the columns that name a lead or a person, by name or nested."""
    if isinstance(row, dict) and row.get(TAG) == "event":
        row = row["v"]
    if not isinstance(row, dict):
        return
    pairs = row["v"] if row.get(TAG) == "map" else row.items()
    for key, value in pairs:
        if not isinstance(key, str):
            continue
        column = f"{above}{key.lower().replace('__', '.')}"
        if column in ID_COLUMNS:
            told = value.get("v") if isinstance(value, dict) else value
            if isinstance(told, (str, int, float)):
                yield str(told).strip()
        elif column in ("user", "event") and not above:
            yield from _ids_in(value, f"{column}.")


def _values_in(content: Any) -> Iterator[str]:
    """All texts and numbers of an encoded row."""
    if isinstance(content, (dict, list)):
        for each in content.values() if isinstance(content, dict) else content:
            yield from _values_in(each)
    elif content is not None:
        yield str(content).strip()
