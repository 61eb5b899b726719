"""Apache Airflow provider for DATA Reshape: lead events from a CRM, delivered once and accounted for."""

from __future__ import annotations

__version__ = "0.1.0"
