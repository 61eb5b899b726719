"""A task never turns green by forgetting: what an earlier try of the same run found bad is still a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select

from airflow_reshape.delivery.ledger.store import SenderIdentity
from airflow_reshape.delivery.ledger.tables import events, senders
from airflow_reshape.exceptions import ReshapeConfigurationError, ReshapeError, ReshapeFailedLeadsError
from airflow_reshape.hooks.chunks import chunked
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.ledger.conftest import NewEngine
from tests.ledger.leads import leads

Rows = list[dict[str, Any]]


def attempt(rows: Any, run: str, try_number: int, map_index: int = -1) -> dict[str, Any]:
    """A try of one task of a run.

    :param rows: a list, or lists of rows as a source gives them.
    """
    plan = SendPlan(event="lead_qualified", ledger_conn_id="ledger")
    identity = SenderIdentity("dag", run, "task", map_index, try_number)
    return ReshapeHook().lead_send(plan, identity).run(chunked(rows) if isinstance(rows, list) else rows)


def owners(new_engine: NewEngine, state: str) -> list[tuple[str | None, int | None]]:
    query = select(senders.c.run_id, senders.c.try_number).join(events, events.c.owner == senders.c.id)
    with new_engine().connect() as connection:
        return [(row.run_id, row.try_number) for row in connection.execute(query.where(events.c.state == state))]


def one_rejected(sandbox: RunningSandbox) -> Rows:
    sandbox.set_faults(ids=["3:qualified"], statuses={"422": 1.0})
    return leads(0, 10)


def one_invalid(_: RunningSandbox) -> Rows:
    rows = leads(0, 10)
    rows[3]["currency"] = None
    return rows


BAD = {
    "rejected": (one_rejected, "rejected_in_this_run"),
    "invalid": (one_invalid, None),
}


@pytest.mark.parametrize("state", BAD)
def test_five_windows_over_one_bad_lead_are_red_once(
    sandbox: RunningSandbox, new_engine: NewEngine, state: str
) -> None:
    rows = BAD[state][0](sandbox)
    with pytest.raises(ReshapeFailedLeadsError):
        attempt(rows, "one", 1)
    requests = sandbox.summary()["requests"]
    for run in ("two", "three", "four", "five"):
        assert attempt(rows, run, 1)["skipped_by"] == {"already_sent": 9, f"still_{state}": 1}
    assert sandbox.summary()["requests"] == requests
    assert owners(new_engine, state) == [("one", 1)]


@pytest.mark.parametrize("state", BAD)
def test_a_cleared_task_stays_red_until_the_lead_is_mended(sandbox: RunningSandbox, state: str) -> None:
    make, why = BAD[state]
    rows = make(sandbox)
    with pytest.raises(ReshapeFailedLeadsError):
        attempt(rows, "one", 1)
    attempt(rows, "two", 1)
    requests = sandbox.summary()["requests"]
    for try_number in (2, 3):
        with pytest.raises(ReshapeFailedLeadsError) as raised:
            attempt(rows, "one", try_number)
        summary = raised.value.summary
        assert summary is not None
        assert (summary["skipped_by"].get(why, 0), summary["invalid"]) == ((1, 0) if why else (0, 1))
    assert sandbox.summary()["requests"] == requests

    sandbox.clear_faults()
    rows[3] |= {"currency": "EUR", "email": "mended@example.com"}
    assert attempt(rows, "one", 4)["delivered"] == 1
    assert sandbox.summary()["requests"] == requests + 1


def test_a_try_that_rejects_one_and_meets_an_outage_fails_when_the_retry_sends_the_rest(
    sandbox: RunningSandbox,
) -> None:
    rows = one_rejected(sandbox) + leads(10, 60)

    def until_it_breaks() -> Any:
        yield rows[:10]
        for _ in range(20_000):
            received = sandbox.summary()
            if (received["requests"], received["taken"], received["in_work"]) == (10, 9, 0):
                break
        sandbox.set_faults(redirect=1.0, redirect_to="http://127.0.0.1:9/")
        yield rows[10:]

    with pytest.raises(ReshapeConfigurationError) as stopped:
        attempt(until_it_breaks(), "one", 1)
    assert not isinstance(stopped.value, ReshapeFailedLeadsError)
    sandbox.clear_faults()
    with pytest.raises(ReshapeFailedLeadsError) as raised:
        attempt(rows, "one", 2)
    summary = raised.value.summary
    assert summary is not None
    assert summary["skipped_by"]["rejected_in_this_run"] == 1
    assert sandbox.summary()["taken"] == 59


@pytest.mark.parametrize(
    "other",
    [
        lambda rows: attempt(rows, "one", 1, map_index=7),
        lambda rows: attempt(rows, "two", 2),
        lambda rows: ReshapeHook().send_events(rows, event="lead_qualified", ledger_conn_id="ledger"),
    ],
    ids=["another map index", "another run", "no task"],
)
def test_other_senders_are_green(sandbox: RunningSandbox, other: Callable[[Rows], dict[str, Any]]) -> None:
    rows = one_rejected(sandbox)
    with pytest.raises(ReshapeError):
        attempt(rows, "one", 1)
    assert other(rows)["skipped_by"] == {"already_sent": 9, "still_rejected": 1}


@pytest.mark.parametrize("run", ["run", "another"])
def test_a_rejection_whose_cause_was_at_reshape_is_sent_once_more(sandbox: RunningSandbox, run: str) -> None:
    rows = one_rejected(sandbox)
    with pytest.raises(ReshapeFailedLeadsError):
        attempt(rows, "run", 1)
    sandbox.clear()
    plan = SendPlan(event="lead_qualified", ledger_conn_id="ledger", retry_rejected=True)
    identity = SenderIdentity("dag", run, "task", -1, 2)
    summary = ReshapeHook().lead_send(plan, identity).run(chunked(rows))
    assert (summary["delivered"], summary["skipped_by"]) == (1, {"already_sent": 9})
    (event,) = sandbox.received()
    assert event["id"] == "3:qualified"
