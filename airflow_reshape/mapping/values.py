"""What database drivers and CRM clients return, as plain Python values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

from pydantic import BaseModel

from airflow_reshape.events.unreadable import UNREADABLE, Unreadable

__all__ = ["MISSING", "UNREADABLE", "plain"]

MISSING: Final = None
DEEPEST_NESTING = 32


class _TooDeep(Exception):
    """A value holds itself, or might as well."""


def plain(value: object, depth: int = 0) -> Any:
    """A plain value, None where there is none, :data:`UNREADABLE` for what is neither. Never raises.

    None, NaN, NaT, ``pandas.NA``, empty and blank text count as missing, also inside lists and dicts. Infinity
    stays: it is a wrong value, not a missing one. numpy and pandas scalars become Python's, buffers become bytes.

    :param value: anything that a driver, a client library or JSON gives.
    """
    kind = type(value)
    if kind is str:
        return value if value and not value.isspace() else MISSING  # type: ignore[attr-defined]
    if value is None or kind is int or kind is bool or kind is Unreadable:
        return value
    try:
        return _converted(value, depth)
    except _TooDeep:
        if depth:
            raise
        return UNREADABLE
    except Exception:  # noqa: BLE001  # whatever the code of somebody's class raises
        return UNREADABLE


LARGEST_SHORT_INTEGER = 2**24


def short_float(value: Any) -> Any:
    """A float of 32 or 16 bits as it is written: 19.99 would become 19.989999771118164.

    :returns: :data:`UNREADABLE` for a whole number beyond 2**24: its last digits are gone, and it may be an id.
    """
    read = float(str(value))
    return UNREADABLE if read.is_integer() and abs(read) > LARGEST_SHORT_INTEGER else read


def _converted(value: object, depth: int) -> Any:
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        return _container(value, depth)
    for kinds, read in _SCALARS:
        if isinstance(value, kinds):
            return read(value)
    if isinstance(value, Enum):
        return plain(value.value, depth)
    if isinstance(value, Mapping):
        return _container(value, depth)
    if isinstance(value, BaseModel):
        return _container(value.model_dump(exclude_none=True), depth)
    return _foreign(value, depth)


def _datetime(value: datetime) -> datetime | None:
    if value != value:  # NaT calls itself a datetime and equals nothing
        return MISSING
    value.utcoffset()  # raises where a zone cannot tell
    return value


def _buffer(value: bytes) -> bytes | None:
    blank = not value or value.decode(errors="replace").isspace()
    return MISSING if blank else value


# Subclasses, an enum's members among them, may say anything else of themselves: hence the bare types' own methods.
_SCALARS: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (str, lambda value: plain(str.__str__(value))),
    (int, int.__int__),
    (float, lambda value: float.__float__(value) if value == value else MISSING),
    (Decimal, lambda value: MISSING if value.is_nan() else value),
    (datetime, _datetime),
    ((date, time, timedelta, UUID), lambda value: value),
    ((bytes, bytearray, memoryview), lambda value: _buffer(bytes(value))),
)


def _container(value: Any, depth: int) -> Any:
    if depth >= DEEPEST_NESTING:
        raise _TooDeep
    if isinstance(value, Mapping):
        pairs = ((_key(key), plain(item, depth + 1)) for key, item in value.items())
        return {key: item for key, item in pairs if item is not MISSING}
    items = [item for item in (plain(item, depth + 1) for item in value) if item is not MISSING]
    # A set has another order in each process; the same lead makes the same event.
    return sorted(items, key=repr) if isinstance(value, (set, frozenset)) else items


def _key(key: object) -> str:
    told = key if type(key) is str else str.__str__(key) if isinstance(key, str) else str(key)
    return told if told.isascii() else told.encode("utf-8", "replace").decode()


def _foreign(value: Any, depth: int) -> Any:
    """Values of libraries that need not be installed, known by their shape."""
    kind = type(value)
    if kind.__name__ in ("NAType", "NaTType", "MaskedConstant"):
        return MISSING
    module = kind.__module__.partition(".")[0]
    if module == "ipaddress":
        return str(value)
    if module not in ("numpy", "pandas"):
        return UNREADABLE
    if kind.__name__ in ("datetime64", "timedelta64"):
        value = value.astype(f"{kind.__name__}[us]")  # .item() of nanoseconds is a bare integer
    if kind.__name__ in ("float32", "float16"):
        return plain(short_float(value), depth)
    if not getattr(value, "ndim", 0) and hasattr(value, "item"):
        unwrapped = value.item()
        return plain(float(value) if type(unwrapped) is kind else unwrapped, depth)
    short = str(getattr(value, "dtype", "")).lower() in ("float32", "float16")
    return plain(list(value) if short else value.tolist(), depth)
