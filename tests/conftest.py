"""Every tier: Airflow writes below build/, and asks nobody outside."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "build" / "test" / "airflow"

# Each of the processes that share the tests has a home of its own, and what it starts has the same.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
_home = Path(os.environ.get("AIRFLOW_HOME", HOME))

# Before anything imports Airflow, which reads them then.
os.environ["AIRFLOW_HOME"] = str(_home if _home.name == WORKER else _home / WORKER)
os.environ.update(
    {
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{Path(os.environ['AIRFLOW_HOME']) / 'airflow.db'}",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        # Task code reads connections from here.
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
    }
)
