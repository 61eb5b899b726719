"""Misbehaving on demand."""

from __future__ import annotations

from fastapi import APIRouter, Response

from airflow_reshape.sandbox.bench import Bench
from airflow_reshape.sandbox.faults import Faults
from airflow_reshape.sandbox.json_answer import json_answer


def control_router(bench: Bench) -> APIRouter:
    """``/control/faults``: GET what is in force, PUT one layer or a list of layers, DELETE to behave.

    :param bench: the sandbox.
    """
    router = APIRouter(prefix="/control/faults")

    @router.get("")
    async def faults() -> Response:
        return json_answer([layer.model_dump(mode="json", exclude_defaults=True) for layer in bench.misbehaviour.plan])

    @router.put("")
    async def set_faults(plan: Faults | list[Faults]) -> Response:
        bench.misbehaviour.set((plan,) if isinstance(plan, Faults) else plan)
        return await faults()

    @router.delete("")
    async def clear_faults() -> Response:
        bench.misbehaviour.set(())
        return await faults()

    return router
