"""The same over real HTTP, with the defaults and a clock that nobody turns."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_reshape.delivery.retry import RetryPolicy
from airflow_reshape.delivery.trouble import Trouble
from tests.delivery.leads import leads, send
from tests.delivery.servers import Reply, scripted
from tests.limits.simulation import PROBE

pytestmark = [pytest.mark.timeout(600), pytest.mark.hostile]

DEFAULTS: dict[str, Any] = {"retry": RetryPolicy(), "probe": PROBE, "concurrency": 64, "first_window": 8}


@pytest.mark.parametrize("status", [500, 502])
def test_leads_that_fail_ahead_of_the_others(status: int) -> None:
    bad = {f"e{number}" for number in range(1, 201)}
    with scripted(lambda request: Reply(status) if request.id in bad else Reply()) as server:
        sent = send(server.url, leads(1200), trouble=Trouble(), **DEFAULTS)
    assert sent.counts == {"delivered": 1000, "rejected": 200}
    assert sent.result.halt is None


def test_one_lead_with_a_limit_of_its_own() -> None:
    throttled = Reply(429, headers={"Retry-After": "5"})
    with scripted(lambda request: throttled if request.id == "e1" else Reply()) as server:
        sent = send(server.url, leads(3000), trouble=Trouble(max_outage=20), **DEFAULTS)
    assert sent.counts == {"delivered": 2999, "unsent": 1}
    of_others = [request.at for request in server.requests if request.id not in ("e1", "connection-test")]
    again = [request.at for request in server.requests if request.id == "e1"]
    assert max(of_others) < again[2]  # all others went while it waited twice
