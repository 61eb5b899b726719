"""The demonstration: a made-up CRM, the DAG that sends its leads, and the check that every event is right."""

from __future__ import annotations
