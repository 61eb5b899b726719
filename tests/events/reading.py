"""Reading one event in a test: what is sent, what is left out, or why nothing is."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from airflow_reshape.events import InvalidEvent, Rules, read_event, to_wire
from airflow_reshape.events.rules import Generation, OnBadField
from tests.events.oracle import refused

BASES: dict[str, dict[str, Any]] = {
    "lead_qualified": {"event": {"name": "lead_qualified", "currency": "EUR", "id": "q-1"}},
    "lead_disqualified": {
        "event": {
            "name": "lead_disqualified",
            "value": 0,
            "currency": "EUR",
            "id": "l-1",
            "properties": {"disqualification_reason": "no_budget"},
        },
        "user": {"id": "c-1"},
    },
    "lead_created": {"event": {"name": "lead_created", "id": "l-1"}},
    "lead_closed": {"event": {"name": "lead_closed", "value": 10, "currency": "EUR", "id": "l-1"}},
    "page_view": {"event": {"name": "page_view"}},
}
ABSENT = object()


def base(name: str, **changes: Any) -> dict[str, Any]:
    """A small right event with changes by dotted path, ``__`` for the dot; ABSENT takes a field out."""
    data = deepcopy(BASES[name])
    for path, value in changes.items():
        *parents, last = path.split("__")
        target = data
        for parent in parents:
            target = target.setdefault(parent, {})
        if value is ABSENT:
            target.pop(last, None)
        else:
            target[last] = value
    return data


class Read:
    """What became of an event.

    :ivar body: as posted, None if the event is invalid; the sandbox takes it.
    :ivar problems: fields and rules of an invalid event, or of what was left out.
    """

    def __init__(self, data: dict[str, Any], generation: Generation = "standard", **rules: Any) -> None:
        self.rules = Rules(generation, **rules)
        self.body: dict[str, Any] | None = None
        self.cleaned: tuple[str, ...] = ()
        self.doubtful: tuple[str, ...] = ()
        try:
            read = read_event(data["event"]["name"], data, self.rules)
        except InvalidEvent as invalid:
            self.problems = {problem.field: problem.rule for problem in invalid.problems}
            return
        self.problems = {problem.field: problem.rule for problem in read.left_out}
        self.cleaned = tuple(problem.field for problem in read.cleaned)
        self.doubtful = tuple(problem.field for problem in read.doubtful)
        self.body = to_wire(read.event, generation)
        assert refused(self.body, generation, self.rules) == ()

    @property
    def fields(self) -> list[str]:
        return list(self.problems)


def read(
    name: str, generation: Generation = "standard", on_bad_field: OnBadField = "leave_out", **changes: Any
) -> Read:
    return Read(base(name, **changes), generation, on_bad_field=on_bad_field)


def user_field(field: str, value: Any, **rules: Any) -> Any:
    """The written form of one field of the user of a lead_qualified; None if it was left out."""
    outcome = Read(base("lead_qualified", user={field: value}), **rules)
    assert outcome.body is not None
    return outcome.body.get("user", {}).get(field)
