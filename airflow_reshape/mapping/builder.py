"""From a row to an event that can be sent, an invalid lead or a skipped one. Nothing else comes out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic_core import PydanticCustomError

from airflow_reshape.events.models import BaseEvent
from airflow_reshape.events.prepared import NO_ANSWERS, Answers, InvalidLead, Prepared, PreparedEvent, SkippedLead
from airflow_reshape.events.reading import InvalidEvent, read_event
from airflow_reshape.events.rules import Environment, Problem, Rules
from airflow_reshape.events.text import code, identifier
from airflow_reshape.events.times import moment
from airflow_reshape.events.wire import to_wire
from airflow_reshape.mapping.consent import CONSENTS, ConsentMap, kind_of
from airflow_reshape.mapping.field_map import FieldMap, MappedRow, MappingError, known_path
from airflow_reshape.mapping.paths import NAMED_PROPERTIES, OPEN_MAPS, RESERVED, ROOTS, Path
from airflow_reshape.mapping.steering import BadLead, NotSent, Spelled, Steering, folded, former
from airflow_reshape.mapping.values import plain

# What each lead says for itself: a default would give all leads one id, or a consent that nobody gave.
NO_DEFAULTS = {
    "consent": "consent is given by the lead, never by default",
    "event.id": "all events would share one id; see event_id",
    "event.name": "set event or stage_map",
}
NAME: Path = ("event", "name")
ID: Path = ("event", "id")
REASON: Path = ("event", "properties", "disqualification_reason")
# One query for both kinds has the columns of both; each kind goes without the other's.
OTHERS_FIELDS: dict[str, tuple[Path, ...]] = {"lead_disqualified": (("event", "exchange_rate"),)}

# A value that cannot be read must not take a guard with it: these make the lead invalid, not the field left out.
CRUCIAL: tuple[Path, ...] = (
    *((name,) for name in RESERVED),
    NAME,
    ID,
    ("user", "id"),
    ("context", "environment"),
    *(("consent", name) for name in CONSENTS),
)

NEITHER = "is neither yes nor no; taken as not given"
NO_ROW = MappedRow({}, {}, [], False)


def default_paths(defaults: Mapping[str, Any] | None) -> dict[Path, Any]:
    """Defaults by path.

    :raises MappingError: a path does not exist, or is a whole object.
    """
    paths: dict[Path, Any] = {}
    for name, value in (defaults or {}).items():
        path = known_path(name, "defaults")
        if len(path) == 1 and path[0] in (*ROOTS, *RESERVED):
            raise MappingError(f"defaults: {name!r} must be a single field, such as event.currency")
        why = NO_DEFAULTS.get(path[0]) or NO_DEFAULTS.get(".".join(path))
        if why:
            raise MappingError(f"defaults: {name!r} is refused: {why}")
        given = {path: value}
        if path in OPEN_MAPS:
            if not isinstance(value, Mapping):
                raise MappingError(f"defaults: {name!r} must be a dict")
            given = {(*path, str(key)): item for key, item in value.items()}
        if not paths.keys().isdisjoint(given):
            raise MappingError(f"defaults: {name!r} is given twice")
        paths |= given
    return paths


class EventBuilder:
    """Builds events from rows.

    :param field_map: which column becomes which field.
    :param steering: which event, reason and id.
    :param defaults: see :func:`default_paths`.
    :param rules: how values are read.
    :param environment: of the connection.
    :param data_source: of the connection, for events without one.
    :param consent_map: reads answers about consent. Default: the words that everybody has.
    :param crucial: paths besides :data:`CRUCIAL` that make the lead invalid if they cannot be read. Default none.
    """

    def __init__(
        self,
        field_map: FieldMap,
        steering: Steering,
        rules: Rules,
        defaults: Mapping[Path, Any] | None = None,
        environment: Environment = "prod",
        data_source: str | None = None,
        consent_map: ConsentMap | None = None,
        crucial: Collection[Path] = (),
    ) -> None:
        self._field_map = field_map
        self._consent_map = consent_map or ConsentMap()
        self._crucial = (*CRUCIAL, *crucial)
        self._steering = steering
        self._makes_several = len(steering.events) > 1
        self._rules = rules
        self._defaults = {
            path: given for path, value in (defaults or {}).items() if (given := plain(value)) is not None
        }
        self._environment = environment
        self._data_source = data_source

    def __call__(self, row: object) -> Prepared:
        """The event of a row.

        :param row: a mapping, or an event model.
        """
        if isinstance(row, BaseEvent):
            return self._from_event(row)
        if type(row) is not dict:
            if not isinstance(row, Mapping):
                return self._invalid((Problem("lead", "must be a dict of columns or an event"),), NO_ROW, {})
            try:
                row = dict(row)
            except Exception:  # noqa: BLE001  # whatever the code of somebody's class raises
                return self._invalid((Problem("lead", "cannot be read"),), NO_ROW, {})
        mapped = self._field_map.map_row(row)
        if mapped.problems:
            return self._invalid(tuple(mapped.problems), mapped, row)
        stage: str | None = None
        name: str | None = None
        lead_id: str | None = None
        try:
            lead_id = self._reserved_text(mapped, "lead_id")
            stage = self._reserved_text(mapped, "stage")
            given = _dict(mapped.data, "event").get("name")
            name = self._steering.event_name(stage, given)
            previous = self._reserved_text(mapped, "previous_stage")
            if stage is not None and previous is not None and folded(stage) == folded(previous):
                raise NotSent("stage_unchanged")
            if mapped.unreadable:
                self._check_readable(name, mapped.unreadable)
            return self._prepared(row, mapped, name, stage, lead_id)
        except NotSent as skipped:
            return SkippedLead(skipped.why, stage, name, lead_id)
        except (BadLead, InvalidEvent) as bad:
            return self._invalid(bad.problems, mapped, row)

    def _check_readable(self, name: str, unreadable: Sequence[Path]) -> None:
        crucial = (*self._crucial, REASON) if name == "lead_disqualified" else self._crucial
        lost = [path for path in unreadable if any(each[: len(path)] == path for each in crucial)]
        if lost:
            raise BadLead(*(Problem(".".join(path), "holds a value that cannot be read") for path in lost))

    def _invalid(self, problems: tuple[Problem, ...], mapped: MappedRow, row: Mapping[str, Any]) -> InvalidLead:
        """An invalid lead, with all that can be told of it, so that it is found, and known when it was mended."""
        lead_id, stage = self._told(mapped, "lead_id"), self._told(mapped, "stage")
        name = self._told_name(mapped, stage)
        event_id = self._told_id(mapped, name, row)
        return InvalidLead(problems, stage, name, lead_id, _refused_reason(problems, mapped.data), event_id)

    def _told(self, mapped: MappedRow, name: str) -> str | None:
        with suppress(BadLead):
            return None if (name,) in mapped.disputed else self._reserved_text(mapped, name)
        return None

    def _told_name(self, mapped: MappedRow, stage: str | None) -> str | None:
        own = None if NAME in mapped.disputed else _dict(mapped.data, "event").get("name")
        for given in (own, None):  # else as the configuration alone says
            with suppress(BadLead, NotSent):
                return self._steering.event_name(stage, given)
        return None

    def _told_id(self, mapped: MappedRow, name: str | None, row: Mapping[str, Any]) -> str | None:
        own = _dict(mapped.data, "event").get("id")
        if name is None or not mapped.disputed.isdisjoint((ID, ("lead_id",), ("stage",))):
            return None
        with suppress(BadLead, ValueError):
            if own is not None:
                return code(own)
            made = self._steering.recipe_id(name, mapped.reserved, row)
            return made.now if made else None
        return None

    def _from_event(self, event: BaseEvent) -> Prepared:
        name = event.event.name
        if self._steering.events and name not in self._steering.events:
            meant = " or ".join(sorted(self._steering.events))
            return InvalidLead((Problem("event.name", f"must be {meant}, as the operator sends it"),), None, name)
        data = event.model_dump(exclude_none=True)
        defaulted = self._fill_defaults(data, self._others(name))
        try:
            return self._read(name, data, MappedRow(data, {}, [], False), None, None, None, defaulted)
        except InvalidEvent as bad:
            return InvalidLead(bad.problems, None, name)

    def _prepared(
        self, row: Mapping[str, Any], mapped: MappedRow, name: str, stage: str | None, lead_id: str | None
    ) -> Prepared:
        data = mapped.data
        event = data.setdefault("event", {})
        if not isinstance(event, dict):
            raise BadLead(Problem("event", "must be an object"))
        event["name"] = name
        for path in self._others(name):
            _dict(data, *path[:-1]).pop(path[-1], None)
        defaulted = self._fill_defaults(data, self._others(name))
        if name == "lead_disqualified":
            properties = _dict(event, "properties")
            if "disqualification_reason" in properties:
                properties["disqualification_reason"] = self._steering.reason(properties["disqualification_reason"])
        fixed = self._steering.fixed_value(name)
        if fixed is not None:
            event["value"] = fixed
        made: Spelled | None = None
        if event.get("id") is None or event["id"] is False:
            made = self._steering.recipe_id(name, mapped.reserved, row)
            event["id"] = made.now if made is not None else None
        if event.get("id") is None and self._steering.events:
            raise BadLead(Problem("event.id", "is required: map event.id or lead_id"))
        return self._read(name, data, mapped, stage, lead_id, made, defaulted)

    def _read(
        self,
        name: str,
        data: dict[str, Any],
        mapped: MappedRow,
        stage: str | None,
        lead_id: str | None,
        made: Spelled | None,
        defaulted: tuple[str, ...] = (),
    ) -> PreparedEvent:
        given_id = made.before if made else _dict(data, "event").get("id")
        given_user_id = _dict(data, "user").get("id")
        answers, denied = self._read_consent(data) if mapped.consents else (NO_ANSWERS, ())
        if denied and self._rules.on_bad_field == "reject":
            raise BadLead(*denied)
        occurred_at = None
        if "occurred_at" in mapped.reserved:
            try:
                occurred_at = moment(mapped.reserved["occurred_at"], self._rules.timezone)
            except PydanticCustomError as error:
                raise BadLead(Problem("occurred_at", error.message())) from None
        read = read_event(name, data, self._rules)
        user = read.event.user
        event_id = read.event.event.id
        former_id = _former(given_id, event_id)
        former_ids = (
            former_id,
            _former(mapped.reserved.get("lead_id"), lead_id),
            _former(given_user_id, user.id if user else None),
        )
        return PreparedEvent(
            event=read.event,
            body=to_wire(read.event, self._rules.generation, self._environment, self._data_source),
            order_key=lead_id or (user.id if user else None) or event_id,
            lead_id=lead_id,
            occurred_at=occurred_at,
            stage=stage,
            left_out=(*read.left_out, *denied),
            cleaned=read.cleaned,
            doubtful=read.doubtful,
            defaulted=defaulted,
            answers=answers,
            other_emails=read.other_emails,
            former_id=former_id,
            former_ids=tuple(filter(None, former_ids)) if any(former_ids) else (),
        )

    def _reserved_text(self, mapped: MappedRow, name: str) -> str | None:
        if name not in mapped.reserved:
            return None
        try:
            return (identifier if name == "lead_id" else code)(mapped.reserved[name])
        except PydanticCustomError as error:
            raise BadLead(Problem(name, error.message())) from None

    def _others(self, name: str) -> tuple[Path, ...]:
        return OTHERS_FIELDS.get(name, NAMED_PROPERTIES) if self._makes_several else ()

    def _fill_defaults(self, data: dict[str, Any], without: tuple[Path, ...]) -> tuple[str, ...]:
        filled = []
        for path, value in self._defaults.items():
            if path in without:
                continue
            target = data
            for key in path[:-1]:
                target = target.setdefault(key, {})
                if not isinstance(target, dict):
                    break
            else:
                if target.get(path[-1]) is None:
                    target[path[-1]] = value
                    filled.append(".".join(path))
        return tuple(filled)

    def _read_consent(self, data: dict[str, Any]) -> tuple[Answers, tuple[Problem, ...]]:
        """All three answers, as the API wants them once consent is sent. What is not a yes is a no."""
        consent = data.setdefault("consent", {})
        if not isinstance(consent, dict):
            data["consent"] = dict.fromkeys(CONSENTS, False)
            unread = dict.fromkeys(CONSENTS, kind_of(consent))
            return Answers(unread=unread), (Problem("consent", "must be an object; taken as denied"),)
        read: list[str] = []
        unread = {}
        for purpose in CONSENTS:
            given = consent.get(purpose)
            answer = None if given is None else self._consent_map.read(purpose, given)
            consent[purpose] = answer is True
            if answer is not None:
                read.append(purpose)
            elif given is not None:
                unread[purpose] = kind_of(given)
        denied = tuple(Problem(f"consent.{purpose}", NEITHER) for purpose in unread)
        return Answers(frozenset(read), unread), denied


def _former(given: object, now: str | None) -> str | None:
    """An id as it was read before texts were cleaned, if that was another one."""
    return before if now is not None and (before := former(given, now)) != now else None


def _refused_reason(problems: tuple[Problem, ...], data: Mapping[str, Any]) -> str | None:
    """The reason that made a lead invalid, if it is a text."""
    if not any(problem.field == ".".join(REASON) for problem in problems):
        return None
    reason = _dict(data, *REASON[:-1]).get(REASON[-1])
    return reason if isinstance(reason, str) else None


def _dict(data: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """The object under some keys, an empty one where there is none."""
    value: Any = data
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, dict) else {}
