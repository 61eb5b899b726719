"""The page, the schemas, and a sign of life."""

from __future__ import annotations

from fastapi import APIRouter, Response

from airflow_reshape.sandbox.bench import Bench
from airflow_reshape.sandbox.json_answer import json_answer
from airflow_reshape.sandbox.page import page, page_headers
from airflow_reshape.sandbox.schemas import GENERATIONS, GENERIC, LEAD_EVENTS, schema_for


def viewer_router(bench: Bench) -> APIRouter:
    """``/``, ``/health`` and ``/schemas``.

    :param bench: the sandbox.
    """
    router = APIRouter()

    @router.get("/")
    async def show_page() -> Response:
        return Response(page(), media_type="text/html; charset=utf-8", headers=page_headers())

    @router.get("/health")
    async def health() -> Response:
        return json_answer({"status": "ok", "stand_in": True, "script_id": bench.settings.script_id})

    @router.get("/schemas")
    async def schemas() -> Response:
        strictness = bench.settings.strictness
        return json_answer(
            {
                generation: {name: schema_for(generation, name, strictness) for name in (*LEAD_EVENTS, GENERIC)}
                for generation in GENERATIONS
            }
        )

    return router
