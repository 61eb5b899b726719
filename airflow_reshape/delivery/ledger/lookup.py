"""What the ledger knows of a lead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, RowMapping, inspect, or_, select

from airflow_reshape.delivery.ledger.tables import events, senders


def timeline(engine: Engine, lead_id: str) -> Sequence[RowMapping]:
    """All events of a lead, oldest first.

    :param lead_id: id of the lead, or of an event.
    :returns: the columns of ``reshape_event``, and who sent; nothing where there is no ledger yet.
    :raises SQLAlchemyError: the database does not answer.
    """
    if not inspect(engine).has_table(events.name):
        return []
    who: list[Any] = [senders.c[name] for name in ("dag_id", "run_id", "task_id", "map_index", "try_number")]
    query = (
        select(events, *who)
        .outerjoin(senders, senders.c.id == events.c.owner)
        .where(or_(events.c.lead_id == lead_id, events.c.event_id == lead_id))
        .order_by(events.c.claimed_at, events.c.key)
    )
    with engine.connect() as connection:
        return connection.execute(query).mappings().all()
