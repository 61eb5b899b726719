"""A CRM whose rows change, move, come and go between two tries of a send."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from random import Random

COLUMNS = "lead_id, email, phone, currency, value"
QUERIES = {
    "unordered": f"SELECT {COLUMNS} FROM leads",
    "by_change": f"SELECT {COLUMNS} FROM leads ORDER BY changed_at, lead_id",
}
MOST_TOUCHED = 40
TAIL = 0.7
"""Where the last part of a result begins: a change behind it leaves what was read before as it was."""


def event_id(lead_id: str) -> str:
    """The id of the event that a lead makes."""
    return f"{lead_id}:qualified"


class Crm:
    """Leads in a SQLite file.

    :param path: of the file.
    :param count: leads.
    :param invalid: numbers of those that have no currency.
    """

    def __init__(self, path: Path, count: int, invalid: Iterable[int] = ()) -> None:
        self.path = path
        self.made = 0
        self.clock = count
        self.revalued: set[str] = set()
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("CREATE TABLE leads (lead_id TEXT, email, phone, currency, value, changed_at)")
            self._insert(db, count, set(invalid))

    def ids(self, order: str) -> list[str]:
        """The event ids in the order that a query reads them now.

        :param order: ``unordered`` or ``by_change``.
        """
        with closing(sqlite3.connect(self.path)) as db:
            return [event_id(row[0]) for row in db.execute(QUERIES[order])]

    def stir(self, random: Random) -> None:
        """Move, change, add and remove some rows, anywhere or only among the last."""
        with closing(sqlite3.connect(self.path)) as db, db:
            order = random.choice(list(QUERIES))
            ids = [row[0] for row in db.execute(QUERIES[order])]
            among = ids[int(len(ids) * random.choice((0.0, TAIL))) :]
            touched = random.sample(among, min(len(among), 3 * MOST_TOUCHED))
            for lead_id in touched[: random.randint(0, MOST_TOUCHED)]:
                self.clock += 1
                # A new place in a table without ORDER BY, as an update gives a row in PostgreSQL.
                db.execute(
                    "UPDATE leads SET changed_at = ?, rowid = (SELECT max(rowid) + 1 FROM leads) WHERE lead_id = ?",
                    (self.clock, lead_id),
                )
            for lead_id in touched[MOST_TOUCHED : MOST_TOUCHED + random.randint(0, 5)]:
                db.execute("UPDATE leads SET value = value + 1 WHERE lead_id = ?", (lead_id,))
                self.revalued.add(event_id(lead_id))
            for lead_id in touched[2 * MOST_TOUCHED : 2 * MOST_TOUCHED + random.randint(0, 20)]:
                db.execute("DELETE FROM leads WHERE lead_id = ? AND currency IS NOT NULL", (lead_id,))
            self._insert(db, random.randint(0, 20), set())
            if random.random() < 0.5:
                # What was deleted leaves its place in the table to what comes next.
                db.execute(
                    "UPDATE leads SET rowid = (SELECT min(rowid) - 1 FROM leads) "
                    "WHERE rowid = (SELECT max(rowid) FROM leads)"
                )

    def _insert(self, db: sqlite3.Connection, count: int, invalid: set[int]) -> None:
        first, self.made = self.made, self.made + count
        db.executemany(
            "INSERT INTO leads VALUES (?, ?, '+40722123456', ?, ?, ?)",
            [
                (f"L{n}", f"Person{n}@Example.com", None if n in invalid else "EUR", n, self.clock - count + n - first)
                for n in range(first, self.made)
            ],
        )
        self.clock += count
