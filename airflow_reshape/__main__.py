"""``python -m airflow_reshape``: connections, leads and the ledger, without a DAG."""

from __future__ import annotations

from airflow_reshape.command_line.app import app

if __name__ == "__main__":
    app(prog_name="python -m airflow_reshape")
