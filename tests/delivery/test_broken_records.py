"""What is written down breaks: no deadlock, no lead without an outcome, no green end, nothing quoted."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest

from airflow_reshape.delivery.halt import Stop
from airflow_reshape.delivery.ledger.claims import Claim, LedgerLostError, NoLedger
from airflow_reshape.delivery.outcome import Kind, Outcome
from airflow_reshape.delivery.records import FailuresUnwritableError, Records
from airflow_reshape.delivery.stopping import UnexpectedError
from airflow_reshape.delivery.transport import AiohttpTransport
from airflow_reshape.events.prepared import InvalidLead, PreparedEvent
from tests.delivery.leads import destination, in_chunks, lead, leads, sender
from tests.delivery.servers import Reply, scripted

pytestmark = pytest.mark.timeout(30)
SECRET = "person@example.com"


class Keeper:
    """Keeps failures in memory."""

    def __init__(self) -> None:
        self.kept: list[Outcome] = []
        self.closed = False

    def open(self) -> None: ...

    rows_kept = 0

    def keeps(self, outcome: Outcome) -> bool:
        return outcome.kind in (Kind.REJECTED, Kind.INVALID, Kind.UNSENT)

    def write(self, outcomes: Sequence[Outcome]) -> None:
        self.kept.extend(outcomes)

    def close(self) -> None:
        self.closed = True


class Claiming(NoLedger):
    """Breaks at a later chunk."""

    def __init__(self) -> None:
        self.claims = 0
        self.closed = False

    async def claim(self, events: Sequence[PreparedEvent]) -> list[Claim]:
        self.claims += 1
        if self.claims < 3:
            return await super().claim(events)
        raise ValueError(f"A string literal cannot contain NUL (0x00) characters: {SECRET}")

    async def close(self, summary: Mapping[str, Any]) -> None:
        self.closed = True


class TooFew(Claiming):
    async def claim(self, events: Sequence[PreparedEvent]) -> list[Claim]:
        return (await NoLedger.claim(self, events))[1:]


class Nonsense(Claiming):
    async def claim(self, events: Sequence[PreparedEvent]) -> list[Claim]:
        return [None] * len(events)  # type: ignore[list-item]


class Forgetful(Claiming):
    async def claim(self, events: Sequence[PreparedEvent]) -> list[Claim]:
        return await NoLedger.claim(self, events)

    async def knows_invalid(self, row: object, lead: InvalidLead) -> Claim | None:
        raise ValueError(SECRET)


@pytest.mark.parametrize("broken", [Claiming, TooFew, Nonsense, Forgetful])
def test_a_ledger_that_breaks_ends_the_send_and_every_lead_is_told(broken: type[Claiming]) -> None:
    ledger, keeper = broken(), Keeper()
    rows = leads(1000)
    rows[150]["currency"] = "euros"
    with scripted() as server:
        records = Records(ledger, None, keeper)
        engine, tally = sender(AiohttpTransport(destination(server.url), 4), records=records)
        with pytest.raises(UnexpectedError) as caught:
            engine.send(in_chunks(rows))
    assert SECRET not in str(caught.value)
    tally.check_balance()
    unsettled = {outcome.position for outcome in tally.outcomes if outcome.kind is not Kind.DELIVERED}
    assert sorted(unsettled) == sorted(outcome.position for outcome in keeper.kept)
    assert all(outcome.row is not None for outcome in keeper.kept)
    assert ledger.closed
    assert keeper.closed


def test_a_ledger_that_breaks_at_the_end_is_not_quoted() -> None:
    class Closing(NoLedger):
        async def close(self, summary: Mapping[str, Any]) -> None:
            raise ValueError(SECRET)

    with scripted() as server:
        engine, tally = sender(AiohttpTransport(destination(server.url), 4), ledger=Closing())
        with pytest.raises(UnexpectedError, match=r"^ValueError while closing the records") as caught:
            engine.send(in_chunks(leads(20)))
    assert SECRET not in str(caught.value)
    assert tally.kinds[Kind.DELIVERED] == 20


@pytest.mark.parametrize("error", [FailuresUnwritableError("no space"), TypeError(SECRET)])
def test_failures_that_cannot_be_kept_still_close_the_ledger(error: Exception) -> None:
    class Full(Keeper):
        def write(self, outcomes: Sequence[Outcome]) -> None:
            raise error

    ledger = Forgetful()
    with scripted(lambda r: Reply(status=422) if r.number == 5 else Reply()) as server:
        records = Records(ledger, None, Full())
        engine, tally = sender(AiohttpTransport(destination(server.url), 4), records=records)
        result = engine.send(in_chunks(leads(200)))
    assert result.halt is not None
    assert result.halt.stop is Stop.FAILURES_NOT_KEPT
    assert SECRET not in result.halt.why
    assert tally.kinds[Kind.REJECTED] == 1
    assert ledger.closed


class LostAtTheEnd(NoLedger):
    def __init__(self, stop: Callable[[], None]) -> None:
        self.stop = stop

    async def close(self, summary: Mapping[str, Any]) -> None:
        self.stop()
        await asyncio.sleep(0)  # it is heard in the loop
        raise LedgerLostError("its database does not answer")


class FullAtTheEnd(Keeper):
    def __init__(self, stop: Callable[[], None]) -> None:
        super().__init__()
        self.stop = stop

    def write(self, outcomes: Sequence[Outcome]) -> None:
        self.stop()
        raise FailuresUnwritableError("no space")


@pytest.mark.parametrize(("breaks", "stop"), [("ledger", Stop.LEDGER), ("failures", Stop.FAILURES_NOT_KEPT)])
def test_a_stop_when_all_is_sent_does_not_hide_what_was_not_written(breaks: str, stop: Stop) -> None:
    """A request to stop that comes when all is done changes nothing; what is lost meanwhile does."""

    def stop_it() -> None:
        engine.stop()

    with scripted(Reply(status=422)) as server:
        records = Records(
            LostAtTheEnd(stop_it) if breaks == "ledger" else None,
            None,
            FullAtTheEnd(stop_it) if breaks == "failures" else None,
        )
        engine, tally = sender(AiohttpTransport(destination(server.url), 4), records=records)
        result = engine.send(in_chunks(leads(3)))
    assert tally.kinds == {Kind.REJECTED: 3}
    assert result.halt is not None
    assert result.halt.stop is stop


class Timeout(BaseException):
    """Like Airflow's."""


def test_a_chunk_that_waited_for_room_when_the_task_timed_out_is_kept() -> None:
    """The source gives it only once."""
    given: list[object] = []
    keeper = Keeper()
    released = threading.Event()

    def source() -> Iterator[list[object]]:
        for number in range(100):
            chunk: list[object] = [lead(10 * number + n) for n in range(10)]
            given.extend(chunk)
            yield chunk

    def pulse() -> None:
        if seen[-1] == len(given):  # nothing was read since: a chunk waits
            raise Timeout
        seen.append(len(given))

    seen = [0]
    with scripted(Reply(gate=released)) as server:
        engine, tally = sender(
            AiohttpTransport(destination(server.url), 4),
            concurrency=4,
            records=Records(None, None, keeper),
            drain_seconds=0.2,
            pulse=pulse,
        )
        with pytest.raises(Timeout):
            engine.send(source())
        released.set()
    tally.check_balance()
    assert tally.read == len(given)
    assert {id(outcome.row) for outcome in keeper.kept} == {id(row) for row in given}
