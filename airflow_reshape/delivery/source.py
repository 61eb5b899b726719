"""The end of a source: it is closed, and what it read and did not give is asked for."""

from __future__ import annotations


def closing_error(chunks: object) -> Exception | None:
    """Close a source that can be closed; what that raised, or None."""
    close = getattr(chunks, "close", None)
    if close is None:
        return None
    try:
        close()
    except Exception as error:  # noqa: BLE001  # told by the caller, if there is nothing worse to tell
        return error
    return None


def left_of(chunks: object) -> list[object]:
    """Rows that a source gathered for a chunk and did not give, where it can tell; once nobody reads any more."""
    left = getattr(chunks, "left", None)
    return list(left()) if left is not None else []
