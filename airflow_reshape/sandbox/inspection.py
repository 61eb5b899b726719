"""What one request is worth: whose it is, which event it carries, and whether the API takes it.

Pure: bytes and headers in, an :class:`Inspection` out.
"""

from __future__ import annotations

import hmac
import json
from dataclasses import dataclass
from typing import Any, Final

from airflow_reshape.sandbox.judge import Judge, Violation, environment, event_id, event_name
from airflow_reshape.sandbox.schemas import Generation
from airflow_reshape.sandbox.settings import SCRIPT_ID

#: Bytes. An event is a few kilobytes; the limit only protects the machine the sandbox runs on.
LARGEST_BODY: Final = 1_048_576


@dataclass(frozen=True)
class Route:
    """One address that takes events.

    :param path: its path.
    :param generation: the API generation spoken there.
    :param test: whether everything sent there counts as ``dev``, whatever the body says.
    """

    path: str
    generation: Generation
    test: bool = False


ROUTES: Final = (
    Route("/reshape/standard/event", "standard"),
    Route("/webhooks/reshape/event", "webhooks"),
    Route("/webhooks/reshape/event/test", "webhooks", test=True),
)


@dataclass(frozen=True)
class Arrival:
    """A request as it came in; ``raw`` is None if it was too large to read."""

    route: Route
    script_id: str | None
    token: str | None
    content_type: str | None
    raw: bytes | None


@dataclass(frozen=True)
class Refusal:
    """Why the API does not take a request: a status and what ``detail`` says."""

    status: int
    detail: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """Everything that is known of a request after looking at it.

    ``refusal`` is None if the API takes it. ``environment`` is the effective one: the test route forces
    ``dev``, and a body that does not say counts as live.
    """

    route: Route
    name: str | None
    id: str | None
    environment: str
    token_ok: bool
    violations: tuple[Violation, ...]
    refusal: Refusal | None
    text: str


def inspect(arrival: Arrival, *, token: str, script_id: str, judge: Judge) -> Inspection:
    """Look at a request. The body is judged even where the credentials are wrong, because it is shown.

    :param arrival: the request.
    :param token: the access token that is right.
    :param script_id: the script id that is right.
    :param judge: the compiled schemas.
    """
    body, unreadable = _parse(arrival.raw)
    violations = (unreadable,) if unreadable else judge.violations(arrival.route.generation, body)
    token_ok = arrival.token is not None and hmac.compare_digest(
        arrival.token.encode("utf-8", "replace"), token.encode()
    )
    known_script = script_id == arrival.script_id
    checks: tuple[tuple[bool, int, tuple[str, ...]], ...] = (
        (arrival.raw is None, 413, (f"the body is larger than {LARGEST_BODY} bytes",)),
        (not known_script, 404, (_about_script_id(arrival.script_id),)),
        (not token_ok, 401, ("X-Dre-Access-Token is missing or wrong",)),
        (not _is_json(arrival.content_type), 415, ("Content-Type must be application/json",)),
        (unreadable is not None, 400, tuple(str(violation) for violation in violations)),
        (bool(violations), 422, tuple(str(violation) for violation in violations)),
    )
    return Inspection(
        route=arrival.route,
        name=event_name(body),
        id=event_id(body),
        environment="dev" if arrival.route.test else environment(body) or "prod",
        token_ok=token_ok,
        violations=violations,
        refusal=next((Refusal(status, detail) for wrong, status, detail in checks if wrong), None),
        text=(arrival.raw or b"").decode("utf-8", "replace"),
    )


def _about_script_id(script_id: str | None) -> str:
    if script_id is None:
        return "the query parameter id (script id) is missing"
    if not SCRIPT_ID.fullmatch(script_id):
        return "the script id must be eight capital letters or digits"
    return "no such script id"


def _is_json(content_type: str | None) -> bool:
    return (content_type or "").partition(";")[0].strip().lower() == "application/json"


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError("number out of range")
    return number


def _no_constant(_: str) -> Any:
    # Python's parser takes NaN and Infinity, which are not JSON.
    raise ValueError("not JSON")


def _parse(raw: bytes | None) -> tuple[Any, Violation | None]:
    if raw is None:
        return None, Violation("body", "size", "is too large")
    try:
        text = raw.decode("utf-8")
        body = json.loads(text, parse_float=_finite, parse_constant=_no_constant)
        if "\\ud" in text.lower():
            # Half of a surrogate pair is no character: such a text cannot be written anywhere.
            json.dumps(body, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        return None, Violation("body", "json", "is not well-formed JSON in UTF-8")
    return body, None
