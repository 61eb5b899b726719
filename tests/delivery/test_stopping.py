"""Which halt wins, who hears of it, and what an error is told as."""

from __future__ import annotations

import asyncio
import traceback

import pytest

from airflow_reshape.delivery.halt import Halt, Stop
from airflow_reshape.delivery.ledger.claims import LedgerLostError, LedgerUnusableError
from airflow_reshape.delivery.records import FailuresUnwritableError
from airflow_reshape.delivery.stopping import NOT_WRITTEN, SOURCE_BROKE, Stopping, UnexpectedError

pytestmark = pytest.mark.timeout(30)

MARKER = "ana.marker@example.com"


class Heard(Stopping):
    """Counts how often its halt was told."""

    def __init__(self) -> None:
        self.times = 0
        super().__init__(self.hear)

    def hear(self) -> None:
        self.times += 1


@pytest.mark.parametrize("second", Stop)
@pytest.mark.parametrize("first", Stop)
def test_the_first_halt_counts_but_for_one_that_a_request_must_not_hide(first: Stop, second: Stop) -> None:
    stopping = Heard()
    assert (stopping.is_halted(), stopping.why) == (False, SOURCE_BROKE)
    stopping.stop(Halt(first, "one"))
    stopping.stop(Halt(second, "two"))
    wins = second if first is Stop.REQUESTED and second in NOT_WRITTEN else first
    assert stopping.halt is not None
    assert stopping.halt == Halt(wins, "one" if wins is first else "two")
    assert stopping.why == wins.value
    assert stopping.times == 1


def test_what_was_not_written_is_not_hidden_by_a_later_request() -> None:
    stopping = Heard()
    for stop in (Stop.REQUESTED, Stop.LEDGER, Stop.REQUESTED, Stop.FAILURES_NOT_KEPT):
        stopping.stop(Halt(stop, stop.value))
    assert stopping.halt == Halt(Stop.LEDGER, "ledger")


def test_nobody_is_called_when_all_is_over() -> None:
    stopping = Heard()
    stopping.over = True
    stopping.stop(Halt(Stop.FAILURES_NOT_KEPT, "the disk is full"))
    assert stopping.is_halted()
    assert stopping.times == 0


@pytest.mark.parametrize(
    ("error", "stop"),
    [
        (LedgerLostError("the ledger does not answer"), Stop.LEDGER),
        (LedgerUnusableError("the ledger has another key"), Stop.LEDGER_UNUSABLE),
        (FailuresUnwritableError("the disk is full"), Stop.FAILURES_NOT_KEPT),
    ],
)
def test_errors_of_the_records_are_told_in_their_own_words(error: Exception, stop: Stop) -> None:
    stopping = Heard()
    stopping.failed(error, "claiming")
    assert stopping.halt == Halt(stop, str(error))
    assert stopping.bug is None


def test_a_bug_is_told_without_its_text_and_the_first_one_is_raised() -> None:
    stopping = Heard()
    for error in (KeyError(MARKER), ValueError(MARKER)):
        try:
            raise error
        except Exception as raised:  # noqa: BLE001  # as the engine does
            stopping.failed(raised, "sending lead no. 7")
    assert stopping.halt == Halt(Stop.ERROR, "KeyError")
    assert isinstance(stopping.bug, UnexpectedError)
    shown = "".join(traceback.format_exception(stopping.bug))
    assert "KeyError while sending lead no. 7" in shown
    assert MARKER not in shown
    assert stopping.times == 1


def test_a_bug_is_raised_also_after_another_halt() -> None:
    stopping = Heard()
    stopping.stop(Halt(Stop.REQUESTED, "asked"))
    stopping.found_bug(KeyError(MARKER), "counting lead no. 3")
    assert stopping.halt == Halt(Stop.REQUESTED, "asked")
    assert isinstance(stopping.bug, UnexpectedError)


def test_a_halt_ends_a_sleep_and_forbids_the_next() -> None:
    async def main() -> None:
        stopping = Heard()
        stopping.open()
        await stopping.sleep(0.001)
        asyncio.get_running_loop().call_soon(stopping.stop, Halt(Stop.REQUESTED, "asked"))
        for _ in range(2):
            await stopping.sleep(3600)  # the test's time limit is shorter

    asyncio.run(main())
