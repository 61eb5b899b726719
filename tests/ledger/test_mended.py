"""One bad lead in a thousand: mended, its task cleared, it costs exactly one request. Forgotten by no retry."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_reshape.exceptions import ReshapeFailedLeadsError, ReshapeUnavailableError
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.delivery.leads import QUICK
from tests.ledger.leads import leads
from tests.ledger.task import send_as

COUNT, BAD = 1000, 417
REJECTS_IT = {"ids": [f"{BAD}:qualified"], "statuses": {"422": 1.0}}


def with_bad(**columns: Any) -> list[dict[str, Any]]:
    rows = leads(0, COUNT)
    rows[BAD].update(columns)
    return rows


@pytest.mark.parametrize(
    ("bad", "mended", "faults"),
    [
        pytest.param({"currency": "Lei"}, {"currency": "RON"}, {}, id="invalid"),
        pytest.param({}, {"value": 5000}, REJECTS_IT, id="rejected, value mended"),
        pytest.param({}, {"email": "mended@example.com"}, REJECTS_IT, id="rejected, e-mail mended"),
    ],
)
def test_mended_and_cleared_it_is_the_only_request(
    sandbox: RunningSandbox, bad: dict[str, Any], mended: dict[str, Any], faults: dict[str, Any]
) -> None:
    sandbox.set_faults(**faults)
    with pytest.raises(ReshapeFailedLeadsError):
        send_as("run", 1, with_bad(**bad))
    before = sandbox.summary()
    assert before["taken"] == COUNT - 1

    # Cleared without a change, the task stays red: nothing is sent, and nothing is forgotten.
    with pytest.raises(ReshapeFailedLeadsError):
        send_as("run", 2, with_bad(**bad))
    assert sandbox.summary()["requests"] == before["requests"]

    sandbox.clear_faults()
    summary = send_as("run", 3, with_bad(**mended))
    assert summary["delivered"] == 1
    assert summary["skipped_by"] == {"already_sent": COUNT - 1}
    received = sandbox.summary()
    assert received["requests"] == before["requests"] + 1
    assert (received["distinct_taken"], received["duplicates"]) == (COUNT, 0)
    (only,) = sandbox.received(id=f"{BAD}:qualified", taken=True)
    assert only["valid"]


def test_a_retry_after_an_outage_still_fails_for_what_the_first_try_rejected(
    sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_reshape.delivery.sender.RetryPolicy", lambda: QUICK)
    rejected = "3:qualified"
    sandbox.set_faults(ids=[rejected], statuses={"422": 1.0})

    def source() -> Any:
        yield from leads(0, 400)
        for _ in range(100_000):
            if sandbox.summary()["requests"] >= 100:
                break
        sandbox.set_faults(outage=503)
        yield from leads(400, COUNT)

    with pytest.raises(ReshapeUnavailableError, match="unsent"):
        send_as("run", 1, source(), max_outage=timedelta(seconds=0.3))
    taken = sandbox.summary()["taken"]
    assert 0 < taken < COUNT - 1

    sandbox.clear_faults()
    for try_number in (2, 3):
        with pytest.raises(ReshapeFailedLeadsError) as failed:
            send_as("run", try_number, leads(0, COUNT))
        summary = failed.value.summary
        assert summary is not None
        assert summary["delivered"] == (COUNT - 1 - taken if try_number == 2 else 0)
        assert summary["skipped_by"]["rejected_in_this_run"] == 1
        assert summary["still_failing"] == 0
    received = sandbox.summary()
    assert (received["distinct_taken"], received["duplicates"]) == (COUNT - 1, 0)
    assert len(sandbox.received(id=rejected)) == 1

    # Another run has been told of it before.
    assert send_as("another run", 1, leads(0, COUNT))["still_failing"] == 1
