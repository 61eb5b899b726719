"""How fast a send goes: figures for the progress line and the metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """Written in the send's event loop; other threads may read it at any time. Sums only grow.

    :param window: requests that may be in flight now.
    :param in_flight: requests in flight now.
    :param rate: requests a second that are let through now, or None without a limit.
    :param answers: answers received.
    :param answer_seconds: the time that these took, in seconds, summed up.
    :param retries: requests that were not the first of their event.
    :param held_back: answers that asked for fewer requests: 429 and 503.
    :param unanswered: requests without an answer: no connection, a lost one, or none in time.
    :param paused: nothing is sent but a probe now and then, because the server takes nothing.
    """

    window: int = 0
    in_flight: int = 0
    rate: float | None = None
    answers: int = 0
    answer_seconds: float = 0.0
    retries: int = 0
    held_back: int = 0
    unanswered: int = 0
    paused: bool = False
