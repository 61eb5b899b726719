"""Reads texts that are not in their encoding by mysql-connector's extension in C, in a process of its own.

``python -m tests.sql.connector_in_c``, with the connection ``crm_db`` in the environment. It ends with 3 where the
extension cannot be loaded, and prints the class of the connection.
"""

from __future__ import annotations

import sys
from datetime import date
from typing import Any


def main() -> None:
    """Read, and check."""
    try:
        import _mysql_connector  # type: ignore[import-not-found]  # noqa: F401  # before anything loads another libssl
    except ImportError as error:
        print(error, file=sys.stderr)  # noqa: T201
        raise SystemExit(3) from None
    from airflow_reshape.mapping.values import UNREADABLE
    from airflow_reshape.transfers.sql_stream import SqlStream
    from tests.sql.crm import hook_for

    hook: Any = hook_for("mysql.connector")
    connection = hook.get_conn()
    cursor = connection.cursor()
    cursor.execute("SET SESSION character_set_results = NULL")
    cursor.close()
    hook.get_conn = lambda: connection
    print(type(connection).__name__)  # noqa: T201
    sql = """
        SELECT seq AS i, IF(seq % 3, 'ok', CONVERT(x'e9ff' USING latin1)) AS a, x'00ff' AS b, CAST(%s AS date) AS c
        FROM seq_1_to_7
    """
    with SqlStream(hook, sql, [date(2026, 1, 1)], chunk_size=2) as stream:
        rows = [tuple(row.values()) for chunk in stream for row in chunk]
    expected = [(i, "ok" if i % 3 else UNREADABLE, b"\x00\xff", date(2026, 1, 1)) for i in range(1, 8)]
    assert rows == expected, rows
    assert {type(row[2]) for row in rows} == {bytes}


if __name__ == "__main__":
    main()
