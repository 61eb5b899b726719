"""Which column becomes which field."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal, get_args

from airflow_reshape.events.json_values import json_object
from airflow_reshape.events.rules import Problem, shown
from airflow_reshape.events.web import cookies
from airflow_reshape.mapping.paths import CARRIED, OPEN_MAPS, RESERVED, ROOTS, Path, UnknownPath, resolve
from airflow_reshape.mapping.values import MISSING, UNREADABLE, plain

UnknownColumns = Literal["error", "ignore", "event.properties", "user.properties"]
INTO_PROPERTIES: dict[str, Path] = {"event.properties": OPEN_MAPS[0], "user.properties": OPEN_MAPS[1]}


class MappingError(ValueError):
    """The configuration of a mapping is wrong; the text says what to write instead."""


@dataclass(frozen=True, slots=True)
class Step:
    """One column's way into the event.

    :param source: column, or keys into a nested row.
    :param target: path of the field; a root such as ``("user",)`` takes a nested object.
    :param elsewhere: keys of that object, in lower case, that ``mapping`` sends elsewhere.
    """

    source: Path
    target: Path
    elsewhere: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with rows that have one set of columns.

    :param unknown: columns that are no field, with what to write instead.
    :param consents: whether consent is mapped, so that NULL means denied.
    :param clashes: paths that two columns make, told.
    :param mapped: paths that ``mapping`` gives a source that is there: nothing else makes them.
    """

    steps: tuple[Step, ...]
    unknown: tuple[Problem, ...]
    consents: bool
    clashes: Mapping[Path, str]
    mapped: frozenset[Path]


@dataclass(slots=True)
class MappedRow:
    """A row taken apart. Its ``repr`` shows no value.

    :param data: event fields, nested.
    :param reserved: ``lead_id``, ``stage``, ``previous_stage``, ``occurred_at``, where they have a value.
    :param problems: what makes the row invalid whatever its event.
    :param mapped: see :class:`Plan`.
    :param disputed: paths with more than one value, so that nobody knows which holds.
    :param unreadable: paths whose value cannot be read, by the database driver or by us.
    """

    data: dict[str, Any] = field(repr=False)
    reserved: dict[str, Any] = field(repr=False)
    problems: list[Problem]
    consents: bool
    mapped: frozenset[Path] = frozenset()
    disputed: set[Path] = field(default_factory=set)
    unreadable: list[Path] = field(default_factory=list)


class FieldMap:
    """Maps rows by naming; see the package's documentation, "Map my table".

    :param mapping: target path to source column (dotted: into a nested row), for names that the source
        cannot give itself.
    :param unknown_columns: ``error`` (default), ``ignore``, ``event.properties`` or ``user.properties``.
    :param property_columns: the columns that the last two may take; others are errors.
    :param used_columns: columns that are no field and no error either, because ``event_id`` is made of them.
    :raises MappingError: a path does not exist, two sources are given for one path, or the allow-list is missing
        or without use.
    """

    def __init__(
        self,
        mapping: Mapping[str, str] | None = None,
        unknown_columns: UnknownColumns = "error",
        property_columns: Sequence[str] = (),
        used_columns: Iterable[str] = (),
    ) -> None:
        if unknown_columns not in get_args(UnknownColumns):
            raise MappingError(f"unknown_columns must be one of {', '.join(get_args(UnknownColumns))}")
        if unknown_columns in INTO_PROPERTIES and not property_columns:
            raise MappingError(
                f"unknown_columns={unknown_columns!r} needs property_columns, the list of columns to send: "
                "whatever else the source returns must not leave the house"
            )
        if isinstance(property_columns, str) or (property_columns and unknown_columns not in INTO_PROPERTIES):
            raise MappingError(
                "property_columns must be a list of columns, and needs unknown_columns="
                f"{' or '.join(map(repr, INTO_PROPERTIES))}"
            )
        self._unknown_columns = unknown_columns
        self._property_columns = {column.lower() for column in property_columns}
        self._used_columns = {column.lower() for column in used_columns}
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
        self._consents = any(step.target[0] == "consent" for step in self._mapped)
        self._plan = lru_cache(maxsize=256)(self._compiled)

    def check_columns(self, columns: Iterable[str]) -> None:
        """Check the columns of a source that tells them before its rows, as SQL does.

        :raises MappingError: a column is unknown, two make one path, or a mapped source is not there.
        """
        columns = tuple(columns)
        plan = self._plan(columns)
        if plan.clashes:
            raise MappingError("; ".join(plan.clashes.values()))
        if plan.unknown:
            raise MappingError("; ".join(f"column {p.field!r} {p.rule}" for p in plan.unknown))
        names = {column.lower() for column in columns}
        for step in self._mapped:
            source = step.source[0]
            if not {source.lower(), source.lower().partition(".")[0]} & names:
                raise MappingError(f"mapping: the source has no column {source!r}; it has {', '.join(columns)}")

    def maps_consent(self, columns: Iterable[str]) -> bool:
        """Whether a source with these columns says anything about consent."""
        return any(step.target[0] == "consent" for step in self._plan(tuple(columns)).steps)

    def map_row(self, row: Mapping[str, Any]) -> MappedRow:
        """Take a row apart. Never raises for what a row holds."""
        plan = self._plan(tuple(row))
        mapped = MappedRow({}, {}, list(plan.unknown), plan.consents, plan.mapped)
        mapped.problems += (Problem("columns", told) for told in plan.clashes.values())
        first: dict[Path, Any] = {}
        opened: dict[str, Any] = {}
        for step in plan.steps:
            value = plain(row[step.source[0]] if len(step.source) == 1 else _taken(row, step.source, opened))
            if value is MISSING:
                continue
            if step.elsewhere and isinstance(value := _object_or_text(value), dict):
                value = {key: item for key, item in value.items() if key.lower() not in step.elsewhere}
            if step.target not in plan.clashes:
                self._put(mapped, step.target, value)
            elif step.target not in first:
                first[step.target] = value
                self._put(mapped, step.target, value)
            elif first[step.target] != value:
                mapped.disputed.add(step.target)
        return mapped

    def _put(self, mapped: MappedRow, path: Path, value: Any) -> None:
        root = path[0]
        if value is UNREADABLE or (type(value) is list and any(item is UNREADABLE for item in value)):
            mapped.unreadable.append(path)
        if root in RESERVED:
            if value is not False:  # how Odoo writes an empty field
                mapped.reserved[root] = value
        elif root in CARRIED:
            mapped.data[root] = _object_or_text(value)
        elif len(path) == 1:
            self._put_object(mapped, root, value)
        elif path in OPEN_MAPS:
            self._put_properties(mapped, path, value)
        else:
            _place(mapped, path, value)

    def _put_inside(self, mapped: MappedRow, path: Path, value: Any) -> None:
        """Put what stands in an object, unless ``mapping`` takes it from elsewhere."""
        if path not in mapped.mapped:
            self._put(mapped, path, value)

    def _put_properties(self, mapped: MappedRow, path: Path, value: Any) -> None:
        given = _object_or_text(value)
        if isinstance(given, dict):
            for key, item in given.items():
                self._put_inside(mapped, _nested_path(f"{path[0]}.{path[1]}.{key}")[0] or (*path, key), item)
        elif given is not MISSING:
            _place(mapped, path, given)  # the model refuses it

    def _put_object(self, mapped: MappedRow, root: str, value: Any) -> None:
        """A nested object, as the API wants it; each of its keys is a field by its own."""
        given = _object_or_text(value)
        if root == "cookies" and isinstance(given, list):
            given = _cookies_or_list(given)
        if not isinstance(given, dict):
            if given is not MISSING:
                _place(mapped, (root,), given)  # the model refuses it
            return
        for key, item in given.items():
            path, problem = _nested_path(f"{root}.{key}")
            if path is not None:
                self._put_inside(mapped, path, item)
            elif self._unknown_columns != "ignore" and root != "cookies":  # a cookie without a name is none
                mapped.problems.append(Problem(f"{root}.{shown(key)}", problem))

    def _compiled(self, columns: tuple[Any, ...]) -> Plan:
        folded = {_named(column).lower(): column for column in columns}
        steps: list[Step] = []
        taken: set[Any] = set()
        inside: dict[Any, set[str]] = defaultdict(set)
        for step in self._mapped:
            source = _source(step.source[0], folded)
            if source is None:
                continue
            steps.append(Step(source, step.target))
            taken.add(source[0])
            if len(source) > 1:
                inside[source[0]].add(source[1].lower())
        mapped = frozenset(step.target for step in steps)
        named: list[Step] = []
        unknown: list[Problem] = []
        for column in columns:
            # An object that a mapping takes one key of is still the lead's user, event…
            root = (_named(column).lower(),)
            if column in inside and root[0] in ROOTS and root not in mapped:
                steps.append(Step((column,), root, frozenset(inside[column])))
            elif column not in taken:
                self._place(column, named, unknown)
        steps += (step for step in named if step.target not in mapped)
        return Plan(
            tuple(steps),
            tuple(unknown),
            self._consents or any(step.target[0] == "consent" for step in steps),
            _clashes(steps),
            mapped,
        )

    def _place(self, column: Any, steps: list[Step], unknown: list[Problem]) -> None:
        try:
            steps.append(Step((column,), resolve(_named(column))))
        except UnknownPath as error:
            self._place_unknown(column, error, steps, unknown)

    def _place_unknown(self, column: Any, error: UnknownPath, steps: list[Step], unknown: list[Problem]) -> None:
        if self._unknown_columns == "ignore":
            return
        if (key := _named(column)).lower() in self._property_columns:
            into = INTO_PROPERTIES[self._unknown_columns]
            steps.append(Step((column,), (*into, key.lower() if key.isupper() else key)))
        elif key.lower() not in self._used_columns:
            unknown.append(Problem(shown(column), error.advice))


def known_path(name: str, where: str) -> Path:
    """The path that a name in the configuration means.

    :raises MappingError: there is none; the text names the nearest.
    """
    try:
        return resolve(name)
    except UnknownPath as error:
        raise MappingError(f"{where}: {error}") from None


def _named(column: object) -> str:
    return column if isinstance(column, str) else shown(column)


@lru_cache(maxsize=4096)
def _nested_path(name: str) -> tuple[Path | None, str]:
    try:
        return resolve(name), ""
    except UnknownPath as error:
        return None, error.advice


def _source(source: str, folded: Mapping[str, Any]) -> Path | None:
    """Where a mapped source stands: a column of that very name, else keys into a nested row; None if nowhere."""
    if source.lower() in folded:
        return (folded[source.lower()],)
    first, *rest = source.split(".")
    return (folded[first.lower()], *rest) if rest and first.lower() in folded else None


def _taken(row: Mapping[str, Any], source: Path, opened: dict[str, Any]) -> Any:
    """A value out of a nested row.

    :param opened: columns whose JSON text was read already for this row.
    """
    column = source[0]
    if column not in opened:
        opened[column] = _opened(row[column])
    value = opened[column]
    for key in source[1:]:
        value = _opened(value)
        if not isinstance(value, dict):
            return MISSING
        value = value[key] if key in value else _regardless_of_case(value, key)
    return value


def _opened(value: Any) -> Any:
    # A dict is not made plain as a whole: one of its many values is wanted.
    return value if type(value) is dict else _object_or_text(plain(value))


def _regardless_of_case(nested: dict[Any, Any], key: str) -> Any:
    folded = key.lower()
    return next((item for name, item in nested.items() if isinstance(name, str) and name.lower() == folded), MISSING)


def _object_or_text(value: Any) -> Any:
    """An object also from JSON text; text that is no JSON stays for the field's own check."""
    if not isinstance(value, (str, bytes)):
        return value
    try:
        return plain(json_object(value))
    except ValueError:
        return value


def _cookies_or_list(given: list[Any]) -> object:
    try:
        return cookies(given)
    except ValueError:
        return given


def _place(mapped: MappedRow, path: Path, value: Any) -> None:
    """Write a value under a path; a second one for the same path makes the row invalid."""
    target = mapped.data
    for key in path[:-1]:
        target = target.setdefault(key, {})
        if not isinstance(target, dict):
            break
    if not isinstance(target, dict) or path[-1] in target:
        mapped.problems.append(Problem(".".join(map(shown, path)), "is given twice, by two columns"))
        mapped.disputed.add(path)
    else:
        target[path[-1]] = value


def _clashes(steps: Sequence[Step]) -> dict[Path, str]:
    sources: defaultdict[Path, list[str]] = defaultdict(list)
    for step in steps:
        sources[step.target].append(".".join(map(shown, step.source)))
    return {path: _clash(given, ".".join(map(shown, path))) for path, given in sources.items() if len(given) > 1}


def _clash(sources: Sequence[str], path: str) -> str:
    return f"columns {sources[0]!r} and {sources[1]!r} both make {path}: rename one or leave it out"


assert set(RESERVED).isdisjoint(ROOTS)
