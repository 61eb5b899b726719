"""The table of faults, decided without a server, a clock or a die."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_reshape.sandbox.answers import settle
from airflow_reshape.sandbox.bucket import TokenBucket
from airflow_reshape.sandbox.clock import Clock
from airflow_reshape.sandbox.faults import Faults, read_plan
from airflow_reshape.sandbox.inspection import ROUTES, Inspection, Refusal
from airflow_reshape.sandbox.misbehaviour import Misbehaviour, draw
from airflow_reshape.sandbox.reactions import Facts, Reaction, concerns, delay, react

NOON = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)


def facts(**known: Any) -> Facts:
    nothing: dict[str, Any] = {
        "name": "lead_qualified",
        "id": "a",
        "attempt": 1,
        "in_work": 1,
        "since_set": 0.0,
        "bucket_wait": 0.0,
        "chance": 0.99,
        "chance_of_jitter": 0.0,
    }
    return Facts(**{**nothing, **known})


def inspection(refusal: Refusal | None = None) -> Inspection:
    return Inspection(ROUTES[0], "lead_qualified", "a", "prod", True, (), refusal, "{}")


@pytest.mark.parametrize(
    ("faults", "known", "expected"),
    [
        ({}, {}, None),
        ({"outage": 503}, {}, ("outage", 503)),
        ({"outage": 502, "outage_for": 10}, {"since_set": 9.9}, ("outage", 502)),
        ({"outage": 502, "outage_for": 10}, {"since_set": 10}, None),
        ({"max_concurrent": 4}, {"in_work": 4}, None),
        ({"max_concurrent": 4}, {"in_work": 5}, ("max_concurrent", 503)),
        ({"max_concurrent": 4, "max_concurrent_status": 429}, {"in_work": 5}, ("max_concurrent", 429)),
        ({"rate_limit": 1}, {"bucket_wait": 0.0}, None),
        ({"rate_limit": 1}, {"bucket_wait": 0.2}, ("rate_limit", 429)),
        ({"rate_limit": 1, "rate_status": 503}, {"bucket_wait": 0.2}, ("rate_limit", 503)),
        ({"fail_first": 2}, {"attempt": 2}, ("fail_first", 503)),
        ({"fail_first": 2, "fail_first_status": 408}, {"attempt": 1}, ("fail_first", 408)),
        ({"fail_first": 2}, {"attempt": 3}, None),
        ({"statuses": {500: 0.1, 429: 0.2}}, {"chance": 0.0}, ("statuses", 429)),
        ({"statuses": {500: 0.1, 429: 0.2}}, {"chance": 0.19}, ("statuses", 429)),
        ({"statuses": {500: 0.1, 429: 0.2}}, {"chance": 0.25}, ("statuses", 500)),
        ({"statuses": {500: 0.1, 429: 0.2}}, {"chance": 0.31}, None),
        ({"reset_before": 0.5, "reset_after": 0.5}, {"chance": 0.49}, ("reset_before", None)),
        ({"reset_before": 0.5, "reset_after": 0.5}, {"chance": 0.5}, ("reset_after", None)),
        ({"half_close_before": 1}, {}, ("half_close_before", None)),
        ({"half_close_after": 1}, {}, ("half_close_after", None)),
        ({"babble_before": 1}, {}, ("babble_before", None)),
        ({"babble_after": 1}, {}, ("babble_after", None)),
        ({"break_off_before": 1}, {}, ("break_off_before", None)),
        ({"break_off_after": 1}, {}, ("break_off_after", None)),
        ({"hang_before": 1}, {}, ("hang_before", None)),
        ({"hang_after": 1}, {}, ("hang_after", None)),
        ({"garbage": {"html": 1}}, {}, ("garbage", 200)),
        ({"redirect": 1, "redirect_to": "http://127.0.0.1/", "redirect_status": 308}, {}, ("redirect", 308)),
        # The order of the table.
        ({"outage": 503, "fail_first": 1}, {}, ("outage", 503)),
        ({"max_concurrent": 1, "rate_limit": 1}, {"in_work": 2, "bucket_wait": 1.0}, ("max_concurrent", 503)),
        ({"fail_first": 1, "statuses": {500: 1}}, {}, ("fail_first", 503)),
    ],
)
def test_which_fault_strikes(
    faults: dict[str, Any], known: dict[str, Any], expected: tuple[str, int | None] | None
) -> None:
    reaction = react(Faults(**faults), facts(**known))
    assert (reaction and (reaction.fault, reaction.status)) == expected


@pytest.mark.parametrize(
    ("faults", "known", "seconds"),
    [
        ({}, {}, 0),
        ({"latency": 0.2}, {}, 0.2),
        ({"latency": 0.2, "jitter": 0.4}, {"chance_of_jitter": 0.25}, 0.3),
        ({"latency_above": 8, "latency_per_extra": 0.1}, {"in_work": 8}, 0),
        ({"latency_above": 8, "latency_per_extra": 0.1}, {"in_work": 11}, 0.3),
        ({"latency_per_extra": 0.1}, {"in_work": 11}, 0),
    ],
)
def test_how_long_an_answer_takes(faults: dict[str, Any], known: dict[str, Any], seconds: float) -> None:
    assert delay(Faults(**faults), facts(**known)) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("faults", "concerned"),
    [
        ({}, True),
        ({"names": ["lead_qualified"]}, True),
        ({"names": ["lead_closed"]}, False),
        ({"ids": ["a", "b"]}, True),
        ({"ids": ["b"]}, False),
        ({"names": ["lead_qualified"], "ids": ["b"]}, False),
        ({"names": []}, False),
    ],
)
def test_whom_faults_concern(faults: dict[str, Any], concerned: bool) -> None:
    assert concerns(Faults(**faults), "lead_qualified", "a") is concerned


@pytest.mark.parametrize(
    ("reaction", "taken"),
    [
        (Reaction("reset_after", drop="reset", taken=True), True),
        (Reaction("reset_before", drop="reset"), False),
        (Reaction("garbage", 200, garbage="text", taken=True), True),
        (Reaction("garbage", 200, garbage="html"), False),
    ],
)
def test_a_refused_event_is_never_taken_by_a_fault(reaction: Reaction, taken: bool) -> None:
    assert settle(inspection(), reaction, Faults(), NOON).taken is taken
    refused = settle(inspection(Refusal(422, ("x",))), reaction, Faults(), NOON)
    assert refused.taken is False
    # A fault that takes the event first leaves the refusal as it is.
    assert (refused.status == 422) is taken


@pytest.mark.parametrize(
    ("faults", "reaction", "header"),
    [
        ({}, Reaction("outage", 503), None),
        ({"retry_after": "seconds"}, Reaction("outage", 503), "1"),
        ({"retry_after": "seconds", "retry_after_wait": 7.2}, Reaction("outage", 503), "8"),
        ({"retry_after": "seconds", "retry_after_wait": 0}, Reaction("statuses", 500), "0"),
        ({"retry_after": "seconds"}, Reaction("rate_limit", 429, wait=2.5), "3"),
        ({"retry_after": "http-date"}, Reaction("rate_limit", 429, wait=2.5), "Mon, 04 May 2026 12:00:03 GMT"),
        ({"retry_after": "seconds"}, Reaction("statuses", 400), None),
        ({"retry_after": "seconds"}, Reaction("statuses", 408), "1"),
        ({"retry_after": "seconds"}, Reaction("statuses", 425), "1"),
    ],
)
def test_retry_after(faults: dict[str, Any], reaction: Reaction, header: str | None) -> None:
    assert settle(inspection(), reaction, Faults(**faults), NOON).headers.get("Retry-After") == header


def test_a_retry_after_date_is_never_too_early() -> None:
    late_in_the_second = NOON.replace(microsecond=900_000)
    answer = settle(inspection(), Reaction("outage", 503), Faults(retry_after="http-date"), late_in_the_second)
    assert answer.headers["Retry-After"] == "Mon, 04 May 2026 12:00:02 GMT"


def test_the_bucket_allows_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=2.0, burst=3, now=100.0)
    for _ in range(3):
        assert bucket.wait(100.0) == 0
        bucket.spend()
    assert bucket.wait(100.0) == pytest.approx(0.5)
    assert bucket.wait(100.4) == pytest.approx(0.1)
    assert bucket.wait(100.5) == 0
    bucket.spend()
    assert bucket.wait(100.5) == pytest.approx(0.5)
    for _ in range(3):
        assert bucket.wait(1000.0) == 0
        bucket.spend()
    assert bucket.wait(1000.0) == pytest.approx(0.5)


@pytest.mark.parametrize(("rate", "at_once"), [(0.5, 1), (1, 1), (4, 4)])
def test_a_bucket_holds_one_second_by_default(rate: float, at_once: int) -> None:
    bucket = TokenBucket(rate, None, now=0.0)
    allowed = 0
    while bucket.wait(0.0) == 0:
        bucket.spend()
        allowed += 1
    assert allowed == at_once


class HandClock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.clock = Clock(monotonic=lambda: self.seconds, now=lambda: NOON)


def statuses(misbehaviour: Misbehaviour, ids: list[str]) -> list[int | None]:
    struck = (misbehaviour.meet("lead_qualified", id_, 1)[0] for id_ in ids)
    return [reaction.status if reaction else None for reaction in struck]


def test_the_same_seed_strikes_the_same_events_in_any_order() -> None:
    ids = [f"lead-{number}" for number in range(300)]
    plan = [Faults(statuses={500: 0.2, 429: 0.1}, seed=7)]
    forwards = dict(zip(ids, statuses(Misbehaviour(Clock(), plan), ids), strict=True))
    backwards = dict(zip(ids[::-1], statuses(Misbehaviour(Clock(), plan), ids[::-1]), strict=True))
    other_seed = dict(
        zip(ids, statuses(Misbehaviour(Clock(), [Faults(statuses={500: 0.2, 429: 0.1}, seed=8)]), ids), strict=True)
    )
    assert forwards == backwards
    assert forwards != other_seed


def test_shares_come_out_as_asked() -> None:
    # 10,000 draws of a fixed seed: the numbers are always the same ones.
    struck = statuses(Misbehaviour(Clock(), [Faults(statuses={500: 0.2, 429: 0.05})]), [str(n) for n in range(10_000)])
    assert 1900 < struck.count(500) < 2100
    assert 430 < struck.count(429) < 570


def test_each_attempt_draws_again_and_each_event_without_an_id_too() -> None:
    one = Misbehaviour(Clock(), [Faults(statuses={500: 0.5})])
    assert set(statuses(one, ["a"] * 40)) == {500, None}
    nameless = Misbehaviour(Clock(), [Faults(statuses={500: 0.5}, fail_first=0)])
    assert {reaction is None for reaction, _, _ in (nameless.meet(None, None, 1) for _ in range(40))} == {True, False}


def test_draws_are_spread_evenly() -> None:
    draws = [draw("x", number) for number in range(4000)]
    assert all(0 <= each < 1 for each in draws)
    assert all(320 < sum(low <= each < low + 0.1 for each in draws) < 480 for low in (n / 10 for n in range(10)))


def test_attempts_are_counted_by_name_and_id() -> None:
    faults = Misbehaviour(Clock(), [Faults(fail_first=1)])
    assert statuses(faults, ["a", "b", "a", "b"]) == [503, 503, None, None]
    assert faults.meet("lead_closed", "a", 1)[0] is not None


def test_layers_are_asked_in_order_and_their_delays_add_up() -> None:
    faults = Misbehaviour(
        Clock(),
        [Faults(latency=1), Faults(ids=["a"], statuses={400: 1}, latency=2), Faults(latency=4, statuses={500: 1})],
    )
    reaction, layer, seconds = faults.meet("lead_qualified", "a", 1)
    assert reaction is not None
    assert layer is faults.plan[1]
    assert (reaction.status, seconds) == (400, 3)
    reaction, _, seconds = faults.meet("lead_qualified", "b", 1)
    assert reaction is not None
    assert (reaction.status, seconds) == (500, 5)


def test_the_front_door_refuses_at_once_and_costs_no_token() -> None:
    hand = HandClock()
    faults = Misbehaviour(hand.clock, [Faults(latency=3, rate_limit=1, rate_burst=1, max_concurrent=2)])
    assert faults.meet("n", "a", 3)[0] == Reaction("max_concurrent", 503, front_door=True)
    assert faults.meet("n", "b", 1) == (None, None, 3)
    reaction, _, seconds = faults.meet("n", "c", 1)
    assert reaction is not None
    assert (reaction.fault, seconds) == ("rate_limit", 0)
    assert reaction.wait == pytest.approx(1)
    hand.seconds = 1.0
    assert faults.meet("n", "c", 1)[0] is None


def test_setting_faults_anew_forgets_attempts_limits_and_time() -> None:
    hand = HandClock()
    plan = [Faults(fail_first=1, outage=500, outage_for=5)]
    faults = Misbehaviour(hand.clock, plan)
    assert statuses(faults, ["a"]) == [500]
    hand.seconds = 5.0
    assert statuses(faults, ["a", "b", "b"]) == [None, 503, None]
    faults.set(plan)
    assert statuses(faults, ["b"]) == [500]
    hand.seconds = 10.0
    assert statuses(faults, ["b"]) == [None]


@pytest.mark.parametrize(
    "wrong",
    [
        {"statuses": {"500": 0.7}, "reset_before": 0.4},
        {"statuses": {"200": 0.5}},
        {"statuses": {"500": 1.5}},
        {"redirect": 0.5},
        {"redirect": 0.5, "redirect_to": "http://127.0.0.1/\r\nX: y"},
        {"outage": 200},
        {"rate_limit": 0},
        {"latency": -1},
        {"garbage": {"pdf": 1}},
        {"retry_after": "weeks"},
        {"latence": 1},
    ],
)
def test_what_cannot_be_asked_for(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Faults.model_validate(wrong)


def test_a_plan_is_one_layer_or_several() -> None:
    assert read_plan('{"statuses": {"500": 0.1}}') == (Faults(statuses={500: 0.1}),)
    assert read_plan('[{"latency": 1}, {"outage": 503}]') == (Faults(latency=1), Faults(outage=503))
    assert read_plan("[]") == ()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ('{"retry_after": 1}', "retry_after: must be 'seconds' or 'http-date'"),
        ('{"latence": 1}', "latence: there is no such fault"),
        ('{"statuses": {"500": 2}}', "statuses.500: must be less than or equal to 1"),
        ('{"statuses": {"200": 1}}', "statuses.200: must be greater than or equal to 400"),
        ('{"statuses": {"500": 0.6}, "redirect": 0.6}', "the shares add up to more than 1"),
        (
            '{"latency": -1, "seed": "x"}',
            "seed: must be a valid integer, unable to parse string as an integer; latency: ",
        ),
        ('[{"latency": 1}, {"outage": 1}]', "layer 2: outage: must be greater than or equal to 400"),
        ("[{}, 5]", "layer 2: must be a JSON object"),
        ("5", "must be a JSON object"),
        ("nonsense", "Invalid JSON: "),
    ],
)
def test_a_wrong_plan_is_told_by_field_and_rule(wrong: str, told: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # the text follows
        read_plan(wrong)
    assert str(caught.value).startswith(told)
    assert "Faults" not in str(caught.value)
