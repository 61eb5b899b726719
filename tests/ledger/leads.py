"""Leads by number."""

from __future__ import annotations

from typing import Any


def leads(first: int, last: int) -> list[dict[str, Any]]:
    """Leads with all that an event needs."""
    return [
        {"lead_id": n, "email": f"Person{n}@Example.com", "phone": "+40722123456", "currency": "EUR", "value": n}
        for n in range(first, last)
    ]
