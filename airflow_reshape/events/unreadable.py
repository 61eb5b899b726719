"""The mark of a value that cannot be read."""

from __future__ import annotations

from typing import Final


class Unreadable:
    """The type of :data:`UNREADABLE`, which is the same object wherever a row is pickled to."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNREADABLE"

    def __reduce__(self) -> str:
        return "UNREADABLE"


UNREADABLE: Final = Unreadable()
"""Stands for a value that cannot be read: by the database driver, or by us. No field takes it."""
