"""Sends that keep their failures, and replays: what the server received decides."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]

from airflow_reshape.decorators.reshape import ReshapeDecoratedOperator
from airflow_reshape.events import LeadQualified
from airflow_reshape.exceptions import (
    ReshapeConfigurationError,
    ReshapeFailedLeadsError,
    ReshapeFailuresNotKeptError,
)
from airflow_reshape.hooks.failures import failures_folder, forget_failures
from airflow_reshape.operators.events import ReshapeLeadQualifiedOperator
from airflow_reshape.operators.replay import ReshapeReplayOperator
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.failures.stores import unsettled

BALANCE = ("delivered", "rejected", "invalid", "skipped", "unsent")


class Try:
    """A task's try, and what it pushed."""

    def __init__(self, run_id: str = "r1", try_number: int = 1, task_id: str = "send") -> None:
        self.dag_id, self.run_id, self.task_id, self.map_index = "crm", run_id, task_id, -1
        self.try_number = try_number
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


@pytest.fixture
def path(tmp_path: Path) -> str:
    return f"file://{tmp_path}/failures"


def lead(number: int, **columns: Any) -> dict[str, Any]:
    return {
        "lead_id": f"L-{number}",
        "email": f"person{number}@example.com",
        "phone": "+40722123456",
        "currency": "EUR",
        **columns,
    }


def with_one_bad(number_of: int, bad: int) -> Callable[[], Iterator[dict[str, Any]]]:
    """A generator of leads, one of which calls its currency something else."""

    def leads() -> Iterator[dict[str, Any]]:
        for number in range(number_of):
            row = lead(number)
            if number == bad:
                row["devise"] = row.pop("currency")
            yield row

    return leads


def generated(leads: Callable[[], Any], path: str, attempt: Try | None = None, **options: Any) -> dict[str, Any]:
    operator = ReshapeDecoratedOperator(
        task_id="send",
        python_callable=leads,
        op_args=[],
        op_kwargs={},
        event="lead_qualified",
        failures_path=path,
        **options,
    )
    return operator.execute({"ti": attempt or Try()})  # type: ignore[typeddict-item]


def replayed(path: str, attempt: Try | None = None, **options: Any) -> dict[str, Any]:
    operator = ReshapeReplayOperator(task_id="replay", event="lead_qualified", failures_path=path, **options)
    return operator.execute({"ti": attempt or Try(task_id="replay")})  # type: ignore[typeddict-item]


def kept(path: str) -> set[str]:
    """The lead ids of what is kept."""
    return {one.row["lead_id"] for one in unsettled(failures_folder(path))}


def sent(sandbox: RunningSandbox) -> list[str]:
    return [event["event_id"] for event in sandbox.received()]


@pytest.mark.parametrize("options", [{}, {"ledger_conn_id": "ledger"}], ids=["alone", "ledger"])
def test_one_bad_lead_in_a_thousand_is_kept_mended_and_sent_once(
    sandbox: RunningSandbox, path: str, options: dict[str, Any]
) -> None:
    with pytest.raises(ReshapeFailedLeadsError):
        generated(with_one_bad(1000, 417), path, **options)
    assert sandbox.summary()["requests"] == 999
    assert kept(path) == {"L-417"}

    sandbox.clear()
    mended = {"mapping": {"event.currency": "devise"}, **options}
    summary = replayed(path, of_dag_id="crm", of_task_id="send", of_run_id="r1", reasons=["invalid"], **mended)
    assert (summary["read"], summary["delivered"]) == (1, 1)
    (event,) = sandbox.received()
    assert event["body"]["event"]["id"] == "L-417:qualified"
    assert event["body"]["user"]["email"] == "person417@example.com"

    assert replayed(path, **mended)["read"] == 0
    assert sandbox.summary()["requests"] == 1
    assert kept(path) == set()


def test_what_is_not_mended_stays_kept_once(sandbox: RunningSandbox, path: str) -> None:
    with pytest.raises(ReshapeFailedLeadsError):
        generated(with_one_bad(20, 3), path)
    files = failures_folder(path).names()
    for _ in range(2):
        with pytest.raises(ReshapeFailedLeadsError, match="1 of 1 lead failed"):
            replayed(path)
    assert failures_folder(path).names() == files
    assert kept(path) == {"L-3"}


def test_rejected_leads_are_sent_when_the_cause_is_gone(sandbox: RunningSandbox, path: str) -> None:
    sandbox.set_faults(ids=["L-2:qualified", "L-5:qualified"], statuses={"422": 1.0})
    with pytest.raises(ReshapeFailedLeadsError):
        generated(with_one_bad(10, 7), path)
    assert kept(path) == {"L-2", "L-5", "L-7"}

    sandbox.clear()
    assert replayed(path, reasons=["rejected"])["delivered"] == 2
    assert sandbox.summary()["requests"] == 2
    assert kept(path) == {"L-7"}


def test_a_retry_of_the_run_marks_what_an_outage_left(sandbox: RunningSandbox, path: str) -> None:
    sandbox.set_faults(redirect=1.0, redirect_to="http://127.0.0.1:9/")
    with pytest.raises(ReshapeConfigurationError) as raised:
        generated(with_one_bad(50, 99), path)
    assert raised.value.summary is not None
    assert raised.value.summary["read"] == len(unsettled(failures_folder(path))) > 0

    sandbox.clear()
    assert generated(with_one_bad(50, 99), path, Try(try_number=2))["delivered"] == 50
    assert kept(path) == set()
    assert replayed(path)["read"] == 0
    assert sandbox.summary()["requests"] == 50


def test_a_replay_sends_what_an_outage_left(sandbox: RunningSandbox, path: str) -> None:
    sandbox.set_faults(redirect=1.0, redirect_to="http://127.0.0.1:9/")
    with pytest.raises(ReshapeConfigurationError) as raised:
        generated(with_one_bad(50, 99), path)
    assert raised.value.summary is not None
    left = raised.value.summary["unsent"]
    # While the outage lasts a replay changes nothing.
    with pytest.raises(ReshapeConfigurationError):
        replayed(path)
    assert len(kept(path)) == left

    sandbox.clear()
    assert replayed(path)["delivered"] == left
    assert kept(path) == set()


def test_events_are_replayed_as_events(sandbox: RunningSandbox, path: str) -> None:
    events = [LeadQualified.model_validate({"event": {"id": str(n), "currency": "EUR"}}) for n in range(1, 6)]
    sandbox.set_faults(ids=["3"], statuses={"422": 1.0})
    with pytest.raises(ReshapeFailedLeadsError):
        generated(lambda: events, path)
    sandbox.clear()
    assert replayed(path)["delivered"] == 1
    assert sandbox.received()[0]["body"]["event"]["id"] == "3"


def test_what_the_ledger_knows_is_marked_and_not_sent(sandbox: RunningSandbox, path: str) -> None:
    sandbox.set_faults(ids=["L-2:qualified"], statuses={"422": 1.0})
    with pytest.raises(ReshapeFailedLeadsError):
        generated(with_one_bad(5, 9), path)
    sandbox.clear()
    mended = ReshapeLeadQualifiedOperator(task_id="t", leads=[lead(2)], ledger_conn_id="ledger")
    mended.execute({"ti": Try("r2")})  # type: ignore[typeddict-item]
    assert replayed(path, ledger_conn_id="ledger")["skipped_by"] == {"already_sent": 1}
    assert sandbox.summary()["requests"] == 1
    assert kept(path) == set()


GUARDS: list[tuple[dict[str, Any], str]] = [
    ({"require_consent": ["marketing"]}, "no_consent"),
    ({"exclude_emails": ["*@example.com"]}, "excluded"),
    ({"max_age": timedelta(hours=1)}, "too_old"),
    ({"validate_only": True}, "validate_only"),
]


@pytest.mark.parametrize(("guard", "why"), GUARDS, ids=[why for _, why in GUARDS])
def test_todays_guards_hold_and_what_they_stop_stays_kept(
    sandbox: RunningSandbox, path: str, guard: dict[str, Any], why: str
) -> None:
    at = datetime.now(UTC) - timedelta(hours=2)
    sandbox.set_faults(ids=["L-1:qualified"], statuses={"422": 1.0})
    with pytest.raises(ReshapeFailedLeadsError):
        generated(lambda: [lead(1, occurred_at=at)], path)
    sandbox.clear()
    assert replayed(path, **guard)["skipped_by"] == {why: 1}
    assert sandbox.summary()["requests"] == 0
    assert kept(path) == {"L-1"}


def test_an_old_failure_fails_again_as_too_old(sandbox: RunningSandbox, path: str) -> None:
    rows = [lead(1, occurred_at=datetime.now(UTC) - timedelta(days=9))]
    for _ in range(2):
        with pytest.raises(ReshapeFailedLeadsError, match="max_age"):
            generated(lambda: rows, path)
    with pytest.raises(ReshapeFailedLeadsError, match="max_age"):
        replayed(path)
    assert replayed(path, max_age=timedelta(days=30))["delivered"] == 1


def test_since_and_until_are_times_in_the_time_zone_of_the_task(sandbox: RunningSandbox, path: str) -> None:
    with pytest.raises(ReshapeFailedLeadsError):
        generated(with_one_bad(3, 1), path)
    now = datetime.now(UTC)
    hour = timedelta(hours=1)
    assert replayed(path, since=now + hour)["read"] == 0
    assert replayed(path, until=(now - hour).isoformat())["read"] == 0
    bucharest = (now + timedelta(hours=1)).replace(tzinfo=None).isoformat()  # in UTC at least an hour ago
    assert replayed(path, since="", until=bucharest, timezone="Europe/Bucharest")["read"] == 0
    mended: dict[str, Any] = {"mapping": {"event.currency": "devise"}}
    assert replayed(path, since=now - hour, until=(now + hour).isoformat(), **mended)["delivered"] == 1


def test_arguments_are_templates(sandbox: RunningSandbox, path: str) -> None:
    operator = ReshapeReplayOperator(
        task_id="replay",
        failures_path="{{ path }}",
        of_run_id="{{ run_id }}",
        since="{{ since }}",
        event="lead_qualified",
    )
    operator.render_template_fields({"path": path, "run_id": "r9", "since": "yesterday"})  # type: ignore[typeddict-unknown-key]
    assert (operator.failures_path, operator.of_run_id) == (path, "r9")
    with pytest.raises(ReshapeConfigurationError, match="since must be a time"):
        operator.execute({"ti": Try()})  # type: ignore[typeddict-item]


def test_a_file_that_cannot_be_read_is_told_by_a_replay(sandbox: RunningSandbox, path: str, tmp_path: Path) -> None:
    with pytest.raises(ReshapeFailedLeadsError):
        generated(with_one_bad(5, 3), path)
    (part,) = tmp_path.rglob("part-*.jsonl")
    part.write_text(part.read_text().replace('"format": 1', '"format": 2'))
    with pytest.raises(ReshapeFailuresNotKeptError, match="cannot be read"):
        replayed(path)


def test_reasons_are_a_list() -> None:
    with pytest.raises(ReshapeConfigurationError, match="reasons must be a list"):
        ReshapeReplayOperator(task_id="replay", failures_path="/x", reasons="invalid")


@pytest.mark.parametrize("attempt", ["first", "ledger"])
def test_a_folder_that_cannot_be_written_stops_before_the_first_request(
    sandbox: RunningSandbox, tmp_path: Path, attempt: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    options: dict[str, Any] = {"ledger_conn_id": "ledger"} if attempt == "ledger" else {}
    with pytest.raises(ReshapeFailuresNotKeptError, match="Not a directory") as raised:
        generated(with_one_bad(100, 5), f"file://{tmp_path}/file/failures", **options)
    assert not isinstance(raised.value, AirflowFailException)
    assert sandbox.summary()["requests"] == 0
    summary = raised.value.summary
    assert summary is not None
    assert summary["read"] == sum(summary[kind] for kind in BALANCE) == summary["unsent"]

    with pytest.raises(ReshapeFailedLeadsError):
        generated(with_one_bad(100, 5), f"file://{tmp_path}/failures", **options)
    assert sandbox.summary()["requests"] == 99


def replace_by_a_file(folder: Path) -> None:
    """While somebody may be writing into it, or make it anew."""
    for attempt in count():
        folder.rename(folder.with_name(f"lost-{attempt}"))
        with suppress(IsADirectoryError):
            folder.write_text("a file now")
            return


def test_a_folder_lost_midway_ends_the_send_and_nothing_is_lost(
    sandbox: RunningSandbox, tmp_path: Path, path: str
) -> None:
    where = tmp_path / "failures"

    def source() -> Iterator[dict[str, Any]]:
        yield from with_one_bad(300, 999)()
        yield from (lead(number) for number in takewhile(lambda _: not where.is_dir(), count(1000)))
        replace_by_a_file(where)
        yield from ({**lead(number), "currency": "EURO"} for number in range(300, 310))
        yield from (lead(number) for number in count(5000))  # until the send stops reading

    operator = ReshapeDecoratedOperator(
        task_id="send",
        python_callable=source,
        op_args=[],
        op_kwargs={},
        event="lead_qualified",
        failures_path=path,
        ledger_conn_id="ledger",
    )
    with pytest.raises(ReshapeFailuresNotKeptError, match=r"Not a directory|File exists|No such file") as raised:
        operator.execute({"ti": Try()})  # type: ignore[typeddict-item]
    summary = raised.value.summary
    assert summary is not None
    assert summary["read"] == sum(summary[kind] for kind in BALANCE)

    where.unlink()
    rows = [*(lead(number) for number in range(300)), *({**lead(n), "currency": "EURO"} for n in range(300, 310))]
    with pytest.raises(ReshapeFailedLeadsError):
        generated(lambda: rows, path, Try(try_number=2), ledger_conn_id="ledger")
    assert kept(path) == {f"L-{number}" for number in range(300, 310)}


def test_an_object_store_holds_them_too(sandbox: RunningSandbox, objects: MemoryFileSystem) -> None:
    attach("memory", fs=objects)
    path = "memory://bucket/failures"
    with pytest.raises(ReshapeFailedLeadsError):
        generated(with_one_bad(20, 3), path)
    assert [name for name in objects.find("/bucket") if "/SANDBOX1_prod/crm.send.r1-" in name]
    assert replayed(path, mapping={"event.currency": "devise"})["delivered"] == 1
    assert objects.find("/bucket") == []


def test_what_dev_kept_is_not_sent_to_prod(sandbox: RunningSandbox, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"script_id": sandbox.script_id, "environment": "dev"}
    made = {"conn_type": "reshape", "schema": "http", "host": sandbox.host, "port": sandbox.port}
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_DEV", json.dumps({**made, "password": sandbox.token, "extra": extra}))
    with pytest.raises(ReshapeFailedLeadsError):
        generated(with_one_bad(5, 3), path, reshape_conn_id="reshape_dev")
    assert replayed(path)["read"] == 0
    mended: dict[str, Any] = {"mapping": {"event.currency": "devise"}}
    assert replayed(path, reshape_conn_id="reshape_dev", **mended)["delivered"] == 1


def test_forgotten_leads_are_gone_from_every_file(sandbox: RunningSandbox, path: str, tmp_path: Path) -> None:
    rows = [lead(number, currency="EURO", **{"user.id": f"c-{number}"}) for number in range(10)]
    with pytest.raises(ReshapeFailedLeadsError):
        generated(lambda: rows, path)
    assert forget_failures(path, ["L-3", "c-4", "nobody"]) == 2
    assert forget_failures(path, ["L-3"]) == 0
    assert kept(path) == {f"L-{number}" for number in range(10) if number not in (3, 4)}
    text = "".join(file.read_text() for file in tmp_path.rglob("*.jsonl"))
    assert "person3@" not in text
    assert "person4@" not in text
    assert "person5@" in text


def test_forgetting_finds_ids_under_other_names_also_of_leads_that_make_no_event(
    sandbox: RunningSandbox, path: str
) -> None:
    names = {"lead_id": "crm_key", "user.id": "customer"}
    rows = [{"crm_key": n, "customer": f"c-{n}", "currency": "EUR", "what": "?"} for n in range(5)]
    with pytest.raises(ReshapeFailedLeadsError):
        generated(lambda: rows, path, mapping=names)
    assert forget_failures(path, ["3", "c-1"]) == 2
    assert {one.row["crm_key"] for one in unsettled(failures_folder(path))} == {0, 2, 4}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("reshape/failures", "must be absolute"),
        ("nosuchstorage://bucket/x", "is the provider of this storage installed"),
    ],
)
def test_a_path_that_means_nothing_is_told(sandbox: RunningSandbox, wrong: str, told: str) -> None:
    with pytest.raises(ReshapeConfigurationError, match=told):
        generated(with_one_bad(1, 5), wrong)
    with pytest.raises(ReshapeConfigurationError, match=told):
        forget_failures(wrong, ["x"])


def test_nobody_is_named_in_logs_errors_and_summaries(
    sandbox: RunningSandbox, path: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    sandbox.set_faults(ids=["L-2:qualified"], statuses={"422": 1.0})
    attempt = Try()
    texts = []
    with pytest.raises(ReshapeFailedLeadsError) as raised:
        generated(with_one_bad(10, 7), path, attempt)
    texts.append(str(raised.value))
    with pytest.raises(ReshapeFailedLeadsError) as raised:
        replayed(path)
    texts.append(str(raised.value))
    forget_failures(path, ["L-7"])
    shown = "".join(capfd.readouterr()) + caplog.text + "".join(texts) + json.dumps(attempt.pushed)
    assert "2 of 10 leads failed" in shown
    for value in ("person", "722123456", "L-2", "L-7", sandbox.token):
        assert value not in shown


def test_what_was_kept_is_told_and_a_replay_that_finds_nothing_too(
    sandbox: RunningSandbox, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ReshapeFailedLeadsError):
        generated(with_one_bad(100, 5), path)
    assert f"Kept the rows of 1 lead, failed or not sent, in {path}" in capsys.readouterr().out
    replayed(path, of_dag_id="a typo")
    log = capsys.readouterr().out
    assert "No kept rows match. Kept and not settled: " in log
    assert "(1)" in log
    assert "@example.com" not in log


class TimesOut(BaseException):
    """Like Airflow's execution timeout."""


def test_what_a_source_gave_before_a_timeout_is_kept(sandbox: RunningSandbox, path: str) -> None:
    def source() -> Iterator[dict[str, Any]]:
        yield from (lead(number) for number in range(207))  # one chunk, and a part of the next
        raise TimesOut

    with pytest.raises(TimesOut):
        generated(source, path)
    delivered = {event["event_id"].partition(":")[0] for event in sandbox.received(limit=1000)}
    everything = {f"L-{number}" for number in range(207)}
    assert everything <= delivered | kept(path)
    assert {f"L-{number}" for number in range(200, 207)} <= kept(path)
