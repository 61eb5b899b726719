"""The made-up CRM behind a REST API, in pages, as CRM vendors serve theirs.

``GET /leads?updated_since=&page=1`` answers ``{"results": […], "next_page": 2}``, the last page with null.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from demo.vocabulary import LOST_REASONS

STATUSES = {"MQL": "qualified", "SQL": "qualified", "Disqualified": "lost"}
# The API's picklist. What salespeople typed into the CRM's older screens was sorted into it.
PICKLIST = {
    "out_of_icp": "not a fit",
    "no_budget": "price",
    "no_authority": "wrong contact",
    "no_timing": "later",
    "duplicate": "duplicate",
    "invalid_contact": "no answer",
    "competitor": "competitor",
    None: "merged",
}
LATEST = """
    SELECT lead.lead_id, latest.to_stage, latest.changed_at, latest.lost_reason, lead.email, lead.phone,
           lead.first_name, lead.last_name, lead.country, lead.company, lead.value, lead.currency
    FROM leads AS lead
    JOIN stage_history AS latest
      ON latest.id = (
          SELECT history.id FROM stage_history AS history WHERE history.lead_id = lead.lead_id
          ORDER BY history.changed_at DESC, history.id DESC LIMIT 1
      )
    WHERE latest.changed_at >= :since
    ORDER BY lead.lead_id
    LIMIT :size OFFSET :skipped
"""


@dataclass
class CrmApi:
    """Where the API listens, and what it was asked."""

    host: str
    port: int
    pages_served: int = field(default=0)


def make_app(crm: Path, page_size: int, served: CrmApi) -> FastAPI:
    """The API over a CRM's database.

    :param page_size: leads a page.
    :param served: counts the pages.
    """
    app = FastAPI(title="Made-up CRM", docs_url=None, redoc_url=None)

    @app.get("/leads")
    def leads(updated_since: str = "", page: int = 1) -> dict[str, Any]:
        served.pages_served += 1
        since = updated_since.replace("T", " ")
        with contextlib.closing(sqlite3.connect(crm)) as db:
            db.row_factory = sqlite3.Row
            rows = db.execute(
                LATEST, {"since": since, "size": page_size + 1, "skipped": (page - 1) * page_size}
            ).fetchall()
        return {
            "results": [_lead(row) for row in rows[:page_size]],
            "next_page": page + 1 if len(rows) > page_size else None,
        }

    return app


def _lead(row: sqlite3.Row) -> dict[str, Any]:
    reason = row["lost_reason"]
    meant = LOST_REASONS.get(reason, "") if reason is not None else ""
    return {
        "id": row["lead_id"],
        "status": STATUSES.get(row["to_stage"], "open"),
        "status_changed_at": row["changed_at"].replace(" ", "T") + "Z",
        "lost_reason": None if reason is None else PICKLIST.get(meant, "other"),
        "amount": row["value"],
        "currency": row["currency"],
        "contact": {
            "id": row["lead_id"],
            "email": row["email"],
            "phone": row["phone"],
            "first_name": row["first_name"],
            "last_name": row["last_name"],
            "country": row["country"],
        },
        "account": {"name": row["company"]},
    }


@contextlib.contextmanager
def running_crm_api(crm: Path, page_size: int = 100) -> Iterator[CrmApi]:
    """Serve the API from a thread, on a free port of loopback."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        served = CrmApi(*listening.getsockname())
        server = uvicorn.Server(uvicorn.Config(make_app(crm, page_size, served), log_level="warning"))
        listening.listen()  # requests wait in the backlog until the server takes them
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield served
        finally:
            server.should_exit = True
            thread.join(timeout=10)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crm", type=Path, required=True, help="SQLite file of the CRM")
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    uvicorn.run(
        make_app(given.crm, 100, CrmApi("127.0.0.1", given.port)),
        host="127.0.0.1",
        port=given.port,
        log_level="warning",
    )
