"""Every example of the vendor's two documents, with values of our own, in each API generation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_reshape.sandbox.judge import Judge
from airflow_reshape.sandbox.schemas import Generation, Strictness

PAYLOADS = Path(__file__).parent / "payloads"
PATHS = {"standard": "/reshape/standard/event", "webhooks": "/webhooks/reshape/event"}

RIGHT_IN: dict[str, set[str]] = {
    "qualified_complete": {"standard"},
    "qualified_minimal": {"standard"},
    "qualified_hashed": {"standard"},
    "qualified_code_sample": {"standard", "webhooks"},
    "qualified_every_field": {"standard", "webhooks"},
    "disqualified_out_of_icp": {"standard", "webhooks"},
    "disqualified_no_budget": {"standard", "webhooks"},
    "disqualified_no_authority": {"standard", "webhooks"},
    "disqualified_duplicate": {"standard", "webhooks"},
    "disqualified_every_field": {"standard", "webhooks"},
    "disqualified_required_only": set(),
}

WRONG_IN_WEBHOOKS = {
    "qualified_complete": ["context.overide_ip", "context.referring_url", "user.email", "user.phone"],
    "qualified_minimal": ["user.email"],
    "qualified_hashed": ["user.email", "user.phone"],
}


def payload(name: str) -> Any:
    return json.loads((PAYLOADS / f"{name}.json").read_text("utf-8"))


def test_every_payload_file_has_a_row_in_the_table() -> None:
    assert {path.stem for path in PAYLOADS.glob("*.json")} == set(RIGHT_IN)


@pytest.mark.parametrize("generation", PATHS)
@pytest.mark.parametrize("name", RIGHT_IN)
def test_is_taken_where_it_is_right_and_refused_where_it_is_not(
    client: Any, sandbox: Any, name: str, generation: str
) -> None:
    body = payload(name)
    answer = client.send(body, PATHS[generation])

    right = generation in RIGHT_IN[name]
    assert answer.status == (200 if right else 422)
    (kept,) = sandbox.received()
    assert kept["valid"] is right
    assert kept["taken"] is right
    assert kept["body"] == body
    if right:
        assert answer.json == {"result": "ok", "detail": ["Received. This has been processed"]}


@pytest.mark.parametrize(("name", "fields"), WRONG_IN_WEBHOOKS.items())
def test_the_newer_generation_names_what_it_refuses(name: str, fields: list[str]) -> None:
    assert [violation.field for violation in Judge().violations("webhooks", payload(name))] == fields


@pytest.mark.parametrize("generation", PATHS)
def test_a_disqualification_without_a_reason_is_right_once_the_reason_is_not_asked_for(
    generation: Generation,
) -> None:
    body = payload("disqualified_required_only")
    strict = Judge().violations(generation, body)
    assert [violation.field for violation in strict] == ["event.properties"]
    assert Judge(Strictness(require_reason=False)).violations(generation, body) == ()
