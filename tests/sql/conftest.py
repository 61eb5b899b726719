"""Fixtures of the SQL tests: the servers, started once, and the CRM as each driver reads it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.sql.hooks.sql import DbApiHook
from airflow.providers.postgres.hooks import postgres as postgres_hooks

from tests.databases import DatabaseServer, mariadb_server, postgres_server
from tests.sql.crm import CREATE_LEADS, VARIABLE, Crm, hook_for
from tests.sql.open_files import NamelessFiles

MakeHook = Callable[..., DbApiHook]
SQLITE = ("sqlite3",)
POSTGRES = ("psycopg", "psycopg2")
MYSQL = ("MySQLdb", "mysql.connector", "pymysql")


def drivers(*names: str) -> pytest.MarkDecorator:
    """Run a test once per driver; those that need MariaDB only where it is asked for."""
    marked = [pytest.param(name, marks=pytest.mark.mysql) if name in MYSQL else name for name in names]
    return pytest.mark.parametrize("crm", marked, indirect=True)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt. A shell starts with the signal ignored what it leaves in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def postgres() -> Iterator[DatabaseServer]:
    """A PostgreSQL with 200,000 leads."""
    with postgres_server() as server:
        Crm("psycopg", server).run(CREATE_LEADS["postgresql"])
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[DatabaseServer]:
    """A MariaDB with 200,000 leads."""
    with mariadb_server() as server:
        Crm("MySQLdb", server).run(CREATE_LEADS["mysql"])
        yield server


@pytest.fixture(scope="session")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with 200,000 leads."""
    path = tmp_path_factory.mktemp("crm") / "crm.db"
    Crm("sqlite3", path).run(CREATE_LEADS["sqlite"])
    return path


@pytest.fixture
def crm(request: pytest.FixtureRequest) -> Crm:
    """The CRM as the driver reads it that ``drivers`` names."""
    fixture = {"sqlite": "sqlite_file", "postgresql": "postgres", "mysql": "mariadb"}
    driver = request.param
    return Crm(driver, request.getfixturevalue(fixture[Crm(driver, Path()).dialect]))


@pytest.fixture
def make_hook(crm: Crm, monkeypatch: pytest.MonkeyPatch) -> MakeHook:
    """Makes the hook of the CRM's connection; its arguments are the connection's extras."""

    def make(**extra: Any) -> DbApiHook:
        monkeypatch.setenv(VARIABLE, crm.airflow_connection(**extra))
        # hook_for sets it; here so that it is set back after the test
        monkeypatch.setattr(postgres_hooks, "USE_PSYCOPG3", postgres_hooks.USE_PSYCOPG3)
        return hook_for(crm.driver)

    return make


@pytest.fixture
def nameless() -> NamelessFiles:
    """Files without a name that are opened in the test."""
    return NamelessFiles()
