"""A small CRM whose persons are marked, so that they are found wherever they should not be."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

JINJA_NAME = "{{ conn.reshape_default.password }}"
MARK = "zqmarker"
HISTORY = ("lead_id", "from_stage", "to_stage", "changed_at", "lost_reason")


def leads(count: int) -> list[dict[str, Any]]:
    """Leads with marked e-mails, phones and names; the first is called like a template."""
    return [
        {
            "lead_id": f"L{n:04d}",
            "email": f"{MARK}.{n}@Example.com",
            "phone": f"0731 919 1{n:02d}",
            "first_name": JINJA_NAME if n == 0 else f"{MARK.title()}First{n}",
            "last_name": f"{MARK.title()}Last{n}",
            "country": "Romania",
            "city": "Cluj",
            "company": "ACME",
            "value": 100 + n,
            "currency": "eur",
            "score": n,
            "ga_client_id": f"GA1.1.{n}",
            "consent_marketing": 1,
            "created_at": "2026-01-02 03:04:05",
        }
        for n in range(count)
    ]


def shows_marker(text: str) -> bool:
    """Whether a text holds a marked e-mail, phone or name, whatever its case or spacing."""
    folded = "".join(text.lower().split())
    return MARK in folded or "0731919" in folded or "40731919" in folded


def write_crm(path: Path, rows: list[dict[str, Any]], stages: dict[str, list[str]]) -> None:
    """A CRM with the tables of the demo's.

    :param stages: lead id to the stages that it entered, an hour apart, the last an hour ago.
    """
    now = datetime.now(UTC)
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"CREATE TABLE leads ({', '.join(rows[0])})")
        db.executemany(
            f"INSERT INTO leads VALUES ({', '.join('?' * len(rows[0]))})", [tuple(row.values()) for row in rows]
        )
        db.execute(f"CREATE TABLE stage_history (id INTEGER PRIMARY KEY, {', '.join(HISTORY)})")
        for lead_id, entered in stages.items():
            for number, stage in enumerate(entered):
                at = now - timedelta(hours=len(entered) - number)
                db.execute(
                    f"INSERT INTO stage_history ({', '.join(HISTORY)}) VALUES ({', '.join('?' * len(HISTORY))})",
                    (
                        lead_id,
                        entered[number - 1] if number else None,
                        stage,
                        at.strftime("%Y-%m-%d %H:%M:%S"),
                        "Too small" if stage == "Disqualified" else None,
                    ),
                )
