"""An event that is no lead's, to find out whether a connection works. Reshape logs ``dev`` events only."""

from __future__ import annotations

from airflow_reshape.events.models import Context, LeadQualified, LeadQualifiedDetails

PROBE_EVENT = LeadQualified(
    event=LeadQualifiedDetails(id="connection-test", currency="EUR", value=0), context=Context(environment="dev")
)
