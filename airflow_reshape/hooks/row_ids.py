"""The ids in a row by which its person may have asked to be forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from uuid import UUID

from airflow_reshape.events.models import BaseEvent
from airflow_reshape.mapping.field_map import FieldMap


def mapped_ids(field_map: FieldMap, row: object) -> set[str]:
    """The ids of lead, event and person in a row, whatever its columns are called."""
    if isinstance(row, BaseEvent):
        return _told(row.event.id, row.user.id if row.user else None)
    if not isinstance(row, Mapping):
        return set()
    mapped = field_map.map_row(dict(row))
    parts = [mapped.data.get(part) for part in ("event", "user")]
    return _told(mapped.reserved.get("lead_id"), *(part.get("id") for part in parts if isinstance(part, dict)))


def likely_ids(field_map: FieldMap, row: object) -> set[str]:
    """The ids of a row that makes no event, perhaps because its columns are called what nobody expects.

    :returns: what the mapping finds; if that is nothing, the values of all columns whose name ends in ``id``. Nothing
        if the row cannot be read.
    """
    try:
        return mapped_ids(field_map, row) or _told(*_of_columns_named_id(row))
    except Exception:  # noqa: BLE001  # whatever the code of somebody's class raises
        return set()


def _of_columns_named_id(row: object) -> Iterator[object]:
    if isinstance(row, Mapping):
        for column, value in row.items():
            if isinstance(column, str) and column.lower().endswith("id"):
                yield value


def _told(*found: object) -> set[str]:
    return {told for one in found if isinstance(one, (str, int, UUID)) and (told := str(one).strip())}
