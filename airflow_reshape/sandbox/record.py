"""What is kept of one request."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_reshape.sandbox.judge import Violation


@dataclass(frozen=True)
class Record:
    """One request, as it is kept.

    :param at: when it came, ISO 8601 in UTC.
    :param route: path it was sent to.
    :param generation: the API generation of that path.
    :param test: whether it was the test route.
    :param environment: effective environment, ``prod`` or ``dev``.
    :param name: event name, None if there is none.
    :param id: event id, None if there is none.
    :param token_ok: whether the access token was right.
    :param violations: what is wrong with the body.
    :param status: HTTP status answered, None if the connection was dropped or left hanging.
    :param fault: the fault that struck, None if none did.
    :param taken: whether the event was accepted.
    :param body: the body as text.
    """

    at: str
    route: str
    generation: str
    test: bool
    environment: str
    name: str | None
    id: str | None
    token_ok: bool
    violations: tuple[Violation, ...]
    status: int | None
    fault: str | None
    taken: bool
    body: str

    @property
    def valid(self) -> bool:
        """Whether the body follows the documentation, whatever became of the request."""
        return not self.violations
