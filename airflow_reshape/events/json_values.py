"""Values that JSON can write: free maps, lists of objects, objects given as JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from airflow_reshape.events.cleaning import clean, clean_code
from airflow_reshape.events.numbers import number
from airflow_reshape.events.rules import broken
from airflow_reshape.events.text import decoded, encodable, text

DEEPEST_NESTING = 12
BYTE_ORDER_MARK = "\ufeff"


def json_value(value: Any, depth: int = 0) -> Any:
    """Any value that JSON can write, its texts cleaned."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return encodable(clean(value))
    if isinstance(value, (int, float, Decimal)):
        return number(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return number(value.total_seconds())
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, bytes):
        return clean(decoded(value))
    if depth >= DEEPEST_NESTING:
        raise broken("json_depth", "is nested too deeply")
    if isinstance(value, Mapping):
        return {encodable(clean_code(str(k))): json_value(v, depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [json_value(item, depth + 1) for item in value]
    raise broken("json_type", "must be text, a number, true or false, or a list of these")


def property_value(value: Any) -> Any:
    """A value of a free map: text, a number, true or false, or a list of texts, which is all that the pages show."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_listed(item) for item in value if item is not None]
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        raise broken("property_type", "must be text, a number, true or false, or a list of texts")
    return json_value(value)


def _listed(item: object) -> str:
    return str(item).lower() if isinstance(item, bool) else text(item)


def properties(value: object) -> object:
    """A free map, also from JSON text, without the keys that have no value."""
    value = json_object(value)
    if not isinstance(value, Mapping):
        return value
    return {
        encodable(clean_code(key)) if isinstance(key, str) else key: item
        for key, item in value.items()
        if item is not None
    }


def objects(value: object) -> list[Any]:
    """A list of objects, also from JSON text; but for its texts, what is in them stays as it is."""
    value = json_object(value)
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, Mapping) for item in value):
        raise broken("objects", "must be a list of objects")
    return [json_value(item) for item in value]


def opened(value: object) -> object:
    """The list or object that a JSON text holds; any other value, and text that is no JSON, as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def json_object(value: object) -> object:
    """The object that a JSON text holds; anything else as it is."""
    if isinstance(value, bytes):
        value = decoded(value)
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value.lstrip(BYTE_ORDER_MARK))
    except (ValueError, RecursionError):
        raise broken("json_text", "must be an object, or text that holds one as JSON") from None
