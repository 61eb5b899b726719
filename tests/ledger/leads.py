"""Leads by number."""

from __future__ import annotations

from typing import Any


def leads(first: int, last: int) -> list[dict[str, Any]]:
    """Leads with all that an event needs. 0 is no id: the lead of that number is called "first"."""
    return [
        {
            "lead_id": n or "first",
            "email": f"Person{n}@Example.com",
            "phone": "+40722123456",
            "currency": "EUR",
            "value": n,
        }
        for n in range(first, last)
    ]
