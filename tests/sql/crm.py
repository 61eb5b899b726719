"""The CRM databases that the SQL tests read: one per database driver, each with 200,000 leads in it.

Airflow sees them as the connection ``crm_db``, through an environment variable: no metadata database is needed.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import psycopg
from airflow.providers.common.sql.hooks.sql import DbApiHook

from tests.databases import DATABASE, LOGIN, DatabaseServer

CONN_ID = "crm_db"
VARIABLE = "AIRFLOW_CONN_CRM_DB"
LEADS = 200_000
READ_LEADS = "SELECT id, email, first_name, stage, score, notes FROM leads ORDER BY id"
SECONDS_TO_WAIT = 20.0

CREATE_LEADS = {
    "sqlite": f"""
        CREATE TABLE leads AS
        WITH RECURSIVE number(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM number WHERE i < {LEADS})
        SELECT i AS id, 'lead-' || i || '@example.com' AS email, 'Ștefania' AS first_name, 'MQL' AS stage,
               i * 0.25 AS score, printf('%.120c', '.') AS notes
        FROM number
    """,
    "postgresql": f"""
        CREATE TABLE leads AS
        SELECT i AS id, 'lead-' || i || '@example.com' AS email, 'Ștefania'::text AS first_name,
               'MQL'::text AS stage, i * 0.25 AS score, repeat('.', 120) AS notes
        FROM generate_series(1, {LEADS}) AS i
    """,
    "mysql": f"""
        CREATE TABLE leads AS
        SELECT seq AS id, CONCAT('lead-', seq, '@example.com') AS email, 'Ștefania' AS first_name,
               'MQL' AS stage, seq * 0.25 AS score, REPEAT('.', 120) AS notes
        FROM seq_1_to_{LEADS}
    """,
}


@dataclass(frozen=True)
class Crm:
    """A CRM database as one driver reads it.

    :param driver: the driver's package: ``sqlite3``, ``psycopg``, ``psycopg2``, ``MySQLdb``, ``mysql.connector``
        or ``pymysql``.
    :param place: its server, or its file.
    """

    driver: str
    place: DatabaseServer | Path

    @property
    def dialect(self) -> str:
        return DIALECT_OF[self.driver]

    def airflow_connection(self, **extra: Any) -> str:
        """What the environment variable of the Airflow connection holds."""
        if isinstance(self.place, Path):
            return json.dumps({"conn_type": "sqlite", "host": str(self.place)})
        client = {"client": "mysql-connector-python"} if self.driver == "mysql.connector" else {}
        return self.place.airflow_connection(**client, **extra)

    def run(self, sql: str) -> list[Any]:
        """Run one statement on a connection of its own, and commit."""
        with closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(sql)
            rows = list(cursor.fetchall()) if cursor.description else []
            connection.commit()
            return rows

    def connect(self) -> Any:
        """A connection that has nothing to do with Airflow."""
        if isinstance(self.place, Path):
            return sqlite3.connect(self.place, timeout=0)
        if self.dialect == "postgresql":
            return psycopg.connect(self.place.uri)
        return import_module("MySQLdb").connect(**mysql_address(self.place))

    def sessions(self) -> int:
        """How many clients the database has, besides the one that asks."""
        return int(self.run(SESSIONS[self.dialect])[0][0])


DIALECT_OF = {
    "sqlite3": "sqlite",
    "psycopg": "postgresql",
    "psycopg2": "postgresql",
    "MySQLdb": "mysql",
    "mysql.connector": "mysql",
    "pymysql": "mysql",
}
SESSIONS = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity "
    "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
    "mysql": f"SELECT count(*) FROM information_schema.processlist WHERE user = '{LOGIN}' AND id <> connection_id()",
}


def mysql_address(server: DatabaseServer) -> dict[str, Any]:
    """The arguments of ``connect`` that mysqlclient and pymysql share."""
    return {
        "host": server.host,
        "port": server.port,
        "user": LOGIN,
        "password": server.password,
        "database": DATABASE,
        "charset": "utf8mb4",
    }


def hook_for(driver: str) -> DbApiHook:
    """The hook that reads the connection ``crm_db`` by a driver.

    The PostgreSQL hook takes psycopg 3 where it is installed, and psycopg2 elsewhere or in older versions; the
    switch is the hook's own.
    """
    if driver == "sqlite3":
        from airflow.providers.sqlite.hooks.sqlite import SqliteHook

        return SqliteHook(sqlite_conn_id=CONN_ID)
    if DIALECT_OF[driver] == "postgresql":
        from airflow.providers.postgres.hooks import postgres

        postgres.USE_PSYCOPG3 = driver == "psycopg"
        return postgres.PostgresHook(postgres_conn_id=CONN_ID)
    return _mysql_hook(driver)


def _mysql_hook(driver: str) -> DbApiHook:
    hook: Any = import_module("airflow.providers.mysql.hooks.mysql").MySqlHook

    class PyMySqlHook(hook):  # type: ignore[misc]  # of a package that only these tests need
        """A company's own hook, which connects by pymysql."""

        def get_conn(self) -> Any:
            conn = self.connection
            return import_module("pymysql").connect(
                host=conn.host,
                port=conn.port,
                user=conn.login,
                password=conn.password or "",
                database=conn.schema,
            )

    chosen: DbApiHook = (PyMySqlHook if driver == "pymysql" else hook)(mysql_conn_id=CONN_ID)
    return chosen


def wait_until(condition: Callable[[], bool]) -> bool:
    """Whether something comes true before the time is up; servers notice a closed connection a little later."""
    deadline = monotonic() + SECONDS_TO_WAIT
    while not condition():
        if monotonic() > deadline:
            return False
        sleep(0.01)
    return True


def environment(crm: Crm) -> dict[str, str]:
    """The environment of a process of its own that reads a CRM."""
    return {**os.environ, VARIABLE: crm.airflow_connection()}
