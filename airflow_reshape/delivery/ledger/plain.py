"""What a value of a row is, as a text: the same in every process, and never an error."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_DEEPEST = 40
_LEFT_OUT = "..."


def plain(value: object) -> str:
    """A value as ``repr`` tells it, where that tells what it is; without addresses and without the order of a set.

    What tells nothing of itself is told by its type alone.
    """
    return _plain(value, 0)


def _plain(value: object, depth: int) -> str:
    if depth > _DEEPEST:
        return _LEFT_OUT
    try:
        told = _TOLD.get(type(value))
        return told(value, depth + 1) if told is not None else _of_any(value, depth + 1)
    except Exception:  # noqa: BLE001  # a repr of somebody else's; no value may end a send
        return f"<{_name(value)}>"


def _name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _listed(values: Iterable[object], depth: int) -> list[str]:
    return [_plain(each, depth) for each in values]


def _of_tuple(value: Any, depth: int) -> str:
    return f"({', '.join(_listed(value, depth))}{',' * (len(value) == 1)})"


def _of_dict(value: Any, depth: int) -> str:
    return f"{{{', '.join(f'{_plain(key, depth)}: {_plain(each, depth)}' for key, each in value.items())}}}"


def _of_set(value: Any, depth: int) -> str:
    return f"{type(value).__name__}({{{', '.join(sorted(_listed(value, depth)))}}})"


def _of_int(value: Any, _: int) -> str:
    try:
        return repr(value)
    except ValueError:  # Python writes no more than some thousand digits
        return hex(value)


def _of_any(value: object, depth: int) -> str:
    try:
        told = repr(value)
    except Exception:  # noqa: BLE001  # perhaps its parts can tell
        told = " at 0x0"
    if not _ADDRESS.search(told):
        return told
    for kind, parts in _PARTS.items():
        if isinstance(value, kind):
            return f"{_name(value)}{parts(value, depth)}"
    held = getattr(value, "__dict__", None)
    if held:
        return f"{_name(value)}{_of_dict(held, depth)}"
    return f"<{_name(value)}>" if told == " at 0x0" else _ADDRESS.sub("", told)


# Exactly these types. What is not named is asked for its repr.
_TOLD: dict[type, Callable[[Any, int], str]] = {
    str: lambda value, _: repr(value),
    int: _of_int,
    list: lambda value, depth: f"[{', '.join(_listed(value, depth))}]",
    tuple: _of_tuple,
    dict: _of_dict,
    set: _of_set,
    frozenset: _of_set,
    memoryview: lambda value, _: repr(value.tobytes()),
}
# What is like one of these, and whose own text does not tell.
_PARTS: dict[Any, Callable[[Any, int], str]] = {
    int: lambda value, _: hex(value),
    Mapping: _of_dict,
    Set: _of_set,
    Sequence: _of_tuple,
}
