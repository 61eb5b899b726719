"""A send that is told to end, by ``on_kill`` (SIGTERM) or by the execution timeout (SIGALRM), ends in order.

What is in flight is drained, ledger or checkpoint are written, and the retry sends exactly the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from signal import Signals

import pytest

from tests.crash.campaign import Report, When
from tests.crash.conftest import LATENCY, CampaignMaker
from tests.crash.crm import event_id

Keep = Callable[[Report], Report]
MOMENTS: list[When] = ["middle", "early", "middle"]
LONG = pytest.mark.crash
HANGING = ("L5", "L17", "L300")


@pytest.mark.parametrize(
    ("memory", "signal"),
    [
        ("checkpoint", Signals.SIGTERM),
        ("sqlite", Signals.SIGALRM),
        pytest.param("checkpoint", Signals.SIGALRM, marks=LONG),
        pytest.param("sqlite", Signals.SIGTERM, marks=LONG),
    ],
)
def test_a_retry_sends_exactly_the_rest(campaign: CampaignMaker, report: Keep, memory: str, signal: Signals) -> None:
    ended = report(campaign(memory, 600, signal=signal).run(MOMENTS))
    assert ended.error is None
    assert ended.kills
    assert ended.bound == 0


@pytest.mark.parametrize(
    ("memory", "signal"),
    [
        ("checkpoint", Signals.SIGALRM),
        ("sqlite", Signals.SIGTERM),
        pytest.param("checkpoint", Signals.SIGTERM, marks=LONG),
        pytest.param("sqlite", Signals.SIGALRM, marks=LONG),
    ],
)
def test_what_cannot_be_drained_is_sent_again(
    campaign: CampaignMaker, report: Keep, memory: str, signal: Signals
) -> None:
    stopped = campaign(memory, 600, signal=signal)
    ids = {event_id(lead) for lead in HANGING}
    # Longer than the test may take: if the drain had no end, the try would have none.
    stopped.sandbox.set_faults({"ids": sorted(ids), "hang_after": 1, "hang_seconds": 3600}, LATENCY)
    stopped.on_ended = stopped.sandbox.clear_faults
    ended = report(stopped.run(["end"]))
    assert ended.error is None
    assert (ended.bound, ended.repeated) == (len(ids), len(ids))
    again = [one["id"] for one in stopped.takings if stopped.taken[one["id"]] is not one]
    assert set(again) == ids
