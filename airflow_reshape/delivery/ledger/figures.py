"""A week in figures.

What is new comes from the events themselves, so it holds whatever became of the sends. What is known from before,
values, reasons and identifiers come from the summaries that sends leave when they sign off; how many did not sign
off is told.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, RowMapping, func, select

from airflow_reshape.delivery.ledger.databases import clock
from airflow_reshape.delivery.ledger.lookup import count_problems, open_problems
from airflow_reshape.delivery.ledger.tables import senders
from airflow_reshape.delivery.ledger.views import TIMELINE, source
from airflow_reshape.delivery.tally import KNOWN, STILL_FAILING

PERCENTILES = {"p50": 0.50, "p95": 0.95}


@dataclass
class EventFigures:
    """The figures of one event name.

    :param new: events by state, of those that came to it in the time; a ``claimed`` one has no answer yet.
    :param known: rows that were read again and not sent, by reason; they count at every run that reads them.
    :param lag_seconds: from ``occurred_at`` to the answer, of the delivered: percentiles (nearest rank).
    :param undated: delivered without ``occurred_at``.
    :param value: sums of the delivered, by currency.
    :param identifiers: how many delivered carry which kind of identifier.
    :param counted: delivered that ``value`` and ``identifiers`` are of.
    """

    new: dict[str, int] = field(default_factory=dict)
    known: Counter[str] = field(default_factory=Counter)
    lag_seconds: dict[str, float] = field(default_factory=dict)
    undated: int = 0
    value: dict[str, float] = field(default_factory=dict)
    identifiers: Counter[str] = field(default_factory=Counter)
    counted: int = 0


@dataclass
class Figures:
    """The figures of a time.

    :param since: begin, UTC.
    :param until: end, UTC, not included.
    :param sends: sends that signed off in the time.
    :param unfinished: those begun in it that did not.
    :param disqualified_by: delivered lead_disqualified by reason.
    :param skipped_by: rows that were not to be sent, by reason, without those known.
    :param sent_again: events of a send that died, sent once more.
    :param in_doubt: requests whose answer never came.
    :param unknown_stages: stages that ``stage_map`` does not name, by rows.
    :param still_failing: rows that failed in an earlier run and did not change.
    :param oldest_undelivered: the open problem that is open the longest, as of now.
    :param open_problems: how many are open now, by kind.
    """

    since: datetime
    until: datetime
    sends: int = 0
    unfinished: int = 0
    events: dict[str, EventFigures] = field(default_factory=dict)
    disqualified_by: Counter[str] = field(default_factory=Counter)
    skipped_by: Counter[str] = field(default_factory=Counter)
    sent_again: int = 0
    in_doubt: int = 0
    unknown_stages: Counter[str] = field(default_factory=Counter)
    still_failing: int = 0
    oldest_undelivered: RowMapping | None = None
    open_problems: Counter[str] = field(default_factory=Counter)

    def of(self, name: str | None) -> EventFigures:
        """The figures of an event name; None is an event whose name could not be read."""
        return self.events.setdefault(name or "(unknown)", EventFigures())


def figures(
    connection: Connection,
    since: datetime,
    until: datetime,
    environment: str = "prod",
    script_id: str | None = None,
) -> Figures:
    """The figures of a time.

    :param since: begin, UTC, naive as the ledger's times are.
    :param until: end, UTC, naive; not included.
    :param environment: ``prod`` or ``dev``.
    :param script_id: of the connection; None for all.
    :raises SQLAlchemyError: the database does not answer.
    """
    told = Figures(since, until)
    view = source(connection, TIMELINE, clock(connection.engine))
    when = func.coalesce(view.c.settled_at, view.c.claimed_at)
    chosen: list[ColumnElement[bool]] = [when >= since, when < until, view.c.environment == environment]
    if script_id is not None:
        chosen.append(view.c.script_id == script_id)
    for name, state, count in connection.execute(
        select(view.c.event_name, view.c.state, func.count()).where(*chosen).group_by(view.c.event_name, view.c.state)
    ):
        told.of(name).new[state] = count
    for name in [name for name, of in told.events.items() if of.new.get("delivered")]:
        _add_lag(connection, view, [*chosen, view.c.state == "delivered", view.c.event_name == name], told.of(name))
    for summary in _summaries(connection, since, until, environment, script_id):
        _add_summary(told, summary)
    unfinished = select(func.count()).where(
        senders.c.started_at >= since, senders.c.started_at < until, senders.c.summary.is_(None)
    )
    told.unfinished = connection.scalar(unfinished) or 0
    told.open_problems.update(count_problems(connection, environment, script_id))
    told.oldest_undelivered = next(iter(open_problems(connection, environment, script_id, most=1)), None)
    return told


def _add_lag(connection: Connection, view: FromClause, chosen: list[ColumnElement[bool]], event: EventFigures) -> None:
    """Percentiles by nearest rank: the database sorts, and gives the one row. Not every one has a function for it."""
    lag = view.c.lag_seconds
    count = connection.scalar(select(func.count(lag)).where(*chosen)) or 0
    event.undated = event.new["delivered"] - count
    for name, share in PERCENTILES.items() if count else ():
        rank = -int(-share * count // 1)  # rounded up
        row = select(lag).where(*chosen, lag.is_not(None)).order_by(lag).offset(rank - 1).limit(1)
        event.lag_seconds[name] = float(connection.scalar(row) or 0.0)


def _summaries(
    connection: Connection, since: datetime, until: datetime, environment: str, script_id: str | None
) -> Iterator[Mapping[str, Any]]:
    query = select(senders.c.summary).where(senders.c.ended_at >= since, senders.c.ended_at < until)
    for text in connection.scalars(query.execution_options(yield_per=100)):
        summary = json.loads(text or "{}")
        sent_by, _, sent_to = str(summary.get("destination", "")).partition(":")
        if sent_to == environment and script_id in (None, sent_by):
            yield summary


def _add_summary(told: Figures, summary: Mapping[str, Any]) -> None:
    told.sends += 1
    told.disqualified_by.update(summary.get("disqualified_by", {}))
    told.skipped_by.update({why: n for why, n in summary.get("skipped_by", {}).items() if why not in KNOWN})
    told.sent_again += summary.get("sent_again", 0)
    told.in_doubt += summary.get("in_doubt", 0)
    told.still_failing += summary.get("still_failing", 0)
    for stage, becomes in summary.get("stages", {}).items():
        if "unknown_stage" in becomes:
            told.unknown_stages[stage] += becomes["unknown_stage"]
    for name, known in summary.get("known_by", {}).items():
        told.of(name).known.update(known)
    for name, sums in summary.get("value_by", {}).items():
        value = told.of(name).value
        for currency, total in sums.items():
            value[currency] = round(value.get(currency, 0) + total, 6)
    for name, counts in summary.get("identifiers", {}).items():
        told.of(name).identifiers.update(counts)
        told.of(name).counted += summary.get("by_event", {}).get(name, {}).get("delivered", 0)


def still_failing(event: EventFigures) -> int:
    """Rows of an event that failed in an earlier run and did not change."""
    return sum(event.known[why] for why in STILL_FAILING)
