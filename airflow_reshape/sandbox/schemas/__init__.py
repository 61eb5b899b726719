"""The event API as JSON Schemas, one per event and API generation, written from the vendor's documentation.

What may live here: data only. ``leaves`` are single values, ``objects`` are user, context, cookies and
consent, ``events`` puts them together. A schema names its rule in ``x-rule`` and says it in ``x-says``, which
is what a refusal shows: the field and the rule, never the value.
"""

from __future__ import annotations

from airflow_reshape.sandbox.schemas.events import GENERATIONS, GENERIC, LEAD_EVENTS, Strictness, schema_for
from airflow_reshape.sandbox.schemas.leaves import Generation, Schema

__all__ = ["GENERATIONS", "GENERIC", "LEAD_EVENTS", "Generation", "Schema", "Strictness", "schema_for"]
