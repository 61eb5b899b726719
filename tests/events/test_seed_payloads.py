"""Every example of both documents is accepted and written unchanged in meaning, or told why not."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from airflow_reshape.events import Rules, read_event, to_wire
from airflow_reshape.events.rules import GENERATIONS, Generation
from airflow_reshape.events.wire import to_bytes
from airflow_reshape.mapping import EventBuilder, FieldMap, Steering
from tests.events.oracle import refused
from tests.events.payloads import LEFT_OUT_ON_WEBHOOKS, STANDARD, for_webhooks


def sent(body: dict[str, Any], generation: Generation) -> tuple[dict[str, Any], list[str]]:
    read = read_event(body["event"]["name"], body, Rules(generation))
    given = [body.get("user", {}).get(contact) for contact in ("email", "phone")]
    several = any(len(contacts) > 1 for contacts in given if isinstance(contacts, list))
    assert bool(read.cleaned) is (several and generation == "webhooks")
    return to_wire(read.event, generation), [problem.field for problem in read.left_out]


@pytest.mark.parametrize("name", STANDARD)
def test_the_older_generation_gets_the_example_as_it_stands(name: str) -> None:
    body, left_out = sent(STANDARD[name], "standard")
    assert (body, left_out) == (STANDARD[name], [])
    assert json.loads(to_bytes(body)) == STANDARD[name]
    assert refused(body, "standard") == ()


@pytest.mark.parametrize("name", STANDARD)
def test_the_newer_generation_gets_the_same_event_in_its_own_spelling(name: str) -> None:
    body, left_out = sent(STANDARD[name], "webhooks")
    wanted = deepcopy(for_webhooks(STANDARD[name]))
    for field in LEFT_OUT_ON_WEBHOOKS.get(name, ()):
        del wanted["user"][field.removeprefix("user.")]
    for contact in ("email", "phone"):
        if isinstance(given := wanted.get("user", {}).get(contact), list):
            wanted["user"][contact] = given[0]  # one in a list is one
    if not wanted.get("user", True):
        del wanted["user"]
    assert left_out == list(LEFT_OUT_ON_WEBHOOKS.get(name, ()))
    assert body == wanted
    assert refused(body, "webhooks") == ()


@pytest.mark.parametrize("name", STANDARD)
@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_row_in_the_form_of_the_api_goes_the_same_way(name: str, generation: Generation) -> None:
    builder = EventBuilder(FieldMap(), Steering(), Rules(generation))
    assert builder(STANDARD[name]).body == sent(STANDARD[name], generation)[0]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", STANDARD)
def test_the_sandbox_would_have_caught_the_other_generations_spelling(name: str) -> None:
    body = STANDARD[name]
    differs = for_webhooks(body) != body or any(
        isinstance(body.get("user", {}).get(contact), list) for contact in ("email", "phone")
    )
    differs |= name in LEFT_OUT_ON_WEBHOOKS
    assert bool(refused(body, "webhooks")) is differs
