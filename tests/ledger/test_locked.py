"""The ledger's tables are locked for longer than a lease: nobody else could take anything over, so the send goes on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, text

from airflow_reshape.delivery.ledger.databases import as_time, clock
from airflow_reshape.delivery.ledger.store import LedgerStore
from airflow_reshape.delivery.ledger.tables import senders
from airflow_reshape.hooks import ledger as hooks_ledger
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.ledger.conftest import NewEngine
from tests.ledger.leads import leads
from tests.ledger.task import send_as

COUNT = 2_000
LEASE = timedelta(seconds=2)
LOCKS = {
    "sqlite": ("BEGIN EXCLUSIVE", "ROLLBACK"),
    "postgresql": ("LOCK TABLE reshape_event, reshape_sender", "ROLLBACK"),
    "mysql": ("LOCK TABLES reshape_event WRITE, reshape_sender WRITE, reshape_schema WRITE", "UNLOCK TABLES"),
}


def until_the_lease_is_over(locked: Connection) -> None:
    """By the database's own clock."""
    lease_until = locked.scalar(select(func.max(senders.c.lease_until)))
    assert lease_until is not None
    while as_time(locked.scalar(select(clock(locked.engine)))) <= lease_until:
        pass


def test_a_send_outlives_a_lock_that_outlives_its_lease(
    sandbox: RunningSandbox, new_engine: NewEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks_ledger, "LedgerStore", partial(LedgerStore, lease=LEASE))
    engine = new_engine()
    lock, unlock = LOCKS[engine.dialect.name]

    def source() -> Iterator[dict[str, Any]]:
        for number, lead in enumerate(leads(0, COUNT)):
            if number == COUNT // 2:
                with engine.connect() as locked:
                    locked.execute(text(lock))
                    until_the_lease_is_over(locked)
                    locked.execute(text(unlock))
            yield lead

    summary = send_as("run", 1, source())
    assert (summary["delivered"], summary["unsent"], summary["sent_again"]) == (COUNT, 0, 0)
    assert (sandbox.summary()["distinct_taken"], sandbox.summary()["duplicates"]) == (COUNT, 0)
    assert send_as("run", 2, leads(0, COUNT))["skipped_by"] == {"already_sent": COUNT}
    engine.dispose()
