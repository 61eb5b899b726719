"""Ids that the cleaning of texts changes: the ledger knows them by their old key, and nothing is sent again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, select

from airflow_reshape.delivery.ledger.digests import event_key
from airflow_reshape.delivery.ledger.forgetting import forget
from airflow_reshape.delivery.ledger.tables import events
from airflow_reshape.hooks.ledger import ledger_digests
from airflow_reshape.hooks.reshape import ReshapeHook
from tests.delivery.servers import ScriptedServer, scripted
from tests.ledger.conftest import NewEngine

SCRIPT_ID = "AB12CD34"

ODD = "L\u200b-1"
ARGUMENTS: dict[str, Any] = {"event": "lead_qualified", "ledger_conn_id": "ledger"}


@pytest.fixture
def database(new_engine: NewEngine, ledger_connection: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", ledger_connection)
    engine = new_engine()
    yield engine
    engine.dispose()


@pytest.fixture
def receiver() -> Iterator[ScriptedServer]:
    with scripted() as server:
        yield server


@pytest.fixture
def hook(receiver: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> ReshapeHook:
    connection = {"conn_type": "reshape", "host": receiver.url, "password": "t0ken", "extra": {"script_id": SCRIPT_ID}}
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_TESTS", json.dumps(connection))
    return ReshapeHook("reshape_tests")


def as_before(database: Engine, odd: dict[str, str], name: str = "lead_qualified") -> None:
    """Make the ledger what an older version left behind: ids as they came, only trimmed."""
    with database.begin() as connection:
        for clean, before in odd.items():
            key = event_key(f"{SCRIPT_ID}:prod", name, before)
            done = connection.execute(
                events.update().where(events.c.event_id == clean).values(key=key, event_id=before, lead_id=ODD)
            )
            assert done.rowcount == 1


def known(database: Engine) -> list[tuple[str, str, str]]:
    with database.begin() as connection:
        rows = connection.execute(select(events.c.event_id, events.c.lead_id, events.c.state))
        return sorted(tuple(row) for row in rows)


@pytest.mark.parametrize(
    ("row", "arguments", "clean", "before"),
    [
        ({"lead_id": ODD}, {}, "L-1:qualified", f"{ODD}:qualified"),
        ({"lead_id": ODD, "stage": "Sales\u00a0Q"}, {}, "L-1:Sales Q", f"{ODD}:Sales\u00a0Q"),
        (
            {"lead_id": ODD, "stage": "sales q"},
            {"event": None, "stage_map": {"Sales\u00a0Q": "lead_qualified"}},
            "L-1:Sales Q",
            f"{ODD}:Sales\u00a0Q",
        ),
        ({"lead_id": ODD, "event.id": "E\u00ad-1 "}, {}, "E-1", "E\u00ad-1"),
        ({"lead_id": ODD}, {"event_id": "{lead_id}/{event}"}, "L-1/lead_qualified", f"{ODD}/lead_qualified"),
    ],
)
def test_an_event_known_under_its_old_id_is_not_sent_again(
    row: dict[str, Any],
    arguments: dict[str, Any],
    clean: str,
    before: str,
    database: Engine,
    hook: ReshapeHook,
    receiver: ScriptedServer,
) -> None:
    rows = [{"currency": "EUR", **row}]
    given = {**ARGUMENTS, **arguments}
    assert hook.send_events(rows, **given)["delivered"] == 1
    as_before(database, {clean: before})
    for _ in range(2):
        assert hook.send_events(rows, **given)["skipped_by"] == {"already_sent": 1}
    assert len(receiver.requests) == 1
    assert known(database) == [(clean, "L-1", "delivered")]


def test_a_change_is_seen_through_the_old_key_too(
    database: Engine, hook: ReshapeHook, receiver: ScriptedServer
) -> None:
    hook.send_events([{"currency": "EUR", "lead_id": ODD, "value": 1}], **ARGUMENTS)
    as_before(database, {"L-1:qualified": f"{ODD}:qualified"})
    summary = hook.send_events([{"currency": "EUR", "lead_id": ODD, "value": 2}], **ARGUMENTS)
    assert summary["skipped_by"] == {"changed": 1}
    assert len(receiver.requests) == 1


def test_an_id_that_nobody_sent_is_new(database: Engine, hook: ReshapeHook, receiver: ScriptedServer) -> None:
    assert hook.send_events([{"currency": "EUR", "lead_id": ODD}], **ARGUMENTS)["delivered"] == 1
    assert known(database) == [("L-1:qualified", "L-1", "delivered")]


@pytest.mark.parametrize("column", ["lead_id", "event.id", "user.id"])
def test_a_lead_forgotten_under_its_old_id_stays_forgotten(
    column: str, database: Engine, hook: ReshapeHook, receiver: ScriptedServer
) -> None:
    forget(database, ODD, SCRIPT_ID, ledger_digests(hook.settings))
    row = {"lead_id": "other", "currency": "EUR", column: f" {ODD}"}
    assert hook.send_events([row], **ARGUMENTS)["skipped_by"] == {"forgotten": 1}
    assert receiver.requests == []
