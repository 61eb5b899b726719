"""What an answer means. The API documents no answers; this table is the package's policy."""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

from airflow_reshape.delivery.answer_text import Nothing, said
from airflow_reshape.delivery.transport import Answer

WITHHELD = "(withheld: it quotes the access token)"


class Action(Enum):
    """What to do about an event after one attempt."""

    DELIVERED = "delivered"
    REJECTED = "rejected"
    UNREADABLE = "unreadable"
    """A success by its status alone: tried again once, then rejected."""
    RETRY = "retry"
    BUSY = "busy"
    """To be tried again as well, but nothing that an event could be blamed for."""
    REFUSED = "refused"
    """403, 404 and 405: the connection's fault or the event's, decided by what happened to others."""
    STOP_CREDENTIALS = "credentials"
    STOP_CONFIGURATION = "configuration"


class Verdict(NamedTuple):
    """Judgement of one attempt.

    :param reason: short and without personal data; counted and shown.
    :param detail: what the server said, or None; to be redacted before it is shown.
    """

    action: Action
    reason: str
    detail: str | None = None


class _Row(NamedTuple):
    first: int
    last: int
    action: Action
    reason: str


# First match counts.
STATUS_TABLE = (
    _Row(
        300,
        399,
        Action.STOP_CONFIGURATION,
        "the server redirects, and the token must not travel: correct the host",
    ),
    _Row(401, 401, Action.STOP_CREDENTIALS, "the access token is refused: correct the connection's password"),
    _Row(403, 405, Action.REFUSED, "refused"),
    _Row(407, 407, Action.STOP_CONFIGURATION, "the proxy wants a login: correct extra 'proxies'"),
    _Row(408, 408, Action.RETRY, "request timeout"),
    _Row(425, 425, Action.RETRY, "too early"),
    _Row(429, 429, Action.BUSY, "too many requests"),
    _Row(400, 499, Action.REJECTED, "refused by the server"),
    _Row(503, 503, Action.BUSY, "service unavailable"),
    _Row(500, 599, Action.RETRY, "server error"),
)
# 429 and 503 speak of the server, not of the request (RFC 6585, 4; RFC 9110, 15.6.4): their Retry-After is for all,
# and no event is blamed for them.
FOR_ALL = frozenset({429, 503})
FAILURE_TABLE = {
    "connect": Verdict(Action.BUSY, "no connection"),
    "name": Verdict(Action.BUSY, "the host's name is not found"),
    "tls": Verdict(Action.BUSY, "no TLS connection: does the host speak https on this port?"),
    "proxy": Verdict(Action.BUSY, "no connection through the proxy: see extra 'proxies'"),
    "proxy login": Verdict(Action.STOP_CONFIGURATION, "the proxy wants a login: correct extra 'proxies'"),
    "proxy refusal": Verdict(
        Action.STOP_CONFIGURATION,
        "the proxy refuses to connect to the host: have it allowed, or correct extra 'proxies'",
    ),
    "timeout": Verdict(Action.RETRY, "no answer in time"),
    "reset": Verdict(Action.RETRY, "connection lost"),
    "headers": Verdict(Action.RETRY, "the answer's headers are longer than 64 KB"),
    "certificate": Verdict(
        Action.STOP_CONFIGURATION, "the server's certificate is not trusted: set ca_path or correct the host"
    ),
}


def judge(answer: Answer) -> Verdict:
    """The verdict on an answer."""
    if 200 <= answer.status <= 299:
        return _judge_success(answer)
    for row in STATUS_TABLE:
        if row.first <= answer.status <= row.last:
            return Verdict(row.action, f"{answer.status} {row.reason}", _detail(answer))
    return Verdict(Action.RETRY, f"{answer.status} unexpected answer")


def judge_failure(kind: str, about: str | None = None) -> Verdict:
    """The verdict on a request that got no answer; see :class:`TransportFailure` for the kinds."""
    verdict = FAILURE_TABLE[kind]
    return verdict._replace(reason=f"{verdict.reason} ({about})") if about else verdict


def _judge_success(answer: Answer) -> Verdict:
    if answer.content_type == "text/html":
        return Verdict(
            Action.STOP_CONFIGURATION,
            "the host answers with a web page, it is not Reshape's: correct the host",
        )
    told = _said(answer)
    if told is Nothing.UNREADABLE:
        return Verdict(Action.UNREADABLE, f"{answer.status}, answer unreadable")
    result = told.get("result", "ok") if isinstance(told, dict) else "ok"
    if isinstance(result, str) and result.strip().lower() == "ok":
        return Verdict(Action.DELIVERED, "ok")
    return Verdict(Action.REJECTED, f"{answer.status} with a result other than ok", _detail(answer))


def _said(answer: Answer) -> Any:
    return said(answer.text, is_json=_is_json(answer.content_type), is_cut=answer.is_cut)


def _is_json(content_type: str) -> bool:
    return content_type in ("application/json", "text/json") or content_type.endswith("+json")


def _detail(answer: Answer) -> str | None:
    told = _said(answer)
    detail = told.get("detail") if isinstance(told, dict) else None
    if detail is None or answer.content_type == "text/html":
        return None
    return WITHHELD if answer.quotes_token else " ".join(_written(detail).split())


def _written(detail: Any) -> str:
    try:
        return "; ".join(map(str, detail)) if isinstance(detail, list) else str(detail)
    except RecursionError:
        return "(nested too deeply)"
