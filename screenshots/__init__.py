"""The pictures of the documentation, taken of a real Airflow and of the sandbox's page by a headless browser."""

from __future__ import annotations
