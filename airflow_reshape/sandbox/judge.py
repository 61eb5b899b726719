"""Holds a body against the schema of its event and says what is wrong, never quoting a value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from jsonschema import Draft202012Validator  # type: ignore[import-untyped, unused-ignore]

from airflow_reshape.sandbox.formats import format_checker
from airflow_reshape.sandbox.schemas import (
    GENERATIONS,
    GENERIC,
    LEAD_EVENTS,
    Generation,
    Strictness,
    schema_for,
)

# A body with a thousand bad properties needs no thousand lines to be understood.
_MOST_VIOLATIONS: Final = 50


@dataclass(frozen=True, order=True)
class Violation:
    """One rule that a body breaks.

    :param field: dotted path of the field, ``body`` for the whole.
    :param rule: short name of the rule.
    :param says: what the field must be.
    """

    field: str
    rule: str
    says: str

    def __str__(self) -> str:
        return f"{self.field} {self.says}"


class Judge:
    """All schemas, compiled once.

    :param strictness: what to ask for beyond well-formed fields.
    """

    def __init__(self, strictness: Strictness | None = None) -> None:
        checker = format_checker()
        self._validators: dict[tuple[Generation, str], Any] = {
            (generation, name): Draft202012Validator(schema_for(generation, name, strictness), format_checker=checker)
            for generation in GENERATIONS
            for name in (*LEAD_EVENTS, GENERIC)
        }

    def violations(self, generation: Generation, body: object) -> tuple[Violation, ...]:
        """What is wrong with a body, sorted by field; nothing if it is valid.

        :param generation: the API generation it was sent to.
        :param body: the parsed JSON.
        """
        kind = event_name(body)
        validator = self._validators[generation, kind if kind in LEAD_EVENTS else GENERIC]
        found = {violation for error in validator.iter_errors(body) for violation in _explain(error)}
        return tuple(sorted(found)[:_MOST_VIOLATIONS])


def event_name(body: object) -> str | None:
    """The event name in a body, None if there is none that is a text."""
    return _event_text(body, "name")


def event_id(body: object) -> str | None:
    """The event id in a body, None if there is none that is a text."""
    return _event_text(body, "id")


def environment(body: object) -> str | None:
    """The environment a body asks for, None if it does not say, or says something unknown."""
    context = body.get("context") if isinstance(body, Mapping) else None
    asked = context.get("environment") if isinstance(context, Mapping) else None
    return asked if asked in ("prod", "dev") else None


def _event_text(body: object, field: str) -> str | None:
    event = body.get("event") if isinstance(body, Mapping) else None
    value = event.get(field) if isinstance(event, Mapping) else None
    return value if isinstance(value, str) and value else None


def _explain(error: Any) -> Iterator[Violation]:
    at: Sequence[str | int] = tuple(error.absolute_path)
    schema: Mapping[str, Any] = error.schema
    if error.validator == "required":
        # One error per missing field arrives without naming it; all are named each time and counted once.
        for missing in _absent(error.validator_value, error.instance):
            yield Violation(_path(*at, missing), "required", "is required")
    elif error.validator == "additionalProperties":
        hints = schema.get("x-hints", {})
        for extra in _absent(error.instance, schema["properties"]):
            hint = f"; this generation spells it {hints[extra]}" if extra in hints else ""
            yield Violation(_path(*at, extra), "unknown", f"is not a field of this event{hint}")
    else:
        yield Violation(_path(*at), schema["x-rule"], schema["x-says"])


def _absent(wanted: Iterable[str], there: Iterable[str]) -> list[str]:
    held = set(there)
    return [name for name in wanted if name not in held]


def _path(*steps: str | int) -> str:
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return text.removeprefix(".") or "body"
