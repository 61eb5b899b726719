"""The grants of the documentation are enough for workers and readers, and readers see no table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError

from airflow_reshape.delivery.ledger.forgetting import forget
from airflow_reshape.hooks.ledger import ledger_digests
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.sandbox.testing import RunningSandbox
from tests.ledger.conftest import DATABASES, NewEngine
from tests.ledger.leads import leads

DOCS = Path(__file__).parents[2] / "docs" / "ledger.md"
WORKER, READER = USERS = ("reshape_worker", "reshape_reader")
PASSWORD = "of-these-tests"
NEW_USER = {
    "postgresql": f"CREATE USER {{}} PASSWORD '{PASSWORD}'",
    "mysql": f"CREATE USER {{}} IDENTIFIED BY '{PASSWORD}'",
}
OLD_USER = {"postgresql": "DROP OWNED BY {0}; DROP USER {0}", "mysql": "DROP USER {}"}


def documented(dialect: str) -> list[str]:
    blocks: list[str] = re.findall(r"```sql\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (block,) = [block for block in blocks if block.startswith("GRANT") and ("crm." in block) is (dialect == "mysql")]
    return [statement for statement in block.split(";") if statement.strip()]


@contextmanager
def granted(connection: Connection) -> Iterator[None]:
    """Both users, with what the documentation grants them."""
    dialect = connection.dialect.name
    for user in USERS:
        connection.execute(text(NEW_USER[dialect].format(user)))
    try:
        for statement in documented(dialect):
            connection.execute(text(statement))
        yield
    finally:
        for user in USERS:
            for statement in OLD_USER[dialect].format(user).split(";"):
                connection.execute(text(statement))


@pytest.mark.parametrize("ledger_connection", DATABASES[1:], indirect=True)  # SQLite has no users
def test_workers_send_and_forget_and_readers_see_the_views(
    sandbox: RunningSandbox, new_engine: NewEngine, ledger_connection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = new_engine().execution_options(isolation_level="AUTOCOMMIT")

    def send(first: int, last: int) -> int:
        summary = ReshapeHook().send_events(leads(first, last), event="lead_qualified", ledger_conn_id="ledger")
        return int(summary["delivered"])

    assert send(0, 5) == 5  # the first use makes the tables
    with owner.connect() as connection, granted(connection):
        worker = json.dumps(json.loads(ledger_connection) | {"login": WORKER, "password": PASSWORD})
        monkeypatch.setenv("AIRFLOW_CONN_LEDGER", worker)
        assert send(3, 9) == 4
        as_worker = create_engine(owner.url.set(username=WORKER, password=PASSWORD))
        told = forget(as_worker, "3", sandbox.script_id, ledger_digests(ReshapeHook().settings))
        assert [row["event_id"] for row in told] == ["3:qualified"]
        as_worker.dispose()

        as_reader = create_engine(owner.url.set(username=READER, password=PASSWORD))
        with as_reader.connect() as reader:
            assert reader.scalar(text("SELECT COUNT(*) FROM reshape_lead_timeline")) == 8
            reader.execute(text("SELECT * FROM reshape_daily")).all()
            reader.execute(text("SELECT * FROM reshape_open_problems")).all()
        for table in ("reshape_event", "reshape_sender", "reshape_forgotten"):
            with as_reader.connect() as reader, pytest.raises(DBAPIError):
                reader.execute(text(f"SELECT * FROM {table}"))
        as_reader.dispose()
