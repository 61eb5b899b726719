"""The queue on disk: what comes out is what went in, and nobody else reads it."""

from __future__ import annotations

import os
import pickle
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag

from airflow_reshape.transfers import spool as spool_module
from airflow_reshape.transfers.spool import MOST_BYTES, Spool, temporary_folder
from tests.sql.open_files import NamelessFiles, contents

ROOT = Path(__file__).parents[2]


def chunk(number: int, rows: int = 3) -> list[dict[str, Any]]:
    return [
        {"email": f"lead-{number}-{row}@example.com", "score": Decimal("0.25"), "at": datetime(2026, 7, 1, tzinfo=UTC)}
        for row in range(rows)
    ]


@pytest.fixture
def spool(nameless: NamelessFiles) -> Iterator[Spool]:
    spool = Spool()
    yield spool
    spool.close()


def test_chunks_come_out_as_they_went_in(spool: Spool) -> None:
    odd = [{"none": None, "bytes": b"\x00", "text": "Ștefania", "day": date(2026, 7, 1), "more": {"a": [1, 2.5, True]}}]
    for given in (chunk(1), odd, chunk(2, rows=500)):
        assert spool.put(given)
    assert spool.take() == chunk(1)
    assert spool.put(chunk(3))
    assert [spool.take(), spool.take(), spool.take()] == [odd, chunk(2, rows=500), chunk(3)]
    assert spool.is_empty


def test_an_empty_queue_takes_no_space(spool: Spool, nameless: NamelessFiles) -> None:
    file = nameless.the_one()
    for number in range(3):
        spool.put(chunk(number))
    assert len(contents(file)) > 3 * 3 * len("lead-1-1@example.com")
    for _ in range(3):
        spool.take()
    assert contents(file) == b""
    spool.put(chunk(4))
    assert spool.take() == chunk(4)


def test_the_file_has_no_name_and_holds_nothing_that_can_be_read(spool: Spool, nameless: NamelessFiles) -> None:
    rows = chunk(1, rows=200)
    spool.put(rows)
    file = nameless.the_one()
    written = contents(file)
    plain = pickle.dumps(rows)
    assert len(written) > len(plain)
    for word in (b"@example.com", b"lead-1-7", b"email", b"score", b"Decimal"):
        assert word in plain  # so the line below can fail
        assert word not in written


def test_each_file_has_a_key_of_its_own(spool: Spool, nameless: NamelessFiles) -> None:
    first = nameless.the_one()
    other = Spool()
    try:
        (second,) = (file for file in nameless.opened() if file != first)
        spool.put(chunk(1))
        other.put(chunk(1))
        os.pwrite(second, contents(first), 0)
        with pytest.raises(InvalidTag):
            other.take()
    finally:
        other.close()


def test_what_was_changed_is_not_taken(spool: Spool, nameless: NamelessFiles) -> None:
    spool.put(chunk(1))
    file = nameless.the_one()
    written = contents(file)
    os.pwrite(file, bytes([written[-1] ^ 1]), len(written) - 1)
    with pytest.raises(InvalidTag):
        spool.take()


def test_it_is_bounded(nameless: NamelessFiles) -> None:
    one = Spool()
    one.put(chunk(1))
    size = len(contents(nameless.the_one()))
    one.close()
    spool = Spool(most_bytes=3 * size)
    assert [spool.put(chunk(number)) for number in range(4)] == [True, True, True, False]
    assert [spool.take() for _ in range(3)] == [chunk(number) for number in range(3)]
    assert spool.put(chunk(5))  # there is room again
    spool.close()
    assert MOST_BYTES == 2**30  # the documentation says 1 GiB


def test_half_of_the_disk_stays_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    monkeypatch.setattr(spool_module, "SHARE_OF_FREE_SPACE", 100 / free)  # of what is free now, a hundred bytes
    spool = Spool(folder=tmp_path)
    assert not spool.put(chunk(1, rows=50))
    spool.close()


@contextmanager
def disk_of(most_bytes: int) -> Iterator[None]:
    """No file of this process can grow beyond."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_what_does_not_get_onto_the_disk_is_not_in_the_queue(spool: Spool, nameless: NamelessFiles) -> None:
    big = chunk(2, rows=100_000)
    assert spool.put(chunk(1))
    with disk_of(2_000_000), pytest.raises(OSError, match="File too large"):
        spool.put(big)
    file = nameless.the_one()
    assert len(contents(file)) == 2_000_000  # a part of it was written
    assert spool.put(chunk(3))
    assert [spool.take(), spool.take()] == [chunk(1), chunk(3)]
    assert spool.is_empty


def test_what_cannot_be_pickled_is_not_in_the_queue(spool: Spool) -> None:
    assert spool.put(chunk(1))
    with pytest.raises(TypeError):
        spool.put([{"email": memoryview(b"lead-2@example.com")}])
    assert spool.take() == chunk(1)
    assert spool.is_empty


def test_closing_drops_everything(spool: Spool, nameless: NamelessFiles) -> None:
    spool.put(chunk(1))
    spool.close()
    assert nameless.opened() == []
    assert spool.is_empty
    spool.close()


def test_a_killed_process_leaves_nothing(tmp_path: Path) -> None:
    program = (
        "import sys; from airflow_reshape.transfers.spool import Spool; spool = Spool()\n"
        "assert spool.put([{'email': 'maria.pop@example.com'}] * 1000)\n"
        "print('written', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        lies_in = [str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir()]
        assert any(str(tmp_path) in place for place in lies_in)
        assert list(tmp_path.iterdir()) == []
        process.send_signal(signal.SIGKILL)
    assert list(tmp_path.iterdir()) == []


def test_the_environment_says_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in spool_module.FOLDER_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert temporary_folder() == Path("/var/tmp")
    monkeypatch.setattr(spool_module, "BIG_FILES", tmp_path / "not there")
    assert temporary_folder() is None
    monkeypatch.undo()
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert temporary_folder() is None  # Python looks there itself
