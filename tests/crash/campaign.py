"""One send, killed or stopped again and again and tried again until it is done. What the server received decides."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from signal import Signals
from typing import Any, Literal

from airflow_reshape.sandbox.testing import RunningSandbox
from tests.crash.crm import QUERIES, Crm
from tests.crash.killed_send import Try, run
from tests.crash.memory import Memory

# A server that forks: a process of its own for each try without importing everything anew.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.crash.killed_send"])
LOOK = 0.005  # seconds between two looks at the server
SECONDS = 120.0
MOST_TRIES = 40
STOPPED = {"ReshapeStoppedError", "TaskTimeout"}

When = Literal["start", "early", "middle", "end"]
"""Before or about the first request; at one of the first; on the way; when nearly all are there."""


@dataclass(frozen=True)
class Kill:
    """A kill, and what the next try made of it.

    :param taken: events that the server had then.
    :param bound: events that the next try may have sent again.
    :param repeated: those that it did.
    """

    when: When
    taken: int
    bound: int
    repeated: int


@dataclass
class Report:
    """What became of a campaign.

    :param killed: by SIGKILL; else stopped in order.
    :param due: events that had to arrive.
    :param error: class of the error that the last try ended with, or None.
    :param told: its text.
    """

    name: str
    seed: int
    killed: bool
    due: int = 0
    lost: int = 0
    kills: list[Kill] = field(default_factory=list)
    error: str | None = None
    told: str = ""
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def repeated(self) -> int:
        return sum(kill.repeated for kill in self.kills)

    @property
    def bound(self) -> int:
        return sum(kill.bound for kill in self.kills)


@dataclass
class Campaign:
    """Kills of one send.

    :param seed: named in every failure.
    :param order: how the source is read; see :data:`~tests.crash.crm.QUERIES`.
    :param first: the first try; the others differ in their number.
    :param refused: event ids that never arrive: invalid ones, and those that the server refuses.
    :param stirred: the source changes between tries.
    :param signal: by which tries end early.
    :param on_ended: called after each try that ended early.
    """

    name: str
    seed: int
    sandbox: RunningSandbox
    crm: Crm
    order: str
    first: Try
    memory: Memory
    refused: frozenset[str] = frozenset()
    stirred: bool = False
    signal: Signals = Signals.SIGKILL
    on_ended: Callable[[], None] = lambda: None
    takings: list[dict[str, Any]] = field(default_factory=list)
    taken: dict[str, Any] = field(default_factory=dict)

    def run(self, kills: Sequence[When]) -> Report:
        """Kill at each of these moments, and let the last try end."""
        random = Random(self.seed)
        report = Report(self.name, self.seed, self.signal is Signals.SIGKILL)
        bound: set[str] = set()
        left = list(kills)
        for number in range(1, MOST_TRIES):
            read = self.crm.ids(self.order)
            process = self._start(number)
            when = left.pop(0) if left else None
            if when is not None:
                self._wait_until(when, read, process, random)
                if process.exitcode is None:
                    os.kill(process.pid, self.signal)
            process.join(SECONDS)
            assert process.exitcode is not None, f"{self}: try {number} does not end\n{self._log()}"
            repeated = self._look(bound, f"try {number}")
            if report.kills and report.kills[-1].repeated < 0:
                report.kills[-1] = replace(report.kills[-1], repeated=repeated)
            if when is None or not self._ended_early(process):
                break
            self.on_ended()
            if self.stirred:
                self.crm.stir(random)
            self.memory.killed(read)
            bound = self.memory.repeatable(self.taken, self.crm.ids(self.order))
            report.kills.append(Kill(when, len(self.taken), len(bound), repeated=-1))
        return self._ended(report, read)

    def _start(self, number: int) -> Any:
        one = replace(self.first, number=number, sql=QUERIES[self.order])
        one.outcome.unlink(missing_ok=True)
        process = PROCESSES.Process(target=run, args=(one,), daemon=True)
        process.start()
        return process

    def _ended_early(self, process: Any) -> bool:
        if self.signal is Signals.SIGKILL:
            return bool(process.exitcode == -Signals.SIGKILL)
        return self._outcome()["error"] in STOPPED

    def _outcome(self) -> dict[str, Any]:
        assert self.first.outcome.exists(), f"{self}: the last try told nothing\n{self._log()}"
        outcome: dict[str, Any] = json.loads(self.first.outcome.read_text())
        return outcome

    def _wait_until(self, when: When, read: Sequence[str], process: Any, random: Random) -> None:
        """Wait for the moment of a kill, unless the try ends before."""
        before = self.sandbox.summary()
        due = len([one for one in read if one not in self.refused])
        rest = max(1, due - before["distinct_taken"])
        key, enough, jitter = {
            "start": ("requests", 0, 0.6),
            "early": ("requests", before["requests"] + 1, 0.05),
            "middle": ("requests", before["requests"] + random.randint(1, max(1, rest * 3 // 4)), 0.03),
            "end": ("distinct_taken", due - random.randint(0, min(40, rest)), 0.03),
        }[when]
        while process.exitcode is None and self.sandbox.summary()[key] < enough:
            process.join(LOOK)
        process.join(random.uniform(0, jitter))

    def _look(self, bound: set[str], what: str) -> int:
        """Take in what the server received since the last look; how many events came again.

        An event comes again only within the bound, once a try, and as it was.
        """
        while self.sandbox.summary()["in_work"]:
            pass  # of a client that is dead
        after = self.takings[-1]["seq"] if self.takings else None
        new = self.sandbox.received(taken=True, after=after)
        again = [one["id"] for one in new if one["id"] in self.taken]
        assert len({one["id"] for one in new}) == len(new), f"{self}, {what}: an event came twice in one try"
        unexplained = set(again) - bound
        assert not unexplained, f"{self}, {what}: {len(unexplained)} of {len(again)} came again without need"
        for one in new:
            first = self.taken.setdefault(one["id"], one)
            if one["id"] not in self.crm.revalued:
                same = [(each["name"], each["body"]) for each in (one, first)]
                assert same[0] == same[1], f"{self}, {what}: an event came again as another one"
        self.takings += new
        return len(again)

    def _ended(self, report: Report, read: Sequence[str]) -> Report:
        due = set(read) - self.refused
        report.due, report.lost = len(due), len(due - self.taken.keys())
        outcome = self._outcome()
        report.error, report.told, report.summary = outcome["error"], outcome["told"], outcome["summary"]
        assert report.lost == 0, f"{self}: lost {report.lost}\n{self._log()}"
        return report

    def _log(self) -> str:
        return self.first.log.read_text(errors="replace")[-3000:]

    def __str__(self) -> str:
        return f"{self.name}, seed {self.seed}"
