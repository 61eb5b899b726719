"""Rows that are held back while a source is read again, when the reading ends early."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_reshape.delivery import sender
from airflow_reshape.delivery.checkpoint import progress, resume
from airflow_reshape.exceptions import ReshapeFailedLeadsError, ReshapeUnavailableError
from airflow_reshape.hooks.chunks import chunked
from airflow_reshape.hooks.failures import failures_folder
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.checkpoint.sends import everything, interrupted, leads, received, send
from tests.checkpoint.stores import Store
from tests.failures.stores import run, unsettled

pytestmark = pytest.mark.timeout(60)


class Lost(Exception):
    """The source's own error."""


class Timeout(BaseException):
    """Like Airflow's execution timeout."""


def breaking(rows: list[dict[str, Any]], after: int) -> Iterator[dict[str, Any]]:
    yield from rows[:after]
    raise Lost


def kept(path: str) -> list[int]:
    return sorted(one.row["lead_id"] for one in unsettled(failures_folder(path)))


def fail_once(store: Store, count: int) -> None:
    """A try that leaves a checkpoint after its last row."""
    rows = leads(count)
    rows[-1]["currency"] = "euros"
    with pytest.raises(ReshapeFailedLeadsError):
        send(store, rows)


def test_a_source_that_breaks_again_is_not_sent_again(sandbox: RunningSandbox, store: Store) -> None:
    fail_once(store, 200)
    for after in (10, 70, 199):
        with pytest.raises(Lost):
            send(store, breaking(leads(200), after))
    send(store, leads(200))
    assert received(sandbox) == dict.fromkeys(everything(200), 1)


def test_what_was_kept_for_want_of_knowing_is_settled_by_the_next_try(
    sandbox: RunningSandbox, store: Store, tmp_path: Path
) -> None:
    """Rows that had been sent, and that a try which broke while it read again took for unsent ones."""
    path = f"file://{tmp_path}/failures"
    rows = leads(200)
    rows[-1]["currency"] = "euros"

    def attempt(number: int, given: Any) -> None:
        plan = SendPlan(event="lead_qualified", failures_path=path)
        ReshapeHook().lead_send(plan, run(attempt=number), store).run(chunked(given))

    with pytest.raises(ReshapeFailedLeadsError):
        attempt(1, rows)
    with pytest.raises(Lost):
        attempt(2, breaking(rows, 100))
    assert kept(path) == [*range(64, 100), 199]
    with pytest.raises(ReshapeFailedLeadsError):
        attempt(3, rows)
    assert kept(path) == [199]
    assert received(sandbox) == dict.fromkeys(everything(199), 1)


def test_a_queue_that_breaks_leaves_what_it_gave(sandbox: RunningSandbox, store: Store, tmp_path: Path) -> None:
    """Other rows than in the first try, and nobody can tell yet: they were never sent."""
    fail_once(store, 200)
    path = f"file://{tmp_path}/failures"
    with pytest.raises(Lost):
        send(store, breaking(leads(500)[300:], 30), failures_path=path)
    assert kept(path) == list(range(300, 330))


@pytest.mark.usefixtures("impatient")
def test_a_queue_during_an_outage_leaves_what_it_gave(
    sandbox: RunningSandbox, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, size in (
        (resume, "MOST_AT_ONCE", 5),
        (progress, "FIRST_INTERVAL", 512),
        (sender, "LEADS_AHEAD", 8),
    ):
        monkeypatch.setattr(module, name, size)
    fail_once(store, 600)
    path = f"file://{tmp_path}/failures"
    sandbox.set_faults(outage=503)
    given: list[int] = []

    def queue() -> Iterator[dict[str, Any]]:
        for row in leads(5000)[300:]:
            given.append(row["lead_id"])
            yield row

    with pytest.raises(ReshapeUnavailableError):
        send(store, queue(), failures_path=path, concurrency=1)
    assert len(given) < 4700, "it stopped"
    assert kept(path) == given


def test_what_a_source_raises_when_it_is_closed_does_not_hide_the_timeout(
    sandbox: RunningSandbox, store: Store
) -> None:
    fail_once(store, 200)
    before = store.covered

    def source() -> Iterator[Sequence[object]]:
        try:
            yield leads(50)
        finally:
            raise Lost

    def timed_out(row: object) -> Any:
        raise Timeout

    sandbox.clear()
    send_again = ReshapeHook().lead_send(SendPlan(event="lead_qualified"), None, store)
    send_again._prepare = timed_out
    with pytest.raises(Timeout):
        send_again.run(source())
    assert not received(sandbox)
    assert store.covered == before


@pytest.mark.usefixtures("impatient")
def test_a_retry_after_a_retry_that_broke(sandbox: RunningSandbox, store: Store) -> None:
    with pytest.raises(ReshapeUnavailableError):
        send(store, interrupted(sandbox, leads(400), 300))
    sandbox.clear_faults()
    with pytest.raises(Lost):
        send(store, breaking(leads(400), 100))
    send(store, leads(400))
    assert received(sandbox) == dict.fromkeys(everything(400), 1)
