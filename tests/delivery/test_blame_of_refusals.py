"""A refusal is one lead's, or the connection's: what others were answered decides, and a probe that is no lead's."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_reshape.delivery.halt import Stop
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.refusals import Refusals
from airflow_reshape.events.probe import PROBE_EVENT
from airflow_reshape.events.wire import to_bytes, to_wire
from tests.delivery.leads import Sent, leads, send
from tests.delivery.servers import Reply, Request, ScriptedServer, scripted

pytestmark = pytest.mark.timeout(60)

PROBE = to_bytes(to_wire(PROBE_EVENT, "standard", "dev"))
PROBE_ID = "connection-test"
WEB_PAGE = Reply(200, b"<!doctype html><title>Sign in</title>", "text/html")
UNREADABLE = Reply(200, b'{"result":')
REFUSALS = {
    "401": Reply(401),
    "403": Reply(403),
    "404": Reply(404),
    "405": Reply(405),
    "407": Reply(407),
    "302": Reply(302, headers={"Location": "https://elsewhere.example/"}),
    "web page": WEB_PAGE,
}
each_refusal = pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)


def sent_to(script: Callable[[Request], Reply], count: int, **options: Any) -> tuple[Sent, ScriptedServer]:
    with scripted(script) as server:
        return send(server.url, leads(count), probe=PROBE, **options), server


@each_refusal
@pytest.mark.parametrize("place", [1, 150, 300])
@pytest.mark.parametrize("concurrency", [1, 16])
def test_one_refused_lead_is_rejected_and_stops_no_other(refusal: Reply, place: int, concurrency: int) -> None:
    sent, _ = sent_to(lambda r: refusal if r.id == f"e{place}" else Reply(), 300, concurrency=concurrency)
    assert sent.result.halt is None
    assert sent.counts == {"delivered": 299, "rejected": 1}
    assert sent.tally.positions(Kind.REJECTED) == [place]
    assert sent.tally.rejected_by == {f"{refusal.status} refused": 1}


@pytest.mark.parametrize("share", [0.001, 0.01, 0.05, 0.2, 0.5])
@each_refusal
def test_any_share_of_refused_leads_is_rejected_and_the_others_are_delivered(refusal: Reply, share: float) -> None:
    random = Random(share)
    bad = {f"e{n}" for n in range(1, 401) if random.random() < share} or {"e1"}
    sent, server = sent_to(lambda r: refusal if r.id in bad else Reply(), 400, concurrency=16, first_window=8)
    assert sent.result.halt is None
    assert sent.counts == {"delivered": 400 - len(bad), "rejected": len(bad)}
    assert server.ids.count(PROBE_ID) <= len(bad)


@each_refusal
def test_refused_leads_side_by_side_at_the_front(refusal: Reply) -> None:
    bad = {f"e{n}" for n in range(1, 101)}
    sent, _ = sent_to(lambda r: refusal if r.id in bad else Reply(), 300, concurrency=16)
    assert sent.counts == {"delivered": 200, "rejected": 100}


@each_refusal
def test_answers_that_cannot_be_read_tell_nothing_of_a_refusal(refusal: Reply) -> None:
    sent, server = sent_to(lambda r: refusal if r.id == "e1" else UNREADABLE, 50, concurrency=4)
    assert sent.result.halt is not None
    assert sent.result.halt.stop is Stop.CONFIGURATION
    assert sent.tally.at(1).kind is Kind.UNSENT
    assert server.ids[-2:] == [PROBE_ID, PROBE_ID]


@each_refusal
def test_a_probe_is_asked_again_if_its_answer_cannot_be_read(refusal: Reply) -> None:
    probes: list[str] = []

    def script(request: Request) -> Reply:
        if request.id != PROBE_ID:
            return refusal
        probes.append(request.id)
        return UNREADABLE if len(probes) == 1 else Reply()

    sent, _ = sent_to(script, 1)
    assert sent.counts == {"rejected": 1}
    assert len(probes) == 2


@each_refusal
def test_a_refused_lead_among_some_that_cannot_be_read(refusal: Reply) -> None:
    bad = {f"e{n}" for n in range(2, 300, 7)}
    sent, _ = sent_to(lambda r: refusal if r.id == "e1" else UNREADABLE if r.id in bad else Reply(), 300)
    assert sent.counts == {"delivered": 299 - len(bad), "rejected": 1 + len(bad)}
    assert sent.tally.in_doubt == len(bad)


@each_refusal
def test_a_wrong_connection_stops_within_the_requests_in_flight(refusal: Reply) -> None:
    sent, server = sent_to(lambda _: refusal, 500, concurrency=64, first_window=8)
    assert sent.result.halt is not None
    assert sent.result.halt.stop is (Stop.CREDENTIALS if refusal.status == 401 else Stop.CONFIGURATION)
    assert sent.counts == {"unsent": sent.tally.read}
    assert len(server.requests) <= 8 + 1
    assert server.ids[-1] == PROBE_ID


@each_refusal
def test_a_connection_that_turns_wrong_midway_rejects_nobody(refusal: Reply) -> None:
    sent, server = sent_to(lambda r: refusal if r.number > 200 else Reply(), 900, concurrency=16)
    assert sent.result.halt is not None
    assert sent.counts == {"delivered": 200, "unsent": sent.tally.read - 200}
    assert len(server.requests) <= 200 + 16 + 3 + 1


def test_a_refused_last_lead_is_asked_for() -> None:
    sent, server = sent_to(lambda r: Reply(401) if r.id == "e5" else Reply(), 5, concurrency=1)
    assert sent.counts == {"delivered": 4, "rejected": 1}
    assert server.ids == ["e1", "e2", "e3", "e4", "e5", PROBE_ID]


def test_a_probe_that_meets_an_outage_is_made_again() -> None:
    probes = iter([503, 500, 200])

    def script(request: Request) -> Reply:
        return Reply(next(probes)) if request.id == PROBE_ID else Reply(403 if request.id == "e1" else 200)

    sent, _ = sent_to(script, 20, concurrency=1)
    assert sent.counts == {"delivered": 19, "rejected": 1}


def test_a_probe_that_is_never_answered_ends_in_an_outage() -> None:
    sent, _ = sent_to(lambda r: Reply(500 if r.id == PROBE_ID else 403), 20, concurrency=1)
    assert sent.result.halt is not None
    assert sent.result.halt.stop is Stop.OUTAGE
    assert sent.counts == {"unsent": sent.tally.read}


def test_the_probe_holds_no_lead() -> None:
    _, server = sent_to(lambda r: Reply(401) if r.id == "e1" else Reply(), 3, concurrency=1)
    (probe,) = [request for request in server.requests if request.id == PROBE_ID]
    assert probe.body == {
        "event": {"name": "lead_qualified", "value": 0, "currency": "EUR", "id": PROBE_ID},
        "context": {"environment": "dev"},
    }


@given(st.lists(st.tuples(st.sampled_from(["begin", "taken", "path", "token", "ask"]), st.integers(1, 9))))
def test_nothing_is_decided_but_by_what_began_later(steps: list[tuple[str, int]]) -> None:
    """Against a plain model: a refusal is a lead's own only if a later request was taken, or the connection asked."""
    refusals: Refusals[int] = Refusals()
    begun, waiting, row, taken = 0, {}, 0, False
    for step, (what, number) in enumerate(steps):
        if what == "begin":
            begun += 1
        elif what in ("path", "token"):
            refusals.refused(step, begun, is_of_all=what == "token")
            waiting[step] = begun
            row += 3 if what == "token" else 1
        elif what == "taken" and number <= begun:
            own = refusals.taken(number)
            assert own == [each for each, at in waiting.items() if number > at]
            waiting = {each: at for each, at in waiting.items() if number <= at}
            row, taken = 0, True
        elif what == "ask":
            assert refusals.decide() == list(waiting)
            waiting, row, taken = {}, 0, True
        assert bool(refusals) is bool(waiting)
        assert refusals.suspect_connection is (bool(waiting) and (not taken or row >= 3))
