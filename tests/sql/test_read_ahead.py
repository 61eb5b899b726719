"""Reading ahead changes when rows are read, never which ones are given, nor their order."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_reshape.transfers.read_ahead import PATIENCE_SECONDS, SLICE_SECONDS, ReadAhead
from airflow_reshape.transfers.spool import Spool
from airflow_reshape.transfers.sql_errors import SqlRefused, SqlSourceLost
from tests.sql.open_files import NamelessFiles, contents
from tests.sql.test_spool import disk_of

pytestmark = pytest.mark.timeout(60)
Chunk = list[dict[str, Any]]


@dataclass
class Source:
    """A query's chunks on a clock of their own, each of which takes a while to read.

    :param count: of chunks.
    :param seconds: to read one.
    :param error: raised after the last one.
    """

    count: int
    seconds: float = 0.01
    error: Exception | None = None
    now: float = 100.0
    read: int = 0
    closed_at: float | None = None
    spools: list[Spool] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def chunk(self, number: int) -> Chunk:
        return [{"lead_id": 10 * number + row, "email": f"lead-{number}@example.com"} for row in range(3)]

    def chunks(self) -> Generator[Chunk, None, None]:
        try:
            for number in range(self.count):
                self.now += self.seconds
                self.read += 1
                yield self.chunk(number)
            if self.error is not None:
                raise self.error
        finally:
            self.closed_at = self.now

    def read_ahead(self, most_bytes: int = 1 << 20, **options: Any) -> ReadAhead:
        def new_spool() -> Spool:
            self.spools.append(Spool(most_bytes))
            return self.spools[-1]

        return ReadAhead(self.chunks(), clock=self.clock, new_spool=new_spool, **options)

    def everything(self) -> list[Chunk]:
        return [self.chunk(number) for number in range(self.count)]


def wait_for(source: Source, rows: ReadAhead, seconds: float, step: float = 0.5) -> None:
    """Wait as the engine does: for half a second, and shorter where there is more to read ahead."""
    until = source.now + seconds
    while source.now < until:
        source.now += step
        step = 0.001 if rows.waited() else 0.5


# Any order of waiting and reading

moves = st.lists(st.tuples(st.sampled_from(["next", "wait"]), st.floats(0, 20)), max_size=60)


@given(
    moves=moves,
    count=st.integers(0, 12),
    seconds=st.floats(0.001, 1),
    patience=st.floats(0, 15),
    most_bytes=st.sampled_from([0, 300, 1_000, 1 << 20]),
    error=st.sampled_from([None, SqlSourceLost("gone"), SqlRefused("unreadable")]),
)
def test_the_same_chunks_in_the_same_order(
    moves: list[tuple[str, float]],
    count: int,
    seconds: float,
    patience: float,
    most_bytes: int,
    error: Exception | None,
) -> None:
    source = Source(count, seconds, error)
    rows = source.read_ahead(most_bytes, patience=patience)
    given: list[object] = []
    end: BaseException | None = None
    remaining = iter([*moves, *[("next", 0.0)] * (count + 1)])
    while end is None:
        move, passes = next(remaining)
        source.now += passes
        if move == "wait":
            rows.waited()
            continue
        try:
            given.append(next(rows))
        except (StopIteration, SqlSourceLost, SqlRefused) as ended:
            end = ended
    assert given == source.everything()
    assert type(end) is type(error) if error else type(end) is StopIteration
    assert source.closed_at is not None
    with pytest.raises(StopIteration):
        next(rows)
    rows.close()
    assert all(spool.is_empty for spool in source.spools)


# When

SLOW = PATIENCE_SECONDS + 1


def test_the_source_is_open_for_its_reading_and_the_patience() -> None:
    source = Source(count=200, seconds=0.05)
    rows = source.read_ahead()
    first_read = source.now
    given = []
    for chunk in rows:
        given.append(chunk)
        wait_for(source, rows, 30.0)  # an hour and a half for all
    assert source.now - first_read > 5_000
    reading = 200 * 0.05
    assert source.closed_at is not None
    assert source.closed_at - first_read < PATIENCE_SECONDS + 1.1 * reading + 2 * 0.5
    assert given == source.everything()


def test_so_it_is_when_no_single_wait_is_long() -> None:
    """The engine has a place for each chunk before it would ask the source to read ahead."""
    source = Source(count=500, seconds=0.05)
    rows = source.read_ahead()
    first_read = source.now
    given = []
    for chunk in rows:
        given.append(chunk)
        source.now += 0.4
    assert source.now - first_read > 200
    reading = 500 * 0.05
    assert source.closed_at is not None
    assert source.closed_at - first_read < PATIENCE_SECONDS + 3 * reading
    assert given == source.everything()


def test_a_short_send_never_touches_the_disk() -> None:
    source = Source(count=19)
    rows = source.read_ahead()
    for _ in rows:
        wait_for(source, rows, 0.5)
    assert source.spools == []
    assert source.now - 100 > PATIENCE_SECONDS - 1  # one more wait would have been one too many


def test_it_reads_for_a_bounded_time_at_once() -> None:
    source = Source(count=1_000, seconds=0.1)
    rows = source.read_ahead()
    next(rows)
    source.now += SLOW
    before = source.now
    assert rows.waited()
    assert source.now - before < SLICE_SECONDS + 2 * source.seconds
    source.now += 0.02
    before = source.now
    assert next(rows) == source.chunk(1)
    assert source.now - before <= source.seconds  # for as long as the reader was kept, at most one chunk more


def test_the_end_is_told_once_and_names_nobody(caplog: pytest.LogCaptureFixture) -> None:
    source = Source(count=10)
    rows = source.read_ahead()
    next(rows)
    with caplog.at_level(logging.DEBUG):
        wait_for(source, rows, SLOW)
        assert list(rows) == source.everything()[1:]
    (told,) = caplog.records
    assert told.getMessage() == (
        "The sender is slower than the database: 27 rows were read ahead into an encrypted temporary file, "
        "and the cursor is closed"
    )


# What goes wrong


def test_an_error_of_the_source_comes_after_what_was_read_before() -> None:
    source = Source(count=5, error=SqlSourceLost("lost"))
    rows = source.read_ahead()
    given = [next(rows)]
    wait_for(source, rows, SLOW)
    assert source.closed_at is not None
    with pytest.raises(SqlSourceLost) as raised:
        given.extend(rows)
    assert raised.value is source.error
    assert given == source.everything()


def test_a_full_file_makes_the_reader_wait(nameless: NamelessFiles, caplog: pytest.LogCaptureFixture) -> None:
    source = Source(count=50)
    rows = source.read_ahead(most_bytes=1_000)
    given = [next(rows)]
    with caplog.at_level(logging.INFO):
        wait_for(source, rows, SLOW)
        assert source.closed_at is None
        filled = source.read
        assert 2 < filled < 20
        assert len(contents(nameless.the_one())) <= 1_000
        wait_for(source, rows, 100.0)
        assert source.read == filled
        for chunk in rows:
            given.append(chunk)
            wait_for(source, rows, 1.0)
            assert sum(len(contents(file)) for file in nameless.opened()) <= 1_000
    assert given == source.everything()
    assert source.read > filled
    told = [record.getMessage() for record in caplog.records if "no room" in record.getMessage()]
    assert len(told) == 1
    rows.close()
    assert nameless.opened() == []


def test_a_full_disk_makes_the_reader_wait(nameless: NamelessFiles, caplog: pytest.LogCaptureFixture) -> None:
    source = Source(count=8)
    rows = source.read_ahead()
    given = [next(rows)]
    with disk_of(600):
        wait_for(source, rows, SLOW)
    assert 2 < source.read < 8
    given.extend(rows)
    assert given == source.everything()
    (told,) = caplog.records
    assert told.levelno == logging.WARNING
    assert told.getMessage() == "Rows cannot be read ahead (File too large): the cursor stays open while they are sent"


def test_no_file_at_all_makes_the_reader_wait(caplog: pytest.LogCaptureFixture) -> None:
    def no_folder() -> Spool:
        raise FileNotFoundError(2, "No such file or directory")

    source = Source(count=8)
    rows = ReadAhead(source.chunks(), clock=source.clock, new_spool=no_folder)
    given = [next(rows)]
    wait_for(source, rows, SLOW)
    assert source.read == 2
    assert [*given, *rows] == source.everything()
    assert len(caplog.records) == 1


def test_values_that_cannot_be_written_make_the_reader_wait(caplog: pytest.LogCaptureFixture) -> None:
    chunks: list[Chunk] = [[{"n": 1}], [{"n": 2}], [{"email": memoryview(b"maria@example.com")}], [{"n": 4}]]
    source = Source(count=0)
    rows = ReadAhead((chunk for chunk in chunks), clock=source.clock)
    given = [next(rows)]
    wait_for(source, rows, SLOW)
    assert [*given, *rows] == chunks
    assert [record.getMessage() for record in caplog.records] == [
        "Rows cannot be read ahead (TypeError): the cursor stays open while they are sent"
    ]


def test_a_file_that_cannot_be_read_back_is_a_lost_source(nameless: NamelessFiles) -> None:
    source = Source(count=5)
    rows = source.read_ahead()
    next(rows)
    wait_for(source, rows, SLOW)
    assert next(rows) == source.chunk(1)
    os.pwrite(nameless.the_one(), bytes(300), 300)
    with pytest.raises(SqlSourceLost, match=r"cannot be read back .* set read_ahead=False") as raised:
        list(rows)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    assert nameless.opened() == []
    assert list(rows) == []


# Ending early


def test_closing_ends_source_and_file(nameless: NamelessFiles) -> None:
    source = Source(count=1_000)
    rows = source.read_ahead()
    next(rows)
    source.now += SLOW
    rows.waited()
    assert 1 < source.read < 1_000
    assert nameless.opened() != []
    rows.close()
    assert source.closed_at is not None
    assert nameless.opened() == []
    assert list(rows) == []
    rows.close()


def test_a_source_that_fails_to_close_is_told_and_the_file_is_gone(nameless: NamelessFiles) -> None:
    def chunks() -> Generator[Chunk, None, None]:
        try:
            yield from source.chunks()
        finally:
            raise ZeroDivisionError

    source = Source(count=1_000)
    rows = ReadAhead(chunks(), patience=0, clock=source.clock)
    next(rows)
    assert rows.waited()
    assert nameless.opened() != []
    with pytest.raises(ZeroDivisionError):
        rows.close()
    assert nameless.opened() == []


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_the_reading_at_once(nameless: NamelessFiles) -> None:
    def chunks() -> Iterator[Chunk]:
        for number in range(1_000):
            if number == 7:
                signal.raise_signal(signal.SIGINT)
            read.append(number)
            yield [{"n": number}]

    read: list[int] = []
    source = Source(count=0)
    rows = ReadAhead((chunk for chunk in chunks()), clock=source.clock)
    next(rows)
    source.now += SLOW
    with pytest.raises(KeyboardInterrupt):
        rows.waited()
    assert read == list(range(7))
    rows.close()
    assert nameless.opened() == []
