"""From a row to an event that can be sent, an invalid lead or a skipped one. Nothing else comes out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from airflow_reshape.events.formats import flag, moment, text
from airflow_reshape.events.models import BaseEvent
from airflow_reshape.events.prepared import InvalidLead, Prepared, PreparedEvent, SkippedLead
from airflow_reshape.events.reading import InvalidEvent, read_event
from airflow_reshape.events.rules import Environment, Problem, Rules
from airflow_reshape.events.wire import to_wire
from airflow_reshape.mapping.field_map import FieldMap, MappedRow, MappingError, known_path
from airflow_reshape.mapping.paths import NAMED_PROPERTIES, RESERVED, ROOTS, Path
from airflow_reshape.mapping.steering import BadLead, NotSent, Steering
from airflow_reshape.mapping.values import plain

CONSENTS = ("analytics", "personalization", "marketing")


def default_paths(defaults: Mapping[str, Any] | None) -> dict[Path, Any]:
    """Defaults by path.

    :raises MappingError: a path does not exist, or is a whole object.
    """
    paths: dict[Path, Any] = {}
    for name, value in (defaults or {}).items():
        path = known_path(name, "defaults")
        if len(path) == 1 and path[0] in (*ROOTS, *RESERVED):
            raise MappingError(f"defaults: {name!r} must be a single field, such as event.currency")
        if path[0] == "consent":
            raise MappingError(f"defaults: {name!r} is refused: consent is given by the lead, never by default")
        paths[path] = value
    return paths


class EventBuilder:
    """Builds events from rows.

    :param field_map: which column becomes which field.
    :param steering: which event, reason and id.
    :param defaults: see :func:`default_paths`.
    :param rules: how values are read.
    :param environment: of the connection.
    :param data_source: of the connection, for events without one.
    """

    def __init__(
        self,
        field_map: FieldMap,
        steering: Steering,
        rules: Rules,
        defaults: Mapping[Path, Any] | None = None,
        environment: Environment = "prod",
        data_source: str | None = None,
    ) -> None:
        self._field_map = field_map
        self._steering = steering
        self._rules = rules
        self._defaults = {path: plain(value) for path, value in (defaults or {}).items()}
        self._environment = environment
        self._data_source = data_source

    def __call__(self, row: object) -> Prepared:
        """The event of a row.

        :param row: a mapping, or an event model.
        """
        if isinstance(row, BaseEvent):
            return self._from_event(row)
        if not isinstance(row, Mapping):
            return InvalidLead((Problem("lead", "must be a dict of columns or an event"),))
        mapped = self._field_map.map_row(row)
        if mapped.problems:
            return InvalidLead(tuple(mapped.problems))
        stage: str | None = None
        name: str | None = None
        try:
            stage = self._reserved_text(mapped, "stage")
            given = _dict(mapped.data, "event").get("name")
            name = self._steering.event_name(stage, given)
            if stage is not None and stage == self._reserved_text(mapped, "previous_stage"):
                raise NotSent("stage_unchanged")
            return self._prepared(row, mapped, name, stage)
        except NotSent as skipped:
            return SkippedLead(skipped.why, stage, name)
        except (BadLead, InvalidEvent) as bad:
            return InvalidLead(bad.problems, stage, name)

    def _from_event(self, event: BaseEvent) -> Prepared:
        data = event.model_dump(exclude_none=True)
        try:
            return self._read(event.event.name, data, MappedRow(data, {}, [], False), None)
        except InvalidEvent as bad:
            return InvalidLead(bad.problems, None, event.event.name)

    def _prepared(self, row: Mapping[str, Any], mapped: MappedRow, name: str, stage: str | None) -> Prepared:
        data = mapped.data
        event = data.setdefault("event", {})
        if not isinstance(event, dict):
            raise BadLead(Problem("event", "must be an object"))
        event["name"] = name
        defaulted = self._fill_defaults(data)
        self._apply_reason(name, event)
        fixed = self._steering.fixed_value(name)
        if fixed is not None:
            event["value"] = fixed
        if event.get("id") is None:
            made = self._steering.recipe_id(name, mapped.reserved, row)
            if made is not None:
                event["id"] = made
        if event.get("id") is None and self._steering.events:
            raise BadLead(Problem("event.id", "is required: map event.id or lead_id"))
        return self._read(name, data, mapped, stage, defaulted)

    def _read(
        self,
        name: str,
        data: dict[str, Any],
        mapped: MappedRow,
        stage: str | None,
        defaulted: tuple[str, ...] = (),
    ) -> PreparedEvent:
        denied = self._complete_consent(data) if mapped.consents else ()
        occurred_at = None
        if "occurred_at" in mapped.reserved:
            try:
                occurred_at = moment(mapped.reserved["occurred_at"], self._rules.timezone)
            except (PydanticCustomError, OverflowError) as error:
                rule = error.message() if isinstance(error, PydanticCustomError) else "must be a time"
                raise BadLead(Problem("occurred_at", rule)) from None
        read = read_event(name, data, self._rules)
        lead_id = self._reserved_text(mapped, "lead_id")
        user = read.event.user
        return PreparedEvent(
            event=read.event,
            body=to_wire(read.event, self._rules.generation, self._environment, self._data_source),
            order_key=lead_id or (user.id if user else None) or read.event.event.id,
            lead_id=lead_id,
            occurred_at=occurred_at,
            stage=stage,
            left_out=(*read.left_out, *denied),
            cleaned=read.cleaned,
            doubtful=read.doubtful,
            defaulted=defaulted,
        )

    def _reserved_text(self, mapped: MappedRow, name: str) -> str | None:
        if name not in mapped.reserved:
            return None
        try:
            return text(mapped.reserved[name])
        except PydanticCustomError as error:
            raise BadLead(Problem(name, error.message())) from None

    def _fill_defaults(self, data: dict[str, Any]) -> tuple[str, ...]:
        filled = []
        for path, value in self._defaults.items():
            target = data
            for key in path[:-1]:
                target = target.setdefault(key, {})
                if not isinstance(target, dict):
                    break
            else:
                if path[-1] not in target:
                    target[path[-1]] = value
                    filled.append(".".join(path))
        return tuple(filled)

    def _apply_reason(self, name: str, event: dict[str, Any]) -> None:
        properties = _dict(event, "properties")
        if name == "lead_disqualified":
            if "disqualification_reason" in properties:
                given = properties["disqualification_reason"]
                properties["disqualification_reason"] = self._steering.reason(given)
        elif len(self._steering.events) > 1:
            # One query for both kinds has the columns of both; a qualified lead has no disqualification.
            for path in NAMED_PROPERTIES:
                properties.pop(path[-1], None)

    def _complete_consent(self, data: dict[str, Any]) -> tuple[Problem, ...]:
        """All three answers, as the API wants them once consent is sent. What is not a yes is a no."""
        consent = data.setdefault("consent", {})
        if not isinstance(consent, dict):
            data["consent"] = dict.fromkeys(CONSENTS, False)
            return (Problem("consent", "must be an object; taken as denied"),)
        denied = []
        for name in CONSENTS:
            try:
                consent[name] = flag(consent.get(name, False))
            except PydanticCustomError:
                consent[name] = False
                denied.append(Problem(f"consent.{name}", "must be true or false; taken as denied"))
        return tuple(denied)


def _dict(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}
