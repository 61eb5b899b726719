"""The web page: it is there, it loads nothing from elsewhere, and nothing received becomes part of it."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest

HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>"


def test_the_page_says_what_it_is(client: Any) -> None:
    answer = client.ask("GET", "/")
    text = answer.body.decode()
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "A stand-in, not the real service." in text
    assert "public documentation" in text


def test_the_page_is_the_same_whatever_was_received(client: Any, lead: Any) -> None:
    before = client.ask("GET", "/").body
    body = lead(HOSTILE, name=HOSTILE, properties={HOSTILE: HOSTILE})
    assert client.send(body).status == 200
    assert client.ask("GET", "/").body == before
    listed = client.ask("GET", "/received")
    assert listed.headers["content-type"] == "application/json"
    assert listed.json["events"][0]["body"] == body


def test_the_script_writes_text_and_never_markup(client: Any) -> None:
    text = client.ask("GET", "/").body.decode()
    ways_to_write_markup = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|eval\(|Function\("
    )
    assert not re.search(ways_to_write_markup, text)
    assert not re.search(r"\son\w+=", text.partition("<script>")[0])


def test_the_page_needs_nothing_from_elsewhere(client: Any) -> None:
    text = client.ask("GET", "/").body.decode()
    # The namespace of the little picture in the tab is a name, not an address that is loaded.
    addresses = set(re.findall(r"https?://[^\s'\"]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<script[^>]+src|<link[^>]+stylesheet|@import|url\(", text)


def test_the_browser_is_told_to_run_this_script_only(client: Any) -> None:
    answer = client.ask("GET", "/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.body.decode(), re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


@pytest.mark.parametrize("path", ["/", "/received", "/received/summary", "/control/faults", "/health", "/schemas"])
def test_names_of_other_machines_see_nothing(client: Any, path: str) -> None:
    for host, status in [
        ("localhost:8800", 200),
        ("127.0.0.1", 200),
        ("[::1]:8800", 200),
        ("sandbox.localhost", 200),
        ("example.com", 403),
        ("localhost.example.com", 403),
        ("192.0.2.7:8800", 403),
    ]:
        assert client.ask("GET", path, headers={"Host": host}).status == status, host


def test_events_may_come_under_any_name(client: Any, sandbox: Any) -> None:
    headers = {
        "Host": "dre2.example.com",
        "Content-Type": "application/json",
        "X-Dre-Access-Token": sandbox.token,
    }
    path = f"/reshape/standard/event?id={sandbox.script_id}"
    assert client.ask("POST", path, b'{"event": {"name": "ping"}}', headers).status == 200


def test_the_schemas_are_there_to_read(client: Any) -> None:
    schemas = client.ask("GET", "/schemas").json
    assert set(schemas) == {"standard", "webhooks"}
    for generation in schemas.values():
        assert set(generation) == {"lead_qualified", "lead_disqualified", "lead_created", "lead_closed", "generic"}
    required = schemas["standard"]["lead_disqualified"]["properties"]["event"]["required"]
    assert required == ["name", "value", "currency", "id", "properties"]
