"""The leads that every contestant sends: one table, one query, one body. Standard library only."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

EVENT = "lead_qualified"
COLUMNS = ("lead_id", "email", "phone", "currency", "value", "occurred_at")


def lead(run: str, n: int, now: str) -> tuple[Any, ...]:
    """One made-up lead; ``run`` keeps the leads of two runs apart."""
    return (
        f"{run}-{n}",
        f"person{n}@example.com",
        f"+4072{n % 10_000_000:07d}",
        "EUR",
        n % 1000,
        now,
    )


def write_leads(database: Path, run: str, count: int) -> None:
    """Write a SQLite file with the table ``lead`` of so many rows."""
    database.unlink(missing_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    connection = sqlite3.connect(database)
    with connection:
        connection.execute(f"CREATE TABLE lead (n INTEGER PRIMARY KEY, {', '.join(COLUMNS)})")
        connection.executemany(
            "INSERT INTO lead VALUES (?, ?, ?, ?, ?, ?, ?)", ((n, *lead(run, n, now)) for n in range(1, count + 1))
        )
    connection.close()


def query(first: int, last: int) -> str:
    """The rows from one number to another."""
    return f"SELECT {', '.join(COLUMNS)} FROM lead WHERE n BETWEEN {first} AND {last} ORDER BY n"


def rows(database: str, first: int, last: int) -> Iterator[dict[str, Any]]:
    """The same rows, for those who read them with Python's own driver."""
    connection = sqlite3.connect(database)
    try:
        for row in connection.execute(query(first, last)):
            yield dict(zip(COLUMNS, row, strict=True))
    finally:
        connection.close()


def endless(run: str) -> Iterator[dict[str, Any]]:
    """New leads for ever."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    n = 0
    while True:
        n += 1
        yield dict(zip(COLUMNS, lead(run, n, now), strict=True))


def body(row: dict[str, Any]) -> dict[str, Any]:
    """What this package makes of a row, for those who have to make it themselves."""
    return {
        "event": {
            "name": EVENT,
            "id": f"{row['lead_id']}:qualified",
            "currency": row["currency"],
            "value": row["value"],
        },
        "user": {"email": row["email"], "phone": row["phone"]},
        "context": {"environment": "prod"},
    }
