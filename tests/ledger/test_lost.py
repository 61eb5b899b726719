"""A ledger that is lost at any of its calls: every lead read keeps exactly one outcome."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from airflow_reshape.delivery.halt import Stop
from airflow_reshape.delivery.ledger.claims import Claim, LedgerLostError, NoLedger
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.records import Records
from airflow_reshape.events.prepared import InvalidLead, PreparedEvent
from airflow_reshape.events.rules import Rules
from airflow_reshape.mapping import EventBuilder, FieldMap, Steering
from airflow_reshape.sandbox.testing import running_sandbox
from tests.delivery.leads import send
from tests.ledger.leads import leads


class FailingLedger(NoLedger):
    """Answers so many calls of each kind, then is lost."""

    def __init__(self, claims: int, invalids: int) -> None:
        self._left = {"claim": claims, "invalid": invalids}

    def _answer(self, call: str) -> None:
        self._left[call] -= 1
        if self._left[call] < 0:
            raise LedgerLostError("its database does not answer")

    async def claim(self, events: Sequence[PreparedEvent]) -> list[Claim]:
        self._answer("claim")
        return await super().claim(events)

    async def knows_invalid(self, row: object, lead: InvalidLead) -> Claim | None:
        self._answer("invalid")
        return await super().knows_invalid(row, lead)


@pytest.mark.parametrize(("claims", "invalids"), [(0, 9), (1, 9), (9, 0), (9, 1), (9, 2)])
def test_every_lead_keeps_its_outcome(claims: int, invalids: int) -> None:
    rows: list[dict[str, Any]] = leads(0, 60)
    for number in (5, 25, 45):
        rows[number]["currency"] = None
    steering = Steering(event="lead_qualified")
    with running_sandbox() as sandbox:
        sent = send(
            sandbox.event_url("standard"),
            rows,
            prepare=EventBuilder(FieldMap(), steering, Rules()),
            records=Records(FailingLedger(claims, invalids)),
        )
    assert sent.result.halt is not None
    assert sent.result.halt.stop is Stop.LEDGER
    assert sent.tally.read == sent.tally.kinds.total()
    assert sent.tally.kinds[Kind.UNSENT] > 0
