"""What database drivers and CRM clients return, as plain Python values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final

MISSING: Final = None
DEEPEST_NESTING = 12


def plain(value: object, depth: int = 0) -> Any:
    """A plain value, or None where there is none.

    None, NaN, NaT, ``pandas.NA``, empty and blank text count as missing, also inside lists and dicts. Infinity
    stays: it is a wrong value, not a missing one. numpy and pandas scalars become Python's, buffers become bytes.

    :param value: anything that a driver, a client library or JSON gives.
    """
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, str):
        return value if value and not value.isspace() else MISSING
    if isinstance(value, float):
        return float(value) if value == value else MISSING
    if isinstance(value, Decimal):
        return MISSING if value.is_nan() else value
    if isinstance(value, (datetime, date)):
        return value if value == value else MISSING  # NaT calls itself a datetime and equals nothing
    if isinstance(value, (memoryview, bytearray)):
        value = bytes(value)
    if isinstance(value, bytes):
        return value or MISSING
    if isinstance(value, Enum):
        return plain(value.value, depth)
    if depth >= DEEPEST_NESTING:
        return value  # the field's own check refuses it
    if isinstance(value, Mapping):
        pairs = ((str(key), plain(item, depth + 1)) for key, item in value.items())
        return {key: item for key, item in pairs if item is not MISSING}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [item for item in (plain(item, depth + 1) for item in value) if item is not MISSING]
    return _foreign(value, depth)


def _foreign(value: Any, depth: int) -> Any:
    """numpy and pandas values, known by their shape so that neither has to be installed."""
    kind = type(value)
    if kind.__name__ in ("NAType", "NaTType"):
        return MISSING
    if not kind.__module__.startswith(("numpy", "pandas")):
        return value
    if kind.__name__ == "datetime64":
        value = value.astype("datetime64[us]")  # .item() of nanoseconds is a bare integer
    for unwrap in ("item", "tolist"):
        if getattr(value, "ndim", 0) and unwrap == "item":
            continue
        if hasattr(value, unwrap):
            unwrapped = getattr(value, unwrap)()
            return value if type(unwrapped) is kind else plain(unwrapped, depth + 1)
    return value
