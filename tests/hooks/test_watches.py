"""What a send says of itself while it runs."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_reshape.delivery import dispatch, progress_line
from airflow_reshape.delivery.retry import RetryPolicy
from airflow_reshape.exceptions import ReshapeStoppedError
from airflow_reshape.hooks.chunks import chunked
from airflow_reshape.hooks.lead_send import LeadSend
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.operators.events import ReshapeLeadQualifiedOperator
from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox
from tests.checkpoint.stores import Store
from tests.hooks.conftest import HookFor

pytestmark = pytest.mark.timeout(60)

QUICK = RetryPolicy(first_delay=0.002, longest_delay=0.01)
COUNT = 300
HOW_FAR = re.compile(r"([\d,]+) (?:of ([\d,]+)|leads) · .+ · \d+ invalid · \d+ rejected")
OUTAGE = re.compile(r"The server takes .+")
log = logging.getLogger("tests.watches")


@pytest.fixture(scope="module")
def one_sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(one_sandbox: RunningSandbox, caplog: pytest.LogCaptureFixture) -> RunningSandbox:
    one_sandbox.clear()
    caplog.set_level(logging.INFO)
    return one_sandbox


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line at every pulse: every chunk is one."""
    monkeypatch.setattr(progress_line, "SECONDS_BETWEEN_LINES", 1e-9)


def leads() -> list[dict[str, Any]]:
    return [{"lead_id": n + 1, "currency": "EUR", "value": 1, "email": f"marker{n}@example.com"} for n in range(COUNT)]


def new_send(hook: Any, store: Store | None = None, **arguments: Any) -> LeadSend:
    plan = SendPlan(event="lead_qualified", **arguments)
    return LeadSend(hook.settings, plan, log, retry=QUICK, state_store=store)


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[int, int | None]]:
    """How far each line says that the send is; the log is empty then."""
    lines = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return how_far(lines)


def how_far(lines: list[str]) -> list[tuple[int, int | None]]:
    found = [HOW_FAR.search(line) for line in lines]
    return [(int(one[1].replace(",", "")), int(one[2].replace(",", "")) if one[2] else None) for one in found if one]


@pytest.mark.usefixtures("talkative")
def test_every_try_tells_the_same_total(
    sandbox: RunningSandbox, hook_for: HookFor, caplog: pytest.LogCaptureFixture
) -> None:
    """Also what an earlier try settled is read again, and counts."""
    store, rows = Store(), leads()
    first = new_send(hook_for(sandbox), store)
    rows_of_first = chunked(rows, rows=20)

    class Stopping:
        total = COUNT

        def __iter__(self) -> Iterator[list[object]]:
            for number, chunk in enumerate(rows_of_first):
                if number == 10:
                    first.stop()
                yield chunk

    with pytest.raises(ReshapeStoppedError):
        first.run(Stopping())
    lines = told(caplog)
    assert len(lines) > 2
    assert {total for _, total in lines} == {COUNT}
    assert lines == sorted(lines)
    assert lines[-1][0] < COUNT

    summary = new_send(hook_for(sandbox), store).run(chunked(rows, rows=20))
    assert summary["skipped_by"]["settled_before"] > 0
    lines = told(caplog)
    assert len(lines) > 2
    assert {total for _, total in lines} == {COUNT}
    assert lines == sorted(lines)
    assert lines[-1][0] == COUNT
    assert "marker" not in caplog.text


@pytest.mark.usefixtures("talkative")
def test_the_total_of_an_operators_leads(
    sandbox: RunningSandbox, hook_for: HookFor, capfd: pytest.CaptureFixture[str]
) -> None:
    hook_for(sandbox)
    rows = leads()
    for value, total in ((rows, COUNT), ([rows[:100], rows[100:]], COUNT), (iter(rows), None)):
        operator = ReshapeLeadQualifiedOperator(task_id="t", reshape_conn_id="reshape_tests", leads=value)
        operator.execute({})
        lines = how_far(capfd.readouterr().out.splitlines())  # a task's log goes through structlog
        assert lines[-1] == (COUNT, total)
        assert {of for _, of in lines} == {total}


def test_a_short_send_has_its_report_only(
    sandbox: RunningSandbox, hook_for: HookFor, caplog: pytest.LogCaptureFixture
) -> None:
    new_send(hook_for(sandbox)).run(chunked(leads()))
    assert f"Reshape (prod): {COUNT} leads read = {COUNT} delivered" in caplog.text
    assert told(caplog) == []


def test_an_outage_is_told_while_it_lasts(
    sandbox: RunningSandbox, hook_for: HookFor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "OUTAGE_IS_TOLD_AFTER", 0.1)

    def source() -> Iterator[list[object]]:
        yield from chunked(leads()[:50], rows=25)
        sandbox.set_faults(outage=503)
        yield from chunked(leads()[50:], rows=25)

    class Ending(logging.Handler):
        """The outage ends when it was told."""

        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("The server takes nothing"):
                sandbox.clear_faults()

    ending = Ending()
    log.addHandler(ending)
    try:
        summary = new_send(hook_for(sandbox)).run(source())
    finally:
        log.removeHandler(ending)
    assert summary["delivered"] == sandbox.summary()["distinct_taken"] == COUNT
    lines = [record for record in caplog.records if OUTAGE.fullmatch(record.getMessage())]
    assert [record.levelname for record in lines] == ["WARNING", "WARNING"]
    begun, over = (record.getMessage() for record in lines)
    assert begun == "The server takes nothing: all leads wait, and a probe asks it now and then, for at most 5 min"
    assert re.fullmatch(r"The server takes leads again, \d+ s after the outage was noticed", over)
