"""What each answer means: the table of docs/sending.md, as a pure function and over the wire."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_reshape.delivery.halt import Stop
from airflow_reshape.delivery.transport import Answer
from airflow_reshape.delivery.verdict import FAILURE_TABLE, Action, judge, judge_failure
from airflow_reshape.events.rules import GENERATIONS, Generation
from tests.delivery.leads import SCRIPT_ID, TOKEN, lead, send
from tests.delivery.servers import CLOSED, GARBAGE, HALF, OK, RESET, Reply, Request, scripted

pytestmark = pytest.mark.timeout(30)

JSON = "application/json"
ERROR = b'{"result":"error","detail":["Unknown currency"]}'

# status, content type, body -> what it means
TABLE = [
    pytest.param(200, JSON, OK, Action.DELIVERED, id="200-ok"),
    pytest.param(200, JSON, b'{"result":"OK"}', Action.DELIVERED, id="200-ok-in-capitals"),
    pytest.param(200, JSON, b'{"received": 1}', Action.DELIVERED, id="200-json-without-result"),
    pytest.param(200, JSON, b"[]", Action.DELIVERED, id="200-json-list"),
    pytest.param(200, None, b"", Action.DELIVERED, id="200-empty"),
    pytest.param(200, "text/plain", b"thank you", Action.DELIVERED, id="200-text"),
    pytest.param(200, JSON, b"{broken", Action.UNREADABLE, id="200-broken-json"),
    pytest.param(201, JSON, OK, Action.DELIVERED, id="201"),
    pytest.param(202, JSON, b"", Action.DELIVERED, id="202"),
    pytest.param(200, JSON, ERROR, Action.REJECTED, id="200-result-error"),
    pytest.param(200, JSON, b'{"result":false}', Action.REJECTED, id="200-result-false"),
    pytest.param(200, JSON, b'{"result":null}', Action.REJECTED, id="200-result-null"),
    pytest.param(200, "text/html", b"<html>", Action.STOP_CONFIGURATION, id="200-web-page"),
    pytest.param(200, "text/html; charset=utf-8", OK, Action.STOP_CONFIGURATION, id="200-web-page-charset"),
    *(
        pytest.param(status, JSON, b"", Action.STOP_CONFIGURATION, id=str(status))
        for status in (300, 301, 302, 303, 304, 307, 308)
    ),
    pytest.param(401, JSON, ERROR, Action.STOP_CREDENTIALS, id="401"),
    *(pytest.param(status, JSON, ERROR, Action.REFUSED, id=str(status)) for status in (403, 404, 405)),
    pytest.param(407, JSON, b"", Action.STOP_CONFIGURATION, id="407"),
    *(pytest.param(status, JSON, b"", Action.RETRY, id=str(status)) for status in (408, 425, 500, 502, 504, 599)),
    *(pytest.param(status, JSON, b"", Action.BUSY, id=str(status)) for status in (429, 503)),
    *(
        pytest.param(status, JSON, ERROR, Action.REJECTED, id=str(status))
        for status in (400, 402, 406, 409, 410, 413, 415, 422, 451, 499)
    ),
]
TRIED_AGAIN = (Action.RETRY, Action.BUSY, Action.UNREADABLE)


@pytest.mark.parametrize(("status", "content_type", "body", "action"), TABLE)
def test_the_table(status: int, content_type: str | None, body: bytes, action: Action) -> None:
    verdict = judge(Answer(status, (content_type or "").partition(";")[0], text=body.decode()))
    assert verdict.action is action


def test_what_the_server_says_about_a_rejection_is_kept() -> None:
    assert judge(Answer(200, JSON, text=ERROR.decode())).detail == "Unknown currency"
    several = json.dumps({"detail": ["first\n part", {"field": "x"}]})
    assert judge(Answer(422, JSON, text=several)).detail == "first part; {'field': 'x'}"
    assert judge(Answer(422, "text/html", text=several)).detail is None


@pytest.mark.parametrize("kind", sorted(FAILURE_TABLE))
def test_a_request_without_an_answer(kind: str) -> None:
    expected = {
        **dict.fromkeys(("certificate", "proxy login", "proxy refusal"), Action.STOP_CONFIGURATION),
        **dict.fromkeys(("timeout", "reset", "headers"), Action.RETRY),
    }
    assert judge_failure(kind).action is expected.get(kind, Action.BUSY)


@given(st.integers(100, 999), st.sampled_from(["", JSON, "text/html", "text/plain"]), st.text(max_size=50))
def test_every_answer_has_a_verdict(status: int, content_type: str, text: str) -> None:
    verdict = judge(Answer(status, content_type, text=text))
    assert isinstance(verdict.action, Action)
    assert verdict.reason


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_every_json_has_a_verdict(said: object) -> None:
    verdict = judge(Answer(200, JSON, text=json.dumps(said)))
    assert verdict.action in (Action.DELIVERED, Action.REJECTED)


def test_json_that_python_will_not_read_is_no_success() -> None:
    assert judge(Answer(200, JSON, text="[" * 100_000)).action is Action.UNREADABLE
    assert judge(Answer(200, JSON, text="9" * 10_000)).action is Action.UNREADABLE
    assert judge(Answer(200, "text/plain", text="9" * 10_000)).action is Action.DELIVERED


# At the wire. A first lead is delivered before, so that 403 and 404 are about the event.

OUTCOMES = {Action.DELIVERED: "delivered", Action.REJECTED: "rejected", Action.REFUSED: "rejected"}
STOPS = {Action.STOP_CREDENTIALS: Stop.CREDENTIALS, Action.STOP_CONFIGURATION: Stop.CONFIGURATION}


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize(("status", "content_type", "body", "action"), TABLE)
def test_the_table_at_the_wire(
    status: int, content_type: str | None, body: bytes, action: Action, generation: Generation
) -> None:
    answer = Reply(status, b"" if status == 304 else body, content_type)

    def script(request: Request) -> Reply:
        return answer if request.id == "e2" and request.attempt == 1 else Reply()

    with scripted(script) as server:
        sent = send(server.url, [lead(1), lead(2)], generation=generation, concurrency=1)
    assert sent.tally.at(1).kind == "delivered"
    if action in TRIED_AGAIN:
        assert server.ids == ["e1", "e2", "e2"]
        assert sent.counts == {"delivered": 2}
        assert sent.tally.at(2).attempts == 2
        assert server.requests[1].raw == server.requests[2].raw
    else:
        assert server.ids == ["e1", "e2"]
        assert sent.tally.at(2).kind == OUTCOMES.get(action, "unsent")
        halt = sent.result.halt
        assert (halt.stop if halt else None) is STOPS.get(action)


@pytest.mark.parametrize("failure", [RESET, CLOSED, GARBAGE, HALF], ids=["reset", "closed", "garbage", "half"])
def test_a_lost_answer_is_asked_for_again_with_the_same_id(failure: Reply) -> None:
    with scripted(lambda r: failure if r.attempt == 1 else Reply()) as server:
        sent = send(server.url, [lead(1)])
    assert server.ids == ["e1", "e1"]
    assert server.requests[0].raw == server.requests[1].raw
    assert sent.counts == {"delivered": 1}
    assert sent.tally.in_doubt == 0


# What the server sees.

FULL: dict[str, Any] = {
    "event.value": 5,
    "user.email": "ana@example.com",
    "context.override_ip": "203.0.114.7",
    "context.referrer_url": "https://example.com/from",
    "context.url": "https://example.com/form",
    "cookies._ga": "GA1.1",
    "consent.marketing": True,
}
WRITTEN: dict[str, dict[str, Any]] = {
    "standard": {
        "target": f"/reshape/standard/event?id={SCRIPT_ID}",
        "ip": "overide_ip",
        "referrer": "referring_url",
        "cookies": [{"name": "_ga", "value": "GA1.1"}],
        "consent": None,
    },
    "webhooks": {
        "target": f"/webhooks/reshape/event?id={SCRIPT_ID}",
        "ip": "override_ip",
        "referrer": "referrer_url",
        "cookies": {"_ga": "GA1.1"},
        "consent": {"analytics": False, "personalization": False, "marketing": True},
    },
}


@pytest.mark.parametrize("generation", GENERATIONS)
def test_what_each_generation_is_sent(generation: Generation) -> None:
    with scripted() as server:
        send(server.url, [lead(1, **FULL)], generation=generation)
    (request,) = server.requests
    written = WRITTEN[generation]
    assert (request.method, request.target) == ("POST", written["target"])
    assert request.headers["content-type"] == "application/json"
    assert request.headers["x-dre-access-token"] == TOKEN
    assert "authorization" not in request.headers
    assert "cookie" not in request.headers
    body = request.body
    assert body["event"] == {"name": "lead_qualified", "id": "e1", "currency": "EUR", "value": 5}
    assert body["context"] == {
        "environment": "prod",
        written["ip"]: "203.0.114.7",
        written["referrer"]: "https://example.com/from",
        "url": "https://example.com/form",
    }
    assert body["cookies"] == written["cookies"]
    assert body.get("consent") == written["consent"]


def test_a_cookie_that_the_server_sets_is_not_sent_back() -> None:
    with scripted(Reply(headers={"Set-Cookie": "session=abc; Path=/"})) as server:
        send(server.url, [lead(1), lead(2)], concurrency=1)
    assert [("cookie" in request.headers) for request in server.requests] == [False, False]


def test_one_connection_serves_many_requests() -> None:
    with scripted() as server:
        send(server.url, [lead(n) for n in range(30)], concurrency=1)
    assert (len(server.requests), server.connections) == (30, 1)


def test_a_token_that_the_server_quotes_goes_no_further() -> None:
    said = json.dumps({"result": "error", "detail": f"token {TOKEN} may not send this"}).encode()
    with scripted(replace(Reply(), body=said)) as server:
        sent = send(server.url, [lead(1)])
    assert sent.tally.at(1).detail == "token <token> may not send this"
