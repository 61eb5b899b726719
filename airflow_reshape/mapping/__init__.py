"""How a CRM row becomes an event: columns to fields, stages to events, reasons to the vocabulary.

No Airflow, no I/O.
"""

from __future__ import annotations

from airflow_reshape.mapping.builder import EventBuilder, default_paths
from airflow_reshape.mapping.field_map import FieldMap, MappingError
from airflow_reshape.mapping.steering import Steering

__all__ = ["EventBuilder", "FieldMap", "MappingError", "Steering", "default_paths"]
