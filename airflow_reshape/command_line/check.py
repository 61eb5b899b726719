"""``check``: what a connection says, and whether it works."""

from __future__ import annotations

from airflow_reshape.command_line.connections import ConnId, reshape_settings
from airflow_reshape.command_line.dev_send import send_as_dev
from airflow_reshape.command_line.output import add_row, failures_told, show, table
from airflow_reshape.events.probe import PROBE_EVENT
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.settings import ReshapeSettings


def check(conn_id: ConnId = "reshape_default") -> None:
    """Show what a connection says, and send one dev event over it."""
    with failures_told():
        settings = reshape_settings(conn_id)
        _show(conn_id, settings)
        send_as_dev(settings, PROBE_EVENT, SendPlan())


def _show(conn_id: str, settings: ReshapeSettings) -> None:
    destination = settings.destination
    shown = table(f"Connection {conn_id}", "", "")
    shown.show_header = False
    for name, value in {
        "host": destination.base_url,
        "route": destination.path,
        "script id": destination.script_id,
        "api": settings.generation,
        "environment": settings.environment,
        "data source": settings.data_source or "(none)",
        "timeout": f"{destination.timeout:g} s",
        "certificate": "checked" if destination.verify else "NOT checked",
        "proxy": "yes" if destination.proxy else "no",
        "access token": "set, not shown",
    }.items():
        add_row(shown, name, value)
    show(shown)
