"""What a send tells Airflow's metrics: sums since the last time, and the state of now. No lead, no run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta

from airflow.providers.common.compat.sdk import Stats

from airflow_reshape.delivery.ledger.store import SenderIdentity
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.pace import Pace
from airflow_reshape.delivery.tally import Tally

SECONDS_BETWEEN_BATCHES = 5.0
SHARE_OF_THE_TIME = 0.05
"""At most this much of a send's time may go into metrics, whatever backend takes them."""


def metric_tags(identity: SenderIdentity, environment: str) -> dict[str, str]:
    """The tags of a send's metrics; outside a task, only the environment.

    :param environment: ``prod`` or ``dev``, of the connection.
    """
    known = {"dag_id": identity.dag_id, "task_id": identity.task_id, "environment": environment}
    return {name: value for name, value in known.items() if value}


class SendMetrics:
    """Tells the metrics of one send, every few seconds and at its end. It never fails and hardly ever waits.

    :param tally: counts the outcomes.
    :param pace: asked how fast it goes.
    :param tags: of every metric.
    :param warn: writes a line, once, if the metrics cannot be told.
    :param clock: seconds.
    """

    def __init__(
        self,
        tally: Tally,
        pace: Callable[[], Pace],
        tags: Mapping[str, str],
        warn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tally = tally
        self._pace = pace
        self._tags = dict(tags)
        self._warn = warn
        self._clock = clock
        self._told: Counter[str] = Counter()
        self._answers = 0
        self._answer_seconds = 0.0
        self._next_at = clock() + SECONDS_BETWEEN_BATCHES
        self._warned = False

    def pulse(self) -> None:
        """Tell, if it is time; to be called about once a second."""
        if self._clock() >= self._next_at:
            pace = self._pace()
            self._tell(Pace(window=pace.window, in_flight=pace.in_flight, rate=pace.rate, paused=pace.paused))

    def end(self) -> None:
        """Tell what was not told yet, so that the sums are complete; nothing is in flight any more."""
        self._tell(Pace())

    def _tell(self, state: Pace) -> None:
        began = self._clock()
        try:
            self._tell_counts()
            self._tell_latency()
            self._tell_state(state)
        except Exception as error:  # noqa: BLE001  # leads matter more; what was not told is told the next time
            if not self._warned:
                self._warned = True
                self._warn(f"Metrics cannot be told ({type(error).__name__}); the send goes on without them")
        ended = self._clock()
        self._next_at = ended + max(SECONDS_BETWEEN_BATCHES, (ended - began) / SHARE_OF_THE_TIME)

    def _tell_counts(self) -> None:
        for name, count in self._counts().items():
            new = count - self._told[name]
            if new > 0:
                Stats.incr(name, new, tags=self._tags)
                self._told[name] = count

    def _tell_latency(self) -> None:
        pace = self._pace()
        answers, seconds = pace.answers, pace.answer_seconds
        new = answers - self._answers
        if new > 0:
            Stats.timing("reshape.latency", timedelta(seconds=(seconds - self._answer_seconds) / new), tags=self._tags)
            self._answers, self._answer_seconds = answers, seconds

    def _tell_state(self, state: Pace) -> None:
        gauges = {
            "reshape.window": state.window,
            "reshape.in_flight": state.in_flight,
            "reshape.rate_limit": state.rate or 0,
            "reshape.paused": int(state.paused),
        }
        for name, value in gauges.items():
            Stats.gauge(name, value, tags=self._tags)

    def _counts(self) -> dict[str, int]:
        pace = self._pace()
        return {
            **{f"reshape.leads.{kind.value}": self._tally.kinds[kind] for kind in Kind},
            # The tally counts them when their lead is settled, all of them; the pace at once, but for those given up.
            "reshape.requests": max(self._tally.requests, pace.answers + pace.unanswered),
            "reshape.retries": pace.retries,
            "reshape.held_back": pace.held_back,
            "reshape.unanswered": pace.unanswered,
        }
