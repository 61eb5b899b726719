"""A task's own process is killed with SIGKILL in a real Airflow: scheduler, LocalExecutor, supervisor, retries.

Once with a ledger, and once with nothing but Airflow's own state store.
"""

from __future__ import annotations

import json
import os
import select
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import create_engine

from airflow_reshape.delivery.checkpoint.checkpoint import STORE_KEY
from airflow_reshape.sandbox.testing import RunningSandbox
from demo import services, stack
from demo.airflow_api import AirflowApi
from tests.conftest import ROOT
from tests.crash.campaign import SECONDS, Campaign, Report, When
from tests.crash.conftest import LATENCY
from tests.crash.crm import Crm
from tests.crash.killed_send import Try
from tests.crash.memory import CheckpointMemory, LedgerMemory, Memory

pytestmark = [pytest.mark.crash, pytest.mark.timeout(600)]
DAGS = Path(__file__).parent / "dags"
COUNT = 4000
KILLS: list[When] = ["early", "middle", "end"]
KILLED = -9
ENDS = {"success": 0, "failed": 1, "up_for_retry": KILLED}
Keep = Callable[[Report], Report]


@dataclass
class RunningAirflow:
    """An Airflow of several processes, and what it reads and writes."""

    stack: stack.Stack
    api: AirflowApi
    services: list[services.Service]
    crms: dict[str, Crm]

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        services.wait_until(what, holds, self.services, SECONDS)


@pytest.fixture(scope="module")
def airflow() -> Iterator[RunningAirflow]:
    here = stack.new_stack("test-crash")
    crms = {memory: Crm(here.home / f"{memory}-crm.sqlite", COUNT) for memory in ("ledger", "checkpoint")}
    running: list[services.Service] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # the DAGs import from here
        try:
            names = ["killed_with_ledger", "killed_with_checkpoint"]
            api = stack.bring_up(here, running, names, use_schedule=False, triggerer=False, dags_folder=DAGS)
            for memory, crm in crms.items():
                api.put_connection({"connection_id": f"crm_{memory}", "conn_type": "sqlite", "host": str(crm.path)})
            yield RunningAirflow(here, api, running, crms)
        finally:
            services.stop(running)


class TaskProcess:
    """The process that runs one try of a task, as a :class:`multiprocessing.Process` shows itself.

    :param ended: how Airflow says that the try ended: an exit code, or None as long as it does not know.
    """

    def __init__(self, pid: int, ended: Callable[[], int | None]) -> None:
        self.pid = pid
        self._handle = os.pidfd_open(pid)  # becomes readable when the process ends; no other can take its place
        self._ended = ended

    def join(self, seconds: float) -> None:
        select.select([self._handle], [], [], seconds)

    @property
    def exitcode(self) -> int | None:
        has_ended, _, _ = select.select([self._handle], [], [], 0)
        return self._ended() if has_ended else None


@dataclass
class TaskCampaign(Campaign):
    """Kills of one task's process; Airflow tries again by itself."""

    airflow: RunningAirflow | None = None
    dag_id: str = ""
    run_id: str = ""

    def _start(self, number: int) -> Any:
        assert self.airflow is not None
        if number == 1:
            self.run_id = self.airflow.api.trigger(self.dag_id, {})
        found: list[int] = []

        def runs() -> bool:
            task = self._task()
            if task["try_number"] == number and task["state"] == "running":
                found.extend(task_processes(self.airflow, task["id"]))
            return bool(found) or (task["try_number"] == number and task["state"] in ("success", "failed"))

        self.airflow.until(f"try {number} of {self.dag_id}", runs)
        assert found, f"{self}: try {number} was over before it was seen"
        return TaskProcess(found[0], partial(self._exit_code_in_time, number))

    def _exit_code_in_time(self, number: int) -> int | None:
        assert self.airflow is not None
        self.airflow.until(f"the end of try {number}", lambda: self._exit_code(number) is not None)
        return self._exit_code(number)

    def _exit_code(self, number: int) -> int | None:
        task = self._task()
        return KILLED if task["try_number"] > number else ENDS.get(task["state"])

    def _task(self) -> dict[str, Any]:
        assert self.airflow is not None
        path = f"/api/v2/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/send"
        task: dict[str, Any] = self.airflow.api.get(path)
        return task

    def _outcome(self) -> dict[str, Any]:
        assert self.airflow is not None
        state = self._task()["state"]
        summary = self.airflow.api.returned(self.dag_id, self.run_id, "send")
        return {"error": None if state == "success" else state, "told": "", "summary": summary}

    def _log(self) -> str:
        return f"logs: {self.airflow.stack.home}" if self.airflow else ""


def task_processes(airflow: RunningAirflow | None, task_instance: str) -> list[int]:
    """The pid of a task instance's process, below the scheduler."""
    assert airflow is not None
    (scheduler,) = [service for service in airflow.services if service.name == "scheduler"]
    root = scheduler.process()
    found = []
    for process in root.children(recursive=True) if root else []:
        try:
            if f"airflow worker -- {task_instance}" in " ".join(process.cmdline()):
                found.append(process.pid)
        except psutil.Error:  # it has ended
            continue
    return found


def kept_by_airflow(database: Path, dag_id: str) -> Any:
    """The checkpoint in Airflow's own database."""
    with closing(sqlite3.connect(database, timeout=30)) as db:
        query = "SELECT value FROM task_state_store WHERE dag_id = ? AND key = ?"
        row = db.execute(query, (dag_id, STORE_KEY)).fetchone()
    return json.loads(row[0]) if row else None


@pytest.mark.parametrize("memory", ["ledger", "checkpoint"])
def test_kills_lose_nothing_and_repeat_only_what_was_in_doubt(
    airflow: RunningAirflow, report: Keep, seed: int, tmp_path: Path, memory: str
) -> None:
    here = airflow.stack
    sandbox = RunningSandbox("127.0.0.1", here.sandbox_port, here.token, stack.SCRIPT_ID)
    sandbox.clear()
    sandbox.set_faults(LATENCY)
    dag_id = f"killed_with_{memory}"
    kept: Memory = CheckpointMemory(partial(kept_by_airflow, here.home / "airflow" / "airflow.db", dag_id))
    if memory == "ledger":
        kept = LedgerMemory(lambda: create_engine(f"sqlite:///{here.home / 'ledger.sqlite'}"))
    campaign = TaskCampaign(
        f"task runner, {memory}",
        seed,
        sandbox,
        airflow.crms[memory],
        "unordered",
        Try(1, {}, "", tmp_path),
        kept,
        airflow=airflow,
        dag_id=dag_id,
    )
    ended = report(campaign.run(KILLS))
    assert ended.error is None
    assert len(ended.kills) == len(KILLS)
