"""The few calls of Airflow's public REST API that the demo makes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import requests

TIMEOUT = 20.0


class AirflowApi:
    """A client of one Airflow that takes everybody for an admin.

    :param url: address of the API server.
    :raises requests.RequestException: from every method, if Airflow does not answer as wanted.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy on the way to this machine

    def _call(self, method: str, path: str, body: object = None) -> Any:
        answer = self._session.request(method, f"{self._url}{path}", json=body, timeout=TIMEOUT)
        if not answer.ok:
            # The answer may quote the request, and with it a secret: the status says enough.
            raise requests.HTTPError(f"{method} {path}: HTTP {answer.status_code}")
        return answer.json() if answer.content else None

    def get(self, path: str) -> Any:
        """What a GET of any path answers."""
        return self._call("GET", path)

    def log_in(self) -> None:
        """Get a token for the calls that follow."""
        token = self._call("GET", "/auth/token")["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    def is_healthy(self, parts: Iterable[str]) -> bool:
        """Whether all of these parts of Airflow are alive, such as ``scheduler``."""
        health = self._call("GET", "/api/v2/monitor/health")
        return all(health[part]["status"] == "healthy" for part in parts)

    def put_pool(self, name: str, slots: int, description: str) -> None:
        """Make a pool; a no-op if it is there."""
        self._put("/api/v2/pools", name, {"name": name, "slots": slots, "description": description})

    def put_connection(self, connection: dict[str, Any]) -> None:
        """Make a connection; a no-op if it is there."""
        self._put("/api/v2/connections", connection["connection_id"], connection)

    def _put(self, path: str, key: str, body: dict[str, Any]) -> None:
        if self._session.get(f"{self._url}{path}/{key}", timeout=TIMEOUT).status_code == 404:
            self._call("POST", path, body)

    def has_dag(self, dag_id: str) -> bool:
        """Whether Airflow has read the DAG.

        :raises RuntimeError: it tried to, and the DAG's file cannot be imported.
        """
        answer = self._session.get(f"{self._url}/api/v2/dags/{dag_id}", timeout=TIMEOUT)
        if answer.ok:
            return True
        for error in self._call("GET", "/api/v2/importErrors")["import_errors"]:
            raise RuntimeError(f"{error['filename']} cannot be imported:\n{error['stack_trace']}")
        return False

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        """Unpause a DAG and run it once.

        :param conf: values for its params.
        :returns: the run's id.
        """
        self._call("PATCH", f"/api/v2/dags/{dag_id}", {"is_paused": False})
        run = self._call("POST", f"/api/v2/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
        return str(run["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """State of a run: ``queued``, ``running``, ``success`` or ``failed``."""
        return str(self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def task_ids(self, dag_id: str, run_id: str) -> list[str]:
        """The tasks of a run."""
        tasks = self._call("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances")
        return [str(task["task_id"]) for task in tasks["task_instances"]]

    def returned(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """What a task returned, from its XCom."""
        task = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        entry = self._call("GET", f"{task}/xcomEntries/return_value?deserialize=true")
        return entry["value"]
