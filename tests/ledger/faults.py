"""Commits that fail: what a crash of the sender, or of the ledger's database, looks like to a transaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal
from unittest.mock import patch

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError


class Interrupted(Exception):
    """Nothing after this commit happened."""


class _Deadlock(Exception):
    sqlstate = "40P01"


@dataclass(frozen=True)
class Fault:
    """A commit that goes wrong.

    :param commit: which commit of the call, from 1.
    :param kind: ``before``: rolled back; ``after``: committed, and nobody learns of it; ``deadlock``: rolled back to
        let another transaction pass; ``lost``: committed, but the connection broke before it told so.
    """

    commit: int
    kind: Literal["before", "after", "deadlock", "lost"]


@contextmanager
def failing(engine: Engine, fault: Fault | None) -> Iterator[None]:
    """Let a commit of an engine go wrong for as long as the block lasts.

    :raises Interrupted: the fault struck, and was none that is repeated.
    """
    if fault is None:
        yield
        return
    commit = engine.dialect.do_commit
    commits = count(1)

    def do_commit(connection: Any) -> None:
        if next(commits) != fault.commit:
            commit(connection)
            return
        if fault.kind == "deadlock":
            raise OperationalError("COMMIT", {}, _Deadlock())
        if fault.kind in ("after", "lost"):
            commit(connection)
        if fault.kind == "lost":
            raise OperationalError("COMMIT", {}, Exception("closed"), connection_invalidated=True)
        raise Interrupted

    with patch.object(engine.dialect, "do_commit", do_commit):
        yield
