"""Airflow connections by id."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_reshape.exceptions import ReshapeConfigurationError


def connection(conn_id: str) -> Any:
    """The connection of an id.

    :raises ReshapeConfigurationError: there is none; trying again would not make one.
    """
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ReshapeConfigurationError(
            f"there is no connection {conn_id!r}, or it cannot be read: in a URI, percent-encode the password"
        ) from None
