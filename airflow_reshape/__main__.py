"""``python -m airflow_reshape``: connections, leads and the ledger, without a DAG."""

from __future__ import annotations

from airflow_reshape.command_line.app import app
from airflow_reshape.command_line.output import logs_to_stderr

if __name__ == "__main__":
    logs_to_stderr()
    app(prog_name="python -m airflow_reshape")
