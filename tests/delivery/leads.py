"""Leads, and sending them with the real engine over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from random import Random
from typing import Any

from airflow_reshape.delivery.guards import Guards
from airflow_reshape.delivery.outcome import Kind, Outcome
from airflow_reshape.delivery.records import Records
from airflow_reshape.delivery.retry import RetryPolicy
from airflow_reshape.delivery.sender import Sender, SendResult
from airflow_reshape.delivery.tally import Tally
from airflow_reshape.delivery.transport import AiohttpTransport, Destination, Transport
from airflow_reshape.delivery.trouble import Trouble
from airflow_reshape.events.prepared import Prepared
from airflow_reshape.events.rules import Generation, Rules
from airflow_reshape.events.wire import WIRE_FORMS
from airflow_reshape.mapping import EventBuilder, FieldMap, Steering

TOKEN = "token-of-the-tests"
SCRIPT_ID = "AB12CD34"
QUICK = RetryPolicy(first_delay=0.002, longest_delay=0.01, first_probe=0.002, longest_probe=0.01)


def builder(generation: Generation = "standard") -> EventBuilder:
    """Makes lead_qualified of rows."""
    return EventBuilder(FieldMap(), Steering(event="lead_qualified"), Rules(generation=generation))


def lead(number: int, of: str | None = None, **columns: Any) -> dict[str, Any]:
    """A row: event id ``e<number>``, of the lead ``l<number>`` or of another one."""
    return {"event.id": f"e{number}", "lead_id": of or f"l{number}", "currency": "EUR", **columns}


def leads(count: int) -> list[dict[str, Any]]:
    return [lead(number) for number in range(1, count + 1)]


def in_chunks(rows: Iterable[object], size: int = 50) -> Iterator[list[object]]:
    chunk: list[object] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


@dataclass
class KeepingTally(Tally):
    """The real tally, that also keeps the outcomes for the tests to look at."""

    day_of: Callable[[datetime | None], str] = lambda at: at.strftime("%Y-%m-%d") if at else "today"
    outcomes: list[Outcome] = field(default_factory=list)

    def record(self, outcome: Outcome) -> None:
        super().record(outcome)
        self.outcomes.append(outcome)

    def at(self, position: int) -> Outcome:
        (outcome,) = [o for o in self.outcomes if o.position == position]
        return outcome

    def positions(self, kind: Kind) -> list[int]:
        return sorted(o.position for o in self.outcomes if o.kind is kind)


def destination(url: str, generation: Generation = "standard", **fields: Any) -> Destination:
    return replace(Destination(url, WIRE_FORMS[generation].path, SCRIPT_ID, TOKEN, timeout=10.0), **fields)


def sender(transport: Transport, **options: Any) -> tuple[Sender, KeepingTally]:
    """A sender with tiny pauses and all of its window from the first, and its tally; ``ledger`` may be given instead of
    ``records``."""
    if "ledger" in options:
        options["records"] = Records(options.pop("ledger"))
    tally = KeepingTally(
        failing_skips=options.get("guards", Guards()).failing,
        knows_stage=options.pop("knows_stage", lambda _: False),
        configured_events=options.pop("configured_events", frozenset()),
    )
    generation: Generation = options.pop("generation", "standard")
    prepare: Callable[[object], Prepared] = options.pop("prepare", builder(generation))
    settings: dict[str, Any] = {
        "guards": Guards(),
        "retry": QUICK,
        "trouble": Trouble(max_outage=1.0),
        "random": Random(7),
        "tally": tally,
        "concurrency": 16,
        **options,
    }
    settings.setdefault("first_window", settings["concurrency"])
    return Sender(transport=transport, prepare=prepare, **settings), tally


@dataclass
class Sent:
    result: SendResult
    tally: KeepingTally

    @property
    def counts(self) -> dict[str, int]:
        """Those of the five outcomes that happened."""
        return {kind.value: count for kind, count in self.tally.kinds.items() if count}


def send(
    url: str | Destination,
    rows: Iterable[object] | Sequence[object],
    *,
    generation: Generation = "standard",
    chunk: int = 50,
    **options: Any,
) -> Sent:
    """Send rows to a server and return what became of them."""
    where = url if isinstance(url, Destination) else destination(url, generation)
    transport = AiohttpTransport(where, options.get("concurrency", 16))
    engine, tally = sender(transport, generation=generation, **options)
    return Sent(engine.send(in_chunks(rows, chunk)), tally)
