"""A run whose columns were wrong leaves problems that name their leads, and that a mended run closes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine

from airflow_reshape.decorators.reshape import ReshapeDecoratedOperator
from airflow_reshape.delivery.ledger.forgetting import forget
from airflow_reshape.delivery.ledger.lookup import open_problems
from airflow_reshape.exceptions import ReshapeFailedLeadsError
from airflow_reshape.hooks.ledger import ledger_digests
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.operators.replay import ReshapeReplayOperator
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.failures.test_sends import Try
from tests.ledger.leads import leads
from tests.ledger.task import send_as

STAGES = {"MQL": "lead_qualified", "Lost": "lead_disqualified"}
MENDED = {"event.currency": "devise"}


IDS = ("1", "2", "3", "4", "first")


@pytest.fixture
def ledger_connection(tmp_path: Path) -> str:
    return json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "ledger.sqlite")})


def problems(tmp_path: Path) -> list[tuple[str, str | None, str | None]]:
    engine = create_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    with engine.connect() as connection:
        return [(row["problem"], row["lead_id"], row["event_name"]) for row in open_problems(connection)]


def with_columns(stage: str = "MQL", **columns: Any) -> list[dict[str, Any]]:
    """Five leads with wrong columns."""
    return [{**row, "stage": stage, "disqualification_reason": "no_budget", **columns} for row in leads(0, 5)]


def renamed(stage: str = "MQL") -> list[dict[str, Any]]:
    return [
        {name: value for name, value in row.items() if name != "currency"} for row in with_columns(stage, devise="RON")
    ]


@pytest.mark.parametrize(
    ("rows", "options", "mending", "name"),
    [
        pytest.param(renamed(), {"event": "lead_qualified"}, {"mapping": MENDED}, "lead_qualified", id="renamed"),
        pytest.param(
            with_columns(devise="RON"),
            {"event": "lead_qualified"},
            {"mapping": MENDED},
            "lead_qualified",
            id="replaced",
        ),
        pytest.param(
            with_columns(devise="RON"),
            {"event": "lead_qualified"},
            {"unknown_columns": "ignore"},
            "lead_qualified",
            id="ignored",
        ),
        pytest.param(
            renamed("Lost"),
            {"event": None, "stage_map": STAGES},
            {"mapping": MENDED},
            "lead_disqualified",
            id="by stage",
        ),
        pytest.param(
            with_columns(**{"event.currency": "RON"}),
            {"event": "lead_qualified"},
            {"mapping": {"event.currency": "currency"}},
            "lead_qualified",
            id="two columns",
        ),
    ],
)
def test_what_is_mended_and_delivered_is_no_problem_any_more(
    sandbox: RunningSandbox,
    tmp_path: Path,
    rows: list[dict[str, Any]],
    options: dict[str, Any],
    mending: dict[str, Any],
    name: str,
) -> None:
    for try_number in (1, 2):
        with pytest.raises(ReshapeFailedLeadsError):
            send_as("first", try_number, rows, **options)
    assert sandbox.summary()["requests"] == 0
    assert sorted(problems(tmp_path)) == [("invalid", number, name) for number in IDS]

    assert send_as("mended", 1, rows, **options, **mending)["delivered"] == 5
    assert sandbox.summary()["distinct_taken"] == 5
    assert problems(tmp_path) == []


def test_another_event_of_the_lead_closes_nothing(sandbox: RunningSandbox, tmp_path: Path) -> None:
    with pytest.raises(ReshapeFailedLeadsError):
        send_as("first", 1, renamed("Lost"), event=None, stage_map=STAGES)
    assert send_as("second", 1, with_columns(), event=None, stage_map=STAGES)["delivered"] == 5
    assert sandbox.summary()["distinct_taken"] == 5
    assert {name for _, _, name in problems(tmp_path)} == {"lead_disqualified"}


def test_the_same_event_of_another_stage_closes_nothing(sandbox: RunningSandbox, tmp_path: Path) -> None:
    mql, sql = (row | {"stage": stage} for row, stage in zip(leads(0, 1) * 2, ("MQL", "SQL"), strict=True))
    with pytest.raises(ReshapeFailedLeadsError):
        send_as("first", 1, [mql | {"currency": "XXQ"}, sql], event="lead_qualified")
    assert sandbox.summary()["distinct_taken"] == 1
    assert problems(tmp_path) == [("invalid", "first", "lead_qualified")]

    assert send_as("second", 1, [mql, sql], event="lead_qualified")["delivered"] == 1
    assert problems(tmp_path) == []


def test_what_was_delivered_before_its_columns_were_wrong_is_no_problem(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    """A window that overlaps reads leads again: mended, they are already sent, and nothing is claimed anew."""
    assert send_as("first", 1, with_columns()[:3])["delivered"] == 3
    with pytest.raises(ReshapeFailedLeadsError):
        send_as("second", 1, with_columns(score=1))
    assert sorted(problems(tmp_path)) == [("invalid", str(number), "lead_qualified") for number in (3, 4)]

    mended = send_as("third", 1, with_columns(score=1), unknown_columns="ignore")
    assert (mended["delivered"], mended["skipped_by"]) == (2, {"already_sent": 3})
    assert problems(tmp_path) == []


def test_an_earlier_event_of_another_stage_hides_nothing(sandbox: RunningSandbox, tmp_path: Path) -> None:
    assert send_as("first", 1, with_columns("MQL"))["delivered"] == 5
    with pytest.raises(ReshapeFailedLeadsError):
        send_as("second", 1, with_columns("SQL", score=1))
    assert len(problems(tmp_path)) == 5


def test_of_a_forgotten_event_nothing_is_remembered_whatever_its_columns(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    forget(engine, "first:MQL", sandbox.script_id, ledger_digests(ReshapeHook().settings))
    with pytest.raises(ReshapeFailedLeadsError) as failed:
        send_as("first", 1, with_columns(score=1))
    assert failed.value.summary is not None
    assert failed.value.summary["skipped_by"] == {"forgotten": 1}
    assert {lead_id for _, lead_id, _ in problems(tmp_path)} == {"1", "2", "3", "4"}


def test_kept_rows_sent_again_with_a_mended_mapping_are_no_problem_any_more(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    """The old column came back empty, or with the wrong currency: what is mapped wins."""
    path = f"file://{tmp_path}/failures"
    rows = [row | {"currency": None if row["value"] else "USD"} for row in with_columns(devise="RON")]

    def queue() -> Iterator[dict[str, Any]]:
        yield from rows

    options: dict[str, Any] = {"event": "lead_qualified", "failures_path": path, "ledger_conn_id": "ledger"}
    task = ReshapeDecoratedOperator(task_id="task", python_callable=queue, op_args=[], op_kwargs={}, **options)
    with pytest.raises(ReshapeFailedLeadsError):
        task.execute({"ti": Try(task_id="task")})  # type: ignore[typeddict-item]
    assert sorted(problems(tmp_path)) == [("invalid", number, "lead_qualified") for number in IDS]

    replay = ReshapeReplayOperator(task_id="replay", reasons=["invalid"], mapping=MENDED, **options)
    assert replay.execute({"ti": Try(task_id="replay")})["delivered"] == 5  # type: ignore[typeddict-item]
    assert {event["body"]["event"]["currency"] for event in sandbox.received()} == {"RON"}
    assert problems(tmp_path) == []
