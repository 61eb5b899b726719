"""Connections as the pages write them."""

from __future__ import annotations

import os
from unittest import mock

from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.hooks.settings import ReshapeSettings


def settings_of(written: str) -> ReshapeSettings:
    """What a connection says, given as Airflow reads it from the environment: as JSON or as a URI.

    :raises ReshapeConfigurationError: it is wrong.
    """
    with mock.patch.dict(os.environ, AIRFLOW_CONN_OF_A_PAGE=written):
        return ReshapeHook("of_a_page").settings
