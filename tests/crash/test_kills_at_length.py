"""The full form: 5,000 leads, a hundred kills, with all memories, while the source changes, and with bad leads.

``make crash`` runs it. ``CRASH_SEED=8 make crash`` kills at other points.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest

from tests.crash.campaign import Report, When
from tests.crash.conftest import FAILURES, REPORTS, CampaignMaker

pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]
Keep = Callable[[Report], Report]

COUNT = 5000
LEAST_KILLS = 95
CYCLE: tuple[When, ...] = ("start", "middle", "early", "middle")
LAST: list[When] = ["end", "early", "end"]
BAD = {"invalid": (3, 1700), "refused": (10, 2500)}  # all long before the end, so that later tries must remember them
STIRRED: dict[str, Any] = {"stirred": True}
CAMPAIGNS: list[tuple[str, int, dict[str, Any]]] = [
    ("checkpoint", 11, {}),
    ("checkpoint", 10, {"order": "by_change"}),
    ("checkpoint", 9, {**STIRRED}),
    ("checkpoint", 9, {"order": "by_change", **STIRRED}),
    ("checkpoint", 9, {**BAD, "keeps": True}),
    ("sqlite", 11, {}),
    ("sqlite", 10, {"order": "by_change", **STIRRED}),
    ("sqlite", 8, {**BAD, "keeps": True}),
    ("postgresql", 11, {}),
    ("postgresql", 10, {**STIRRED}),
    ("postgresql", 8, {**BAD}),
]


@pytest.mark.parametrize(("turn", "memory", "kills", "options"), [(n, *one) for n, one in enumerate(CAMPAIGNS)])
def test_kills_lose_nothing_and_repeat_only_what_was_in_doubt(
    campaign: CampaignMaker, report: Keep, tmp_path: Path, turn: int, memory: str, kills: int, options: dict[str, Any]
) -> None:
    plan = [*islice(cycle(CYCLE), kills - len(LAST)), *LAST]
    ended = report(campaign(memory, COUNT, turn=turn, **options).run(plan))
    if "stirred" not in options:
        assert any(kill.bound < kill.taken / 2 for kill in ended.kills)  # it does remember
    if "invalid" in options:
        # A retry does not turn green by forgetting what failed in the tries before it.
        assert ended.error == "ReshapeFailedLeadsError"
        assert ended.told.startswith("4 of ")
    else:
        assert ended.error is None
    if "keeps" in options:
        assert kept_leads(tmp_path / FAILURES) == {f"L{n}" for bad in BAD.values() for n in bad}


def kept_leads(folder: Path) -> set[str]:
    """Leads whose rows lie in a folder of failures."""
    lines = [line for part in folder.rglob("part-*.jsonl") for line in part.read_text().splitlines()]
    kept = [json.loads(line) for line in lines]
    return {str(record["lead_id"]) for record in kept if record.get("lead_id") is not None}


def test_there_were_enough_kills(request: pytest.FixtureRequest) -> None:
    reports = [one for one in request.config.stash[REPORTS] if one.killed and one.due >= 0.9 * COUNT]
    assert sum(len(one.kills) for one in reports) >= LEAST_KILLS
