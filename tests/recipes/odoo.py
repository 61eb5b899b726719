"""Odoo's tables, as far as the recipe reads them, and what Odoo writes into them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.recipes.crm import ago
from tests.recipes.databases import Database

NEW, QUALIFIED, PROPOSITION, WON = 1, 2, 3, 4
TOO_EXPENSIVE = 1
# Ids as ir_model_fields gives them out; another model has a stage of the same name.
STAGE, ACTIVE, REVENUE, STAGE_OF_A_TASK = 4711, 4712, 4713, 815
FIELDS = {
    STAGE: ("crm.lead", "stage_id"),
    ACTIVE: ("crm.lead", "active"),
    REVENUE: ("crm.lead", "expected_revenue"),
    STAGE_OF_A_TASK: ("project.task", "stage_id"),
}
TABLES = {
    "crm_lead": (
        "id INTEGER PRIMARY KEY, active {flag}, probability {number}, stage_id INTEGER, lost_reason_id INTEGER, "
        "create_date {time}, email_normalized TEXT, phone TEXT, phone_sanitized TEXT, expected_revenue {number}, "
        "company_id INTEGER, country_id INTEGER, city TEXT, zip TEXT"
    ),
    "mail_message": "id INTEGER PRIMARY KEY, model TEXT, res_id INTEGER, date {time}, subject TEXT",
    "mail_tracking_value": (
        "id INTEGER PRIMARY KEY, mail_message_id INTEGER, field_id INTEGER, "
        "old_value_integer INTEGER, new_value_integer INTEGER, old_value_char TEXT, new_value_char TEXT"
    ),
    "ir_model_fields": "id INTEGER PRIMARY KEY, model TEXT, name TEXT",
    "res_country": "id INTEGER PRIMARY KEY, code TEXT",
    "res_company": "id INTEGER PRIMARY KEY, currency_id INTEGER",
    "res_currency": "id INTEGER PRIMARY KEY, name TEXT",
}


class Odoo:
    """An Odoo database with leads of one company.

    :param database: where its tables are made, empty.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._ids = 0
        self._leads: dict[int, dict[str, Any]] = {}
        database.create(**TABLES)
        fields = ({"id": key, "model": model, "name": name} for key, (model, name) in FIELDS.items())
        database.insert("ir_model_fields", *fields)
        database.insert("res_country", {"id": 189, "code": "RO"})
        database.insert("res_currency", {"id": 126, "name": "RON"})
        database.insert("res_company", {"id": 1, "currency_id": 126})

    def lead(self, lead_id: int, at: datetime, stage: int | None = NEW, **columns: Any) -> None:
        """Create a lead; that is not tracked."""
        row = {
            "id": lead_id,
            "active": True,
            "probability": 12.5,
            "stage_id": stage,
            "lost_reason_id": None,
            "create_date": at + timedelta(milliseconds=700),  # messages have whole seconds
            "email_normalized": f"lead.{lead_id}@example.com",
            "phone": "0722 123 456",
            "phone_sanitized": f"+4072212{lead_id:04d}",
            "expected_revenue": 1200.5,
            "company_id": 1,
            "country_id": 189,
            "city": "Cluj",
            "zip": "400001",
            **columns,
        }
        self._leads[lead_id] = row
        self.database.insert("crm_lead", row)

    def move(self, lead_id: int, stage: int | None, at: datetime) -> None:
        """Put a lead into a stage."""
        old = self._leads[lead_id]["stage_id"]
        self._write(lead_id, stage_id=stage)
        self.track(lead_id, at, (STAGE, old or 0, stage or 0))

    def lose(self, lead_id: int, at: datetime, reason: int | None = TOO_EXPENSIVE) -> None:
        """Mark a lead as lost."""
        self._write(lead_id, active=False, probability=0, lost_reason_id=reason)
        self.track(lead_id, at, (ACTIVE, 1, 0))

    def archive(self, lead_id: int, at: datetime) -> None:
        """Archive a lead that is not lost, as newer versions can."""
        self._write(lead_id, active=False)
        self.track(lead_id, at, (ACTIVE, 1, 0))

    def restore(self, lead_id: int, at: datetime) -> None:
        """Take a lead back that was lost or archived."""
        self._write(lead_id, active=True, probability=20, lost_reason_id=None)
        self.track(lead_id, at, (ACTIVE, 0, 1))

    def merge(self, lead_id: int, into: int) -> None:
        """Merge a lead into another: its messages go over, with a subject, and it is deleted."""
        self.database.update("mail_message", lead_id, key="res_id", res_id=into, subject="From lead: changes")
        self.database.delete("crm_lead", lead_id, key="id")

    def track(
        self, lead_id: int, at: datetime, *changes: tuple[int, int, int], model: str = "crm.lead", **message: Any
    ) -> None:
        """Write down changes of a record: field id, old value, new value."""
        self._ids += 1
        row = {"id": self._ids, "model": model, "res_id": lead_id, "date": at, "subject": None}
        self.database.insert("mail_message", {**row, **message})
        values = []
        for field, old, new in changes:
            self._ids += 1
            values.append(
                {
                    "id": self._ids,
                    "mail_message_id": row["id"],
                    "field_id": field,
                    "old_value_integer": old,
                    "new_value_integer": new,
                    "new_value_char": "Calificat",  # the stage's name in somebody's language
                }
            )
        self.database.insert("mail_tracking_value", *values)

    def _write(self, lead_id: int, **columns: Any) -> None:
        self._leads[lead_id] |= columns
        self.database.update("crm_lead", lead_id, key="id", **columns)


def lead_42(odoo: Odoo) -> None:
    """A lead that was created ten hours ago, and qualified eight hours ago."""
    odoo.lead(42, ago(hours=10))
    odoo.move(42, QUALIFIED, ago(hours=8))
