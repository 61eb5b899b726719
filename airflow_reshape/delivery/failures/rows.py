"""Rows as JSON that tells the types: what is decoded makes the same event as what was encoded.

JSON has no dates, decimals or bytes, and whether a time is text or a datetime matters to who reads it. Such values are
written as ``{"$": type, "v": text}``. Values of other libraries are written as the plain values that the mapping makes
of them; what it cannot read either is kept as its text, marked, and stays unreadable. ``UNREADABLE`` stays itself.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from airflow_reshape.events.models import BaseEvent, Event, model_for
from airflow_reshape.events.rules import Reading, Rules
from airflow_reshape.events.unreadable import UNREADABLE

Plain = Callable[[object], Any]
"""Makes plain Python values of whatever a row holds; never raises."""

TAG: Final = "$"
# Deeper than the mapping reads, so that what is too deep for it still is after decoding.
DEEPEST_NESTING = 40
# Keys of a row or of an object in it that can be left out when they alone are too deep; a mapping may name the others.
CUT_ABOVE = 2
LONGEST_TEXT = 100_000
DIGITS_IN_JSON = 300  # Python refuses to write or read a number of thousands of digits


class _TooDeep(Exception):
    """A value holds itself, or might as well."""


@dataclass(frozen=True, slots=True, eq=False)
class Unreadable:
    """Stands for a value that could not be kept as it was. No field takes it.

    :param type: its class.
    :param text: its ``repr``.
    """

    type: str
    text: str = ""

    def __repr__(self) -> str:
        return f"<unreadable {self.type}>"


def encoded_row(row: object, plain: Plain) -> Any:
    """A row as JSON can hold it. Never raises.

    :param row: a mapping, an event, or whatever came instead.
    :param plain: makes plain values of other libraries' values.
    """
    try:
        if isinstance(row, BaseEvent):
            return {TAG: "event", "v": _encoded(row.model_dump(exclude_none=True), plain, 0)}
        return _encoded(row, plain, -1)  # the mapping counts from a row's values
    except Exception:  # noqa: BLE001  # whatever the code of somebody's class raises
        return _unreadable(row)


def decoded_row(content: Any) -> object:
    """The row again, as a new object."""
    row = _decoded(content)
    return row if isinstance(row, (dict, BaseEvent, Unreadable)) else Unreadable(type(row).__name__, repr(row))


def row_text(content: Any) -> str:
    """An encoded row as one line of ASCII; half characters of a broken export pass."""
    return json.dumps(content, ensure_ascii=True, separators=(",", ":"))


def holds_unreadable(content: Any) -> bool:
    """Whether a value of an encoded row is kept as text only, or could not be read in the first place."""
    if isinstance(content, list):
        return any(map(holds_unreadable, content))
    if not isinstance(content, dict):
        return False
    return content.get(TAG) in ("unreadable", "unread", "deep") or any(map(holds_unreadable, content.values()))


def _encoded(value: object, plain: Plain, depth: int) -> Any:
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if value is UNREADABLE:
        return {TAG: "unread"}
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        return _container(value, plain, depth)
    write = _WRITERS.get(kind)
    if write is not None:
        return write(value)
    if isinstance(value, Mapping):
        return _container(dict(value), plain, depth)
    if isinstance(value, datetime) and getattr(value, "nanosecond", False):
        return value.isoformat()  # only text has room for them
    made = plain(value)
    if made is None or type(made) in _READ_BY_MAPPING:
        return _encoded(made, plain, depth)
    if isinstance(made, datetime):
        return _tagged("datetime", datetime.isoformat(made))
    if isinstance(made, timedelta):
        return _duration(made)
    return _unreadable(value)


def _container(value: Any, plain: Plain, depth: int) -> Any:
    if depth >= DEEPEST_NESTING:
        raise _TooDeep
    if isinstance(value, dict):
        pairs = [(key, _entry(item, plain, depth + 1)) for key, item in value.items()]
        if all(type(key) is str for key, _ in pairs) and TAG not in value:
            return dict(pairs)
        return _tagged("map", [[_key(key, plain), item] for key, item in pairs])
    items = [_encoded(item, plain, depth + 1) for item in value]
    if isinstance(value, list):
        return items
    if isinstance(value, tuple):
        return _tagged("tuple", items)
    # A set has another order in each process; the same row is known by the same text.
    return _tagged("set", sorted(items, key=row_text))


def _entry(item: object, plain: Plain, depth: int) -> Any:
    try:
        return _encoded(item, plain, depth)
    except _TooDeep:
        if depth > CUT_ABOVE:
            raise
        return {**_unreadable(item), TAG: "deep"}
    except Exception:  # noqa: BLE001  # its neighbours can be kept
        return _unreadable(item)


def _key(key: object, plain: Plain) -> Any:
    try:
        return _encoded(key, plain, DEEPEST_NESTING - 5)
    except Exception:  # noqa: BLE001  # as above
        return _unreadable(key)


def _tagged(kind: str, value: Any) -> dict[str, Any]:
    return {TAG: kind, "v": value}


def _unreadable(value: object) -> dict[str, Any]:
    kind = type(value)
    try:
        text = repr(value)[:LONGEST_TEXT]
    except Exception:  # noqa: BLE001  # as above
        text = ""
    return {TAG: "unreadable", "type": f"{kind.__module__}.{kind.__qualname__}", "v": text}


def _duration(value: timedelta) -> dict[str, Any]:
    return _tagged("timedelta", [value.days, value.seconds, value.microseconds])


def _moment(value: datetime) -> dict[str, Any]:
    value.utcoffset()  # raises where a zone cannot tell
    written = _tagged("datetime", value.isoformat())
    # Of an hour that happens twice: a time with a zone says which by its offset, one without by this.
    return {**written, "fold": 1} if value.fold and value.tzinfo is None else written


def _whole(value: int) -> Any:
    return value if abs(value) < 10**DIGITS_IN_JSON else _tagged("int", hex(value))


# By exact type: subclasses may say anything of themselves, and are read as the mapping reads them.
_WRITERS: dict[type, Callable[[Any], Any]] = {
    int: _whole,
    float: lambda value: value if math.isfinite(value) else _tagged("float", str(value)),
    Decimal: lambda value: _tagged("decimal", str(value)),
    datetime: _moment,
    date: lambda value: _tagged("date", value.isoformat()),
    time: lambda value: _tagged("time", value.isoformat()),
    timedelta: _duration,
    UUID: lambda value: _tagged("uuid", str(value)),
    bytes: lambda value: _tagged("bytes", base64.b64encode(value).decode()),
}
_READ_BY_MAPPING = frozenset({str, bool, dict, list, *_WRITERS})


def _decoded(content: Any) -> Any:
    if isinstance(content, list):
        return [_decoded(item) for item in content]
    if not isinstance(content, dict):
        return content
    if TAG not in content:
        return {key: _decoded(item) for key, item in content.items()}
    return _READERS[content[TAG]](content)


def _read_moment(content: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(content["v"]).replace(fold=content.get("fold", 0))


def _read_set(content: dict[str, Any]) -> Any:
    items = [_decoded(item) for item in content["v"]]
    try:
        made = frozenset(items)
    except TypeError:  # an enum's member was hashable, its value is not
        return sorted(items, key=repr)
    return made if len(made) == len(items) else sorted(items, key=repr)


def _read_event(content: dict[str, Any]) -> object:
    data = _decoded(content["v"])
    try:
        name = data["event"]["name"]
        model = Event if {"products", "shipping", "payments", "coupons"} & data.keys() else model_for(name)
        # What a send allows is its own business: it reads the event again.
        anything = Reading(Rules("webhooks", require_reason=False, allow_other_reasons=True))
        return model.model_validate(data, context=anything)
    except Exception:  # noqa: BLE001  # an event of somebody's own class; its parts are those of a row
        return data


def _endless(_: dict[str, Any]) -> list[Any]:
    nested: list[Any] = []
    for _level in range(DEEPEST_NESTING):
        nested = [nested]
    return nested


_READERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "int": lambda content: int(content["v"], 16),
    "float": lambda content: float(content["v"]),
    "decimal": lambda content: Decimal(content["v"]),
    "datetime": _read_moment,
    "date": lambda content: date.fromisoformat(content["v"]),
    "time": lambda content: time.fromisoformat(content["v"]),
    "timedelta": lambda content: timedelta(*content["v"]),
    "uuid": lambda content: UUID(content["v"]),
    "bytes": lambda content: base64.b64decode(content["v"]),
    "tuple": lambda content: tuple(_decoded(item) for item in content["v"]),
    "set": _read_set,
    "map": lambda content: {_decoded(key): _decoded(item) for key, item in content["v"]},
    "event": _read_event,
    "unreadable": lambda content: Unreadable(content["type"], content["v"]),
    "unread": lambda _: UNREADABLE,
    "deep": _endless,
}
