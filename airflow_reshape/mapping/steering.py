"""Which event a lead makes, with which reason and which id."""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from airflow_reshape.events.cleaning import clean_code
from airflow_reshape.events.models import EVENT_MODELS
from airflow_reshape.events.numbers import number
from airflow_reshape.events.reasons import REASONS
from airflow_reshape.events.rules import Problem
from airflow_reshape.events.text import code, identifier, is_placeholder
from airflow_reshape.mapping.field_map import MappingError
from airflow_reshape.mapping.paths import RESERVED
from airflow_reshape.mapping.values import plain

# lead_disqualified, lead_created and lead_closed carry the lead's own id; one lead can be qualified in several
# stages (MQL, then SQL), each an event of its own. Sources: "Lead ID (same as the original lead_created ID)" and
# "unique identifier of an action ID".
ID_RECIPES = {"lead_qualified": "{lead_id}:{stage}"}
ID_RECIPE = "{lead_id}"


class Spelled(NamedTuple):
    """An id as it is written now, and as it was before texts were cleaned: the ledger may know it so."""

    now: str
    before: str


NOTHING = Spelled("", "")
STAGE_WITHOUT_NAME = Spelled("qualified", "qualified")


def former(given: object, now: str) -> str:
    """A text as it was read before texts were cleaned: trimmed only."""
    return given.strip() if isinstance(given, str) else now


def _misspelt(name: str) -> str | None:
    """The known event that a name nearly is. Events of any name can be sent, but hardly one beside a known one."""
    near = get_close_matches(name, EVENT_MODELS, n=1, cutoff=0.9)
    return near[0] if near and near[0] != name else None


def _checked_name(name: str) -> str:
    known = _known_name(name)
    if meant := _misspelt(known):
        raise MappingError(f"event {name!r} is unknown: did you mean {meant!r}?")
    return known


class NotSent(Exception):
    """The lead is deliberately not sent.

    :param why: short name, counted.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class BadLead(Exception):
    """The lead is invalid before its event is even known."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def folded(key: str) -> str:
    """A stage or reason as it is compared: cleaned, and without regard to case."""
    return clean_code(key).casefold()


def _fold_keys(given: Mapping[Any, Any] | None, argument: str) -> dict[str, Any]:
    """The pairs of ``stage_map`` or ``reason_map`` by folded key; ids kept as numbers become text.

    :raises MappingError: a key is no text, or two keys mean the same and say different things.
    """
    pairs: dict[str, Any] = {}
    for key, target in (given or {}).items():
        try:
            name = folded(code(plain(key)))
        except ValueError:
            raise MappingError(f"{argument}: {key!r} must be text") from None
        if pairs.setdefault(name, target) != target:
            raise MappingError(f"{argument} says two things for {key!r}: case and blanks make no difference")
    return pairs


def _known_name(name: str) -> str:
    """An event name, in the only spelling that the API takes for the events that have a page of their own."""
    cleaned = clean_code(name)
    return lowered if (lowered := cleaned.lower()) in EVENT_MODELS else cleaned


@dataclass(frozen=True)
class Steering:
    """How reserved columns decide what is sent.

    :param event: event name of every lead, or None.
    :param stage_map: CRM stage to event name, or to None for stages that make no event.
    :param reason_map: the CRM's reason to the vocabulary's, or to None for leads not to be sent.
    :param event_id: format string for the event id over column names, such as ``"{lead_id}-{stage}"``,
        used where the row brings no ``event.id``. Default: the lead's id, with the stage for lead_qualified. A stage
        stands in it as ``stage_map`` spells it.
    :param disqualified_value: value of lead_disqualified: a number, ``"row"`` for the row's own, or None: 0 in a
        send that makes other events too, the row's own otherwise.
    :param allow_other_reasons: reasons outside the vocabulary may be targets of ``reason_map``.
    :raises MappingError: contradicting or unknown settings.
    """

    event: str | None = None
    stage_map: Mapping[str, str | None] | None = None
    reason_map: Mapping[str, str | None] | None = None
    event_id: str | None = None
    disqualified_value: float | Literal["row"] | None = None
    allow_other_reasons: bool = False
    _stages: dict[str, str | None] = field(init=False, default_factory=dict)
    _spellings: dict[str, Spelled] = field(init=False, default_factory=dict)
    _reasons: dict[str, str | None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        if self.event:
            _checked_name(self.event)
        if self.event and self.stage_map:
            raise MappingError("give event or stage_map, not both")
        if self.stage_map is not None and not self.stage_map:
            raise MappingError("stage_map is empty: name at least one stage")
        for stage, name in _fold_keys(self.stage_map, "stage_map").items():
            if name is not None and (not isinstance(name, str) or not name.strip()):
                raise MappingError(f"stage_map[{stage!r}] must be an event name or None")
            self._stages[stage] = None if name is None else _checked_name(name)
        for stage in self.stage_map or ():
            spelling = code(plain(stage))
            self._spellings.setdefault(folded(spelling), Spelled(spelling, former(plain(stage), spelling)))
        for reason, target in _fold_keys(self.reason_map, "reason_map").items():
            if target is not None and (not isinstance(target, str) or not self._allows(target)):
                raise MappingError(
                    f"reason_map[{reason!r}]: {target!r} is not in the vocabulary "
                    f"({', '.join(sorted(REASONS))}); choose one or set allow_other_reasons"
                )
            self._reasons[reason] = target
        if self.event_id is not None:
            _checked_format(self.event_id)
        value = self.disqualified_value
        if value is not None and value != "row":
            try:
                number(value)
            except ValueError:
                raise MappingError('disqualified_value must be a number or "row"') from None

    def _allows(self, reason: str) -> bool:
        return reason in REASONS or (self.allow_other_reasons and bool(reason.strip()))

    @property
    def events(self) -> frozenset[str]:
        """The event names that the configuration can make; empty if the rows name them."""
        named = self._stages.values() if self._stages else (self.event and _known_name(self.event),)
        return frozenset(name for name in named if name)

    @property
    def columns(self) -> frozenset[str]:
        """The columns that ``event_id`` is made of."""
        parts = string.Formatter().parse(self.event_id or "")
        return frozenset(column for _, column, _, _ in parts if column)

    def names_stage(self, stage: str) -> bool:
        """Whether ``stage_map`` names a stage."""
        return folded(stage) in self._stages

    def event_name(self, stage: str | None, given: object) -> str:
        """The name of a lead's event.

        :param stage: the lead's stage, or None.
        :param given: the row's own ``event.name``, or None.
        """
        own = None if given is None else _known_name(_text(given, "event.name"))
        if self.stage_map is not None:
            if stage is None:
                raise BadLead(Problem("stage", "is required by stage_map"))
            if folded(stage) not in self._stages:
                raise NotSent("unknown_stage")
            name = self._stages[folded(stage)]
            if name is None:
                raise NotSent("stage_not_sent")
        elif self.event:
            name = _known_name(self.event)
        elif own is None:
            raise BadLead(Problem("event.name", "is required: map it, or set event or stage_map"))
        elif meant := _misspelt(own):
            raise BadLead(Problem("event.name", f"is unknown: did you mean {meant}?"))
        else:
            return own
        if own is not None and own != name:
            raise BadLead(Problem("event.name", f"must be {name}, as the operator sends it"))
        return name

    def reason(self, given: object) -> object:
        """The reason of the vocabulary for the CRM's own; one that is not mapped stays as it is."""
        try:
            key = folded(code(given))
        except ValueError:
            return given  # the model refuses it
        if key not in self._reasons:
            return given
        if self._reasons[key] is None:
            raise NotSent("reason_not_sent")
        return self._reasons[key]

    def fixed_value(self, name: str) -> float | None:
        """The value that a lead's event gets whatever the row says, or None."""
        if name != "lead_disqualified" or self.disqualified_value == "row":
            return None
        if self.disqualified_value is not None:
            return self.disqualified_value
        return 0 if len(self.events) > 1 else None

    def recipe_id(self, name: str, reserved: Mapping[str, Any], row: Mapping[str, Any]) -> Spelled | None:
        """The event id that the recipe makes, or None where it has nothing to make it of."""
        recipe = self.event_id or ID_RECIPES.get(name, ID_RECIPE)
        if self.event_id is None and "lead_id" not in reserved:
            return None

        def value(column: str) -> Spelled:
            if column == "event":
                return Spelled(name, name)
            given = reserved.get(column.lower()) if column.lower() in RESERVED else plain(_cell(row, column))
            if given is None and column == "stage" and self.event_id is None:
                return STAGE_WITHOUT_NAME
            if given is None:
                raise BadLead(Problem("event.id", f"cannot be made: the column {column} is missing or empty"))
            is_stage = column.lower() == "stage"
            told = _text(given, column, identifier if column.lower() == "lead_id" else code)
            if not is_stage and is_placeholder(told):
                raise BadLead(Problem(column, "must not be a placeholder: the event's id is made of it"))
            # As stage_map spells it: the CRM's spelling may change, and the event would count again under another id.
            spelled = self._spellings.get(folded(told)) if is_stage else None
            return spelled or Spelled(told, former(given, told))

        return _filled(recipe, value)


def _cell(row: Mapping[str, Any], column: str) -> Any:
    """A row's value under a column's name, without regard to case."""
    if column in row:
        return row[column]
    name = column.lower()
    return next((value for key, value in row.items() if isinstance(key, str) and key.lower() == name), None)


@lru_cache(maxsize=64)
def _parts(recipe: str) -> tuple[tuple[str, str | None], ...]:
    return tuple((literal, column) for literal, column, _, _ in string.Formatter().parse(recipe))


def _filled(recipe: str, value: Callable[[str], Spelled]) -> Spelled:
    now, before = [], []
    for literal, column in _parts(recipe):
        spelled = value(column) if column else NOTHING
        now.append(literal + spelled.now)
        before.append(literal + spelled.before)
    return Spelled("".join(now), "".join(before))


def _checked_format(recipe: str) -> None:
    try:
        parts = list(string.Formatter().parse(recipe))
    except (ValueError, TypeError) as error:
        raise MappingError(f"event_id: {error}") from None
    if any(column == "" or spec or conversion for _, column, spec, conversion in parts):
        raise MappingError("event_id: plain column names only, such as {lead_id}")
    if not any(column for _, column, _, _ in parts):
        raise MappingError("event_id must name a column, such as {lead_id}: else all events share one id")


def _text(value: object, name: str, read: Callable[[object], str] = code) -> str:
    try:
        return read(value)
    except ValueError as error:
        raise BadLead(Problem(name, getattr(error, "message", lambda: "must be text")())) from None
