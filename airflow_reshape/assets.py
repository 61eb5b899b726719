"""What Reshape is told, as Airflow assets: ``reshape://<host>/<script id>/<event>``.

Airflow imports this module whenever an asset of that scheme is made, so it imports little.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from airflow.sdk import Asset

if TYPE_CHECKING:
    from airflow.providers.common.compat.openlineage.facet import Dataset

SCHEME = "reshape"
SHAPE = f"{SCHEME}://<host>/<script id>/<event>, such as {SCHEME}://dre2.yourdomain.com/AB12CD34/lead_qualified"
SCRIPT_ID = re.compile(r"[A-Z0-9]{8}")
# As reports show event names; what else stands there may have come from a wrongly mapped column.
EVENT = re.compile(r"[A-Za-z][\w.\-:]{0,59}", re.ASCII)
HTTPS_PORT = 443


def reshape_asset(host: str, script_id: str, event: str, extra: dict[str, Any] | None = None) -> Asset:
    """The events of one name that one website's Reshape is told, as an asset.

    Its name is its URI, so that producers and consumers mean the same asset.

    :param host: as in the connection: the subdomain, with a port if it is not 443. ``https://`` before it is dropped.
    :param script_id: as in the connection: eight capital letters or digits.
    :param event: an event's name, such as ``lead_qualified``.
    :param extra: the asset's extra. Default none.
    :raises ValueError: one of them is wrong.
    """
    authority = host.strip().rpartition("://")[2].rstrip("/")
    # Written as Airflow will write it, for the name is not normalised, and both together are the asset.
    uri = sanitize_uri(urlsplit(f"{SCHEME}://{authority}/{script_id}/{event}")).geturl()
    return Asset(name=uri, uri=uri, extra=extra)


def sanitize_uri(parts: SplitResult) -> SplitResult:
    """The one spelling of an asset's URI; Airflow calls it for every asset of the scheme.

    :raises ValueError: it is not of the shape ``reshape://<host>/<script id>/<event>``.
    """
    script_id, _, event = parts.path.strip("/").partition("/")
    if not SCRIPT_ID.fullmatch(script_id) or not EVENT.fullmatch(event) or parts.query:
        raise ValueError(f"the URI of an asset of DATA Reshape must be {SHAPE}")
    return SplitResult(SCHEME, _authority(parts), f"/{script_id}/{event}", "", "")


def _authority(parts: SplitResult) -> str:
    """Host and port: in lower case, in ASCII, without a login and without the port that https has anyway."""
    host = parts.hostname or ""
    try:
        # MySQL takes nothing but ASCII in an asset's URI.
        host = f"[{host}]" if ":" in host else host.encode("idna").decode("ascii")
    except UnicodeError:
        host = ""
    if not host:
        raise ValueError(f"the URI of an asset of DATA Reshape must be {SHAPE}")
    return host if parts.port in (None, HTTPS_PORT) else f"{host}:{parts.port}"


def to_openlineage(asset: Asset, lineage_context: object) -> Dataset:  # noqa: ARG001  # what Airflow calls it with
    """The asset as an OpenLineage dataset: host and script id name where, the event what.

    :param asset: with ``delivered`` in its extra, it is the output of a send, and that is its number of rows.
    """
    from airflow.providers.common.compat.openlineage.facet import (
        Dataset,
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
    )

    parts = urlsplit(asset.uri)
    namespace, name = f"{SCHEME}://{parts.netloc}", parts.path.lstrip("/")
    delivered = asset.extra.get("delivered")
    if not isinstance(delivered, int):
        return Dataset(namespace, name)
    rows = OutputStatisticsOutputDatasetFacet(rowCount=delivered)
    return OutputDataset(namespace, name, outputFacets={"outputStatistics": rows})
