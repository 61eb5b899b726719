"""The checkpoint as it is stored: positions, digests and counts, below 64 KiB."""

from __future__ import annotations

import base64
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class CheckpointRecord(BaseModel):
    """How far a send came.

    :param settled: rows before the oldest unsettled one.
    :param marks: positions up to there, each with the digest of all rows before it.
    :param read: the last row that the record speaks of.
    :param digest: of all rows up to ``read``.
    :param beyond: a bit for each row after ``settled`` up to ``read``: is it settled? Base64, lowest bit first.
    :param failed: positions of failed rows, each with a digest of its lead.
    :param mended: positions of rows that failed once and were settled later, each with the row's key.
    :param unlisted: failed rows that found no place in ``failed``.
    :param missing: digests of leads that failed, and were not in the source any more when it was read again.
    :param counts: of all tries up to now.
    :param tries: how many.
    """

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    settled: int = Field(ge=0)
    marks: list[tuple[int, str]] = []
    read: int = Field(ge=0)
    digest: str
    beyond: str = ""
    failed: dict[int, str] = {}
    mended: dict[int, str] = {}
    unlisted: int = 0
    missing: list[str] = []
    counts: dict[str, int] = {}
    tries: int = 1

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        """What is damaged is refused here, not in the middle of a send."""
        for digest in (self.digest, *self.failed.values(), *self.mended.values(), *self.missing):
            bytes.fromhex(digest)
        if len(base64.b64decode(self.beyond, validate=True)) != (self.read - self.settled + 7) // 8:
            raise ValueError("a bit for each row")
        return self

    def failures_after(self, position: int) -> set[bytes]:
        """The digests of leads that failed after a position."""
        return {bytes.fromhex(failure) for at, failure in self.failed.items() if at > position}

    def settled_beyond(self) -> set[int]:
        """The settled positions after ``settled``."""
        bits = int.from_bytes(base64.b64decode(self.beyond), "little")
        return {
            position for position in range(self.settled + 1, self.read + 1) if bits >> position - self.settled - 1 & 1
        }

    def up_to(self, position: int) -> CheckpointRecord:
        """The same, of the rows up to one of the marks only."""
        return CheckpointRecord(
            settled=position,
            marks=[mark for mark in self.marks if mark[0] <= position],
            read=position,
            digest=dict(self.marks).get(position, ""),
            failed={at: digest for at, digest in self.failed.items() if at <= position},
            mended={at: digest for at, digest in self.mended.items() if at <= position},
        )
