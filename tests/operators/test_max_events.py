"""max_events: too many send none, whatever they come from."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_reshape.decorators.reshape import ReshapeDecoratedOperator
from airflow_reshape.delivery import intake
from airflow_reshape.exceptions import ReshapeTooManyEventsError
from airflow_reshape.operators.events import ReshapeLeadQualifiedOperator
from airflow_reshape.sandbox.testing import RunningSandbox
from airflow_reshape.transfers.sql_to_reshape import SqlToReshapeOperator

LIMIT = 50
QUERY = "SELECT id AS lead_id, 'EUR' AS currency, 1 AS value, stage FROM leads WHERE id <= :below -- all of them"


def leads(count: int) -> list[dict[str, Any]]:
    return [{"lead_id": n + 1, "currency": "EUR", "value": 1} for n in range(count)]


def generator(count: int) -> Any:
    def rows() -> Iterator[dict[str, Any]]:
        yield from leads(count)

    return ReshapeDecoratedOperator(task_id="t", python_callable=rows, event="lead_qualified", max_events=LIMIT)


def listed(count: int) -> Any:
    return ReshapeLeadQualifiedOperator(task_id="t", leads=leads(count), max_events=LIMIT)


def queried(count: int) -> Any:
    return SqlToReshapeOperator(
        task_id="t",
        sql=QUERY,
        sql_conn_id="crm",
        parameters={"below": count},
        stage_map={"MQL": "lead_qualified", "New": None},
        max_events=LIMIT,
    )


@pytest.fixture(autouse=True)
def crm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "crm.sqlite"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE leads (id INTEGER, stage)")
        db.executemany("INSERT INTO leads VALUES (?, ?)", [(n, "New" if n > 500 else "MQL") for n in range(1, 601)])
    monkeypatch.setenv("AIRFLOW_CONN_CRM", json.dumps({"conn_type": "sqlite", "host": str(path)}))


@pytest.mark.parametrize("operator", [generator, listed, queried])
@pytest.mark.parametrize("count", [LIMIT, LIMIT + 1, 400])
def test_all_or_none(sandbox: RunningSandbox, ti: Any, operator: Any, count: int) -> None:
    if count <= LIMIT:
        assert operator(count).execute({"ti": ti})["delivered"] == count
        assert sandbox.summary()["requests"] == count
        return
    with pytest.raises(ReshapeTooManyEventsError, match="more than 50 events would be sent, and none was") as caught:
        operator(count).execute({"ti": ti})
    assert isinstance(caught.value, AirflowFailException)
    assert sandbox.summary()["requests"] == 0
    summary = ti.pushed["return_value"]
    assert summary["unsent"] == summary["read"] > LIMIT


def test_rows_that_make_no_event_do_not_count(sandbox: RunningSandbox, ti: Any) -> None:
    """The query gives 150 rows, of which 50 make an event."""
    operator = queried(600)
    operator.sql = QUERY.replace("WHERE", "WHERE id > 450 AND")
    summary = operator.execute({"ti": ti})
    assert summary["delivered"] == 50
    assert summary["skipped_by"] == {"stage_not_sent": 100}


def test_known_events_do_not_count(sandbox: RunningSandbox, ti: Any, tmp_path: Path, monkeypatch: Any) -> None:
    ledger = {"conn_type": "sqlite", "host": str(tmp_path / "ledger.sqlite")}
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(ledger))
    common: dict[str, Any] = {"task_id": "t", "ledger_conn_id": "ledger"}
    with pytest.raises(ReshapeTooManyEventsError):
        ReshapeLeadQualifiedOperator(leads=leads(200), max_events=LIMIT, **common).execute({"ti": ti})
    ReshapeLeadQualifiedOperator(leads=leads(160), **common).execute({"ti": ti})
    summary = ReshapeLeadQualifiedOperator(leads=leads(200), max_events=LIMIT, **common).execute({"ti": ti})
    assert summary["delivered"] == 40
    assert summary["skipped_by"] == {"already_sent": 160}
    assert sandbox.summary()["duplicates"] == 0


def test_more_than_can_be_held_back(sandbox: RunningSandbox, ti: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MOST_HELD", 20)
    with pytest.raises(ReshapeTooManyEventsError, match="more than 20 events"):
        generator(30).execute({"ti": ti})
    assert listed(LIMIT).execute({"ti": ti})["delivered"] == LIMIT  # a list is counted, not held back


def test_rows_that_appear_after_the_count(sandbox: RunningSandbox, ti: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    operator = queried(400)
    monkeypatch.setattr(operator, "count_leads", lambda plan: LIMIT)
    with pytest.raises(ReshapeTooManyEventsError, match="there are more than 50"):
        operator.execute({"ti": ti})
    assert sandbox.summary()["distinct_taken"] <= LIMIT


def test_validate_only_shows_them_all(sandbox: RunningSandbox, ti: Any) -> None:
    operator = listed(400)
    operator.validate_only = True
    assert operator.execute({"ti": ti})["would_send"]["lead_qualified"]
    assert sandbox.summary()["requests"] == 0
