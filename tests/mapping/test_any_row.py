"""Whatever a row holds, it gives an event, an invalid lead or a skipped one, and nothing else."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_reshape.events.prepared import InvalidLead, PreparedEvent, SkippedLead
from airflow_reshape.events.rules import GENERATIONS, Rules
from airflow_reshape.events.wire import to_bytes
from airflow_reshape.mapping import EventBuilder, FieldMap, Steering, default_paths
from tests.events.oracle import refused
from tests.mapping.strategies import good_rows, rows

FIXED = settings(
    derandomize=True,
    database=None,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)

STAGES = {"SQL": "lead_qualified", "Lost": "lead_disqualified", "Made": "lead_created", "New": None, "X": "page_view"}
REASONS = {"Too small": "out_of_icp", "Merged": None}
FIELD_MAPS = (
    FieldMap(),
    FieldMap(unknown_columns="ignore"),
    FieldMap(unknown_columns="user.properties", property_columns=["crm", "score"]),
    FieldMap({"user.email": "crm.email", "event.id": "user.crm_id", "user.phone": "x"}, unknown_columns="ignore"),
)
STEERINGS = (
    Steering(event="lead_qualified"),
    Steering(event="lead_created"),
    Steering(event="lead_closed", disqualified_value=3),
    Steering(),
    Steering(event="lead_disqualified", event_id="{LEAD_ID}-{crm}"),
    Steering(event="page_view", event_id="{event}:{lead_id}"),
    Steering(stage_map=STAGES, reason_map=REASONS),
    Steering(stage_map=STAGES, reason_map=REASONS, disqualified_value="row"),
    Steering(stage_map=STAGES, event_id="{stage}/{lead_id}"),
)
RULES = tuple(
    Rules(generation, default_region=region, timezone=zone, require_reason=reason, allow_other_reasons=not reason)
    for generation, (region, zone, reason) in product(
        GENERATIONS, [("RO", "Europe/Bucharest", True), (None, "America/St_Johns", False)]
    )
)
DEFAULTS = default_paths(
    {
        "event.currency": "EUR",
        "event.exchange_rate": 1,
        "user.properties": {"source": "crm"},
        "event.properties.disqualification_reason": "no_timing",
        "context.landing_url": "https://example.com/?gclid=1",
    }
)


@st.composite
def builders(draw: st.DrawFn) -> tuple[EventBuilder, Rules]:
    rules = replace(
        draw(st.sampled_from(RULES)),
        on_bad_field=draw(st.sampled_from(("leave_out", "leave_out", "leave_out", "reject"))),
    )
    builder = EventBuilder(
        draw(st.sampled_from(FIELD_MAPS)),
        draw(st.sampled_from(STEERINGS)),
        rules,
        draw(st.sampled_from((None, DEFAULTS))),
        draw(st.sampled_from(("prod", "dev"))),
        draw(st.sampled_from((None, "crm"))),
    )
    return builder, rules


def body_or_none(builder: EventBuilder, row: Any) -> dict[str, Any] | None:
    """The body that a row makes, None if it makes none; anything else fails the test."""
    prepared = builder(row)
    if isinstance(prepared, InvalidLead):
        assert prepared.problems
        assert all(problem.field and problem.rule for problem in prepared.problems)
        str(prepared).encode()
    elif isinstance(prepared, SkippedLead):
        assert prepared.why in {"unknown_stage", "stage_not_sent", "stage_unchanged", "reason_not_sent"}
    else:
        assert isinstance(prepared, PreparedEvent)
        assert prepared.occurred_at is None or prepared.occurred_at.utcoffset() is not None
        return prepared.body
    return None


@settings(FIXED, max_examples=900)
@given(builders(), rows())
def test_a_row_gives_an_event_that_the_api_takes_or_none(built: tuple[EventBuilder, Rules], row: Any) -> None:
    builder, rules = built
    body = body_or_none(builder, row)
    again = body_or_none(builder, row)

    if body is None:
        assert again is None
        return
    assert again is not None
    assert to_bytes(body) == to_bytes(again)
    assert json.loads(to_bytes(body)) == body
    assert refused(body, rules.generation, rules) == ()


@settings(FIXED, max_examples=400)
@given(builders(), good_rows() | rows())
def test_the_body_of_an_event_makes_the_same_body_again(built: tuple[EventBuilder, Rules], row: Any) -> None:
    builder, rules = built
    body = body_or_none(builder, row)
    if body is None:
        return
    as_it_is = EventBuilder(FieldMap(), Steering(), rules)
    assert body_or_none(as_it_is, body) == body


def test_events_invalid_leads_and_skipped_ones_are_all_met() -> None:
    """The tests above would be worth nothing if no row made an event."""
    met: Counter[type] = Counter()

    @settings(FIXED, max_examples=300)
    @given(builders(), rows())
    def meet(built: tuple[EventBuilder, Rules], row: Any) -> None:
        met[type(built[0](row))] += 1

    meet()
    # How many of each, every version of Hypothesis decides for itself.
    assert met.keys() == {PreparedEvent, InvalidLead, SkippedLead}
