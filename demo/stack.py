"""The pieces that demo and `make up` start: the sandbox, the CRM, and a real Airflow, all on loopback."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import requests

from demo import services
from demo.airflow_api import AirflowApi
from demo.crm import Crm, make_crm, write
from demo.services import Service

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
SCRIPT_ID = "DEMO2026"
POOL = "reshape"
POOL_SLOTS = 2
CRM_CONN_ID = "crm_db"
CRM_API_CONN_ID = "crm_api"
LEDGER_CONN_ID = "reshape_ledger"
RESHAPE_CONN_ID = "reshape_default"
START_SECONDS = 120.0
# Defaults are spelled out: when a connection is edited, Airflow's form shows only the fields that it holds.
RESHAPE_EXTRA = {
    "script_id": SCRIPT_ID,
    "environment": "prod",
    "api": "standard",
    "test_route": False,
    "data_source": "crm",
    "timeout": 30,
    "verify": True,
    "allow_http": False,
}
HEALTH_PARTS = frozenset({"metadatabase", "scheduler", "dag_processor", "triggerer"})


@dataclass(frozen=True)
class Stack:
    """Where everything lies and listens.

    :param name: of its folder below build/.
    :param airflow_port: of Airflow's API server and UI.
    :param sandbox_port: of the sandbox.
    :param crm_api_port: of the CRM's REST API.
    :param token: access token that the sandbox wants.
    """

    name: str
    airflow_port: int
    sandbox_port: int
    crm_api_port: int
    token: str

    @property
    def home(self) -> Path:
        """Folder for all files of the stack."""
        return BUILD / self.name

    @property
    def airflow_url(self) -> str:
        """Address of Airflow's UI."""
        return f"http://127.0.0.1:{self.airflow_port}"

    @property
    def sandbox_url(self) -> str:
        """Address of the sandbox's page."""
        return f"http://127.0.0.1:{self.sandbox_port}"

    @property
    def logs(self) -> Path:
        """Folder with the output of every program."""
        return self.home / "logs"

    @property
    def crm_file(self) -> Path:
        """The CRM's database."""
        return self.home / "crm.sqlite"

    @property
    def pids(self) -> Path:
        """File that says what runs."""
        return pids_of(self.name)


def pids_of(name: str) -> Path:
    """File that says what runs of a stack, also after its maker was killed."""
    return BUILD / name / "running.json"


def new_stack(name: str, airflow_port: int = 0, sandbox_port: int = 0) -> Stack:
    """A stack in an empty folder below build/.

    :param airflow_port: wanted port; another one if it is taken.
    :param sandbox_port: as above.
    """
    shutil.rmtree(BUILD / name, ignore_errors=True)
    airflow, sandbox, crm_api = services.free_ports(airflow_port, sandbox_port, 0)
    stack = Stack(name, airflow, sandbox, crm_api, secrets.token_hex(16))
    stack.logs.mkdir(parents=True)
    return stack


def save(stack: Stack) -> None:
    """Write down where a stack that is left running listens."""
    (stack.home / "stack.json").write_text(json.dumps(asdict(stack)))


def saved(name: str) -> Stack | None:
    """What :func:`save` wrote down, or None; also None if another version of this file did."""
    file = BUILD / name / "stack.json"
    try:
        return Stack(**json.loads(file.read_text()))
    except (FileNotFoundError, TypeError, ValueError):
        return None


def bring_up(
    stack: Stack,
    running: list[Service],
    dag_ids: Sequence[str],
    use_schedule: bool,
    triggerer: bool,
    dags_folder: Path = ROOT / "dags",
) -> AirflowApi:
    """Start the sandbox, the CRM's API and Airflow, wait until all is healthy, and put pool and connections into place.

    :param running: gets every service as soon as it is started, for whoever has to end them.
    :param dag_ids: DAGs to wait for.
    :param use_schedule: DAGs run by their schedule too, not only when triggered.
    :param triggerer: start that part too; nothing here needs it, but the UI shows its health.
    :param dags_folder: of the DAGs. Default dags/ of the repository.
    :raises NotStartedError: something does not come up in time.
    """
    env = airflow_environment(stack, use_schedule, dags_folder)
    for start in (start_sandbox, start_crm_api):
        running.append(start(stack))
        services.remember(running, stack.pids)
    prepare_database(stack, env)
    for part in start_airflow(stack, env, triggerer):
        running.append(part)
        services.remember(running, stack.pids)
    api = AirflowApi(stack.airflow_url)
    parts = HEALTH_PARTS if triggerer else HEALTH_PARTS - {"triggerer"}
    for what, holds in (
        ("the sandbox's answer", lambda: is_sandbox_up(stack)),
        ("Airflow's health", lambda: api.is_healthy(parts)),
    ):
        services.wait_until(what, holds, running, START_SECONDS)
    api.log_in()
    furnish(api, stack)
    for dag_id in dag_ids:
        services.wait_until(f"the DAG {dag_id}", partial(api.has_dag, dag_id), running, START_SECONDS)
    return api


def airflow_environment(stack: Stack, use_schedule: bool, dags_folder: Path) -> dict[str, str]:
    """The settings of the stack's Airflow."""
    settings = {
        "CORE__DAGS_FOLDER": dags_folder,
        "CORE__LOAD_EXAMPLES": False,
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": 2,
        "CORE__EXECUTION_API_SERVER_URL": f"{stack.airflow_url}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": True,  # no login: it listens on loopback only
        "CORE__TEST_CONNECTION": "Enabled",
        "API__HOST": "127.0.0.1",
        "API__PORT": stack.airflow_port,
        "API__BASE_URL": stack.airflow_url,
        "API__WORKERS": 1,
        "API__SECRET_KEY": secrets.token_urlsafe(32),
        "API_AUTH__JWT_SECRET": secrets.token_urlsafe(64),
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{stack.home / 'airflow' / 'airflow.db'}",
        "SCHEDULER__USE_JOB_SCHEDULE": use_schedule,
        "USAGE_DATA_COLLECTION__ENABLED": False,
    }
    return {
        **services.clean_environment(),
        "AIRFLOW_HOME": str(stack.home / "airflow"),
        **{f"AIRFLOW__{name}": str(value) for name, value in settings.items()},
    }


def prepare_database(stack: Stack, env: dict[str, str]) -> None:
    """Airflow's own database, empty. Made once a version, then copied.

    :raises NotStartedError: the migration fails.
    """
    home = stack.home / "airflow"
    home.mkdir()
    template = BUILD / f"airflow-{version('apache-airflow')}.db"
    if not template.exists():
        log = stack.logs / "migrate.log"
        with log.open("wb") as output:
            done = subprocess.run(
                airflow("db", "migrate"), env=env, stdout=output, stderr=subprocess.STDOUT, check=False
            )
        if done.returncode:
            raise services.NotStartedError(f"airflow db migrate failed; its log: {log}")
        # Under its final name only when complete.
        unfinished = template.with_suffix(".unfinished")
        shutil.copy(home / "airflow.db", unfinished)
        unfinished.replace(template)
    else:
        shutil.copy(template, home / "airflow.db")


def airflow(*arguments: str) -> list[str]:
    """The command line of an airflow command."""
    return [sys.executable, "-m", "airflow", *arguments]


def start_sandbox(stack: Stack) -> Service:
    """Start the stand-in of the API."""
    return services.start(
        "sandbox",
        [
            *(sys.executable, "-m", "airflow_reshape.sandbox"),
            *("--port", str(stack.sandbox_port)),
            *("--token", stack.token),
            *("--script-id", SCRIPT_ID),
            *("--db", str(stack.home / "sandbox.sqlite")),
        ],
        services.clean_environment(),
        ROOT,
        stack.logs,
    )


def start_crm_api(stack: Stack) -> Service:
    """Start the CRM's REST API."""
    command = [sys.executable, "-m", "demo.crm_api", "--crm", str(stack.crm_file), "--port", str(stack.crm_api_port)]
    return services.start("crm-api", command, services.clean_environment(), ROOT, stack.logs)


def start_airflow(stack: Stack, env: dict[str, str], triggerer: bool) -> Iterator[Service]:
    """Start Airflow's parts, each a process of its own."""
    parts = {
        "api-server": airflow("api-server"),
        # Logs are read from the shared folder: no log server, which would listen beyond loopback.
        "scheduler": airflow("scheduler", "--skip-serve-logs"),
        "dag-processor": airflow("dag-processor"),
    }
    if triggerer:
        parts["triggerer"] = airflow("triggerer", "--skip-serve-logs")
    for name, command in parts.items():
        yield services.start(name, command, env, ROOT, stack.logs)


def is_sandbox_up(stack: Stack) -> bool:
    """Whether the sandbox answers."""
    return requests.get(f"{stack.sandbox_url}/health", timeout=5).ok


def furnish(api: AirflowApi, stack: Stack) -> None:
    """Put pool and connections into place."""
    api.put_pool(POOL, POOL_SLOTS, "Bounds how many tasks send to DATA Reshape at once")
    api.put_connection({"connection_id": CRM_CONN_ID, "conn_type": "sqlite", "host": str(stack.crm_file)})
    api.put_connection(
        {"connection_id": LEDGER_CONN_ID, "conn_type": "sqlite", "host": str(stack.home / "ledger.sqlite")}
    )
    api.put_connection(
        {
            "connection_id": CRM_API_CONN_ID,
            "conn_type": "http",
            "host": "http://127.0.0.1",
            "port": stack.crm_api_port,
        }
    )
    api.put_connection(
        {
            "connection_id": RESHAPE_CONN_ID,
            "conn_type": "reshape",
            "description": "The sandbox on this machine, in place of DATA Reshape",
            "schema": "http",
            "host": "127.0.0.1",
            "port": stack.sandbox_port,
            "password": stack.token,
            "extra": json.dumps(RESHAPE_EXTRA),
        }
    )


def make_crm_file(stack: Stack) -> Crm:
    """Make the CRM as of now."""
    crm = make_crm(datetime.now(UTC))
    write(crm, stack.crm_file)
    return crm
