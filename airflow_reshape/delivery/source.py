"""What a source of chunks may be told and asked besides its rows."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Self


def total_of(chunks: object) -> int | None:
    """How many leads a source will give, where it knows before it is read."""
    total: int | None = getattr(chunks, "total", None)
    return total


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


def waited(chunks: object) -> bool:
    """Tell a source that its reader has to wait, in the reader's thread: it may use the time, a third of a second.

    :returns: whether it could use more of it at once, so that the next wait had better be short.
    """
    use = getattr(chunks, "waited", None)
    return bool(use()) if use is not None else False


class Passing(Iterator[Sequence[object]]):
    """Chunks made of those of another source, which is told of waiting.

    :param chunks: what is given; closing it closes the source.
    :param source: the source.
    """

    def __init__(self, chunks: Generator[Sequence[object], None, None], source: object) -> None:
        self._chunks = chunks
        self._source = source

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Sequence[object]:
        return next(self._chunks)

    def close(self) -> None:
        """End the reading."""
        self._chunks.close()

    def waited(self) -> bool:
        """See :func:`waited`."""
        return waited(self._source)
