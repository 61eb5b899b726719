"""A server in a very bad mood: everything arrives, the balance is exact, and what arrived twice is explained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, func, select

from airflow_reshape.delivery.ledger.digests import Digests
from airflow_reshape.delivery.ledger.ledger import Ledger
from airflow_reshape.delivery.ledger.store import LedgerStore, SenderIdentity
from airflow_reshape.delivery.ledger.tables import events
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.records import Records
from airflow_reshape.delivery.retry import RetryPolicy
from airflow_reshape.delivery.trouble import Trouble
from airflow_reshape.events.rules import GENERATIONS, Generation
from airflow_reshape.events.wire import to_bytes
from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox
from tests.delivery.leads import SCRIPT_ID, TOKEN, Sent, destination, lead, send

pytestmark = pytest.mark.timeout(60)

# Twenty in a hundred requests; "after" means that the event was taken although no answer came.
MOODS: dict[str, dict[str, Any]] = {
    "500": {"statuses": {500: 0.2}},
    "429": {"statuses": {429: 0.2}},
    "408": {"statuses": {408: 0.2}},
    "reset": {"reset_before": 0.1, "reset_after": 0.1},
    "half-closed": {"half_close_before": 0.1, "half_close_after": 0.1},
    "no HTTP": {"babble_before": 0.1, "babble_after": 0.1},
    "half an answer": {"break_off_before": 0.1, "break_off_after": 0.1},
    "odd answers": {"garbage": {"text": 0.1, "empty": 0.1}},
    "timeout": {"hang_before": 0.1, "hang_after": 0.1},
}
ALL: dict[str, Any] = {
    "statuses": {500: 0.02, 429: 0.02, 408: 0.01},
    **{
        f"{fault}_{when}": 0.015
        for fault in ("reset", "half_close", "babble", "break_off")
        for when in ("before", "after")
    },
    "hang_before": 0.005,
    "hang_after": 0.005,
    "garbage": {"text": 0.01, "empty": 0.01},
    "jitter": 0.004,
    "seed": 4,  # by which every fault strikes
}
PATIENT = RetryPolicy(first_delay=0.002, longest_delay=0.02)
TIMEOUT = 2.0  # seconds, where requests hang; a loaded machine must get every other one to the server in it
LONG = 30.0
COUNT = 200
LEADS = 60  # several events each, whose order is kept


@pytest.fixture(scope="module")
def moody() -> Iterator[RunningSandbox]:
    with running_sandbox(token=TOKEN, script_id=SCRIPT_ID) as sandbox:
        yield sandbox


@pytest.fixture(params=["without a ledger", "with a ledger"])
def new_ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Ledger | None]:
    """The ledger of one send after the other, or none."""
    if request.param == "without a ledger":
        return lambda: None
    digests = Digests("key")
    path = tmp_path / "ledger.sqlite"
    where = f"{SCRIPT_ID}:prod"

    def new() -> Ledger:
        engine = create_engine(f"sqlite:///{path}")
        return Ledger(LedgerStore(engine, where, SenderIdentity(), digests.version), where, digests)

    return new


def send_all(sandbox: RunningSandbox, generation: Generation, ledger: Ledger | None, hangs: bool) -> Sent:
    where = destination(sandbox.url, generation, timeout=TIMEOUT if hangs else LONG)
    rows = [lead(n, of=f"l{n % LEADS}", **{"user.id": f"c{n % LEADS}"}) for n in range(COUNT)]
    return send(
        where,
        rows,
        generation=generation,
        retry=PATIENT,
        trouble=Trouble(max_outage=LONG),
        records=Records(ledger),
        concurrency=64,
    )


def check(sandbox: RunningSandbox, sent: Sent, hangs: bool) -> None:
    """What the engine tells is what the server has, event by event."""
    received, totals = sandbox.received(), sandbox.summary()
    assert sent.result.halt is None
    assert sent.counts == {"delivered": COUNT}
    assert sent.tally.read == COUNT
    assert sent.tally.in_doubt == 0
    # A request that was given up may never have been read, where time is short.
    assert totals["requests"] <= sent.tally.requests if hangs else totals["requests"] == sent.tally.requests
    assert (totals["distinct_taken"], totals["invalid"]) == (COUNT, 0)
    attempts = {str(o.lead.id): o.attempts for o in sent.tally.outcomes if o.lead}  # type: ignore[union-attr]
    read = Counter(one["id"] for one in received)
    assert read <= Counter(attempts) if hangs else read == attempts
    # Twice taken is only what was taken without an answer, under the same name and id, and as it was.
    last = {one["id"]: one["seq"] for one in received}
    unanswered = Counter(
        one["id"]
        for one in received
        # Where time is short, an answer may also come when nobody waits for it any more.
        if one["taken"] and (one["status"] is None or (hangs and one["seq"] != last[one["id"]]))
    )
    taken = Counter(one["id"] for one in received if one["taken"])
    assert {one: count - 1 for one, count in taken.items() if count > 1} == dict(unanswered)
    bodies: dict[str, bytes] = {}
    for one in received:
        body = to_bytes(one["body"])
        assert bodies.setdefault(one["id"], body) == body
    orders: dict[str, list[int]] = {}
    for one in received:
        orders.setdefault(one["body"]["user"]["id"], []).append(int(one["id"][1:]))
    assert all(order == sorted(order) for order in orders.values())


@pytest.mark.parametrize("mood", MOODS)
def test_everything_arrives_whatever_the_fault(
    moody: RunningSandbox, mood: str, new_ledger: Callable[[], Ledger | None]
) -> None:
    moody.clear()
    moody.set_faults(**MOODS[mood], hang_seconds=5)
    hangs = mood == "timeout"
    sent = send_all(moody, "standard", new_ledger(), hangs)
    check(moody, sent, hangs)
    struck = moody.summary()["by_fault"]
    assert struck.keys() == MOODS[mood].keys()
    assert 0.1 < sum(struck.values()) / sent.tally.requests < 0.3
    forget_nothing(moody, sent, new_ledger())


@pytest.mark.parametrize("generation", GENERATIONS)
def test_everything_arrives_although_all_faults_come_together(
    moody: RunningSandbox, generation: Generation, new_ledger: Callable[[], Ledger | None]
) -> None:
    moody.clear()
    moody.set_faults(**ALL, hang_seconds=5)
    sent = send_all(moody, generation, new_ledger(), hangs=True)
    check(moody, sent, hangs=True)
    assert moody.summary()["by_fault"].keys() == ALL.keys() - {"jitter", "seed"}
    forget_nothing(moody, sent, new_ledger())


def forget_nothing(sandbox: RunningSandbox, sent: Sent, ledger: Ledger | None) -> None:
    """With a ledger, nothing that arrived is sent again."""
    if ledger is None:
        return
    engine = create_engine(ledger._store._engine.url)
    with closing(engine.connect()) as connection:
        query = select(events.c.state, func.count()).group_by(events.c.state)
        assert [tuple(row) for row in connection.execute(query)] == [("delivered", COUNT)]
    engine.dispose()
    again = send_all(sandbox, "standard", ledger, hangs=False)
    assert again.tally.skipped_by == {"already_sent": COUNT}
    assert again.tally.kinds[Kind.DELIVERED] == 0
    assert sandbox.summary()["requests"] == sent.tally.requests
