"""Which errors of a driver are worth a retry: by SQLSTATE or number, else by the classes that PEP 249 names."""

from __future__ import annotations

import psycopg
import pytest

from airflow_reshape.transfers.sql_errors import Step, is_lost


@pytest.mark.parametrize(
    ("sqlstate", "lost"),
    [
        ("08006", True),  # connection failure
        ("25P03", True),  # idle in transaction too long
        ("40001", True),  # conflict with recovery on a standby
        ("40P01", True),  # deadlock
        ("53300", True),  # too many connections
        ("55P03", True),  # lock not available
        ("57014", True),  # cancelled
        ("57P03", True),  # still starting
        ("58030", True),  # input/output
        ("0A000", False),  # not supported
        ("22012", False),  # division by zero
        ("28P01", False),  # wrong password
        ("42501", False),  # no privilege
        ("42P01", False),  # no such table
    ],
)
def test_postgresql(sqlstate: str, lost: bool) -> None:
    error = psycopg.errors.lookup(sqlstate)("lead-1@example.com")
    assert is_lost(error, "fetch", "postgresql") is lost
    assert is_lost(error, "execute", "postgresql") is lost


# A driver that is not in the table of dialects, with the classes that PEP 249 asks of every driver.
class Error(Exception):
    pass


class InterfaceError(Error):
    pass


class DatabaseError(Error):
    pass


class OperationalError(DatabaseError):
    pass


class ProgrammingError(DatabaseError):
    pass


class DataError(DatabaseError):
    pass


@pytest.mark.parametrize(
    ("error", "steps"),
    [
        (OperationalError("gone"), {"connect", "execute", "fetch"}),
        (InterfaceError("closed"), {"connect", "execute", "fetch"}),
        (DatabaseError("ORA-03113"), {"connect", "fetch"}),
        (ProgrammingError("no such table"), set()),
        (DataError("not a number"), set()),
        (OperationalError("08S01", "[08S01] link failure"), {"connect", "execute", "fetch"}),
        (OperationalError("HYT00", "[HYT00] timeout"), {"connect", "execute", "fetch"}),
        (OperationalError("42S02", "[42S02] invalid object"), {"connect"}),
        (ConnectionResetError("reset"), {"connect", "execute", "fetch"}),
        (TimeoutError("too long"), {"connect", "execute", "fetch"}),
        (ValueError("year -44 is out of range"), set()),
    ],
)
def test_any_other_driver(error: Exception, steps: set[Step]) -> None:
    all_steps: tuple[Step, ...] = ("connect", "execute", "fetch")
    driver_steps = all_steps if isinstance(error, (Error, OSError)) else all_steps[1:]
    assert {step for step in driver_steps if is_lost(error, step, "other")} == steps
