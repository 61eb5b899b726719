"""How each generation of the API wants an event written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json

from airflow_reshape.events.models import BaseEvent
from airflow_reshape.events.rules import Environment, Generation


@dataclass(frozen=True, slots=True)
class WireForm:
    """One generation's way of writing.

    :param path: path of the event route.
    :param test_path: path of the route that forces ``dev``, or None where none is documented.
    :param context_names: canonical names that are written differently.
    :param cookies: from a name-value map to the written form.
    :param sends_consent: whether consent is part of the body.
    """

    path: str
    test_path: str | None
    context_names: dict[str, str]
    cookies: Callable[[dict[str, str]], Any]
    sends_consent: bool


WIRE_FORMS: dict[Generation, WireForm] = {
    "standard": WireForm(
        path="/reshape/standard/event",
        test_path=None,
        context_names={"override_ip": "overide_ip", "referrer_url": "referring_url"},
        cookies=lambda cookies: [{"name": name, "value": value} for name, value in cookies.items()],
        sends_consent=False,
    ),
    "webhooks": WireForm(
        path="/webhooks/reshape/event",
        test_path="/webhooks/reshape/event/test",
        context_names={},
        cookies=lambda cookies: cookies,
        sends_consent=True,
    ),
}


def to_wire(
    event: BaseEvent,
    generation: Generation,
    environment: Environment = "prod",
    data_source: str | None = None,
) -> dict[str, Any]:
    """The body of the POST for an event.

    :param generation: generation of the API.
    :param environment: of the connection. ``dev`` wins over the event's own: a test connection never
        sends a real event.
    :param data_source: of the connection, for events without one.
    """
    form = WIRE_FORMS[generation]
    body = event.model_dump(exclude_none=True)
    context = body["context"]
    context["environment"] = "dev" if environment == "dev" else context.get("environment", environment)
    if data_source:
        context.setdefault("data_source", data_source)
    body["context"] = {form.context_names.get(name, name): value for name, value in context.items()}
    if "cookies" in body:
        body["cookies"] = form.cookies(body["cookies"])
    if not form.sends_consent:
        body.pop("consent", None)
    for part in ("event", "user"):
        if part in body and not body[part].get("properties", True):
            del body[part]["properties"]
    return {part: value for part, value in body.items() if value or part in ("event", "context")}


def to_bytes(body: dict[str, Any]) -> bytes:
    """The body as JSON, UTF-8."""
    return to_json(body)
