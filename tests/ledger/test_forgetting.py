"""Forgetting a lead: nothing of it stays but a mark, and it is never sent again."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, insert, select, text

from airflow_reshape.delivery.ledger.claims import TAKEN, Claim
from airflow_reshape.delivery.ledger.databases import for_ledger
from airflow_reshape.delivery.ledger.digests import Digests, event_key
from airflow_reshape.delivery.ledger.forgetting import forget, is_forgotten, unforget
from airflow_reshape.delivery.ledger.opening import LedgerKeyError
from airflow_reshape.delivery.ledger.store import Entry, LedgerStore, SenderIdentity, Settlement, State
from airflow_reshape.delivery.ledger.tables import events, forgotten, metadata, schema
from airflow_reshape.exceptions import ReshapeError, ReshapeFailedLeadsError
from airflow_reshape.hooks.ledger import ledger_digests
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.ledger.conftest import NewEngine
from tests.ledger.leads import leads

DIGESTS = Digests("a key of these tests")


def send(rows: Any, **options: Any) -> dict[str, Any]:
    return ReshapeHook().send_events(rows, event="lead_qualified", ledger_conn_id="ledger", **options)


def forget_lead(new_engine: NewEngine, sandbox: RunningSandbox, lead_id: str) -> Any:
    return forget(new_engine(), lead_id, sandbox.script_id, ledger_digests(ReshapeHook().settings))


def everything(new_engine: NewEngine) -> str:
    """All that the ledger holds."""
    with new_engine().connect() as connection:
        return str([[tuple(row) for row in connection.execute(select(table))] for table in metadata.sorted_tables])


def entry(name: str, lead_id: str | None = None, destination: str = "SCRIPT01:prod") -> Entry:
    ids = {each for each in (name, lead_id) if each}
    marks = {DIGESTS.of_forgotten("SCRIPT01", each) for each in ids}
    return Entry(event_key(destination, "lead_qualified", name), "lead_qualified", name, lead_id, "d", tombstones=marks)


def store(new_engine: NewEngine, destination: str = "SCRIPT01:prod") -> LedgerStore:
    made = LedgerStore(new_engine(), destination, SenderIdentity(), DIGESTS.version)
    made.open()
    return made


def test_nothing_but_the_mark_stays_and_no_later_run_sends_it(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    rows = [lead | {"lead_id": f"crm-{lead['lead_id']}-x"} for lead in leads(0, 12)]
    send(rows[:10])
    told = forget_lead(new_engine, sandbox, "crm-7-x")

    assert [(row["event_id"], row["state"], row["destination"]) for row in told] == [
        ("crm-7-x:qualified", "delivered", f"{sandbox.script_id}:prod")
    ]
    assert {"dag_id", "run_id", "settled_at"} <= set(told[0])
    assert "crm-7-x" not in everything(new_engine)
    assert "crm-8-x" in everything(new_engine)
    rows[7]["value"] = 4711
    summary = send(rows)
    assert summary["skipped_by"] == {"already_sent": 9, "forgotten": 1}
    assert summary["delivered"] == 2
    assert "crm-7-x" not in everything(new_engine)


def test_a_lead_nobody_knows_yet_is_not_sent_either(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    assert forget_lead(new_engine, sandbox, "3") == []
    assert send(leads(0, 5))["skipped_by"] == {"forgotten": 1}
    assert forget_lead(new_engine, sandbox, "3") == []


def test_a_mark_is_taken_away_with_its_own_key_only(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    digests = ledger_digests(ReshapeHook().settings)
    for lead_id in ("7", "8"):
        forget_lead(new_engine, sandbox, lead_id)
    with pytest.raises(LedgerKeyError):
        unforget(new_engine(), "7", sandbox.script_id, DIGESTS)
    assert not unforget(new_engine(), "7", "ZZZZZZZZ", digests)
    assert is_forgotten(new_engine(), "7", sandbox.script_id, digests)

    assert unforget(new_engine(), "7", sandbox.script_id, digests)
    assert not unforget(new_engine(), "7", sandbox.script_id, digests)
    assert not is_forgotten(new_engine(), "7", sandbox.script_id, digests)
    assert send(leads(7, 9))["by_event"] == {"lead_qualified": {"delivered": 1, "skipped": 1}}
    assert [event["id"] for event in sandbox.received()] == ["7:qualified"]


def test_user_id_and_event_id_are_looked_at_too(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    forget_lead(new_engine, sandbox, "customer 1")
    forget_lead(new_engine, sandbox, "e-2")
    rows = [lead | {"user.id": f"customer {n}", "event.id": f"e-{n}"} for n, lead in enumerate(leads(0, 4))]
    assert send(rows)["skipped_by"] == {"forgotten": 2}
    assert sorted(body["body"]["event"]["id"] for body in sandbox.received()) == ["e-0", "e-3"]


def test_an_event_without_an_id_is_looked_at_too(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    forget_lead(new_engine, sandbox, "customer 1")
    made = [{"event.name": "newsletter", "user.id": f"customer {n}"} for n in range(3)]
    assert ReshapeHook().send_events(made, ledger_conn_id="ledger")["skipped_by"] == {"forgotten": 1}
    assert sorted(body["body"]["user"]["id"] for body in sandbox.received()) == ["customer 0", "customer 2"]


def test_a_baseline_leaves_forgotten_leads_out(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    forget_lead(new_engine, sandbox, "3")
    assert send(leads(0, 5), baseline=True)["skipped_by"] == {"baseline": 4, "forgotten": 1}


def test_an_invalid_row_of_a_forgotten_lead_leaves_nothing(sandbox: RunningSandbox, new_engine: NewEngine) -> None:
    rows = [lead | {"lead_id": f"crm-{lead['lead_id']}-x"} for lead in leads(0, 5)]
    rows[3]["currency"] = None
    with pytest.raises(ReshapeFailedLeadsError):
        send(rows)
    assert "crm-3-x" in everything(new_engine)
    assert [row["state"] for row in forget_lead(new_engine, sandbox, "crm-3-x")] == ["invalid"]
    rows[3]["value"] = 12345
    assert send(rows)["skipped_by"] == {"already_sent": 4, "forgotten": 1}
    with new_engine().connect() as connection:
        assert connection.scalars(select(events.c.key).where(events.c.state == "invalid")).all() == []


def test_case_and_other_script_ids_are_told_apart(new_engine: NewEngine) -> None:
    here, there = store(new_engine), store(new_engine, "SCRIPT02:prod")
    here.claim([entry("abc"), entry("ABC"), entry("abc ")])
    there.claim([entry("abc", destination="SCRIPT02:prod")])
    told = forget(new_engine(), "abc", "SCRIPT01", DIGESTS)
    assert [(row["event_id"], row["destination"]) for row in told] == [("abc", "SCRIPT01:prod")]
    with new_engine().connect() as connection:
        kept = {(row.event_id, row.destination) for row in connection.execute(select(events))}
    assert kept == {("ABC", "SCRIPT01:prod"), ("abc ", "SCRIPT01:prod"), ("abc", "SCRIPT02:prod")}


def test_what_is_under_way_is_told_and_what_becomes_of_it_is_not_written(new_engine: NewEngine) -> None:
    sender = store(new_engine)
    one = entry("a")
    assert sender.claim([one]) == {one.key: Claim.OWNED}
    assert [row["state"] for row in forget(new_engine(), "a", "SCRIPT01", DIGESTS)] == ["claimed"]
    assert sender.settle([Settlement(one.key, State.DELIVERED, 1, 200)]) == {one.key}
    assert sender.claim([one]) == {one.key: Claim.FORGOTTEN}
    assert "'a'" not in everything(new_engine)


@pytest.mark.parametrize("ledger_connection", ["postgresql"], indirect=True)
@pytest.mark.parametrize("default", ["read committed", "repeatable read", "serializable"])
def test_a_claim_that_waited_for_forgetting_sees_the_mark(new_engine: NewEngine, default: str) -> None:
    """Whatever the database's own isolation is."""
    boss = new_engine()
    with boss.begin() as connection:
        connection.execute(text(f"ALTER DATABASE crm SET default_transaction_isolation = '{default}'"))
    try:
        sender, one = store(new_engine), entry("a")
        with for_ledger(new_engine()).begin() as connection:  # as forget does
            connection.execute(select(schema.c.version).with_for_update())
            mark = DIGESTS.of_forgotten("SCRIPT01", "a")
            values = {"script_id": "SCRIPT01", "digest_version": DIGESTS.version, "forgotten_at": datetime(2026, 1, 1)}
            with ThreadPoolExecutor(1) as thread:
                claim = thread.submit(sender.claim, [one])
                until_somebody_waits(boss)
                connection.execute(insert(forgotten).values(digest=mark, **values))
                connection.commit()
                assert claim.result(30) == {one.key: Claim.FORGOTTEN}
    finally:
        with boss.begin() as connection:
            connection.execute(text("ALTER DATABASE crm RESET default_transaction_isolation"))


@pytest.mark.parametrize(
    ("ledger_connection", "driver"),
    [
        ("postgresql", "psycopg"),
        ("postgresql", "psycopg2"),
        pytest.param("mysql", "mysqldb", marks=pytest.mark.mysql),
        pytest.param("mysql", "pymysql", marks=pytest.mark.mysql),
    ],
    indirect=["ledger_connection"],
)
def test_the_isolation_is_ours_on_every_connection(new_engine: NewEngine, driver: str) -> None:
    made = new_engine()
    engine = create_engine(made.url.set(drivername=f"{made.dialect.name}+{driver}"), isolation_level="REPEATABLE READ")
    with engine.connect() as before:
        assert before.get_isolation_level() == "REPEATABLE READ"
    for each in (for_ledger(engine), for_ledger(engine), for_ledger(for_ledger(engine))):
        with each.connect() as one, each.connect() as another:
            assert {one.get_isolation_level(), another.get_isolation_level()} == {"READ COMMITTED"}
            another.invalidate()
            assert another.get_isolation_level() == "READ COMMITTED"
    engine.dispose()


def until_somebody_waits(boss: Engine) -> None:
    """Until a session of the database waits for a lock."""
    waiting = text("SELECT COUNT(*) FROM pg_stat_activity WHERE datname = 'crm' AND wait_event_type = 'Lock'")
    deadline = monotonic() + 30
    while True:
        with boss.connect() as connection:
            if connection.scalar(waiting):
                return
        assert monotonic() < deadline


@pytest.mark.parametrize("seed", [1, 2])
def test_claims_and_forgetting_at_once_leave_no_row_behind(new_engine: NewEngine, seed: int) -> None:
    senders = [store(new_engine) for _ in range(2)]
    names = [f"{seed}-{n:03d}" for n in range(120)]
    gone = names[::4]
    owned: list[str] = []
    errors: list[BaseException] = []
    forgotten_now: dict[str, set[str]] = {}

    def claim(sender: LedgerStore) -> None:
        try:
            for start in range(0, len(names), 5):
                before = set(forgotten_now)
                wanted = [entry(name) for name in names[start : start + 5]]
                claims = sender.claim(wanted)
                taken = [each.event_id or "" for each in wanted if claims[each.key] in TAKEN]
                assert before.isdisjoint(taken)
                owned.extend(taken)
        except BaseException as error:  # noqa: BLE001  # asserted on below
            errors.append(error)

    def forget_all() -> None:
        try:
            engine = new_engine()
            for name in gone:
                forgotten_now[name] = {row["state"] for row in forget(engine, name, "SCRIPT01", DIGESTS)}
        except BaseException as error:  # noqa: BLE001  # as above
            errors.append(error)

    threads = [threading.Thread(target=claim, args=(sender,)) for sender in senders]
    threads.append(threading.Thread(target=forget_all))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with new_engine().connect() as connection:
        kept = set(connection.scalars(select(events.c.event_id)))
        assert len(connection.scalars(select(forgotten.c.digest)).all()) == len(gone)
    assert kept == set(names) - set(gone)
    # Whatever was claimed of them was told to whoever asked for it to be forgotten.
    assert {name for name in owned if name in gone} == {name for name, states in forgotten_now.items() if states}


def test_with_another_key_nothing_is_sent_until_the_earlier_one_is_given(
    sandbox: RunningSandbox, new_engine: NewEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = {
        "conn_type": "reshape",
        "schema": "http",
        "host": sandbox.host,
        "port": sandbox.port,
        "password": sandbox.token,
        "extra": {"script_id": sandbox.script_id},
    }

    def connect(**extra: str) -> None:
        changed = connection | {"extra": {"script_id": sandbox.script_id, **extra}}
        monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_DEFAULT", json.dumps(changed))

    connect(ledger_key="the earlier token")
    forget_lead(new_engine, sandbox, "3")
    connect()
    with pytest.raises(ReshapeError, match="ledger_key") as raised:
        send(leads(0, 5))
    assert "earlier token" not in str(raised.value)
    with pytest.raises(LedgerKeyError):
        forget_lead(new_engine, sandbox, "4")
    assert sandbox.summary()["requests"] == 0

    connect(ledger_key="the earlier token")
    assert "earlier token" not in repr(ReshapeHook().settings)
    assert send(leads(0, 5))["skipped_by"] == {"forgotten": 1}


def test_the_tables_are_made_for_a_mark(new_engine: NewEngine) -> None:
    forget(new_engine(), "x", "SCRIPT01", DIGESTS)
    engine = for_ledger(new_engine())
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT COUNT(*) FROM reshape_forgotten")) == 1
