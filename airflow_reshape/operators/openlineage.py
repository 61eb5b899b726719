"""What a task that sends tells OpenLineage: where from, where to, and counts. Nothing of a lead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import Asset

from airflow_reshape.assets import to_openlineage
from airflow_reshape.delivery.outcome import Kind

SEND_FACET = "reshape_send"
COUNTED = ("read", *(kind.value for kind in Kind), "requests", "environment", "validate_only")


def send_lineage(summary: Mapping[str, Any] | None) -> Any:
    """A send's counts, as an ``OperatorLineage`` with the run facet ``reshape_send``.

    It names no dataset: then the OpenLineage provider takes those of the hooks, ours among them.

    :param summary: of the send, or None if it never began.
    """
    from airflow.providers.common.compat.openlineage.facet import RunFacet
    from airflow.providers.openlineage.extractors import OperatorLineage

    if summary is None:
        return OperatorLineage()
    counts = {name: summary[name] for name in COUNTED}
    return OperatorLineage(run_facets={SEND_FACET: RunFacet().with_additional_properties(**counts)})


def with_datasets(lineage: Any, query: Any, sent: Sequence[Asset]) -> Any:
    """A send's lineage with the tables of its query as inputs and what it sent to as outputs.

    :param lineage: of :func:`send_lineage`.
    :param query: of the query, or None.
    :param sent: the assets, with their counts as extra.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage

    outputs = [to_openlineage(asset, None) for asset in sent if not asset.extra["validate_only"]]
    return OperatorLineage(
        inputs=query.inputs if query else [],
        outputs=outputs,
        run_facets={**(query.run_facets if query else {}), **lineage.run_facets},
        job_facets=query.job_facets if query else {},
    )
