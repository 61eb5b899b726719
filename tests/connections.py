"""Airflow connections of a running sandbox."""

from __future__ import annotations

import json

from airflow_reshape.sandbox.testing import RunningSandbox


def reshape_connection(sandbox: RunningSandbox, environment: str = "prod") -> str:
    """The value of an ``AIRFLOW_CONN_…`` variable."""
    return json.dumps(
        {
            "conn_type": "reshape",
            "schema": "http",
            "host": sandbox.host,
            "port": sandbox.port,
            "password": sandbox.token,
            "extra": {"script_id": sandbox.script_id, "environment": environment},
        }
    )
