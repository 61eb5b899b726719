"""The two databases that the recipes' SQL is run on, as Airflow's connections and for writing."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg

from tests.databases import DatabaseServer

TYPES = {
    "sqlite": {"time": "TEXT", "number": "NUMERIC", "flag": "INTEGER"},
    "postgresql": {"time": "timestamp", "number": "numeric", "flag": "boolean"},
}


@dataclass(frozen=True)
class Database:
    """A file of SQLite's, or a server of PostgreSQL's. To be closed.

    :param place: which of them.
    """

    place: DatabaseServer | Path

    @cached_property
    def _connection(self) -> Any:
        if isinstance(self.place, Path):
            return sqlite3.connect(self.place)
        return psycopg.connect(self.place.uri)

    def close(self) -> None:
        """End the connection that writes."""
        self._connection.close()

    @property
    def name(self) -> str:
        return "sqlite" if isinstance(self.place, Path) else "postgresql"

    @property
    def airflow_connection(self) -> str:
        """What the environment variable of the Airflow connection holds."""
        if isinstance(self.place, Path):
            return json.dumps({"conn_type": "sqlite", "host": str(self.place)})
        return self.place.airflow_connection()

    def create(self, **tables: str) -> None:
        """Make empty tables, in place of those that are there.

        :param tables: name to columns, with ``{time}``, ``{number}`` and ``{flag}`` for the database's own types.
        """
        for table, columns in tables.items():
            self._run(f"DROP TABLE IF EXISTS {table}")
            self._run(f"CREATE TABLE {table} ({columns.format(**TYPES[self.name])})")

    def insert(self, table: str, *rows: dict[str, Any]) -> None:
        """Add rows that have the same columns; times are written without their zone, in UTC, as CRMs do."""
        columns, marks = ", ".join(rows[0]), ", ".join(self._mark for _ in rows[0])
        self._run(f"INSERT INTO {table} ({columns}) VALUES ({marks})", *(list(row.values()) for row in rows))

    def update(self, table: str, lead_id: Any, key: str = "lead_id", **values: Any) -> None:
        """Change the rows of one lead."""
        changes = ", ".join(f"{column} = {self._mark}" for column in values)
        self._run(f"UPDATE {table} SET {changes} WHERE {key} = {self._mark}", [*values.values(), lead_id])

    def delete(self, table: str, lead_id: Any, key: str = "lead_id") -> None:
        """Remove the rows of one lead."""
        self._run(f"DELETE FROM {table} WHERE {key} = {self._mark}", [lead_id])

    @property
    def _mark(self) -> str:
        return "?" if self.name == "sqlite" else "%s"

    def _cell(self, value: Any) -> Any:
        if not isinstance(value, datetime):
            return value
        naive = value.replace(tzinfo=None)
        return naive.isoformat(" ") if self.name == "sqlite" else naive

    def _run(self, sql: str, *rows: list[Any]) -> None:
        """Run a statement, once for each row of parameters, and commit."""
        self._connection.cursor().executemany(sql, [[self._cell(value) for value in row] for row in rows or [[]]])
        self._connection.commit()
