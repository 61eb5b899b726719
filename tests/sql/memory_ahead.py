"""Reads few leads ahead and then many, in a process of its own, and prints how much higher its memory peaked, in KiB.

``python -m tests.sql.memory_ahead DRIVER FEW MANY``, with the connection ``crm_db`` in the environment. It prints two
numbers: as it is, and then with the rows in a list.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

from airflow_reshape.transfers.read_ahead import ReadAhead
from airflow_reshape.transfers.sql_stream import SqlStream
from tests.sql.crm import READ_LEADS, hook_for
from tests.sql.memory import peak_kib


def chunks(driver: str, rows: int) -> Generator[list[dict[str, Any]], None, None]:
    """So many leads."""
    with SqlStream(hook_for(driver), READ_LEADS.replace(" ORDER BY", f" WHERE id <= {rows} ORDER BY")) as stream:
        yield from stream


def read(driver: str, rows: int) -> None:
    """Take one chunk, read all others ahead, take those, and keep none."""
    ahead = ReadAhead(chunks(driver, rows), patience=0)
    count = len(next(ahead))
    while ahead.waited():
        pass
    if list(chunks(driver, 1)) == [] or ahead.waited():
        raise SystemExit("it did not read ahead")
    for chunk in ahead:
        count += len(chunk)
    if count != rows:
        raise SystemExit(f"read {count} rows, not {rows}")


def main() -> None:
    """Measure."""
    driver, few, many = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    read(driver, few)
    before = peak_kib()
    read(driver, many)
    as_it_is = peak_kib() - before
    kept = list(chunks(driver, many))
    sys.stdout.write(f"{as_it_is} {peak_kib() - before}\n")
    kept.clear()


if __name__ == "__main__":
    main()
