"""Retries and cleared tasks without a ledger: what the server received decides."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_reshape.delivery.checkpoint import progress
from airflow_reshape.exceptions import ReshapeError, ReshapeFailedLeadsError, ReshapeUnavailableError
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.checkpoint.sends import everything, interrupted, leads, received, send
from tests.checkpoint.stores import Store

pytestmark = pytest.mark.timeout(60)
COUNT = 1000


@pytest.mark.usefixtures("impatient")
def test_a_retry_sends_the_rest(sandbox: RunningSandbox, store: Store) -> None:
    with pytest.raises(ReshapeUnavailableError) as caught:
        send(store, interrupted(sandbox, leads(COUNT), 600))
    assert caught.value.summary is not None
    first = received(sandbox)
    assert 0 < len(first) < COUNT
    sandbox.clear_faults()
    summary = send(store, leads(COUNT))
    assert received(sandbox) == dict.fromkeys(everything(COUNT), 1)
    assert summary["delivered"] == COUNT - len(first)
    assert summary["skipped_by"] == {"settled_before": len(first)}
    assert summary["read"] == COUNT
    assert summary["over_tries"]["tries"] == 2
    assert summary["over_tries"]["delivered"] == COUNT
    assert store.text is None, "nothing is left to remember"


@pytest.mark.parametrize(
    ("bad", "good"), [({"currency": "euros"}, {"currency": "EUR"}), ({"email": "refuse@example.com"}, {})]
)
def test_a_cleared_task_sends_the_mended_lead_only(
    sandbox: RunningSandbox, store: Store, bad: dict[str, Any], good: dict[str, Any]
) -> None:
    if not good:
        sandbox.set_faults(ids=["500:qualified"], statuses={422: 1.0})
    rows = leads(COUNT)
    rows[500] |= bad
    with pytest.raises(ReshapeFailedLeadsError):
        send(store, rows)
    assert len(received(sandbox)) == COUNT - 1
    with pytest.raises(ReshapeFailedLeadsError):  # cleared, and not mended
        send(store, rows)
    sandbox.clear()
    rows[500] |= {"email": "mended@example.com", **good}
    summary = send(store, rows)
    assert received(sandbox) == {"500:qualified": 1}
    assert sandbox.summary()["requests"] == 1
    assert summary["delivered"] == 1
    assert summary["over_tries"]["delivered"] == COUNT
    assert store.text is None


@pytest.mark.usefixtures("impatient")
def test_a_retry_does_not_turn_green_by_forgetting(sandbox: RunningSandbox, store: Store) -> None:
    rows = leads(COUNT)
    rows[5]["currency"] = "euros"
    with pytest.raises(ReshapeUnavailableError):
        send(store, interrupted(sandbox, rows, 600))
    sandbox.clear_faults()
    with pytest.raises(ReshapeFailedLeadsError, match="1 of 1,000 leads failed"):
        send(store, rows)
    assert received(sandbox) == dict.fromkeys(everything(COUNT) - {"5:qualified"}, 1)


@pytest.mark.usefixtures("impatient")
def test_a_failed_lead_that_left_the_source_is_told_once_more(sandbox: RunningSandbox, store: Store) -> None:
    rows = leads(COUNT)
    rows[5]["currency"] = "euros"
    with pytest.raises(ReshapeUnavailableError):
        send(store, interrupted(sandbox, rows, 600))
    sandbox.clear_faults()
    del rows[5]
    with pytest.raises(ReshapeFailedLeadsError, match="failed in an earlier try"):
        send(store, rows)
    assert set(received(sandbox)) == everything(COUNT) - {"5:qualified"}
    sandbox.clear()
    assert send(store, rows)["delivered"] == 0
    assert not received(sandbox)


@pytest.mark.usefixtures("impatient")
def test_rows_in_another_order_are_sent_again_and_said_so(
    sandbox: RunningSandbox, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = leads(COUNT)
    with pytest.raises(ReshapeUnavailableError):
        send(store, interrupted(sandbox, rows, 600))
    sandbox.clear_faults()
    rows[100], rows[999] = rows[999], rows[100]
    send(store, rows)
    got = received(sandbox)
    assert set(got) == everything(COUNT)
    assert max(got[f"{n}:qualified"] for n in range(64)) == 1, "what agrees is not sent again"
    assert max(got.values()) == 2
    log = capsys.readouterr().out
    assert "in another order: the first 64 are passed over" in log
    assert "example.com" not in log


@pytest.mark.usefixtures("impatient")
def test_a_queue_that_is_drained_loses_nothing(sandbox: RunningSandbox, store: Store) -> None:
    """Rows that come only once: the second try gets others, and none is taken for one of the first."""
    queue = deque(leads(COUNT))

    def drained(until: int) -> Iterator[dict[str, Any]]:
        while len(queue) > until:
            yield queue.popleft()

    send(store, drained(700))
    sandbox.set_faults(outage=503)
    with pytest.raises(ReshapeUnavailableError) as caught:
        send(store, drained(400))
    summary = caught.value.summary
    assert summary is not None
    sandbox.clear_faults()
    left = len(queue)
    send(store, drained(0))
    assert len(received(sandbox)) == 300 + summary["delivered"] + left


def test_sends_to_dev_say_nothing_of_prod(sandbox: RunningSandbox, store: Store) -> None:
    rows = leads(20)
    rows[3]["currency"] = "euros"
    with pytest.raises(ReshapeFailedLeadsError):
        send(store, rows, "reshape_dev")
    with pytest.raises(ReshapeFailedLeadsError):
        send(store, rows)
    assert sum(received(sandbox).values()) == 2 * 19


def test_a_store_that_refuses_is_told_and_no_error(
    sandbox: RunningSandbox, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    class Refusing(Store):
        def set(self, key: str, value: Any) -> None:
            raise RuntimeError("404: no such task instance, token-of-the-store")

        def delete(self, key: str) -> None:
            raise RuntimeError("404")

    rows = leads(20)
    rows[3]["currency"] = "euros"
    with pytest.raises(ReshapeFailedLeadsError):
        send(Refusing(), rows)
    log = capsys.readouterr().out
    assert "The checkpoint cannot be kept (RuntimeError)" in log
    assert "token-of-the-store" not in log


def test_another_version_of_the_checkpoint_is_not_trusted(
    sandbox: RunningSandbox, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    store.set("reshape_checkpoint", {"version": 99, "settled": 20})
    send(store, leads(20))
    assert len(received(sandbox)) == 20
    assert "another version" in capsys.readouterr().out


def test_too_many_failures_to_list_send_everything_again(
    sandbox: RunningSandbox, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "MOST_FAILED", 3)
    rows = [row | {"currency": "euros"} if row["value"] < 5 else row for row in leads(20)]
    with pytest.raises(ReshapeFailedLeadsError, match="5 of 20"):
        send(store, rows)
    assert "everything is sent again" in capsys.readouterr().out
    assert store.text is None


def test_resume_can_be_switched_off(sandbox: RunningSandbox, store: Store) -> None:
    rows = leads(20)
    rows[3]["currency"] = "euros"
    for _ in range(2):
        with pytest.raises(ReshapeError):
            send(store, rows, resume=False)
    assert store.text is None
    assert set(received(sandbox).values()) == {2}


def test_two_rows_with_one_key_are_sent_once(sandbox: RunningSandbox, store: Store) -> None:
    assert send(store, leads(3) + leads(3))["skipped_by"] == {"repeated": 3}
    assert set(received(sandbox).values()) == {1}


@pytest.mark.usefixtures("impatient")
def test_rows_of_an_earlier_try_are_no_first_rows_for_the_next_one(sandbox: RunningSandbox, store: Store) -> None:
    """What a JOIN made of a lead is a failure in every try, also if its first row was settled in an earlier one."""
    rows = [*leads(COUNT), *({**row, "value": 7000} for row in leads(3))]
    with pytest.raises(ReshapeUnavailableError):
        send(store, interrupted(sandbox, rows, 600))
    sandbox.clear_faults()
    with pytest.raises(ReshapeFailedLeadsError, match="3 of 1,003"):
        send(store, rows)
    assert set(received(sandbox)) == everything(COUNT)
    assert all(event["body"]["event"]["value"] < 7000 for event in sandbox.received())


def test_a_checkpoint_that_cannot_be_read_is_not_overwritten(sandbox: RunningSandbox, store: Store) -> None:
    rows = leads(20)
    rows[3]["currency"] = "euros"
    with pytest.raises(ReshapeFailedLeadsError):
        send(store, rows)
    kept = store.text

    class Away(Store):
        def get(self, key: str) -> Any:
            raise ConnectionError

    away = Away()
    away.text = kept
    with pytest.raises(ConnectionError):
        send(away, rows)
    assert away.text == kept
    assert len(received(sandbox)) == 19
