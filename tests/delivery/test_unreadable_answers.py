"""Answers of success that refuse, in forms that are hard to read: none of them counts as delivered."""

from __future__ import annotations

import codecs
import json
from dataclasses import replace

import pytest

from airflow_reshape.delivery.answer_text import decoded_answer
from airflow_reshape.delivery.transport import LARGEST_ANSWER, Answer
from airflow_reshape.delivery.verdict import Action, judge
from tests.delivery.leads import lead, leads, send
from tests.delivery.servers import OK, Reply, scripted

pytestmark = pytest.mark.timeout(30)

JSON, TEXT = "application/json", "text/plain"
REFUSAL = '{"result":"error","detail":["Unknown currency"]}'
DEEP = '{"result":"error","detail":' + "[" * 20_000 + "]" * 20_000 + "}"
LONG = json.dumps({"result": "error", "detail": "x" * LARGEST_ANSWER})
LATE = json.dumps({"detail": "x" * LARGEST_ANSWER, "result": "error"})
PHP = "\nWarning: Undefined variable $name in /srv/api/event.php on line 31\n"
PHP_IN_HTML = "<br />\n<b>Notice</b>:  Undefined index in <b>/srv/api.php</b> on line <b>31</b><br />\n"

READ = [
    pytest.param(JSON, codecs.BOM_UTF8 + REFUSAL.encode(), id="mark"),
    pytest.param(TEXT, codecs.BOM_UTF8 + b" \r\n" + REFUSAL.encode(), id="mark and blanks, as text"),
    pytest.param(None, codecs.BOM_UTF8 + REFUSAL.encode(), id="mark, no type"),
    pytest.param(JSON, (2 * "\ufeff" + REFUSAL).encode(), id="two marks"),
    pytest.param(JSON, REFUSAL.encode("utf-16"), id="utf-16"),
    pytest.param(JSON, codecs.BOM_UTF16_BE + REFUSAL.encode("utf-16-be"), id="utf-16, big end first"),
    pytest.param(JSON + "; charset=utf-16le", REFUSAL.encode("utf-16-le"), id="utf-16 by charset"),
    pytest.param(TEXT + "; charset=UTF-16BE", REFUSAL.encode("utf-16-be"), id="utf-16 by charset, big end first"),
    pytest.param(JSON, REFUSAL.encode("utf-16-le"), id="utf-16 without a mark"),
    pytest.param(JSON, REFUSAL.encode("utf-32"), id="utf-32"),
    pytest.param(JSON + "; charset=nonsense", REFUSAL.encode(), id="unknown charset"),
    pytest.param(JSON, (PHP + REFUSAL).encode(), id="PHP"),
    pytest.param(TEXT, (PHP * 3 + REFUSAL).encode(), id="PHP three times, as text"),
    pytest.param(JSON, (PHP_IN_HTML + REFUSAL).encode(), id="PHP in HTML"),
    pytest.param(TEXT, PHP_IN_HTML.rstrip().encode() + REFUSAL.encode(), id="PHP in the same line"),
    pytest.param(None, b"PHP Deprecated:  something\n" + REFUSAL.encode(), id="PHP of a command"),
    pytest.param("application/problem+json", REFUSAL.encode(), id="another type of JSON"),
]
UNREADABLE = [
    pytest.param(JSON, LONG.encode(), id="long"),
    pytest.param(JSON, LATE.encode(), id="long, and refused at its end"),
    pytest.param(TEXT, LATE.encode(), id="long, as text"),
    pytest.param(JSON, OK + b" " * LARGEST_ANSWER + REFUSAL.encode(), id="ok, and a refusal far behind"),
    pytest.param(None, b" " * LARGEST_ANSWER + REFUSAL.encode(), id="blanks first"),
    pytest.param(TEXT, (PHP * 1000 + REFUSAL).encode(), id="more PHP than is read"),
    pytest.param(JSON, DEEP.encode(), id="deep"),
    pytest.param(TEXT, DEEP.encode(), id="deep, as text"),
    pytest.param(JSON, REFUSAL[:-3].encode(), id="cut"),
    pytest.param(JSON, OK + REFUSAL.encode(), id="two"),
    pytest.param(JSON, b"OK", id="no JSON"),
    pytest.param(JSON, REFUSAL.encode("utf-16-le")[1:], id="shifted"),
    pytest.param(JSON, PHP.encode(), id="PHP only"),
]
TAKEN = [
    pytest.param(TEXT, b"OK", id="text"),
    pytest.param(None, b"", id="empty"),
    pytest.param(JSON, b" \n", id="blank"),
    pytest.param(JSON, b"", id="empty JSON"),
    pytest.param(TEXT, b"x" * 2 * LARGEST_ANSWER, id="long text"),
    pytest.param(TEXT, b"[OK] 1 event", id="text in brackets"),
    pytest.param(JSON, codecs.BOM_UTF8 + OK, id="ok behind a mark"),
    pytest.param(JSON, OK.decode().encode("utf-16"), id="ok in utf-16"),
    pytest.param(JSON, PHP.encode() + OK, id="ok behind a warning"),
]


@pytest.mark.parametrize(("content_type", "body"), READ)
def test_a_refusal_is_read(content_type: str | None, body: bytes) -> None:
    with scripted(Reply(200, body, content_type)) as server:
        sent = send(server.url, [lead(1)])
    assert server.ids == ["e1"]
    assert sent.counts == {"rejected": 1}
    assert sent.tally.at(1).why == "200 with a result other than ok"


@pytest.mark.parametrize(("content_type", "body"), UNREADABLE)
def test_what_cannot_be_read_is_tried_again_once_and_rejected(content_type: str | None, body: bytes) -> None:
    with scripted(Reply(200, body, content_type)) as server:
        sent = send(server.url, [lead(1)])
    assert server.ids == ["e1", "e1"]
    assert sent.counts == {"rejected": 1}
    outcome = sent.tally.at(1)
    assert (outcome.why, outcome.detail, outcome.in_doubt) == ("200, answer unreadable", None, True)
    assert sent.tally.in_doubt == 1


@pytest.mark.parametrize(("content_type", "body"), TAKEN)
def test_what_does_not_say_that_it_is_json_is_taken(content_type: str | None, body: bytes) -> None:
    with scripted(Reply(200, body, content_type)) as server:
        sent = send(server.url, [lead(1)])
    assert server.ids == ["e1"]
    assert sent.counts == {"delivered": 1}


def test_one_unreadable_answer_is_mended_by_the_next() -> None:
    with scripted(lambda r: Reply(200, b"{") if r.attempt == 1 else Reply()) as server:
        sent = send(server.url, leads(20))
    assert len(server.requests) == 40
    assert sent.counts == {"delivered": 20}
    assert sent.tally.in_doubt == 0


def test_a_web_page_stays_the_wrong_host() -> None:
    assert judge(Answer(200, "text/html", text="{", is_cut=True)).action is Action.STOP_CONFIGURATION


@pytest.mark.parametrize("charset", ["utf-7", "zip", "hex", "idna", "\0", "", None, "latin-1", "UTF8"])
def test_a_charset_is_read_or_taken_for_utf_8(charset: str | None) -> None:
    assert decoded_answer(b"plain", charset) == "plain"
    assert decoded_answer(b"\xff\xfe", charset) == ""


def test_a_cut_answer_that_fails_is_judged_by_its_status() -> None:
    answer = replace(Answer(422, JSON, text=LONG[:LARGEST_ANSWER]), is_cut=True)
    assert judge(answer).action is Action.REJECTED
