"""What a request must bring besides a right body: address, script id, token, content type, JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

ROUTES = ["/reshape/standard/event", "/webhooks/reshape/event", "/webhooks/reshape/event/test"]


@pytest.mark.parametrize("path", ROUTES)
def test_the_documented_answer_to_a_right_event(client: Any, lead: Any, path: str) -> None:
    answer = client.send(lead(), path)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {"result": "ok", "detail": ["Received. This has been processed"]}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("script_id", "says"),
    [
        ("", "missing"),
        ("SANDBOX2", "no such script id"),
        ("sandbox1", "capital letters"),
        ("SANDBOX", "capital letters"),
        ("SANDBOX12", "capital letters"),
    ],
)
def test_another_script_id_is_not_found(
    client: Any, sandbox: Any, lead: Any, path: str, script_id: str, says: str
) -> None:
    answer = client.send(lead(), path, script_id=script_id)
    assert answer.status == 404
    assert says in answer.detail[0]
    assert sandbox.summary()["taken"] == 0


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("token", ["", "wrong", "sandbox-token ", "Sandbox-Token", "sandbox-tokensandbox-token"])
def test_a_wrong_token_is_unauthorised(client: Any, sandbox: Any, lead: Any, path: str, token: str) -> None:
    # A header's outer blanks are not part of its value.
    right = token.strip() == sandbox.token
    answer = client.send(lead(), path, token=token)
    assert answer.status == (200 if right else 401)
    (kept,) = sandbox.received()
    assert (kept["token_ok"], kept["taken"], kept["valid"]) == (right, right, True)
    assert right or "X-Dre-Access-Token" in answer.detail[0]


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonp", 415),
        (None, 415),
    ],
)
def test_only_json_is_a_content_type(client: Any, lead: Any, content_type: str | None, status: int) -> None:
    assert client.send(lead(), content_type=content_type).status == status


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{'event': 1}",
        b'{"event": {"name": "x", "value": NaN}}',
        b'{"event": {"name": "x", "value": -Infinity}}',
        b'{"event": {"name": "x", "value": 1e999}}',
        b'{"event": {"name": "x\xff"}}',
        b'{"event": {"name": "\\ud83d"}}',
        b'{"event": {"name": "x", "value": ' + b"9" * 5000 + b"}}",
        b"[" * 100_000,
        b'{"event": {"name": "x"}} {}',
    ],
    ids=range(11),
)
def test_malformed_json_is_a_bad_request(client: Any, sandbox: Any, raw: bytes) -> None:
    answer = client.send(raw)
    assert answer.status == 400
    assert answer.detail == ["body is not well-formed JSON in UTF-8"]
    (kept,) = sandbox.received()
    assert kept["body"] == raw.decode("utf-8", "replace")
    assert not kept["valid"]
    assert not kept["taken"]


def test_a_whole_surrogate_pair_is_a_character(client: Any, sandbox: Any, lead: Any) -> None:
    body = lead(properties={"mood": "😀"})
    assert client.send(json.dumps(body, ensure_ascii=True).encode()).status == 200
    assert client.send(json.dumps(body, ensure_ascii=False).encode()).status == 200
    assert [kept["body"] for kept in sandbox.received()] == [body, body]


def test_an_invalid_body_is_refused_with_every_field_and_rule_and_no_value(client: Any) -> None:
    answer = client.send(
        {
            "event": {"name": "lead_disqualified", "value": "none-at-all", "currency": "EUR"},
            "user": {"email": "not an address"},
        }
    )
    assert answer.status == 422
    assert answer.detail == [
        "event.id is required",
        "event.properties is required",
        "event.value must be a number",
        "user.email must be one plaintext e-mail address; arrays and hashes are forbidden here",
    ]
    assert b"not an address" not in answer.body
    assert b"none-at-all" not in answer.body


def test_a_body_no_event_could_have_is_too_large(client: Any, sandbox: Any, lead: Any) -> None:
    answer = client.send(lead(properties={"note": "x" * 1_100_000}))
    assert answer.status == 413
    assert sandbox.summary()["taken"] == 0


@pytest.mark.parametrize(
    ("path", "asked", "effective"),
    [
        ("/reshape/standard/event", "prod", "prod"),
        ("/reshape/standard/event", "dev", "dev"),
        ("/reshape/standard/event", None, "prod"),
        ("/webhooks/reshape/event", "prod", "prod"),
        ("/webhooks/reshape/event", "dev", "dev"),
        ("/webhooks/reshape/event/test", "prod", "dev"),
        ("/webhooks/reshape/event/test", "dev", "dev"),
        ("/webhooks/reshape/event/test", None, "dev"),
    ],
)
def test_the_test_route_forces_dev(
    client: Any, sandbox: Any, lead: Any, path: str, asked: str | None, effective: str
) -> None:
    client.send({**lead(), "context": {"environment": asked} if asked else {}}, path)
    (kept,) = sandbox.received(taken=True)
    assert kept["environment"] == effective
    assert kept["test"] is path.endswith("/test")
    assert sandbox.summary()["by_environment"] == {effective: 1}


def test_the_same_body_is_judged_by_the_generation_it_is_sent_to(client: Any, sandbox: Any, lead: Any) -> None:
    body = {**lead(), "cookies": {"_ga": "GA1.1.5.6"}}
    assert [client.send(body, path).status for path in ROUTES] == [422, 200, 200]
    assert [kept["generation"] for kept in sandbox.received()] == ["standard", "webhooks", "webhooks"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
def test_events_are_posted(client: Any, sandbox: Any, method: str) -> None:
    answer = client.ask(method, "/reshape/standard/event?id=SANDBOX1")
    assert answer.status == 405
    assert sandbox.summary()["requests"] == 0


@pytest.mark.parametrize(
    "path", ["/reshape/standard/event/", "/reshape/standard/event/test", "/reshape/event", "/events"]
)
def test_an_almost_right_address_is_wrong(client: Any, lead: Any, path: str) -> None:
    answer = client.send(lead(), path)
    assert answer.status == 404
    assert answer.detail == ["Not Found"]
