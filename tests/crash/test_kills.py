"""A send of thousands of leads is killed with SIGKILL at random points and tried again until it is done.

The server's record decides: nothing is lost, and what comes twice is within what the bound of each kill allows; see
:mod:`tests.crash.memory`.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.crash.campaign import Report, When
from tests.crash.conftest import CampaignMaker

Keep = Callable[[Report], Report]
FEW: list[When] = ["middle", "early", "end"]


@pytest.mark.parametrize(
    ("memory", "kills"),
    [
        ("checkpoint", FEW),
        ("sqlite", FEW),
        ("postgresql", ["middle"]),
        pytest.param("mysql", ["middle"], marks=pytest.mark.mysql),
    ],
)
def test_kills_lose_nothing_and_repeat_only_what_was_in_doubt(
    campaign: CampaignMaker, report: Keep, memory: str, kills: list[When]
) -> None:
    ended = report(campaign(memory, 1200).run(kills))
    assert ended.error is None
    assert ended.kills
