"""Building one event of one row in a test."""

from __future__ import annotations

from typing import Any

from airflow_reshape.events.prepared import InvalidLead, PreparedEvent, SkippedLead
from airflow_reshape.events.rules import Environment, Generation, Rules
from airflow_reshape.mapping import EventBuilder, FieldMap, Steering, default_paths

FIELD_MAP = ("mapping", "unknown_columns", "property_columns")
STEERING = ("event", "stage_map", "reason_map", "event_id", "disqualified_value")
RULES = ("default_region", "timezone", "require_reason", "on_bad_field")

LEAD = {"lead_id": "L-1", "currency": "EUR"}


def builder(
    generation: Generation = "standard",
    environment: Environment = "prod",
    defaults: dict[str, Any] | None = None,
    allow_other_reasons: bool = False,
    **options: Any,
) -> EventBuilder:
    """A builder with options of any of its parts; lead_qualified unless the options say otherwise."""
    if not {"event", "stage_map"} & options.keys():
        options["event"] = "lead_qualified"
    parts = [{key: options.pop(key) for key in keys if key in options} for keys in (FIELD_MAP, STEERING, RULES)]
    assert not options
    steering = Steering(**parts[1], allow_other_reasons=allow_other_reasons)
    return EventBuilder(
        FieldMap(**parts[0], used_columns=steering.columns),
        steering,
        Rules(generation, allow_other_reasons=allow_other_reasons, **parts[2]),
        default_paths(defaults),
        environment,
    )


def event(row: Any, **options: Any) -> PreparedEvent:
    prepared = builder(**options)(row)
    assert isinstance(prepared, PreparedEvent), prepared
    return prepared


def body(row: dict[Any, Any], **options: Any) -> dict[str, Any]:
    """The body of a lead_qualified with the given columns beside an id and a currency."""
    return event({**LEAD, **row}, **options).body


def invalid(row: Any, **options: Any) -> dict[str, str]:
    """Fields and rules of an invalid lead."""
    prepared = builder(**options)(row)
    assert isinstance(prepared, InvalidLead), prepared
    return {problem.field: problem.rule for problem in prepared.problems}


def skipped(row: Any, **options: Any) -> str:
    prepared = builder(**options)(row)
    assert isinstance(prepared, SkippedLead), prepared
    return prepared.why
