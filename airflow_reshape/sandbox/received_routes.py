"""What was received, as JSON."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Response

from airflow_reshape.sandbox.bench import Bench
from airflow_reshape.sandbox.json_answer import json_answer
from airflow_reshape.sandbox.store import Filter

#: At most so many requests in one answer.
LONGEST_LIST: Final = 5_000


def _filter(
    name: str | None = None,
    id_: Annotated[str | None, Query(alias="id")] = None,
    valid: bool | None = None,
    taken: bool | None = None,
    duplicates: bool | None = None,
    environment: Literal["prod", "dev"] | None = None,
    search: str | None = None,
    after: int | None = None,
) -> Filter:
    return Filter(name, id_, valid, taken, duplicates, environment, search, after)


def received_router(bench: Bench) -> APIRouter:
    """``/received`` with its filters, ``/received/summary``, ``/received/{seq}``.

    :param bench: the sandbox.
    """
    router = APIRouter()

    @router.get("/received")
    async def received(
        chosen: Annotated[Filter, Depends(_filter)],
        limit: Annotated[int, Query(ge=0, le=LONGEST_LIST)] = 100,
        offset: Annotated[int, Query(ge=0)] = 0,
        order: Literal["asc", "desc"] = "asc",
        bodies: bool = True,
    ) -> Response:
        return json_answer(
            {
                "events": bench.store.find(chosen, limit=limit, offset=offset, order=order, bodies=bodies),
                "matching": bench.store.matching(chosen),
                "totals": bench.totals(),
            }
        )

    @router.get("/received/summary")
    async def summary() -> Response:
        return json_answer(bench.totals())

    @router.get("/received/{seq}")
    async def one(seq: int) -> Response:
        found = bench.store.one(seq)
        if found is None:
            raise HTTPException(404, "no such number")
        return json_answer(found)

    @router.delete("/received")
    async def clear() -> Response:
        bench.store.clear()
        bench.gauge.clear()
        return json_answer(bench.totals())

    return router
