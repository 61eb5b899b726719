"""A real Airflow in this process: its database is made once a session, DAGs are run by ``dag.test()``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_reshape.sandbox.testing import running_sandbox
from tests.airflow_versions import dag_bags
from tests.conftest import ROOT

OWN_DAGS = Path(__file__).parent / "dags"


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Any]:
    with running_sandbox() as running:
        yield running


@pytest.fixture(scope="session")
def airflow_dags(sandbox: Any) -> dict[str, Any]:
    """All DAGs of dags/ and of this tier, by id, in a fresh Airflow database."""
    home = Path(os.environ["AIRFLOW_HOME"])
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)
    os.environ["AIRFLOW_CONN_RESHAPE_DEFAULT"] = connection(sandbox)

    from airflow import settings

    # A test before this may have opened the database that was removed.
    settings.dispose_orm()
    settings.configure_vars()
    settings.configure_orm()

    from airflow.dag_processing.bundles.manager import DagBundlesManager

    DagBundlesManager().sync_bundles_to_db()
    module = dag_bags()
    dags: dict[str, Any] = {}
    for folder in (ROOT / "dags", OWN_DAGS):
        bag = module.DagBag(dag_folder=str(folder))
        assert not bag.import_errors
        module.sync_bag_to_db(bag, "dags-folder", None)
        dags.update(bag.dags)
    return dags


@pytest.fixture
def run_dag(airflow_dags: dict[str, Any], sandbox: Any) -> Callable[..., Any]:
    """Run a DAG against an empty sandbox; gives the run."""
    sandbox.clear()

    def run(dag_id: str, **params: Any) -> Any:
        return airflow_dags[dag_id].test(run_conf=params or None, logical_date=None)

    return run


def connection(sandbox: Any, **changes: Any) -> str:
    """The sandbox as an Airflow connection, in JSON."""
    extra = {"script_id": sandbox.script_id, **changes.pop("extra", {})}
    return json.dumps(
        {
            "conn_type": "reshape",
            "schema": "http",
            "host": sandbox.host,
            "port": sandbox.port,
            "password": sandbox.token,
            "extra": extra,
            **changes,
        }
    )
