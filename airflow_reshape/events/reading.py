"""From nested data to a valid event: bad recommended fields are left out, bad required ones are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from airflow_reshape.events.json_values import json_object
from airflow_reshape.events.models import BaseEvent, model_for
from airflow_reshape.events.rules import Problem, Reading, Rules, shown
from airflow_reshape.events.web import cookies

Location = tuple[str | int, ...]

# Leaving a field out can bring another one down (a phone without its country), never many in a row.
MOST_PASSES = 6
# Without the first a lead of somebody's "staging" would go out as a real one, without the second one event as many.
NEVER_LEFT_OUT: frozenset[Location] = frozenset({("context", "environment"), ("event", "id")})

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
    other_emails: tuple[str, ...] = field(default=(), repr=False)


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
    left_out: dict[Location, Problem] = {}
    for _ in range(MOST_PASSES):
        reading = Reading(rules, one_plain_contact=rules.generation == "webhooks")
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
                tuple(reading.other_emails),
            )
        remainder = data
        for location in problems:
            pruned = _without(remainder, location)
            if rules.on_bad_field == "reject" or pruned is None or location in NEVER_LEFT_OUT:
                raise InvalidEvent(_told(problems, left_out))
            remainder = pruned
        left_out |= problems
        data = remainder
    raise InvalidEvent(tuple(left_out.values()))


def _problem(error: Any) -> Problem:
    path = ".".join(shown(step) for step in error["loc"])
    return Problem(path or "event", RULE_TEXTS.get(error["type"], error["msg"]))


def _told(problems: Mapping[Location, Problem], left_out: Mapping[Location, Problem]) -> tuple[Problem, ...]:
    """The problems that make an event invalid, with those that led to them.

    A required field whose bad value was left out is now missing, and a user without its bad e-mail is nobody: the
    first problem of a field is the telling one, and those above and below it belong to it.
    """
    first = [left_out.get(location, problem) for location, problem in problems.items()]
    near = [p for left, p in left_out.items() if any(left[: len(at)] == at[: len(left)] for at in problems)]
    return tuple(dict.fromkeys((*first, *near)))


def _without(data: object, location: Location) -> Mapping[str, Any] | None:
    """The data without the value at a location, or None if nothing stands there."""
    if not location or not isinstance(data, Mapping) or location[0] not in data:
        return None
    head, *rest = location
    pruned = dict(data)
    if not rest:
        del pruned[head]
        return pruned
    inner = _without(_opened(head, data[head]), tuple(rest))
    if inner is None:
        return None
    pruned[head] = inner
    return pruned


def _opened(name: object, value: object) -> object:
    """An object as the models see it, whatever form it was given in."""
    if isinstance(value, BaseModel):
        return value.model_dump(exclude_none=True)
    try:
        return cookies(value) if name == "cookies" else json_object(value)
    except PydanticCustomError:
        return None
