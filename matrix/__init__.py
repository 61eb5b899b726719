"""The tests on every Airflow and Python that is supported. Needs nothing but the standard library."""

from __future__ import annotations
