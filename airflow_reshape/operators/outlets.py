"""The asset events of a task that sends: one for each event name, with counts as extra."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from airflow.providers.common.compat.sdk import Context
from airflow.sdk import Asset, AssetAlias

from airflow_reshape.assets import SCHEME


class Log(Protocol):
    """The part of a logger that is used."""

    def warning(self, message: str, /, *args: Any) -> Any:
        """Log at WARNING."""
        ...


def tell_outlets(context: Context, outlets: Sequence[Any], assets: Callable[[], Sequence[Asset]], log: Log) -> None:
    """Write the counts into the task's asset events.

    | Outlet | |
    |---|---|
    | a declared ``reshape://`` asset | gets the counts of what was sent to it, 0 if nothing ever is |
    | an ``AssetAlias`` | gets an event for each asset that was sent to |
    | anything else | is left alone |

    It never fails: the leads are sent.

    :param context: of the task; outside Airflow it has no asset events, and nothing happens.
    :param outlets: of the task.
    :param assets: gives the assets that were sent to, with their counts as extra.
    """
    events = context.get("outlet_events")
    if events is None or not outlets:
        return
    try:
        sent = assets()
        by_uri = {asset.uri: asset for asset in sent}
        for outlet in outlets:
            if isinstance(outlet, AssetAlias):
                for asset in sent:
                    if not asset.extra["validate_only"]:
                        events[outlet].add(Asset(name=asset.name, uri=asset.uri), extra=asset.extra)
            elif isinstance(outlet, Asset) and outlet.uri.startswith(f"{SCHEME}:"):
                events[outlet].extra.update(by_uri[outlet.uri].extra if outlet.uri in by_uri else {"delivered": 0})
                if outlet.uri not in by_uri:
                    log.warning("Nothing is sent to the outlet %s, but to %s", outlet.uri, ", ".join(by_uri))
    except Exception as error:  # noqa: BLE001
        log.warning("The counts could not be written into the asset events (%s)", type(error).__name__)
