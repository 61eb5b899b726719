"""The processor time of each part of one event's way, in loops, without the POST."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks import leads

EVENTS = 2000
ANSWER = '{"result":"ok","detail":["Received. This has been processed"]}'
CONNECTION = {
    "conn_type": "reshape",
    "host": "dre2.example.com",
    "password": "bench-token",
    "extra": {"script_id": "SANDBOX1"},
}


def parts(rows: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Callable[[], object]]]:
    """Each part by name, as a loop over all rows. One is run before the next is made."""
    from airflow_reshape.delivery.guards import stopped_by
    from airflow_reshape.delivery.outcome import Kind, Outcome
    from airflow_reshape.delivery.repeats import EventIds
    from airflow_reshape.delivery.transport import Answer
    from airflow_reshape.delivery.verdict import judge
    from airflow_reshape.events.prepared import PreparedEvent
    from airflow_reshape.events.wire import to_bytes
    from airflow_reshape.hooks.plan import SendPlan
    from airflow_reshape.hooks.reshape import ReshapeHook

    os.environ["AIRFLOW_CONN_RESHAPE_DEFAULT"] = json.dumps(CONNECTION)
    settings = ReshapeHook().settings
    plan = SendPlan(event=leads.EVENT)
    prepare, guards, tally = plan.builder(settings), plan.guards(), plan.tally()
    events = [event for row in rows if isinstance(event := prepare(row), PreparedEvent)]
    if len(events) != len(rows):
        raise RuntimeError("not every row made an event")
    now = datetime.now(UTC)
    answer = Answer(200, "application/json", text=ANSWER)

    def count() -> None:
        for n, event in enumerate(events, 1):
            tally.record(Outcome(Kind.DELIVERED, n, event, status=200, attempts=1))

    yield "mapping and validation", lambda: [prepare(row) for row in rows]
    payloads = [to_bytes(event.body) for event in events]

    def compare() -> None:
        ids = EventIds()
        for event, payload in zip(events, payloads, strict=True):
            ids.look(event, payload)

    yield "guards", lambda: [stopped_by(event, guards, now) for event in events]
    yield "serialisation", lambda: [to_bytes(event.body) for event in events]
    yield "comparing event ids", compare
    yield "reading the answer", lambda: [judge(answer) for _ in events]
    yield "counting the outcome", count


def microseconds(loop: Callable[[], object], repeats: int) -> float:
    """Processor time of one event, the median of all but the first repeat."""
    times = []
    for _ in range(repeats + 1):
        started = time.process_time()
        loop()
        times.append((time.process_time() - started) / EVENTS * 1e6)
    return statistics.median(times[1:])


def main() -> None:
    repeats, answer = int(sys.argv[1]), Path(sys.argv[2])
    rows = list(islice(leads.endless("parts"), EVENTS))
    answer.write_text(json.dumps({name: microseconds(loop, repeats) for name, loop in parts(rows)}))


if __name__ == "__main__":
    main()
