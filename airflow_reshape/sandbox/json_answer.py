"""JSON answers of the routes people and tests look at."""

from __future__ import annotations

import json

from fastapi import Response


def json_answer(content: object) -> Response:
    """A JSON answer that no browser keeps. Anything may stand in it: what is not ASCII is escaped.

    :param content: what to answer.
    """
    return Response(json.dumps(content), media_type="application/json", headers={"Cache-Control": "no-store"})
