"""A server quotes leads and the token in any spelling, within a megabyte of anything: none of it goes further."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_reshape.exceptions import ReshapeError
from airflow_reshape.hooks.failures import failures_folder
from airflow_reshape.operators.events import ReshapeLeadQualifiedOperator
from tests.delivery.servers import OK, Reply, Request, ScriptedServer, scripted
from tests.delivery.test_linear_time import PIECES
from tests.delivery.test_server_words import EMAIL, PERSON, PHONE, hashed, plain
from tests.delivery.test_server_words import SPELLINGS as OF_PERSONS
from tests.delivery.test_token_in_answers import SPELLINGS as OF_THE_TOKEN
from tests.delivery.test_token_in_answers import TOKEN, holds_token
from tests.failures.stores import unsettled
from tests.failures.test_sends import Try

pytestmark = pytest.mark.timeout(240)

SENT_TOKEN = TOKEN.replace("\u0103", "a")  # a header takes no other one, and a lowered one without accents is the same
ANYBODYS = {"somebody else"}
"""Not of the lead: kept rows may hold it, the log may not."""
WORDS = ("stefanita", "brien", "craciunescu", "marasti", "stefi", "markermail", "722987", hashed(EMAIL)[:12])
MOST = 1_000_000
EXTRA = {"script_id": "AB12CD34"}


@dataclass
class Quoting:
    """An answer that quotes something.

    :param noise: what stands around it.
    :param long: characters of the noise before.
    """

    quoted: str
    status: int
    noise: str
    long: int
    content_type: str | None
    raw: bool

    def reply(self, request: Request) -> Reply:
        before = self.noise * (self.long // len(self.noise))
        said = f"the value {self.quoted} is not valid {before[:1000]}" if self.long else f"the value {self.quoted}"
        body = json.dumps({"result": "error", "detail": [said, before]})
        if self.raw:
            body = '{"detail":["' + said + before + '"],"result":"error"}'
        return Reply(self.status, body.encode("utf-8", "replace"), self.content_type)


def quotings(quoted: dict[str, Any]) -> st.SearchStrategy[tuple[str, Quoting]]:
    def made(how: str, *fields: Any) -> tuple[str, Quoting]:
        spelling = quoted[how]
        return how, Quoting(spelling(SENT_TOKEN) if quoted is OF_THE_TOKEN else spelling(), *fields)

    return st.builds(
        made,
        st.sampled_from(sorted(quoted)),
        st.sampled_from([200, 200, 400, 403, 422]),
        st.sampled_from(PIECES),
        st.sampled_from([0, 0, 50, 2000, 60_000, MOST]),
        st.sampled_from(["application/json", "application/problem+json", "text/plain", None]),
        st.booleans(),
    )


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with scripted() as running:
        yield running


@dataclass
class Seen:
    """What is seen of a send: the log, its error and the summary; and what is kept beside the rows."""

    shown: str
    kept: str


def seen(server: ScriptedServer, quoting: Quoting, path: Path, capture: pytest.CaptureFixture[str]) -> Seen:
    server.script = lambda r: Reply(200, OK) if r.id == "1:qualified" else quoting.reply(r)
    connection = {"conn_type": "reshape", "schema": "http", "host": "127.0.0.1", "port": server.port}
    os.environ["AIRFLOW_CONN_RESHAPE_DEFAULT"] = json.dumps({**connection, "password": SENT_TOKEN, "extra": EXTRA})
    rows: list[dict[str, Any]] = [{"lead_id": 1, "currency": "EUR"}, {"lead_id": 2, "currency": "EUR", **PERSON}]
    attempt, lines = Try(), list[str]()
    operator = ReshapeLeadQualifiedOperator(
        task_id="send",
        leads=rows,
        failures_path=f"file://{path}",
        concurrency=1,
        max_outage=timedelta(seconds=5),
    )
    try:
        operator.execute({"ti": attempt})  # type: ignore[typeddict-item]
    except ReshapeError as error:
        lines += traceback.format_exception(error)
    folder = failures_folder(f"file://{path}")
    kept = [f"{one.why} {one.detail} {one.problems}" for one in unsettled(folder)]
    assert attempt.pushed["return_value"]["read"] == 2
    assert kept or quoting.status not in (400, 422)
    printed = capture.readouterr()
    return Seen(
        "\n".join((*lines, printed.out, printed.err, json.dumps(attempt.pushed, ensure_ascii=False))), "\n".join(kept)
    )


def words_in(text: str) -> list[str]:
    letters = plain(text).lower()
    return [word for word in (*WORDS, PHONE, EMAIL) if word in letters]


varied = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@varied
@given(given=quotings(OF_PERSONS))
def test_no_person_is_seen_and_kept_rows_hold_masked_words(
    server: ScriptedServer,
    given: tuple[str, Quoting],
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_DEFAULT", "")  # so that it is as it was afterwards
    how, quoting = given
    told = seen(server, quoting, tmp_path_factory.mktemp("kept"), capsys)
    assert words_in(told.shown) == []
    assert "the value" not in told.shown
    if len(quoting.quoted) > 6:
        assert quoting.quoted not in told.shown
    if how not in ANYBODYS:
        assert words_in(told.kept) == []


@varied
@given(given=quotings(OF_THE_TOKEN))
def test_the_token_is_nowhere(
    server: ScriptedServer,
    given: tuple[str, Quoting],
    tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_RESHAPE_DEFAULT", "")  # so that it is as it was afterwards
    _, quoting = given
    told = seen(server, quoting, tmp_path_factory.mktemp("kept"), capsys)
    assert not holds_token(told.shown)
    assert not holds_token(told.kept)
    assert quoting.quoted not in told.shown + told.kept
