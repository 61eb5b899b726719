"""What stops a whole send, and what it leaves behind."""

from __future__ import annotations

import json
import threading

import pytest

from airflow_reshape.delivery.halt import Stop
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.trouble import Trouble
from airflow_reshape.events.rules import GENERATIONS, Generation
from airflow_reshape.sandbox.testing import running_sandbox
from tests.delivery.leads import TOKEN, destination, lead, leads, send
from tests.delivery.servers import Reply, Request, closed_port, scripted

pytestmark = pytest.mark.timeout(30)

UNAUTHORISED = Reply(401, b'{"detail":"no such token"}')


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_wrong_token_stops_after_the_requests_in_flight(generation: Generation) -> None:
    with running_sandbox(token="another", script_id="AB12CD34") as sandbox:
        sent = send(sandbox.url, leads(1000), generation=generation, concurrency=8)
        received = sandbox.summary()
    halt = sent.result.halt
    assert halt is not None
    assert halt.stop is Stop.CREDENTIALS
    assert "401" in halt.why
    assert "password" in halt.why
    assert TOKEN not in halt.why
    assert 1 <= received["requests"] <= 8
    assert received["taken"] == 0
    assert set(sent.counts) == {"unsent"}
    assert sent.tally.unsent_by == {"credentials": sent.tally.read}
    assert sent.tally.read < 1000  # nor is the source read on


def test_what_was_in_flight_beside_a_401_keeps_its_outcome() -> None:
    other_is_there = threading.Event()

    def script(request: Request) -> Reply:
        if request.id == "e1":
            return Reply(401, gate=other_is_there)
        other_is_there.set()
        return Reply(before=0.05)

    with scripted(script) as server:
        sent = send(server.url, leads(40), concurrency=2)
    # The token is right, for another lead was taken with it afterwards.
    assert sent.result.halt is None
    assert sent.tally.positions(Kind.REJECTED) == [1]
    assert sent.counts == {"delivered": 39, "rejected": 1}


def test_a_401_after_many_successes_stops_as_well() -> None:
    with scripted(lambda r: UNAUTHORISED if r.number > 20 else Reply()) as server:
        sent = send(server.url, leads(300), concurrency=4)
    assert sent.tally.kinds[Kind.DELIVERED] == 20
    assert len(server.requests) <= 24
    assert sent.result.halt is not None
    assert sent.result.halt.stop is Stop.CREDENTIALS


@pytest.mark.parametrize("status", [403, 404, 405])
def test_a_refusal_before_the_first_success_stops(status: int) -> None:
    with scripted(Reply(status)) as server:
        sent = send(server.url, leads(100), concurrency=1)
    assert len(server.requests) == 1
    assert sent.result.halt is not None
    assert sent.result.halt.stop is Stop.CONFIGURATION
    assert str(status) in sent.result.halt.why
    assert sent.counts == {"unsent": sent.tally.read}


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_among_successes_is_about_its_event(status: int) -> None:
    bad = {"e3", "e7", "e8", "e12"}
    with scripted(lambda r: Reply(status) if r.id in bad else Reply()) as server:
        sent = send(server.url, leads(20), concurrency=1)
    assert sent.result.halt is None
    assert sent.tally.positions(Kind.REJECTED) == [3, 7, 8, 12]
    assert sent.tally.rejected_by == {f"{status} refused": 4}
    assert len(server.requests) == 20


@pytest.mark.parametrize("status", [403, 404])
def test_three_refusals_in_a_row_are_the_connections_fault(status: int) -> None:
    with scripted(lambda r: Reply(status) if r.number > 5 else Reply()) as server:
        sent = send(server.url, leads(100), concurrency=1)
    assert len(server.requests) == 8
    assert sent.result.halt is not None
    assert sent.result.halt.stop is Stop.CONFIGURATION
    # None of the three is to blame: corrected and sent again, they may well be taken.
    assert sent.counts == {"delivered": 5, "unsent": sent.tally.read - 5}
    assert sent.tally.at(6).attempts == 1


def test_the_last_event_refused_is_rejected() -> None:
    with scripted(lambda r: Reply(403) if r.number > 4 else Reply()) as server:
        sent = send(server.url, leads(6), concurrency=1)
    assert sent.result.halt is None
    assert sent.counts == {"delivered": 4, "rejected": 2}
    assert len(server.requests) == 6


def test_a_rejection_breaks_a_row_of_refusals() -> None:
    answers = {1: 200, 2: 403, 3: 403, 4: 422, 5: 403, 6: 403, 7: 200}
    with scripted(lambda r: Reply(answers[r.number])) as server:
        sent = send(server.url, leads(7), concurrency=1)
    assert sent.result.halt is None
    assert sent.counts == {"delivered": 2, "rejected": 5}
    assert len(server.requests) == 7


def test_an_unanswered_refusal_is_unsent_when_something_else_stops_the_send() -> None:
    answers = {1: 200, 2: 403, 3: 401}
    with scripted(lambda r: Reply(answers[r.number])) as server:
        sent = send(server.url, leads(3), concurrency=1)
    assert sent.result.halt is not None
    assert sent.tally.unsent_by == {"credentials": 2}
    assert sent.counts == {"delivered": 1, "unsent": 2}
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_the_token_does_not_travel(status: int) -> None:
    with scripted() as elsewhere:
        to = {"Location": f"{elsewhere.url.replace('127.0.0.1', 'localhost')}/reshape/standard/event"}
        with scripted(Reply(status, headers=to)) as server:
            sent = send(server.url, leads(30), concurrency=4)
        assert 1 <= len(server.requests) <= 4
    assert (elsewhere.connections, elsewhere.requests) == (0, [])
    assert sent.result.halt is not None
    assert sent.result.halt.stop is Stop.CONFIGURATION
    assert "redirect" in sent.result.halt.why
    assert sent.counts == {"unsent": sent.tally.read}


def test_a_login_page_is_no_success() -> None:
    with scripted(Reply(200, b"<!doctype html><title>Sign in</title>", "text/html; charset=utf-8")) as server:
        sent = send(server.url, leads(30), concurrency=1)
    assert len(server.requests) == 1
    assert sent.result.halt is not None
    assert sent.result.halt.stop is Stop.CONFIGURATION
    assert "web page" in sent.result.halt.why
    assert sent.counts == {"unsent": sent.tally.read}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_takes_nothing_is_an_outage(status: int) -> None:
    with scripted(Reply(status)) as server:
        sent = send(server.url, leads(20), concurrency=4)
    assert sent.result.halt is not None
    assert sent.result.halt.stop is Stop.OUTAGE
    assert str(status) in sent.result.halt.why
    assert sent.counts == {"unsent": sent.tally.read}
    assert sent.tally.in_doubt == 0
    assert server.requests[-1].at - server.requests[0].at > 0.5, "it was given time to recover"
    assert set(server.ids) == {f"e{n}" for n in range(1, 21)}, "each probe is another event"


def test_a_refused_connection_is_an_outage() -> None:
    with closed_port() as port:
        sent = send(f"http://127.0.0.1:{port}", leads(100), concurrency=4)
    assert sent.result.halt is not None
    assert sent.result.halt.stop is Stop.OUTAGE
    assert "no connection" in sent.result.halt.why
    assert sent.counts == {"unsent": sent.tally.read}
    assert sent.tally.in_doubt == 0


def test_an_outage_in_the_middle_blames_no_event() -> None:
    # With more leads waiting than in flight: those that were waiting when the last success came are not to blame.
    with scripted(lambda r: Reply(503) if r.number > 50 else Reply()) as server:
        sent = send(server.url, leads(400), concurrency=8)
    assert sent.result.halt is not None
    assert sent.result.halt.stop is Stop.OUTAGE
    assert sent.counts == {"delivered": 50, "unsent": sent.tally.read - 50}
    assert sent.tally.rejected_by == {}


def test_an_event_that_the_server_chokes_on_is_given_up_and_the_others_go_on() -> None:
    with scripted(lambda r: Reply(500) if r.id == "e5" else Reply(before=0.002)) as server:
        sent = send(server.url, leads(200), concurrency=4)
    assert sent.result.halt is None
    assert sent.counts == {"delivered": 199, "rejected": 1}
    assert sent.tally.rejected_by == {"gave up: 500 server error": 1}
    assert server.ids.count("e5") == 8
    assert sent.tally.at(5).status == 500


def test_two_such_events_are_given_up_also_when_nothing_else_is_left_to_send() -> None:
    bad = {"e1", "e2"}
    with scripted(lambda r: Reply(500) if r.id in bad else Reply()) as server:
        sent = send(server.url, leads(40), concurrency=2)
    assert sent.result.halt is None
    assert sent.counts == {"delivered": 38, "rejected": 2}
    assert [server.ids.count(event_id) for event_id in sorted(bad)] == [8, 8]


def test_more_of_them_left_alone_are_unsent_for_it_may_be_an_outage() -> None:
    bad = {f"e{n}" for n in range(1, 6)}
    with scripted(lambda r: Reply(500) if r.id in bad else Reply()) as server:
        sent = send(server.url, leads(40), concurrency=2)
    assert sent.result.halt is not None
    assert sent.result.halt.stop is Stop.OUTAGE
    assert sent.counts == {"delivered": 35, "unsent": 5}


def test_a_resetting_event_is_rejected_in_doubt() -> None:
    with scripted(lambda r: Reply(wire=b"", end="reset") if r.id == "e5" else Reply()) as server:
        sent = send(server.url, leads(40), concurrency=4)
    assert sent.tally.rejected_by == {"gave up: connection lost": 1}
    assert sent.tally.at(5).in_doubt
    assert sent.tally.in_doubt == 1
    assert server.ids.count("e5") == 8


def test_too_many_requests_never_cost_a_lead() -> None:
    # A limit is about all of us: whoever is refused again and again must not be given up.
    def script(request: Request) -> Reply:
        return Reply(429) if request.number % 5 == 0 or (request.id == "e1" and request.attempt <= 12) else Reply()

    with scripted(script) as server:
        sent = send(server.url, leads(60), concurrency=8, trouble=Trouble(max_outage=20))
    assert sent.result.halt is None
    assert sent.counts == {"delivered": 60}
    assert server.ids.count("e1") > 12


def test_a_4xx_rejects_its_event_once_and_keeps_what_was_said() -> None:
    said = json.dumps({"result": "error", "detail": ["event.currency is unknown"]}).encode()
    with scripted(lambda r: Reply(422, said) if r.id == "e2" else Reply()) as server:
        sent = send(server.url, [lead(1), lead(2), lead(3)], concurrency=1)
    assert server.ids == ["e1", "e2", "e3"]
    outcome = sent.tally.at(2)
    assert (outcome.kind, outcome.status, outcome.attempts) == ("rejected", 422, 1)
    assert outcome.detail == "event.currency is unknown"


def test_a_timeout_is_tried_again_with_the_same_id() -> None:
    with scripted(lambda r: Reply(wire=b"", end="hang") if r.attempt == 1 else Reply()) as server:
        sent = send(destination(server.url, timeout=0.3), leads(3), concurrency=3)
    assert sorted(server.ids) == ["e1", "e1", "e2", "e2", "e3", "e3"]
    assert sent.counts == {"delivered": 3}
    assert sent.tally.in_doubt == 0


def test_a_server_that_hangs_for_ever_leaves_events_in_doubt() -> None:
    with scripted(Reply(wire=b"", end="hang")) as server:
        sent = send(destination(server.url, timeout=0.3), leads(4), concurrency=4)
    assert sent.result.halt is not None
    assert sent.result.halt.stop is Stop.OUTAGE
    assert "no answer" in sent.result.halt.why
    assert sent.counts == {"unsent": 4}
    assert sent.tally.in_doubt == 4
    assert len(server.requests) >= 8
