"""Every tier: Airflow writes below build/, and asks nobody outside."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "build" / "test" / "airflow"

# Before anything imports Airflow, which reads them then.
os.environ.setdefault("AIRFLOW_HOME", str(HOME))
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
