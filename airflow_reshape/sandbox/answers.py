"""From what a request is worth and the fault that strikes it to what is answered. Pure."""

from __future__ import annotations

import codecs
import hashlib
import json
import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Final

from airflow_reshape.sandbox.faults import Faults, Garbage
from airflow_reshape.sandbox.inspection import Inspection
from airflow_reshape.sandbox.reactions import Drop, Reaction

#: The one success answer that the vendor's documentation shows.
SUCCESS: Final = {"result": "ok", "detail": ["Received. This has been processed"]}

_JSON: Final = "application/json"
_LOGIN_PAGE: Final = (
    "<!doctype html><html lang=en><title>Sign in</title><body><h1>Sign in</h1>"
    "<form method=post><input name=user><input name=password type=password><button>Go</button></form>"
)
_REFUSED: Final = '{"result":"error","detail":["The event could not be processed"]}'
_GARBAGE: Final[dict[Garbage, tuple[str | None, bytes]]] = {
    "text": ("text/plain; charset=utf-8", b"event received, thank you"),
    "html": ("text/html; charset=utf-8", _LOGIN_PAGE.encode()),
    "error_json": (_JSON, _REFUSED.encode()),
    "empty": (None, b""),
    "big_detail": (_JSON, json.dumps({"result": "error", "detail": ["x" * 60_000]}).encode()),
    "big_error": (_JSON, json.dumps({"detail": ["x" * 70_000], "result": "error"}).encode()),
    "mark": (_JSON, codecs.BOM_UTF8 + json.dumps(SUCCESS).encode()),
    "mark_error": (_JSON, codecs.BOM_UTF8 + _REFUSED.encode()),
    "utf16_error": ("application/json; charset=utf-16", _REFUSED.encode("utf-16")),
    "php_error": (_JSON, f"\nWarning: Undefined variable $x in /srv/event.php on line 31\n{_REFUSED}".encode()),
    "deep_error": (_JSON, f'{{"result":"error","detail":{"[" * 20_000}{"]" * 20_000}}}'.encode()),
}


@dataclass(frozen=True)
class Answer:
    """What the client gets and what is noted.

    :param status: HTTP status; None if the connection is dropped instead.
    :param taken: whether the event counts as accepted.
    :param fault: the fault that struck, None if none did.
    :param drop: what happens to the connection.
    :param content_type: of the body, None for no such header.
    :param body: the bytes sent.
    :param headers: further headers.
    """

    status: int | None
    taken: bool
    fault: str | None = None
    drop: Drop | None = None
    content_type: str | None = _JSON
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def settle(inspection: Inspection, reaction: Reaction | None, faults: Faults | None, now: datetime) -> Answer:
    """The answer to a request.

    A fault that lets the event be taken first strikes successes only: a refused request gets its refusal.

    :param inspection: what the request is worth.
    :param reaction: the fault that strikes, if any.
    :param faults: the layer the fault came from, for the details of the answer.
    :param now: the time of day, for a ``Retry-After`` date.
    """
    if reaction is None or faults is None or (reaction.taken and inspection.refusal):
        return _plain(inspection)
    if reaction.status is None:
        return Answer(None, reaction.taken, reaction.fault, drop=reaction.drop)
    if reaction.garbage:
        content_type, body = _odd(reaction.garbage, inspection)
        return Answer(200, reaction.taken, reaction.fault, content_type=content_type, body=body)
    return Answer(
        reaction.status,
        False,
        reaction.fault,
        body=_error([f"the sandbox was asked to misbehave: {reaction.fault}"]),
        headers=_headers(reaction, reaction.status, faults, now),
    )


def _odd(garbage: Garbage, inspection: Inspection) -> tuple[str | None, bytes]:
    return (_JSON, _echo(inspection)) if garbage == "echo" else _GARBAGE[garbage]


def _echo(inspection: Inspection) -> bytes:
    """The user as an older protocol of the vendor echoes it: each value, and the SHA-256 of its normalised form."""
    try:
        body = json.loads(inspection.text)
    except (ValueError, RecursionError):
        body = None
    user = body.get("user") if isinstance(body, dict) else None
    texts = {key: value for key, value in user.items() if isinstance(value, str)} if isinstance(user, dict) else {}
    hashes = {
        f"sha256_{key}": hashlib.sha256(value.strip().lower().encode("utf-8", "replace")).hexdigest()
        for key, value in texts.items()
    }
    return json.dumps({"result": "error", "detail": {"user_data": {**texts, **hashes}}}).encode()


def _plain(inspection: Inspection) -> Answer:
    if inspection.refusal:
        return Answer(inspection.refusal.status, False, body=_error(list(inspection.refusal.detail)))
    return Answer(200, True, body=json.dumps(SUCCESS).encode())


def _error(detail: list[str]) -> bytes:
    return json.dumps({"result": "error", "detail": detail}).encode()


def _headers(reaction: Reaction, status: int, faults: Faults, now: datetime) -> dict[str, str]:
    if 300 <= status < 400:
        return {"Location": faults.redirect_to or "/"}
    if faults.retry_after is None or not (status in (408, 425, 429) or status >= 500):
        return {}
    # Rounded up: a client that obeys to the second must not be told to come too early.
    wait = math.ceil(faults.retry_after_wait if reaction.wait is None else reaction.wait)
    if faults.retry_after == "seconds":
        return {"Retry-After": str(wait)}
    whole = now.replace(microsecond=0) + timedelta(seconds=wait + (1 if now.microsecond else 0))
    return {"Retry-After": format_datetime(whole, usegmt=True)}
