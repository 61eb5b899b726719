"""Keeps what was received, in a SQLite database in memory or in a file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from airflow_reshape.sandbox.record import Record
from airflow_reshape.sandbox.tally import Tally

# Written into the file; a file of another number was made by another version of the sandbox.
_LAYOUT: Final = 1

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS received (
    seq INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    route TEXT NOT NULL,
    generation TEXT NOT NULL,
    test INTEGER NOT NULL,
    environment TEXT NOT NULL,
    name TEXT,
    id TEXT,
    token_ok INTEGER NOT NULL,
    valid INTEGER NOT NULL,
    violations TEXT NOT NULL,
    status INTEGER,
    fault TEXT,
    taken INTEGER NOT NULL,
    times_taken INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS received_by_event ON received (id, name);
CREATE INDEX IF NOT EXISTS received_twice ON received (id, name) WHERE times_taken = 2;
"""

_COLUMNS: Final = (
    "seq, at, route, generation, test, environment, name, id, token_ok, valid, violations, status, fault,"
    " taken, times_taken"
)
_ORDERS: Final = {"asc": "ASC", "desc": "DESC"}
_TRUTHS: Final = ("test", "token_ok", "valid", "taken")

# Filter -> condition; each takes the filter's value once. No value ever becomes part of the SQL itself.
_CONDITIONS: Final[dict[str, str]] = {
    # Requests without a name are found under the empty one.
    "name": "coalesce(name, '') = ?",
    "id": "id = ?",
    "valid": "valid = ?",
    "taken": "taken = ?",
    "environment": "environment = ?",
    # Without an id the comparison is NULL, which is neither; such an event is no duplicate.
    "duplicates": "? = coalesce(taken AND (id, name) IN (SELECT id, name FROM received WHERE times_taken = 2), 0)",
    "search": "instr(lower(coalesce(name, '') || ' ' || coalesce(id, '')), lower(?)) > 0",
    "after": "seq > ?",
}


class StoreError(Exception):
    """The database file cannot be used; the text says why."""


@dataclass(frozen=True)
class Filter:
    """Which requests to list; a field that is None does not filter.

    :param name: event name.
    :param id: event id.
    :param valid: whether the body followed the documentation.
    :param taken: whether the event was accepted.
    :param duplicates: whether it is a taking of an event that was taken more than once.
    :param environment: effective environment, ``prod`` or ``dev``.
    :param search: part of an event name or id, in any case.
    :param after: only numbers (``seq``) beyond this one.
    """

    name: str | None = None
    id: str | None = None
    valid: bool | None = None
    taken: bool | None = None
    duplicates: bool | None = None
    environment: str | None = None
    search: str | None = None
    after: int | None = None

    def conditions(self) -> tuple[str, list[object]]:
        """The SQL behind ``WHERE`` and its values."""
        asked = {field: value for field, value in asdict(self).items() if value is not None}
        return " AND ".join(_CONDITIONS[field] for field in asked) or "1", list(asked.values())


class Store:
    """Everything received, and its totals. Belongs to the thread that made it.

    :param database: a SQLite file, made if it is not there; memory if None.
    :raises StoreError: if the file is no database of this sandbox.
    """

    def __init__(self, database: Path | None = None) -> None:
        self.tally = Tally()
        try:
            self._connection = sqlite3.connect(str(database or ":memory:"), isolation_level=None)
        except sqlite3.Error as error:
            raise StoreError(f"{database} cannot be used: {error}") from None
        self._connection.row_factory = sqlite3.Row
        try:
            self._prepare()
        except sqlite3.Error as error:
            self._connection.close()
            raise StoreError(f"{database} cannot be used: {error}") from None

    def _prepare(self) -> None:
        layout = self._connection.execute("PRAGMA user_version").fetchone()[0]
        tables = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and layout != _LAYOUT:
            raise sqlite3.DatabaseError("it was not made by this version of the sandbox")
        # A crash of the machine may lose the last events; a crash of the sandbox does not.
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_TABLE)
        self._connection.execute(f"PRAGMA user_version = {_LAYOUT}")
        for row in self._connection.execute(f"SELECT {_COLUMNS} FROM received ORDER BY seq"):  # noqa: S608
            self._count(
                row["name"],
                row["id"],
                row["environment"],
                row["status"],
                row["fault"],
                row["valid"],
                row["taken"],
            )

    def _count(
        self,
        name: str | None,
        id_: str | None,
        environment: str,
        status: int | None,
        fault: str | None,
        valid: bool,
        taken: bool,
    ) -> int:
        return self.tally.add(
            name=name,
            id_=id_,
            environment=environment,
            status=status,
            fault=fault,
            valid=bool(valid),
            taken=bool(taken),
        )

    def add(self, record: Record) -> None:
        """Keep one request."""
        times = self._count(
            record.name,
            record.id,
            record.environment,
            record.status,
            record.fault,
            record.valid,
            record.taken,
        )
        self._connection.execute(
            "INSERT INTO received VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                record.at,
                record.route,
                record.generation,
                record.test,
                record.environment,
                record.name,
                record.id,
                record.token_ok,
                record.valid,
                json.dumps([asdict(violation) for violation in record.violations]) if record.violations else "[]",
                record.status,
                record.fault,
                record.taken,
                times,
                record.body,
            ),
        )

    def find(
        self,
        chosen: Filter,
        *,
        limit: int = 100,
        offset: int = 0,
        order: Literal["asc", "desc"] = "asc",
        bodies: bool = True,
    ) -> list[dict[str, Any]]:
        """The requests that pass the filter, in the order they came or the other way round.

        :param chosen: the filter.
        :param limit: at most so many.
        :param offset: after so many.
        :param order: ``asc`` (oldest first) or ``desc``.
        :param bodies: with their bodies; a body that is no JSON comes as its text.
        """
        where, values = chosen.conditions()
        columns = f"{_COLUMNS}, body" if bodies else _COLUMNS
        rows = self._connection.execute(
            f"SELECT {columns} FROM received WHERE {where} ORDER BY seq {_ORDERS[order]} LIMIT ? OFFSET ?",  # noqa: S608
            [*values, limit, offset],
        )
        return [_as_json(row) for row in rows]

    def one(self, seq: int) -> dict[str, Any] | None:
        """One request by its number, None if there is none."""
        row = self._connection.execute(
            f"SELECT {_COLUMNS}, body FROM received WHERE seq = ?",  # noqa: S608
            [seq],
        ).fetchone()
        return _as_json(row) if row else None

    def matching(self, chosen: Filter) -> int:
        """How many requests pass the filter."""
        where, values = chosen.conditions()
        count: int = self._connection.execute(
            f"SELECT count(*) FROM received WHERE {where}",  # noqa: S608
            values,
        ).fetchone()[0]
        return count

    def clear(self) -> None:
        """Forget everything."""
        self._connection.execute("DELETE FROM received")
        self.tally = Tally()

    def close(self) -> None:
        """Close the database; the file, if any, stays."""
        self._connection.close()


def _as_json(row: sqlite3.Row) -> dict[str, Any]:
    kept: dict[str, Any] = dict(row)
    kept.update({truth: bool(kept[truth]) for truth in _TRUTHS})
    kept["violations"] = json.loads(kept["violations"])
    if "body" in kept:
        kept["body"] = _body(kept["body"], kept["violations"])
    return kept


def _body(text: str, violations: list[Mapping[str, str]]) -> Any:
    unreadable = any(violation["rule"] in ("json", "size") for violation in violations)
    return text if unreadable else json.loads(text)
