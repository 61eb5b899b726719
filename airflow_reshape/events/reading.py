"""From nested data to a valid event: bad recommended fields are left out, bad required ones are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from airflow_reshape.events.models import BaseEvent, LeadDisqualified, model_for
from airflow_reshape.events.rules import Problem, Reading, Rules

# Leaving a field out can bring another one down (a phone without its country), never many in a row.
MOST_PASSES = 6

RULE_TEXTS = {
    "missing": "is required",
    "extra_forbidden": "is not part of this event",
    "literal_error": "must be one of the allowed values",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}


@dataclass(frozen=True, slots=True)
class ReadEvent:
    """A valid event, and what was noticed while reading it."""

    event: BaseEvent
    left_out: tuple[Problem, ...] = ()
    cleaned: tuple[Problem, ...] = ()
    doubtful: tuple[Problem, ...] = ()


class InvalidEvent(Exception):
    """The data make no valid event.

    :param problems: every field that is wrong, with its rule; never a value.
    """

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def read_event(name: str, data: Mapping[str, Any], rules: Rules) -> ReadEvent:
    """Read an event from nested data as the API wants them.

    :param name: event name; it decides which model applies.
    :param data: ``{"event": {…}, "context": {…}, "user": {…}, …}`` with canonical or older names.
    :param rules: see :class:`Rules`.
    :raises InvalidEvent: a required field is missing or bad, or any field with ``on_bad_field="reject"``.
    """
    model = model_for(name)
    one_plain = rules.generation == "webhooks" or model is LeadDisqualified
    left_out: dict[tuple[str | int, ...], Problem] = {}
    for _ in range(MOST_PASSES):
        reading = Reading(rules, one_plain_contact=one_plain)
        try:
            event = model.model_validate(data, context=reading)
        except ValidationError as error:
            problems = {e["loc"]: _problem(e) for e in error.errors(include_url=False, include_input=False)}
        else:
            return ReadEvent(
                event,
                (*left_out.values(), *reading.left_out),
                tuple(reading.cleaned),
                tuple(reading.doubtful),
            )
        remainder = data
        for location in problems:
            pruned = _without(remainder, location)
            if rules.on_bad_field == "reject" or pruned is None:
                # A field whose bad value was left out is now missing: its first problem is the telling one.
                told = (left_out.get(loc, problem) for loc, problem in problems.items())
                raise InvalidEvent(tuple(dict.fromkeys(told)))
            remainder = pruned
        left_out |= problems
        data = remainder
    raise InvalidEvent(tuple(left_out.values()))


def _problem(error: Any) -> Problem:
    path = ".".join(str(step) for step in error["loc"])
    return Problem(path or "event", RULE_TEXTS.get(error["type"], error["msg"]))


def _without(data: Mapping[str, Any], location: tuple[str | int, ...]) -> Mapping[str, Any] | None:
    """The data without the value at a location, or None if nothing stands there."""
    if not location or not isinstance(data, Mapping) or location[0] not in data:
        return None
    head, *rest = location
    pruned = dict(data)
    if not rest:
        del pruned[head]  # type: ignore[arg-type]
        return pruned
    inner = _without(data[head], tuple(rest)) if isinstance(data[head], Mapping) else None  # type: ignore[index]
    if inner is None:
        return None
    pruned[head] = inner  # type: ignore[index]
    return pruned
