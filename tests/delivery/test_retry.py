"""When an event is tried again: pauses, Retry-After, and whose fault a failure is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_reshape.delivery.retry import RetryPolicy, retry_after_seconds
from airflow_reshape.delivery.transport import AiohttpTransport
from airflow_reshape.delivery.trouble import Next, Trial, Trouble
from airflow_reshape.sandbox.testing import running_sandbox
from tests.delivery.leads import SCRIPT_ID, TOKEN, destination, in_chunks, leads, send, sender
from tests.delivery.servers import Reply, Request, scripted

pytestmark = pytest.mark.timeout(30)

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


# Pauses


@given(st.integers(1, 200), st.integers())
def test_a_pause_lies_between_nothing_and_its_ceiling(attempt: int, seed: int) -> None:
    policy = RetryPolicy(first_delay=0.5, longest_delay=30)
    assert 0 <= policy.delay(attempt, None, Random(seed)) <= min(30, 0.5 * 2 ** (attempt - 1))


@given(st.integers(0, 10_000), st.integers())
def test_probes_come_at_longer_and_longer_intervals_up_to_the_longest(probes: int, seed: int) -> None:
    policy = RetryPolicy(first_probe=0.1, longest_probe=2.0)
    mean = 0.1 * 2**probes if probes < 5 else 2.0
    assert 0.75 * mean <= policy.probe_delay(probes, Random(seed)) <= 1.25 * mean


def test_probes_of_several_sends_do_not_come_together() -> None:
    policy, random = RetryPolicy(), Random(1)
    delays = [policy.probe_delay(20, random) for _ in range(500)]
    assert min(delays) < 1.55
    assert max(delays) > 2.45


def test_pauses_use_the_whole_range() -> None:
    policy, random = RetryPolicy(), Random(1)
    pauses = [policy.delay(3, None, random) for _ in range(500)]
    assert min(pauses) < 0.1
    assert max(pauses) > 1.9


@given(st.floats(0, 1e12), st.integers(1, 20), st.integers())
def test_what_the_server_asks_for_is_a_minimum_up_to_the_cap(asked: float, attempt: int, seed: int) -> None:
    policy = RetryPolicy(longest_retry_after=120, longest_delay=30)
    pause = policy.delay(attempt, asked, Random(seed))
    assert min(asked, 120) <= pause <= min(asked, 120) + 30


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("9" * 400, float("inf")),
        ("-3", None),
        ("1.5", None),
        ("soon", None),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(hours=1), usegmt=True), 0.0),
        ("Sun, 01 Mar 2026 12:00:30 -0000", 30.0),
        ("Sun, 01 Mar 2026 12:00:30", 30.0),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30.0),
        ("Sun, 99 Mar 2026 12:00:30 GMT", None),
    ],
)
def test_reading_a_retry_after(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW.timestamp()) == seconds


@given(st.text(max_size=40))
def test_any_retry_after_can_be_read(header: str) -> None:
    seconds = retry_after_seconds(header, NOW.timestamp())
    assert seconds is None or seconds >= 0


def first_two(server_requests: list[Request], event_id: str) -> float:
    """Seconds between the first two arrivals of an event, by the server's clock."""
    first, second, *_ = (request.at for request in server_requests if request.id == event_id)
    return second - first


def in_seconds(seconds: int) -> Callable[[], str]:
    return lambda: str(seconds)


def at_date(seconds: int) -> Callable[[], str]:
    # Whole seconds only: one more, so that the date is not nearer than asked for.
    return lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=seconds + 1), usegmt=True)


def test_retry_after_is_obeyed() -> None:
    asked = {
        f"e{number}": Reply(status, headers={"Retry-After": header()})
        for number, (status, header) in enumerate(product((408, 429, 500, 503), (in_seconds(1), at_date(1))), 1)
    }
    with scripted(lambda r: asked[r.id] if r.attempt == 1 else Reply()) as server:
        sent = send(server.url, leads(len(asked)), concurrency=len(asked))
    assert sent.counts == {"delivered": len(asked)}
    for event_id in asked:
        assert first_two(server.requests, event_id) >= 1.0


@pytest.mark.parametrize("status", [429, 503])
def test_what_a_busy_server_asks_several_leads_for_is_for_all(status: int) -> None:
    def script(request: Request) -> Reply:
        return Reply(status, headers={"Retry-After": "1"}) if request.number <= 3 else Reply()

    with scripted(script) as server:
        sent = send(server.url, leads(9), concurrency=1)
    assert sent.counts == {"delivered": 9}
    assert server.ids[:3] == ["e1", "e2", "e3"]
    assert server.requests[3].at - server.requests[2].at >= 1.0


@pytest.mark.parametrize("status", [429, 503])
def test_what_a_busy_server_asks_one_lead_for_is_for_that_lead(status: int) -> None:
    def script(request: Request) -> Reply:
        return Reply(status, headers={"Retry-After": "1"}) if request.number == 1 else Reply()

    with scripted(script) as server:
        sent = send(server.url, leads(5), concurrency=1)
    assert sent.counts == {"delivered": 5}
    assert server.ids == ["e1", "e2", "e3", "e4", "e5", "e1"]
    assert first_two(server.requests, "e1") >= 1.0


def test_what_is_said_about_one_event_is_for_that_event_only() -> None:
    def script(request: Request) -> Reply:
        if request.id == "e1":
            return Reply(500, headers={"Retry-After": "1000"})  # beyond the test's time limit
        if request.id == "e5":
            engine.stop()
        return Reply()

    with scripted(script) as server:
        engine, tally = sender(
            AiohttpTransport(destination(server.url), 1), concurrency=1, retry=RetryPolicy(longest_retry_after=1000)
        )
        engine.send(in_chunks(leads(5)))
    assert server.ids == ["e1", "e2", "e3", "e4", "e5"]
    assert tally.kinds == {"delivered": 4, "unsent": 1}


def test_a_retry_after_beyond_the_cap_is_cut() -> None:
    policy = RetryPolicy(first_delay=0.001, longest_delay=0.01, longest_retry_after=0.2)

    def script(request: Request) -> Reply:
        return Reply(429, headers={"Retry-After": "86400"}) if request.attempt == 1 else Reply()

    with scripted(script) as server:
        sent = send(server.url, leads(1), retry=policy)  # an hour would meet the test's time limit
    assert sent.counts == {"delivered": 1}
    assert first_two(server.requests, "e1") >= 0.2


@pytest.mark.parametrize("retry_after", [None, "seconds", "http-date"])
def test_a_rate_limited_server_gets_everything(retry_after: str | None) -> None:
    policy = RetryPolicy(first_delay=0.005, longest_delay=0.05, longest_retry_after=0.05)
    with running_sandbox(token=TOKEN, script_id=SCRIPT_ID) as sandbox:
        sandbox.set_faults(rate_limit=200, rate_burst=5, retry_after=retry_after)
        sent = send(sandbox.url, leads(120), concurrency=16, retry=policy)
        received = sandbox.summary()
    assert sent.result.halt is None
    assert sent.counts == {"delivered": 120}
    assert (received["taken"], received["duplicates"]) == (120, 0)
    assert received["by_status"]["429"] > 0


# Whose fault


class World:
    """Events and their attempts, in the order a test says."""

    def __init__(self) -> None:
        self.trouble = Trouble(max_outage=60)
        self.now = 0.0
        self.trials: dict[int, Trial] = {}

    def succeed(self, count: int = 1) -> None:
        for _ in range(count):
            self.trouble.succeeded(self.trouble.begins(), self.now)

    def fail(self, position: int, its_fault: bool = True) -> Next:
        """A second later, an attempt fails."""
        self.now += 1
        request = self.trouble.begins()
        trial = self.trials.setdefault(position, Trial())
        return self.trouble.failed(position, trial, its_fault, most_attempts=8, now=self.now, request=request)


def test_an_event_that_fails_while_others_succeed_is_given_up() -> None:
    world = World()
    for _ in range(7):
        assert world.fail(1) is Next.RETRY
        world.succeed(3)
    assert world.fail(1) is Next.GIVE_UP


def test_an_event_that_others_outlived_is_given_up_after_bad_weather() -> None:
    world = World()
    for _ in range(7):
        world.fail(1)
        world.succeed()
    for position in (2, 3, 4, 5):
        assert world.fail(position) is Next.RETRY
    assert world.fail(1) is Next.RETRY  # in an outage a failure tells nothing of an event
    world.succeed()
    assert world.fail(1) is Next.GIVE_UP


def test_a_server_that_never_took_anything_is_down_after_the_longest_outage() -> None:
    world = World()
    answers = [world.fail(1) for _ in range(61)]
    assert answers == [Next.RETRY] * 60 + [Next.OUTAGE]


def test_a_server_that_takes_nothing_any_more_is_down() -> None:
    world = World()
    world.succeed(100)
    answers = [world.fail(position) for _ in range(21) for position in (1, 2, 3)]
    assert answers[60:] == [Next.OUTAGE] * 3
    assert set(answers[:60]) == {Next.RETRY}


def test_three_events_that_fail_without_a_success_are_an_outage_until_one_succeeds() -> None:
    world = World()
    world.succeed()
    seen = []
    for position in (1, 2, 2, 3):
        world.fail(position)
        seen.append(world.trouble.is_outage)
    world.succeed()
    assert [*seen, world.trouble.is_outage] == [False, False, False, True, False]


def test_one_event_that_fails_for_itself_is_no_outage_but_one_without_a_connection_is() -> None:
    world = World()
    for _ in range(7):
        world.fail(1)
    assert not world.trouble.is_outage
    for _ in range(3):
        world.fail(1, its_fault=False)
    assert world.trouble.is_outage


def test_a_success_that_was_in_flight_when_the_server_went_down_blames_nobody() -> None:
    world = World()
    world.succeed(10)
    in_flight = world.trouble.begins()
    for position in (1, 2, 3):
        world.fail(position)
    world.trouble.succeeded(in_flight, world.now)
    answers = [world.fail(position) for _ in range(21) for position in (1, 2, 3)]
    assert Next.GIVE_UP not in answers
    assert answers[-1] is Next.OUTAGE


def test_an_event_that_failed_once_before_the_outage_is_not_blamed_for_it() -> None:
    world = World()
    world.fail(1)
    world.succeed(20)
    answers = [world.fail(position) for _ in range(16) for position in (1, 2, 3, 4)]
    assert Next.GIVE_UP not in answers
    assert Next.OUTAGE in answers


def test_an_event_that_probed_a_long_outage_is_not_given_up_for_it() -> None:
    world = World()
    world.succeed()
    for position in (1, 2, 3):
        world.fail(position)
    for _ in range(30):
        world.fail(1)
    world.succeed()
    assert [world.fail(1) for _ in range(6)] == [Next.RETRY] * 6


def test_the_last_event_left_is_given_up_if_the_others_were_taken() -> None:
    world = World()
    world.fail(1)
    world.succeed(20)
    assert [world.fail(1) for _ in range(7)] == [Next.RETRY] * 6 + [Next.GIVE_UP]


def test_the_last_event_left_is_not_given_up_if_nothing_that_began_later_was_taken() -> None:
    world = World()
    world.succeed(20)
    answers = [world.fail(1) for _ in range(61)]
    assert Next.GIVE_UP not in answers
    assert answers[-1] is Next.OUTAGE


def test_a_refusal_for_all_before_its_failures_is_nothing_to_blame_it_for() -> None:
    world = World()
    world.fail(1, its_fault=False)
    world.succeed(20)
    assert Next.GIVE_UP not in [world.fail(1) for _ in range(30)]


@pytest.mark.parametrize(("bad", "last"), [(1, Next.GIVE_UP), (2, Next.GIVE_UP), (3, Next.RETRY), (5, Next.RETRY)])
def test_one_or_two_bad_events_left_at_the_end_are_given_up(bad: int, last: Next) -> None:
    # More of them may as well be those that failed as the server went down.
    world = World()
    for position in range(bad):
        world.fail(position)
    world.succeed(20)
    answers = [world.fail(position) for _ in range(8) for position in range(bad)]
    assert {*answers[-bad:]} == {last}


def test_after_an_event_was_given_up_the_next_one_has_all_the_time() -> None:
    world = World()
    world.fail(1)
    world.succeed()
    assert [world.fail(1) for _ in range(7)][-1] is Next.GIVE_UP
    world.now += 3600  # the source had nothing to give
    assert world.fail(2) is Next.RETRY


def test_what_is_not_about_the_event_is_never_its_fault() -> None:
    world = World()
    for _ in range(100):
        assert world.fail(1, its_fault=False) is Next.RETRY
        world.succeed()
    answers = [world.fail(1, its_fault=False) for _ in range(61)]
    assert answers[-1] is Next.OUTAGE
    assert set(answers[:-1]) == {Next.RETRY}


@given(st.lists(st.tuples(st.sampled_from("sfb"), st.integers(1, 4)), max_size=300))
def test_nothing_is_tried_for_longer_than_the_longest_outage_without_a_success(steps: list[tuple[str, int]]) -> None:
    world = World()
    failed_since: float | None = None
    for step, position in steps:
        if step == "s":
            world.succeed()
            failed_since = None
            continue
        follows = world.fail(position, its_fault=step == "f")
        failed_since = world.now if failed_since is None else failed_since
        if follows is Next.GIVE_UP:
            del world.trials[position]
            failed_since = None  # it was the event, not the server
        else:
            assert (follows is Next.OUTAGE) == (world.now - failed_since >= 60)


@given(st.lists(st.tuples(st.sampled_from("sb"), st.integers(1, 4)), max_size=300))
def test_no_connection_and_too_many_requests_cost_no_event(steps: list[tuple[str, int]]) -> None:
    world = World()
    for step, position in steps:
        if step == "s":
            world.succeed()
        else:
            assert world.fail(position, its_fault=False) is not Next.GIVE_UP
