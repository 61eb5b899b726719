"""Reads few leads and then many, in a process of its own, and prints how much higher its memory peaked, in KiB.

``python -m tests.sql.memory DRIVER FEW MANY``, with the connection ``crm_db`` in the environment. It prints two
numbers: as it is, and then without the table of dialects, so with the driver's own cursor.
"""

from __future__ import annotations

import sys
from pathlib import Path

from airflow_reshape.transfers import sql_dialects
from airflow_reshape.transfers.sql_stream import SqlStream
from tests.sql.crm import READ_LEADS, hook_for


def peak_kib() -> int:
    """The most memory this process ever held, in KiB.

    From /proc, not getrusage: the latter starts with the peak of the process that started this one.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def read(driver: str, rows: int) -> None:
    """Read so many leads, and keep none."""
    sql = READ_LEADS.replace(" ORDER BY", f" WHERE id <= {rows} ORDER BY")
    with SqlStream(hook_for(driver), sql) as stream:
        for _ in stream:
            pass
    if stream.rows_read != rows:
        raise SystemExit(f"read {stream.rows_read} rows, not {rows}")


def main() -> None:
    """Measure."""
    driver, few, many = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    read(driver, few)
    before = peak_kib()
    read(driver, many)
    with_dialects = peak_kib() - before
    sql_dialects.DIALECTS = {}
    read(driver, many)
    sys.stdout.write(f"{with_dialects} {peak_kib() - before}\n")


if __name__ == "__main__":
    main()
