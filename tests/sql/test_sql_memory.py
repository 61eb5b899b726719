"""200,000 leads take no more of the worker's memory than 2,000: measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.sql.conftest import POSTGRES, SQLITE, drivers
from tests.sql.crm import LEADS, Crm, environment

FEW = 2_000
BOUND_MIB = 15.0  # measured: 0.4 with the dialects, 51 to 173 without
ROOT = Path(__file__).parents[2]


def growth_mib(crm: Crm) -> tuple[float, float]:
    """How much higher memory peaks when all leads are read instead of few: as it is, and without the dialects."""
    command = [sys.executable, "-m", "tests.sql.memory", crm.driver, str(FEW), str(LEADS)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(crm), check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    as_it_is, without = done.stdout.splitlines()[-1].split()
    return int(as_it_is) / 1024, int(without) / 1024


@drivers(*POSTGRES, "MySQLdb", "pymysql")
def test_memory_grows_with_the_rows_only_without_the_dialects(crm: Crm) -> None:
    as_it_is, without = growth_mib(crm)
    assert as_it_is < BOUND_MIB
    assert without > BOUND_MIB  # so the line above can fail


@drivers(*SQLITE, "mysql.connector")
def test_memory_does_not_grow_where_the_drivers_own_cursor_streams(crm: Crm) -> None:
    assert max(growth_mib(crm)) < BOUND_MIB
