"""What a send wrote, told to Airflow's collector of lineage. Counts only."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector
from airflow.sdk import Asset

from airflow_reshape.assets import EVENT, SCHEME, reshape_asset
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.hooks.settings import ReshapeSettings

if TYPE_CHECKING:
    from airflow_reshape.hooks.lead_send import LeadSend
    from airflow_reshape.hooks.reshape import ReshapeHook


def sent_assets(settings: ReshapeSettings, names: Collection[str], summary: Mapping[str, Any]) -> list[Asset]:
    """The assets that a send writes to, each with its counts as extra.

    :param settings: the connection.
    :param names: names of events that the send can make, delivered or not; the summary may know more.
    :param summary: of the send.
    """
    by_event: Mapping[str, Mapping[str, int]] = summary["by_event"]
    delivered = {name for name, counts in by_event.items() if counts.get(Kind.DELIVERED.value)}
    # What cannot be told, such as "(unknown)", is no asset.
    told = {name for name in delivered.union(names) if EVENT.fullmatch(name)}
    return [_asset(settings, name, summary) for name in sorted(told)]


def _asset(settings: ReshapeSettings, name: str, summary: Mapping[str, Any]) -> Asset:
    counts = summary["by_event"].get(name, {})
    extra = {
        **{kind.value: counts.get(kind.value, 0) for kind in Kind},
        # A text, for Airflow before 3.1.3 fails a task that gives an alias an extra with more than one level.
        "days": json.dumps(summary.get("days", {}).get(name, {})),
        "environment": summary["environment"],
        "validate_only": summary["validate_only"],
    }
    return reshape_asset(settings.destination.base_url, settings.destination.script_id, name, extra)


def tell_lineage(hook: ReshapeHook, send: LeadSend) -> None:
    """Tell the collector what a send wrote; whoever reads it (OpenLineage, a plugin) decides what becomes of it.

    It never fails: the leads are sent.
    """
    try:
        collector = get_hook_lineage_collector()  # type: ignore[no-untyped-call]
        for asset in send.assets():
            if not asset.extra["validate_only"]:
                collector.add_output_asset(
                    context=hook, scheme=SCHEME, uri=asset.uri, name=asset.name, asset_extra=asset.extra
                )
    except Exception as error:  # noqa: BLE001
        hook.log.warning("The lineage of the leads sent could not be told (%s)", type(error).__name__)
