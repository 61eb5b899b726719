"""What Reshape accepts: models of the events, their formats and wire forms. No Airflow, no I/O."""

from __future__ import annotations

from airflow_reshape.events.models import (
    Consent,
    Context,
    Event,
    EventDetails,
    LeadClosed,
    LeadCreated,
    LeadDisqualified,
    LeadQualified,
    User,
)
from airflow_reshape.events.reading import InvalidEvent, ReadEvent, read_event
from airflow_reshape.events.reasons import DisqualificationReason
from airflow_reshape.events.rules import Problem, Rules
from airflow_reshape.events.wire import to_wire

__all__ = [
    "Consent",
    "Context",
    "DisqualificationReason",
    "Event",
    "EventDetails",
    "InvalidEvent",
    "LeadClosed",
    "LeadCreated",
    "LeadDisqualified",
    "LeadQualified",
    "Problem",
    "ReadEvent",
    "Rules",
    "User",
    "read_event",
    "to_wire",
]
