"""Each fault as a client on the wire meets it, and what the sandbox says about it afterwards."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox

PATIENCE = 20.0


def request_bytes(sandbox: RunningSandbox, body: dict[str, Any]) -> bytes:
    raw = json.dumps(body).encode()
    return (
        f"POST /reshape/standard/event?id={sandbox.script_id} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nX-Dre-Access-Token: {sandbox.token}\r\nContent-Length: {len(raw)}\r\n\r\n"
    ).encode() + raw


def open_stream(sandbox: RunningSandbox) -> socket.socket:
    plain = socket.create_connection((sandbox.host, sandbox.port), timeout=PATIENCE)
    if sandbox.ca_path is None:
        return plain
    return ssl.create_default_context(cafile=str(sandbox.ca_path)).wrap_socket(plain, server_hostname="localhost")


def below_tls(stream: socket.socket) -> socket.socket:
    """The TCP socket itself: a TLS library tells every sudden end by the same name."""
    plain = socket.socket(fileno=os.dup(stream.fileno()))
    plain.settimeout(PATIENCE)
    return plain


def what_comes_back(stream: socket.socket) -> bytes | type[OSError]:
    """Everything until the end of the stream, or how it broke."""
    answer = b""
    with stream:
        try:
            while chunk := stream.recv(65_536):
                answer += chunk
        except (ConnectionResetError, TimeoutError) as broken:
            return type(broken)
    return answer


@pytest.fixture(scope="module")
def tls_sandbox() -> Any:
    with running_sandbox(tls=True) as sandbox:
        yield sandbox


@pytest.fixture(params=["http", "https"])
def either(request: pytest.FixtureRequest, one_sandbox: RunningSandbox, tls_sandbox: RunningSandbox) -> RunningSandbox:
    sandbox = one_sandbox if request.param == "http" else tls_sandbox
    sandbox.clear()
    return sandbox


@pytest.mark.parametrize(("fault", "taken"), [("reset_before", False), ("reset_after", True)])
def test_a_reset_is_a_reset(either: RunningSandbox, lead: Any, fault: str, taken: bool) -> None:
    either.set_faults(**{fault: 1})
    with open_stream(either) as stream:
        stream.sendall(request_bytes(either, lead()))
        assert what_comes_back(below_tls(stream)) is ConnectionResetError
    (kept,) = either.received()
    assert (kept["fault"], kept["status"], kept["taken"]) == (fault, None, taken)
    assert either.summary()["by_status"] == {"none": 1}


@pytest.mark.parametrize(("fault", "taken"), [("half_close_before", False), ("half_close_after", True)])
def test_a_half_closed_connection_ends_without_an_answer(
    either: RunningSandbox, lead: Any, fault: str, taken: bool
) -> None:
    either.set_faults(**{fault: 1})
    with open_stream(either) as stream:
        stream.sendall(request_bytes(either, lead()))
        came = what_comes_back(below_tls(stream))
        assert isinstance(came, bytes)
        assert b"HTTP" not in came
        assert either.summary()["in_work"] == 1
    (kept,) = either.received()
    assert (kept["fault"], kept["status"], kept["taken"]) == (fault, None, taken)


@pytest.mark.parametrize(
    ("fault", "last_words"),
    [
        ("babble", b"\x00\x15 these bytes are no HTTP\r\n\r\n"),
        ("break_off", b'Content-Length: 64\r\n\r\n{"result":'),
    ],
)
@pytest.mark.parametrize(("when", "taken"), [("before", False), ("after", True)])
def test_a_stream_ends_after_bytes_that_are_no_whole_answer(
    either: RunningSandbox, lead: Any, fault: str, last_words: bytes, when: str, taken: bool
) -> None:
    either.set_faults(**{f"{fault}_{when}": 1})
    with open_stream(either) as stream:
        stream.sendall(request_bytes(either, lead()))
        came = what_comes_back(stream)
    assert isinstance(came, bytes)
    assert came.endswith(last_words)
    assert len(came) < 120
    (kept,) = either.received()
    assert (kept["fault"], kept["status"], kept["taken"]) == (f"{fault}_{when}", None, taken)


@pytest.mark.parametrize(("fault", "taken"), [("hang_before", False), ("hang_after", True)])
def test_a_hanging_request_hangs_until_the_client_goes(
    either: RunningSandbox, lead: Any, fault: str, taken: bool
) -> None:
    either.set_faults(**{fault: 1})
    with open_stream(either) as stream:
        stream.sendall(request_bytes(either, lead()))
        stream.settimeout(0.15)
        with pytest.raises(TimeoutError):
            stream.recv(1)
        assert either.summary()["in_work"] == 1
    (kept,) = either.received()
    assert (kept["fault"], kept["status"], kept["taken"]) == (fault, None, taken)


@pytest.mark.parametrize("fault", ["hang_before", "half_close_before"])
def test_hanging_has_an_end(sandbox: RunningSandbox, lead: Any, until: Any, fault: str) -> None:
    sandbox.set_faults(**{fault: 1, "hang_seconds": 0.05})
    with open_stream(sandbox) as stream:
        stream.sendall(request_bytes(sandbox, lead()))
        # Our side stays open, so it is the sandbox that ends it: after an end of stream, if it half-closed, by RST.
        if fault == "half_close_before":
            assert stream.recv(1) == b""
        until(lambda: sandbox.summary()["in_work"] == 0)
        with pytest.raises(ConnectionError):
            # A stream that was ended politely takes one more write; one that was reset takes none.
            stream.sendall(b"x")


def test_a_refused_event_gets_its_refusal_and_is_not_dropped_afterwards(client: Any, sandbox: Any, lead: Any) -> None:
    sandbox.set_faults(reset_after=1)
    assert client.send(lead(currency="euro")).status == 422
    assert client.send(lead(), token="wrong").status == 401
    assert sandbox.summary()["by_fault"] == {}


def test_statuses_come_by_share_and_leave_the_event_untaken(client: Any, sandbox: Any, lead: Any) -> None:
    sandbox.set_faults(statuses={500: 0.3, 429: 0.3}, retry_after="seconds", retry_after_wait=7)
    answers = [client.send(lead(f"lead-{number}")) for number in range(60)]
    came = {status: [answer.status for answer in answers].count(status) for status in (200, 429, 500)}
    assert sum(came.values()) == 60
    assert min(came.values()) >= 8
    assert {answer.headers.get("retry-after") for answer in answers if answer.status != 200} == {"7"}
    totals = sandbox.summary()
    assert totals["by_status"] == {str(status): count for status, count in came.items()}
    assert totals["taken"] == came[200]
    assert totals["by_fault"] == {"statuses": came[429] + came[500]}

    sandbox.clear()
    sandbox.set_faults(statuses={500: 0.3, 429: 0.3})
    assert [client.send(lead(f"lead-{number}")).status for number in range(60)] == [a.status for a in answers]


def test_faults_can_be_for_some_events_only(client: Any, sandbox: Any, lead: Any) -> None:
    sandbox.set_faults({"names": ["lead_closed"], "statuses": {500: 1}}, {"ids": ["b"], "statuses": {400: 1}})
    assert client.send(lead("a")).status == 200
    assert client.send(lead("b")).status == 400
    assert client.send(lead("b", name="lead_closed", value=1)).status == 500


@pytest.mark.parametrize("form", ["seconds", "http-date", None])
def test_the_rate_limit_says_when_to_come_again(client: Any, sandbox: Any, lead: Any, form: str | None) -> None:
    # So slow a rate that the time the test takes makes no difference.
    sandbox.set_faults(rate_limit=0.000_001, rate_burst=2, retry_after=form)
    answers = [client.send(lead(f"lead-{number}")) for number in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    said = answers[2].headers.get("retry-after")
    if form is None:
        assert said is None
    else:
        assert said is not None
        date = parsedate_to_datetime(answers[2].headers["date"])
        wait = int(said) if form == "seconds" else (parsedate_to_datetime(said) - date).total_seconds()
        assert 999_000 <= wait <= 1_000_002
    assert sandbox.summary()["taken"] == 2


def test_latency_holds_the_answer_but_not_the_event(sandbox: Any, lead: Any, until: Any) -> None:
    sandbox.set_faults(latency=3600)
    with open_stream(sandbox) as stream:
        stream.sendall(request_bytes(sandbox, lead()))
        until(lambda: sandbox.received(taken=True))
        stream.settimeout(0.1)
        with pytest.raises(TimeoutError):
            stream.recv(1)
        assert sandbox.summary()["in_work"] == 1


class Held:
    """Requests that stay in work until they are let go."""

    def __init__(self, sandbox: RunningSandbox, lead: Any, until: Any) -> None:
        self.sandbox, self.lead, self.until = sandbox, lead, until
        self.streams: list[socket.socket] = []

    def __call__(self, count: int) -> None:
        for number in range(len(self.streams), count):
            stream = open_stream(self.sandbox)
            self.streams.append(stream)
            stream.sendall(request_bytes(self.sandbox, self.lead(f"held-{number}")))
        self.until(lambda: self.sandbox.summary()["in_work"] == count)

    def let_go(self) -> None:
        for stream in self.streams:
            stream.close()
        self.until(lambda: self.sandbox.summary()["in_work"] == 0)


@pytest.fixture
def held(sandbox: Any, lead: Any, until: Any) -> Iterator[Held]:
    requests = Held(sandbox, lead, until)
    yield requests
    requests.let_go()


@pytest.mark.parametrize("status", [503, 429])
def test_more_than_so_many_at_once_are_refused(client: Any, sandbox: Any, lead: Any, held: Held, status: int) -> None:
    held_ids = [f"held-{number}" for number in range(3)]
    sandbox.set_faults(
        {"ids": held_ids, "hang_after": 1},
        {"max_concurrent": 3, "max_concurrent_status": status, "retry_after": "seconds"},
    )
    held(2)
    assert client.send(lead("fits")).status == 200
    held(3)
    refused = client.send(lead("too many"))
    assert (refused.status, refused.headers["retry-after"]) == (status, "1")
    totals = sandbox.summary()
    assert totals["by_fault"]["max_concurrent"] == 1
    assert totals["max_concurrent"] >= 4


def test_requests_at_the_same_time_are_counted(sandbox: Any, held: Held) -> None:
    sandbox.set_faults(hang_after=1)
    held(6)
    assert sandbox.summary()["max_concurrent"] == 6
    sandbox.clear()
    assert sandbox.summary()["max_concurrent"] == 6
    held.let_go()
    sandbox.clear()
    assert sandbox.summary()["max_concurrent"] == 0


@pytest.mark.parametrize(
    ("kind", "content_type", "body", "taken"),
    [
        ("text", "text/plain; charset=utf-8", b"event received, thank you", True),
        ("empty", None, b"", True),
        ("error_json", "application/json", b'{"result":"error","detail":["The event could not be processed"]}', False),
    ],
)
def test_garbage_with_status_200(
    client: Any, sandbox: Any, lead: Any, kind: str, content_type: str | None, body: bytes, taken: bool
) -> None:
    sandbox.set_faults(garbage={kind: 1})
    answer = client.send(lead())
    assert (answer.status, answer.headers.get("content-type"), answer.body) == (200, content_type, body)
    assert sandbox.received()[0]["taken"] is taken
    assert client.send(lead(currency="euro")).status == (422 if taken else 200)


def test_a_login_page_with_status_200(client: Any, sandbox: Any, lead: Any) -> None:
    sandbox.set_faults(garbage={"html": 1})
    answer = client.send(lead())
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.body.startswith(b"<!doctype html>")
    assert sandbox.summary()["taken"] == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect(client: Any, sandbox: Any, lead: Any, status: int) -> None:
    sandbox.set_faults(redirect=1, redirect_to="http://127.0.0.1:9/elsewhere", redirect_status=status)
    answer = client.send(lead())
    assert (answer.status, answer.headers["location"]) == (status, "http://127.0.0.1:9/elsewhere")
    assert sandbox.summary()["taken"] == 0


def test_the_first_attempts_fail(client: Any, sandbox: Any, lead: Any) -> None:
    sandbox.set_faults(fail_first=2, fail_first_status=502)
    tries = [client.send(lead(id_)).status for id_ in ("a", "b", "a", "b", "a", "b", "a")]
    assert tries == [502, 502, 502, 502, 200, 200, 200]
    assert sandbox.summary()["duplicates"] == 1


def test_an_outage_lasts_until_it_is_cleared(client: Any, sandbox: Any, lead: Any) -> None:
    sandbox.set_faults(outage=503, retry_after="http-date", retry_after_wait=30)
    answers = [client.send(lead()), client.send(b"{"), client.send(lead(), token="wrong")]
    assert [answer.status for answer in answers] == [503, 503, 503]
    assert answers[0].headers["retry-after"].endswith(" GMT")
    assert client.ask("GET", "/health").status == 200
    sandbox.clear_faults()
    assert client.send(lead()).status == 200


def test_the_control_address(client: Any, sandbox: Any) -> None:
    as_json = {"Content-Type": "application/json"}
    assert client.ask("GET", "/control/faults").json == []
    layer = {"statuses": {"500": 0.1}, "names": ["lead_qualified"]}
    assert client.ask("PUT", "/control/faults", json.dumps(layer).encode(), as_json).json == [layer]
    several = [{"latency": 0.5}, layer]
    assert client.ask("PUT", "/control/faults", json.dumps(several).encode(), as_json).json == several
    assert client.ask("GET", "/control/faults").json == several
    for wrong in (b'{"latence": 1}', b"{", b'{"statuses": {"500": 2}}', b'[{"outage": 1}]'):
        answer = client.ask("PUT", "/control/faults", wrong, as_json)
        assert answer.status == 422
        assert answer.detail
    assert client.ask("GET", "/control/faults").json == several
    assert client.ask("DELETE", "/control/faults").json == []


def test_a_kept_alive_connection_serves_many_events(sandbox: Any, lead: Any) -> None:
    connection = http.client.HTTPConnection(sandbox.host, sandbox.port, timeout=PATIENCE)
    headers = {"Content-Type": "application/json", "X-Dre-Access-Token": sandbox.token}
    ports = set()
    for number in range(5):
        path = f"/reshape/standard/event?id={sandbox.script_id}"
        connection.request("POST", path, json.dumps(lead(str(number))), headers)
        ports.add(connection.sock.getsockname()[1])
        assert connection.getresponse().read()
    connection.close()
    assert len(ports) == 1
    assert sandbox.summary()["taken"] == 5
