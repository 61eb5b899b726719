"""Run DAGs with OpenLineage's listener at work: ``python -m tests.in_airflow.run_with_lineage FILE ID…``.

It is a program of its own, for Airflow takes listeners and transport from its settings when it starts.
"""

from __future__ import annotations

import importlib
import sys

from tests.airflow_versions import dag_bags


def main(file: str, *dag_ids: str) -> None:
    """Run DAGs one by one.

    :param file: that defines them; Airflow's database knows them already.
    """
    dags = dag_bags().DagBag(dag_folder=file).dags
    for dag_id in dag_ids:
        forget_lineage()
        dags[dag_id].test(logical_date=None)


def forget_lineage() -> None:
    """Empty the collector of lineage: elsewhere each task has a process of its own, and so an empty one."""
    try:
        importlib.import_module("airflow.sdk.lineage").get_hook_lineage_collector.cache_clear()
    except ModuleNotFoundError:  # before Airflow 3.2
        importlib.import_module("airflow.lineage.hook").__dict__["_hook_lineage_collector"] = None


if __name__ == "__main__":
    main(*sys.argv[1:])
