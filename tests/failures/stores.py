"""Stores of kept leads on real folders, and outcomes to keep."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from airflow_reshape.delivery.failures.folder import Folder, LocalFolder
from airflow_reshape.delivery.failures.kept import KeptLead
from airflow_reshape.delivery.failures.replay import ReplayedFailures, Wanted
from airflow_reshape.delivery.failures.run_folder import run_folders
from airflow_reshape.delivery.failures.store import FailureStore
from airflow_reshape.delivery.ledger.store import SenderIdentity
from airflow_reshape.delivery.outcome import Kind, Outcome
from airflow_reshape.events.prepared import InvalidLead, PreparedEvent
from airflow_reshape.events.rules import Rules
from airflow_reshape.mapping import EventBuilder, FieldMap, Steering
from airflow_reshape.mapping.values import plain

START = datetime(2025, 3, 1, 12, tzinfo=UTC)
BUILDER = EventBuilder(FieldMap(), Steering(event="lead_qualified"), Rules())
TOKENS = count(1)


def run(name: str = "r1", attempt: int = 1, **ids: Any) -> SenderIdentity:
    return SenderIdentity(
        **{"dag_id": "crm", "task_id": "send", "run_id": name, "map_index": -1, **ids}, try_number=attempt
    )


def store(
    folder: Folder | Path,
    identity: SenderIdentity | None = None,
    *,
    now: Callable[[], datetime] = lambda: START,
    retention: timedelta = timedelta(days=30),
    prepare: Callable[[object], Any] | None = BUILDER,
) -> FailureStore:
    return FailureStore(
        LocalFolder(folder) if isinstance(folder, Path) else folder,
        identity or run(),
        failing=frozenset({"too_old", "rejected_in_this_run"}),
        now=now,
        retention=retention,
        plain=plain,
        prepare=prepare,
        token=f"{next(TOKENS):06x}",
    )


def opened(*args: Any, **options: Any) -> FailureStore:
    made = store(*args, **options)
    made.open()
    return made


def lead(number: int, **columns: Any) -> dict[str, Any]:
    return {"lead_id": f"l{number}", "currency": "EUR", "email": f"person{number}@example.com", **columns}


def outcome(kind: Kind, row: object, why: str | None = None, position: int = 1) -> Outcome:
    """An outcome of a row, which has to fit."""
    made = BUILDER(row)
    assert isinstance(made, InvalidLead if kind is Kind.INVALID else PreparedEvent)
    whys = {Kind.INVALID: "invalid", Kind.REJECTED: "422", Kind.UNSENT: "outage"}
    return Outcome(kind, position, made, why or whys.get(kind), row=row)


def keep(kept: FailureStore, *outcomes: Outcome) -> None:
    """What the engine does with a batch of outcomes."""
    batch = [one for one in outcomes if kept.keeps(one)]
    if batch:
        kept.write(batch)


def unsettled(folder: Folder | Path) -> list[KeptLead]:
    where = LocalFolder(folder) if isinstance(folder, Path) else folder
    return [one for each in run_folders(where) for one in each.unsettled()]


def replay(folder: Folder | Path, *, now: datetime = START, **wanted: Any) -> ReplayedFailures:
    where = LocalFolder(folder) if isinstance(folder, Path) else folder
    return ReplayedFailures(where, Wanted(**wanted), now=lambda: now, token=f"{next(TOKENS):06x}")


def rows(replayed: ReplayedFailures) -> list[Any]:
    return [row for chunk in replayed.chunks() for row in chunk]
