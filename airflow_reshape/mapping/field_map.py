"""Which column becomes which field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, get_args

from airflow_reshape.events.formats import json_object
from airflow_reshape.events.rules import Problem
from airflow_reshape.mapping.paths import CARRIED, OPEN_MAPS, RESERVED, ROOTS, Path, UnknownPath, resolve
from airflow_reshape.mapping.values import MISSING, plain

UnknownColumns = Literal["error", "ignore", "event.properties", "user.properties"]
INTO_PROPERTIES: dict[str, Path] = {"event.properties": OPEN_MAPS[0], "user.properties": OPEN_MAPS[1]}


class MappingError(ValueError):
    """The configuration of a mapping is wrong; the text says what to write instead."""


@dataclass(frozen=True, slots=True)
class Step:
    """One column's way into the event.

    :param source: column, or keys into a nested row.
    :param target: path of the field; a root such as ``("user",)`` takes a nested object.
    """

    source: Path
    target: Path


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with rows that have one set of columns.

    :param unknown: columns that are no field, with what to write instead.
    :param consents: whether consent is mapped, so that NULL means denied.
    :param clash: two columns for one path, told, or None.
    """

    steps: tuple[Step, ...]
    unknown: tuple[Problem, ...]
    consents: bool
    clash: str | None


@dataclass(slots=True)
class MappedRow:
    """A row taken apart.

    :param data: event fields, nested.
    :param reserved: ``lead_id``, ``stage``, ``previous_stage``, ``occurred_at``, where they have a value.
    :param problems: what makes the row invalid whatever its event.
    """

    data: dict[str, Any]
    reserved: dict[str, Any]
    problems: list[Problem]
    consents: bool


class FieldMap:
    """Maps rows by naming; see the package's documentation, "Map my table".

    :param mapping: target path to source column (dotted: into a nested row), for names that the source
        cannot give itself.
    :param unknown_columns: ``error`` (default), ``ignore``, ``event.properties`` or ``user.properties``.
    :param property_columns: the columns that the last two may take; others are errors.
    :raises MappingError: a path does not exist, two sources are given for one path, or the allow-list is missing.
    """

    def __init__(
        self,
        mapping: Mapping[str, str] | None = None,
        unknown_columns: UnknownColumns = "error",
        property_columns: Sequence[str] = (),
    ) -> None:
        if unknown_columns not in get_args(UnknownColumns):
            raise MappingError(f"unknown_columns must be one of {', '.join(get_args(UnknownColumns))}")
        if unknown_columns in INTO_PROPERTIES and not property_columns:
            raise MappingError(
                f"unknown_columns={unknown_columns!r} needs property_columns, the list of columns to send: "
                "whatever else the source returns must not leave the house"
            )
        self._unknown_columns = unknown_columns
        self._property_columns = {column.lower() for column in property_columns}
        self._mapped: list[Step] = []
        targets: dict[Path, str] = {}
        for target, source in (mapping or {}).items():
            if not isinstance(source, str) or not source:
                raise MappingError(f"mapping[{target!r}] must be a column's name")
            path = known_path(target, "mapping")
            if path in targets:
                raise MappingError(f"mapping: {targets[path]!r} and {target!r} are the same path")
            targets[path] = target
            self._mapped.append(Step((source,), path))
        self._plan = lru_cache(maxsize=256)(self._compiled)

    def check_columns(self, columns: Iterable[str]) -> None:
        """Check the columns of a source that tells them before its rows, as SQL does.

        :raises MappingError: a column is unknown, two make one path, or a mapped source is not there.
        """
        columns = tuple(columns)
        plan = self._plan(columns)
        if plan.clash:
            raise MappingError(plan.clash)
        if plan.unknown:
            raise MappingError("; ".join(f"column {p.field!r} {p.rule}" for p in plan.unknown))
        names = {column.lower() for column in columns}
        for step in self._mapped:
            source = step.source[0]
            if not {source.lower(), source.lower().partition(".")[0]} & names:
                raise MappingError(f"mapping: the source has no column {source!r}; it has {', '.join(columns)}")

    def map_row(self, row: Mapping[str, Any]) -> MappedRow:
        """Take a row apart. Never raises for what a row holds."""
        plan = self._plan(tuple(row))
        mapped = MappedRow({}, {}, list(plan.unknown), plan.consents)
        if plan.clash:
            mapped.problems.append(Problem("columns", plan.clash))
        for step in plan.steps:
            value = plain(_taken(row, step.source))
            if value is not MISSING:
                self._put(mapped, step.target, value)
        return mapped

    def _put(self, mapped: MappedRow, path: Path, value: Any) -> None:
        root = path[0]
        if len(path) == 1:
            if root in RESERVED:
                mapped.reserved[root] = value
            elif root in CARRIED:
                mapped.data[root] = _object_or_text(value)
            else:
                self._put_object(mapped, root, value)
            return
        target = mapped.data.setdefault(root, {})
        if not isinstance(target, dict):
            mapped.problems.append(Problem(".".join(path), "is given twice, by two columns"))
            return
        if path in OPEN_MAPS:
            properties = plain(_object_or_text(value))
            if isinstance(properties, dict):
                for key, item in properties.items():
                    self._put(mapped, (*path, key), item)
            else:
                target["properties"] = properties
            return
        for key in path[1:-1]:
            inner = target.setdefault(key, {})
            if not isinstance(inner, dict):
                mapped.problems.append(Problem(".".join(path[:-1]), "is given twice, by two columns"))
                return
            target = inner
        if path[-1] in target:
            mapped.problems.append(Problem(".".join(path), "is given twice, by two columns"))
        target[path[-1]] = value

    def _put_object(self, mapped: MappedRow, root: str, value: Any) -> None:
        """A nested object, as the API wants it; each of its keys is a field by its own."""
        given = plain(_object_or_text(value))
        if root == "consent":
            mapped.consents = True
        if not isinstance(given, dict):
            if given is not MISSING:
                mapped.data[root] = given  # a list of cookies, or something that the model refuses
            return
        for key, item in given.items():
            path, problem = _nested_path(f"{root}.{key}")
            if path is not None:
                self._put(mapped, path, item)
            elif self._unknown_columns != "ignore":
                mapped.problems.append(Problem(f"{root}.{key}", problem))

    def _compiled(self, columns: tuple[Any, ...]) -> Plan:
        folded = {str(column).lower(): column for column in columns}
        steps: list[Step] = []
        taken: set[str] = set()
        for step in self._mapped:
            source = _source(step.source[0], folded)
            steps.append(Step(source, step.target))
            taken.add(str(source[0]).lower())
        unknown: list[Problem] = []
        for column in columns:
            if str(column).lower() in taken:
                continue
            try:
                steps.append(Step((column,), resolve(str(column))))
            except UnknownPath as error:
                self._place_unknown(column, error, steps, unknown)
        return Plan(
            tuple(steps),
            tuple(unknown),
            any(step.target[0] == "consent" and len(step.target) > 1 for step in steps),
            _clash(steps),
        )

    def _place_unknown(self, column: Any, error: UnknownPath, steps: list[Step], unknown: list[Problem]) -> None:
        if self._unknown_columns == "ignore":
            return
        if str(column).lower() in self._property_columns:
            key = str(column)
            into = INTO_PROPERTIES[self._unknown_columns]
            steps.append(Step((column,), (*into, key.lower() if key.isupper() else key)))
        else:
            unknown.append(Problem(str(column), error.advice))


def known_path(name: str, where: str) -> Path:
    """The path that a name in the configuration means.

    :raises MappingError: there is none; the text names the nearest.
    """
    try:
        return resolve(name)
    except UnknownPath as error:
        raise MappingError(f"{where}: {error}") from None


@lru_cache(maxsize=4096)
def _nested_path(name: str) -> tuple[Path | None, str]:
    try:
        return resolve(name), ""
    except UnknownPath as error:
        return None, error.advice


def _source(source: str, folded: Mapping[str, Any]) -> Path:
    """Where a mapped source stands: a column of that very name, else keys into a nested row."""
    if source.lower() in folded:
        return (folded[source.lower()],)
    first, *rest = source.split(".")
    return (folded.get(first.lower(), first), *rest)


def _taken(row: Mapping[str, Any], source: Path) -> Any:
    value: Any = row.get(source[0])
    for key in source[1:]:
        value = _object_or_text(value)
        if not isinstance(value, Mapping):
            return MISSING
        value = value.get(key)
    return value


def _object_or_text(value: Any) -> Any:
    """An object also from JSON text; text that is no JSON stays for the field's own check."""
    if not isinstance(value, (str, bytes)):
        return value
    try:
        return json_object(value)
    except ValueError:
        return value


def _clash(steps: Sequence[Step]) -> str | None:
    seen: dict[Path, str] = {}
    for step in steps:
        source = ".".join(map(str, step.source))
        if step.target in seen:
            return (
                f"columns {seen[step.target]!r} and {source!r} both make {'.'.join(step.target)}: "
                "rename one or leave it out"
            )
        seen[step.target] = source
    return None


assert set(RESERVED).isdisjoint(ROOTS)
