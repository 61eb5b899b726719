"""The sandbox's schemas as a second opinion: written by other hands from the same pages."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from airflow_reshape.events.rules import Generation, Rules
from airflow_reshape.events.wire import WIRE_FORMS, to_bytes
from airflow_reshape.sandbox.inspection import ROUTES, Arrival, inspect
from airflow_reshape.sandbox.judge import Judge
from airflow_reshape.sandbox.schemas import Strictness

TOKEN = "token-of-the-sandbox"
SCRIPT_ID = "AB12CD34"


@lru_cache
def _judge(require_reason: bool) -> Judge:
    return Judge(Strictness(require_reason=require_reason))


def refused(body: dict[str, Any], generation: Generation, rules: Rules | None = None) -> tuple[str, ...]:
    """What the sandbox says against a body, as it would be posted; nothing if it takes it."""
    path = WIRE_FORMS[generation].path
    arrival = Arrival(
        route=next(route for route in ROUTES if route.path == path),
        script_id=SCRIPT_ID,
        token=TOKEN,
        content_type="application/json",
        raw=to_bytes(body),
    )
    judge = _judge((rules or Rules()).require_reason)
    refusal = inspect(arrival, token=TOKEN, script_id=SCRIPT_ID, judge=judge).refusal
    return refusal.detail if refusal else ()
