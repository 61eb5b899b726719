"""A server in a very bad mood: everything arrives, and what arrived twice is explained."""

from __future__ import annotations

from collections import Counter

import pytest

from airflow_reshape.delivery.retry import RetryPolicy
from airflow_reshape.events.rules import GENERATIONS, Generation
from airflow_reshape.sandbox.testing import running_sandbox
from tests.delivery.leads import SCRIPT_ID, TOKEN, lead, send

pytestmark = pytest.mark.timeout(60)

# Twenty in a hundred requests; "after" means that the event was taken although no answer came.
MOODS = {
    "statuses": {500: 0.04, 429: 0.02, 408: 0.02},
    "reset_before": 0.02,
    "reset_after": 0.02,
    "half_close_before": 0.02,
    "half_close_after": 0.02,
    "garbage": {"text": 0.02, "empty": 0.02},
    "jitter": 0.004,
}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_everything_arrives(generation: Generation) -> None:
    rows = [lead(n, of=f"l{n % 90}", **{"user.id": f"c{n % 90}"}) for n in range(300)]
    with running_sandbox(token=TOKEN, script_id=SCRIPT_ID) as sandbox:
        sandbox.set_faults(**MOODS, hang_seconds=0.1)
        sent = send(sandbox.url, rows, generation=generation, retry=RetryPolicy(first_delay=0.002, longest_delay=0.02))
        received, totals = sandbox.received(), sandbox.summary()
    assert sent.result.halt is None
    assert sent.counts == {"delivered": 300}
    assert sent.tally.in_doubt == 0
    assert totals["requests"] == sent.tally.requests > 300
    assert totals["by_fault"].keys() >= {"statuses", "reset_before", "reset_after", "half_close_before"}
    assert (totals["distinct_taken"], totals["invalid"]) == (300, 0)
    # Twice taken is only what was taken without an answer, under the same name and id.
    unanswered = Counter(one["id"] for one in received if one["fault"] in ("reset_after", "half_close_after"))
    taken = Counter(one["id"] for one in received if one["taken"])
    assert {one: count - 1 for one, count in taken.items() if count > 1} == dict(unanswered)
    for one in range(90):
        order = [int(r["id"][1:]) for r in received if r["body"]["user"]["id"] == f"c{one}"]
        assert order == sorted(order)
