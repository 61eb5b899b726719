"""Sends with a ledger: what the server received decides."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, select

from airflow_reshape.delivery.ledger.digests import event_key
from airflow_reshape.delivery.ledger.store import Entry, LedgerStore, SenderIdentity, Settlement, State
from airflow_reshape.delivery.ledger.tables import events
from airflow_reshape.delivery.repeats import EventIds
from airflow_reshape.exceptions import ReshapeConfigurationError, ReshapeFailedLeadsError, ReshapeLedgerError
from airflow_reshape.hooks import lead_send
from airflow_reshape.hooks.ledger import ledger_digests
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.databases import postgres_server
from tests.ledger.conftest import NewEngine
from tests.ledger.leads import leads


def send(rows: Any, conn_id: str = "reshape_default", **options: Any) -> dict[str, Any]:
    return ReshapeHook(conn_id).send_events(rows, event="lead_qualified", ledger_conn_id="ledger", **options)


def test_a_rerun_sends_nothing(sandbox: RunningSandbox) -> None:
    assert send(leads(0, 300))["delivered"] == 300
    again = send(leads(0, 300))

    assert again["delivered"] == 0
    assert again["skipped_by"] == {"already_sent": 300}
    assert sandbox.summary()["requests"] == 300


def test_a_mended_lead_is_sent_alone(sandbox: RunningSandbox) -> None:
    rows = leads(0, 100)
    rows[42]["currency"] = None
    with pytest.raises(ReshapeFailedLeadsError):
        send(rows)
    assert sandbox.summary()["requests"] == 99

    rows[42]["currency"] = "EUR"
    assert send(rows)["delivered"] == 1
    assert sandbox.summary()["requests"] == 100


def test_what_stays_broken_turns_only_the_first_run_red(sandbox: RunningSandbox) -> None:
    rows = leads(0, 10)
    rows[4]["currency"] = None
    with pytest.raises(ReshapeFailedLeadsError):
        send(rows)
    for _ in range(2):
        assert send(rows)["skipped_by"] == {"already_sent": 9, "still_invalid": 1}
    assert sandbox.summary()["requests"] == 9


def test_what_reshape_rejects_is_not_tried_again_until_it_changes(sandbox: RunningSandbox) -> None:
    sandbox.set_faults(ids=["3:qualified"], statuses={"422": 1.0})
    with pytest.raises(ReshapeFailedLeadsError):
        send(leads(0, 6))
    assert send(leads(0, 6))["skipped_by"] == {"already_sent": 5, "still_rejected": 1}
    assert sandbox.summary()["requests"] == 6

    sandbox.clear_faults()
    rows = leads(0, 6)
    rows[3]["value"] = 5000
    assert send(rows)["delivered"] == 1


@pytest.mark.parametrize("column", ["email", "phone"])
def test_whatever_is_mended_of_a_rejected_lead_it_is_tried_again(sandbox: RunningSandbox, column: str) -> None:
    sandbox.set_faults(ids=["3:qualified"], statuses={"422": 1.0})
    with pytest.raises(ReshapeFailedLeadsError):
        send(leads(0, 6))
    sandbox.clear_faults()
    rows = [dict(reversed(lead.items())) for lead in leads(0, 6)]
    assert send(rows)["skipped_by"] == {"already_sent": 5, "still_rejected": 1}
    rows[3][column] = {"email": "mended@example.com", "phone": "+40722999999"}[column]
    rows[4][column] = {"email": "moved@example.com", "phone": "+40722888888"}[column]
    summary = send(rows)
    assert (summary["delivered"], summary["skipped_by"]) == (1, {"already_sent": 5})


def test_a_changed_lead_is_told_and_not_sent_again(sandbox: RunningSandbox) -> None:
    send(leads(0, 5))
    rows = leads(0, 5)
    rows[2]["value"] = 9999
    assert send(rows)["skipped_by"] == {"already_sent": 4, "changed": 1}


def test_two_rows_with_one_key_are_one_event(sandbox: RunningSandbox) -> None:
    summary = send(leads(0, 20) + leads(5, 10))
    assert summary["delivered"] == 20
    assert summary["skipped_by"] == {"repeated": 5}
    assert sandbox.summary()["duplicates"] == 0


def test_two_rows_with_one_key_in_neighbouring_chunks(sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second is claimed while the first is on its way. Their ids are not compared: there are too many."""
    monkeypatch.setattr(lead_send, "EventIds", partial(EventIds, most=0))
    sandbox.set_faults(latency=0.1)
    (lead,) = leads(0, 1)
    send = ReshapeHook().lead_send(SendPlan(event="lead_qualified", ledger_conn_id="ledger"))
    summary = send.run([[lead], [lead], [lead | {"value": 77}]])
    assert summary["delivered"] == sandbox.summary()["requests"] == 1
    assert summary["skipped_by"] == {"already_sent": 1, "changed": 1}


def test_a_lead_keeps_its_order_over_chunks_while_another_send_has_its_first_event(
    sandbox: RunningSandbox, new_engine: NewEngine
) -> None:
    destination = f"{sandbox.script_id}:prod"
    key = event_key(destination, "lead_qualified", "first:MQL")
    other = LedgerStore(new_engine(), destination, SenderIdentity(), ledger_digests(ReshapeHook().settings).version)
    other.open()
    other.claim([Entry(key, "lead_qualified", "first:MQL", "first", "another value")])
    (lead,) = leads(0, 1)

    def chunks() -> Iterator[list[Any]]:
        yield [lead | {"stage": "MQL"}]
        yield [lead | {"stage": "SQL"}]
        yield leads(1, 3)
        for _ in range(100_000):
            if sandbox.summary()["taken"] == 2:  # the last ones overtake
                break
        other.settle([Settlement(key, State.RELEASED)])

    send = ReshapeHook().lead_send(SendPlan(event="lead_qualified", ledger_conn_id="ledger"))
    assert send.run(chunks())["delivered"] == 4
    ids = [each["body"]["event"]["id"] for each in sandbox.received()]
    assert ids[-2:] == ["first:MQL", "first:SQL"]
    other.dispose()


def test_dev_says_nothing_of_prod(sandbox: RunningSandbox) -> None:
    assert send(leads(0, 5), "reshape_dev")["delivered"] == 5
    assert send(leads(0, 5))["delivered"] == 5


def test_a_row_that_is_dev_says_nothing_of_prod(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    rows = leads(0, 6)
    mixed = [row | ({"context.environment": "dev"} if row["value"] % 2 else {}) for row in rows]
    assert send(mixed)["delivered"] == 6
    summary = send(rows)
    assert (summary["delivered"], summary["skipped_by"]) == (3, {"already_sent": 3})
    assert send(rows)["skipped_by"] == {"already_sent": 6}
    with new_engine().connect() as connection:
        kept = connection.execute(select(events.c.destination, func.count()).group_by(events.c.destination))
        counts = {destination.partition(":")[2]: count for destination, count in kept}
    assert counts == {"prod": 6, "dev": 3}


def test_baseline_sends_nothing_and_the_next_run_only_what_is_new(sandbox: RunningSandbox) -> None:
    assert send(leads(0, 500), baseline=True)["skipped_by"] == {"baseline": 500}
    assert sandbox.summary()["requests"] == 0
    assert send(leads(490, 510))["delivered"] == 10


def test_validate_only_writes_nothing(sandbox: RunningSandbox) -> None:
    send(leads(0, 5), validate_only=True)
    assert send(leads(0, 5))["delivered"] == 5


def test_overlapping_sends_started_together_send_each_event_once(sandbox: RunningSandbox) -> None:
    sandbox.set_faults(latency=0.005)
    summaries: list[dict[str, Any]] = []

    def work(first: int, last: int) -> None:
        summaries.append(send(leads(first, last)))

    sends = [threading.Thread(target=work, args=window) for window in ((0, 600), (300, 900))]
    for thread in sends:
        thread.start()
    for thread in sends:
        thread.join()

    assert sum(summary["delivered"] for summary in summaries) == 900
    received = sandbox.summary()
    assert (received["taken"], received["duplicates"]) == (900, 0)


def test_leads_unsent_in_an_outage_are_sent_by_the_next_run(sandbox: RunningSandbox) -> None:
    sandbox.set_faults(redirect=1.0, redirect_to="http://127.0.0.1:9/")
    with pytest.raises(ReshapeConfigurationError):
        send(leads(0, 50))
    sandbox.clear_faults()
    assert send(leads(0, 50))["delivered"] == 50
    assert sandbox.summary()["duplicates"] == 0


def test_the_ledger_holds_no_payload(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    send(leads(0, 3))
    with new_engine().connect() as connection:
        rows = connection.execute(select(events)).mappings().all()
    assert len(rows) == 3
    assert {row["state"] for row in rows} == {"delivered"}
    assert {row["http_status"] for row in rows} == {200}
    shown = str([dict(row) for row in rows]).lower()
    assert "user.email" in shown  # names of fields
    for value in ("person", "example.com", "40722123456"):
        assert value not in shown


def test_a_ledger_that_is_away_stops_before_the_first_request(
    sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres_server() as server:
        gone = server.airflow_connection()
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", gone)
    with pytest.raises(ReshapeLedgerError, match="does not answer") as raised:
        send(leads(0, 5))
    assert sandbox.summary()["requests"] == 0
    assert raised.value.summary is not None
    assert raised.value.summary["delivered"] == 0


def test_a_ledger_lost_midway_stops_claiming_and_tells_the_balance(
    sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_reshape.delivery.ledger.ledger.SECONDS_TO_SETTLE", 0.5)
    monkeypatch.setattr("airflow_reshape.delivery.ledger.databases.SECONDS_TO_REPEAT", 0.5)
    with postgres_server() as server:
        monkeypatch.setenv("AIRFLOW_CONN_LEDGER", server.airflow_connection())

        def source() -> Any:
            yield from leads(0, 400)
            for _ in range(20_000):
                if sandbox.summary()["taken"] >= 100:
                    break
            server.crash()
            yield from leads(400, 2000)

        with pytest.raises(ReshapeLedgerError, match="does not answer") as raised:
            send(source())
    summary = raised.value.summary
    assert summary is not None
    assert 100 <= summary["delivered"] == sandbox.summary()["taken"] < 2000
    assert summary["read"] == sum(summary[kind] for kind in ("delivered", "rejected", "invalid", "skipped", "unsent"))


def test_baseline_needs_a_ledger() -> None:
    with pytest.raises(ReshapeConfigurationError, match="baseline needs ledger_conn_id"):
        ReshapeHook().send_events([], event="lead_qualified", baseline=True)
