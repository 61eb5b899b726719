"""Rows hold persons in any spelling where they do not belong, within much of anything: no log shows them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_reshape.delivery.guards import Guards
from airflow_reshape.events.rules import Rules
from airflow_reshape.mapping import EventBuilder, FieldMap, Steering
from tests.delivery.leads import lead, send
from tests.delivery.servers import ScriptedServer, scripted
from tests.delivery.test_linear_time import FIELDS, PIECES
from tests.delivery.test_privacy import everything_shown
from tests.delivery.test_server_words import SPELLINGS, plain

pytestmark = pytest.mark.timeout(120)

WORDS = ("stefanita", "brien", "craciunescu", "marasti", "stefi", "markermail", "722987", "ruxandra")
PLACES = (*FIELDS, "event.name", "event.properties.{}", "user.properties.{}", "cookies.{}", "previous_stage")


@pytest.fixture(scope="module")
def server() -> Any:
    with scripted() as running:
        yield running


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    how=st.sampled_from(sorted(SPELLINGS)),
    place=st.sampled_from(PLACES),
    noise=st.sampled_from(PIECES),
    long=st.sampled_from([0, 0, 50, 2000, 1_000_000]),
    by_name=st.booleans(),
    validate_only=st.booleans(),
)
def test_no_person_of_a_row_is_shown(
    server: ScriptedServer, how: str, place: str, noise: str, long: int, by_name: bool, validate_only: bool
) -> None:
    quoted = SPELLINGS[how]() + noise * (long // len(noise))
    misplaced = {place.format(quoted): {"a": 1}} if "{}" in place else {place: quoted}
    row = {**lead(1, stage="SQL", **{"event.name": "lead_qualified"}), **misplaced}
    steering = Steering() if by_name else Steering(stage_map={"SQL": "lead_qualified"})
    prepare = EventBuilder(FieldMap(), steering, Rules())
    sent = send(server.url, [row], prepare=prepare, guards=Guards(validate_only=validate_only))
    shown = everything_shown(sent.tally)
    letters = plain(shown).lower()
    assert [word for word in WORDS if word in letters] == []
