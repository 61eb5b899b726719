"""A CRM with a history of stages, and the one of copies: their tables, and leads in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.recipes.databases import Database

# Whole seconds, as most histories have them. Not before the tests were read: nothing in them lies in the future.
NOW = datetime.now(UTC).replace(microsecond=0)

PERSON = (
    "email TEXT, phone TEXT, first_name TEXT, last_name TEXT, country TEXT, consent_marketing {flag}, "
    "value {number}, currency TEXT"
)
LEADS = f"lead_id TEXT PRIMARY KEY, city TEXT, score INTEGER, created_at {{time}}, {PERSON}"
STAGE_HISTORY = (
    "id INTEGER PRIMARY KEY, lead_id TEXT, from_stage TEXT, to_stage TEXT, changed_at {time}, lost_reason TEXT"
)
LEAD_SNAPSHOTS = f"loaded_at {{time}}, lead_id TEXT, stage TEXT, lost_reason TEXT, {PERSON}"


def ago(*, hours: float = 0, minutes: float = 0) -> datetime:
    """So long before the last run of a test."""
    return NOW - timedelta(hours=hours, minutes=minutes)


def person(lead_id: str, **changes: Any) -> dict[str, Any]:
    """Who a lead is, with an address and a number of its own."""
    number = sum(ord(letter) * 7**place for place, letter in enumerate(lead_id)) % 10**6
    return {
        "email": f"{lead_id.lower()}@example.com",
        "phone": f"0722 {number // 1000:03d} {number % 1000:03d}",
        "first_name": "Ștefania",
        "last_name": "Pop",
        "country": "Romania",
        "consent_marketing": True,
        "value": 100,
        "currency": "EUR",
        **changes,
    }


class StageHistory:
    """The CRM of ``crm_history_lead_sync``.

    :param database: where its tables are made, empty.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._changes = 0
        self._stages: dict[str, str | None] = {}
        database.create(leads=LEADS, stage_history=STAGE_HISTORY)

    def lead(self, lead_id: str, *stages: tuple[str | None, datetime], reason: str | None = None, **who: Any) -> None:
        """A new lead, and its way through the stages.

        :param reason: why it was disqualified, if it was.
        """
        self.database.insert("leads", {"lead_id": lead_id, "created_at": ago(hours=500), **person(lead_id, **who)})
        for stage, at in stages:
            self.move(lead_id, stage, at, reason)

    def move(self, lead_id: str, stage: str | None, at: datetime, reason: str | None = None) -> None:
        """A line of the history."""
        self._changes += 1
        line = {
            "id": self._changes,
            "lead_id": lead_id,
            "from_stage": self._stages.get(lead_id),
            "to_stage": stage,
            "changed_at": at,
            "lost_reason": reason if stage == "Disqualified" else None,
        }
        self._stages[lead_id] = stage
        self.database.insert("stage_history", line)


class Snapshots:
    """The table of copies of ``crm_snapshot_lead_sync``.

    :param database: where it is made, empty.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        database.create(lead_snapshots=LEAD_SNAPSHOTS)

    def load(self, at: datetime, reasons: dict[str, str | None] | None = None, **stages: str | None) -> None:
        """One load: each lead with the stage that it has then.

        :param reasons: why leads are disqualified. Default ``Too small``.
        """
        rows = []
        for lead_id, stage in stages.items():
            lost = (reasons or {}).get(lead_id, "Too small") if stage == "Disqualified" else None
            row = {"loaded_at": at, "lead_id": lead_id, "stage": stage, "lost_reason": lost}
            rows.append({**row, **person(lead_id)})
        self.database.insert("lead_snapshots", *rows)
