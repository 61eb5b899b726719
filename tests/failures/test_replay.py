"""Which kept rows a replay reads, and what it marks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from airflow_reshape.delivery.failures.folder import Folder
from airflow_reshape.delivery.failures.run_folder import Names, run_folders
from airflow_reshape.delivery.outcome import Kind, Outcome
from tests.failures.stores import START, keep, lead, opened, outcome, replay, rows, run, unsettled

BAD = lead(1, currency="EURO")


@pytest.fixture
def filled(folder: Folder) -> Folder:
    """Three runs: an invalid lead, a rejected one a day later, two unsent ones of another task a day later."""
    runs = [
        (run("r1"), [outcome(Kind.INVALID, BAD)]),
        (run("r2"), [outcome(Kind.REJECTED, lead(2))]),
        (
            run("r3", task_id="other"),
            [outcome(Kind.UNSENT, lead(4), position=9), outcome(Kind.UNSENT, lead(3), position=8)],
        ),
    ]
    for day, (identity, outcomes) in enumerate(runs):
        kept = opened(folder, identity, now=lambda day=day: START + timedelta(days=day))
        keep(kept, *outcomes)
        kept.close()
    return folder


def ids(read: list[Any]) -> list[str]:
    return [row["lead_id"] for row in read]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["l1", "l2", "l3", "l4"]),
        ({"run_id": "r2"}, ["l2"]),
        ({"task_id": "other"}, ["l3", "l4"]),
        ({"dag_id": "crm", "task_id": "send"}, ["l1", "l2"]),
        ({"dag_id": "nobody"}, []),
        ({"reasons": frozenset({"invalid", "rejected"})}, ["l1", "l2"]),
        ({"reasons": frozenset({"event.currency"})}, ["l1"]),
        ({"reasons": frozenset({"422", "outage"})}, ["l2", "l3", "l4"]),
        ({"since": START + timedelta(days=1)}, ["l2", "l3", "l4"]),
        ({"until": START + timedelta(days=1)}, ["l1"]),
        ({"since": START + timedelta(hours=1), "until": START + timedelta(days=2)}, ["l2"]),
    ],
)
def test_a_replay_reads_what_was_asked_for_oldest_first(
    filled: Folder, wanted: dict[str, Any], found: list[str]
) -> None:
    assert ids(rows(replay(filled, **wanted))) == found


def test_what_is_delivered_or_known_is_marked_and_read_no_more(filled: Folder) -> None:
    once = replay(filled)
    once.open()
    first, second, third, fourth = rows(once)
    fails_again = Outcome(Kind.REJECTED, 4, None, "422", row=fourth)
    settled = [
        Outcome(Kind.DELIVERED, 1, None, row=first),
        Outcome(Kind.SKIPPED, 2, None, "already_sent", row=second),
        Outcome(Kind.SKIPPED, 3, None, "forgotten", row=third),
    ]
    assert [once.keeps(one) for one in (*settled, fails_again)] == [True, True, True, False]
    once.write(settled)
    assert ids(rows(replay(filled))) == ["l4"]
    once.close()
    assert ids(rows(replay(filled))) == ["l4"]
    assert len([name for name in filled.names() if "/part-" in name]) == 1  # settled parts are removed


def test_what_fails_again_stays_as_it_is(filled: Folder) -> None:
    before = filled.names()
    once = replay(filled)
    once.open()
    for row, kind, why in zip(
        rows(once), (Kind.INVALID, Kind.UNSENT, Kind.REJECTED, Kind.SKIPPED), "abcd", strict=True
    ):
        assert not once.keeps(Outcome(kind, 1, None, why, row=row))
    once.close()
    assert filled.names() == before


def test_an_outcome_of_another_row_marks_nothing(filled: Folder) -> None:
    once = replay(filled)
    once.open()
    rows(once)
    assert not once.keeps(Outcome(Kind.DELIVERED, 1, None, row=dict(BAD)))


@pytest.mark.parametrize("asked", [["l1"], [" l3 ", "nobody"], ["l2:qualified"], ["l1", "l2", "l3", "l4"]])
def test_forgetting_removes_those_leads_and_no_others(filled: Folder, asked: list[str]) -> None:
    before = {one.lead_id for one in unsettled(filled)}
    wanted = {one.strip() for one in asked}
    gone = sum(each.forget(wanted, Names(None, "f0", lambda: START)) for each in run_folders(filled))
    named = {one.partition(":")[0] for one in wanted}
    assert gone == len(before & named)
    assert {one.lead_id for one in unsettled(filled)} == before - named
    for name in filled.names():
        for one in before & named:
            assert f"{one}".encode() not in (filled.read(name) or b"")


@pytest.mark.parametrize("column", ["lead_id", "LEAD_ID", "user.id", "USER__ID", "event.id", "nested"])
def test_a_lead_is_forgotten_by_the_columns_that_name_it(folder: Folder, column: str) -> None:
    kept = opened(folder, prepare=None)
    theirs: dict[str, Any] = {"user": {"id": 5}} if column == "nested" else {column: 5}
    others = {"lead_id": 6, "event.value": 5, "user.properties.age": 5, "user": {"id": 7}}
    keep(kept, *(Outcome(Kind.UNSENT, 1, None, "outage", row=row) for row in (theirs, others)))
    (each,) = run_folders(folder)
    assert each.forget({"5"}, Names(None, "f0", lambda: START)) == 1
    assert [one.row for one in unsettled(folder)] == [others]


def test_a_crash_while_forgetting_loses_nobody_else(filled: Folder) -> None:
    """Stopped after each step: the others' rows are there, and forgetting again finishes."""

    class Crash(Exception):
        pass

    class Crashing:
        def __init__(self, steps: int) -> None:
            self.steps = steps

        def __getattr__(self, name: str) -> Any:
            def call(*args: Any) -> Any:
                if name in ("put", "remove"):
                    if not self.steps:
                        raise Crash
                    self.steps -= 1
                return getattr(filled, name)(*args)

            return call

    for steps in range(4):
        crashing: Any = Crashing(steps)
        try:
            for each in run_folders(crashing):
                each.forget({"l3"}, Names(None, f"a{steps}", lambda: START))
        except Crash:
            assert {one.lead_id for one in unsettled(filled)} >= {"l1", "l2", "l4"}
        else:
            break
    assert sorted(str(one.lead_id) for one in unsettled(filled)) == ["l1", "l2", "l4"]
