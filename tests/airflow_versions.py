"""Where each supported Airflow keeps what the tests look at, and what an older one cannot show."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from airflow_reshape.airflow_features import sql_lineage

needs_sql_lineage = pytest.mark.skipif(
    sql_lineage() is None, reason="the provider common-sql reports queries to OpenLineage since 1.32"
)


def dag_bags() -> Any:
    """The module with ``DagBag`` and ``sync_bag_to_db``."""
    return _first("airflow.dag_processing.dagbag", "airflow.models.dagbag")  # the second before Airflow 3.2


@contextmanager
def collected_lineage(patch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What hooks report while the block lasts. Airflow collects it only where a plugin reads it, as OpenLineage's does.

    :returns: a function that gives the collector.
    """
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    lineage = _first("airflow.sdk.lineage", "airflow.lineage.hook")  # the second before Airflow 3.2
    if hasattr(lineage.get_hook_lineage_collector, "cache_clear"):
        plugins = importlib.import_module("airflow.sdk.plugins_manager")
        patch.setattr(plugins, "get_hook_lineage_readers_plugins", lambda: [lineage.HookLineageReader])
        lineage.get_hook_lineage_collector.cache_clear()
        try:
            yield get_hook_lineage_collector
        finally:
            lineage.get_hook_lineage_collector.cache_clear()
    else:
        plugins = importlib.import_module("airflow.plugins_manager")
        patch.setattr(plugins, "hook_lineage_reader_classes", [lineage.HookLineageReader])
        patch.setattr(lineage, "_hook_lineage_collector", None)
        yield get_hook_lineage_collector


def _first(*names: str) -> Any:
    """The first module of these that there is."""
    for name in names[:-1]:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            continue
    return importlib.import_module(names[-1])
