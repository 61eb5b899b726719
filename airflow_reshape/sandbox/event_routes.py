"""The addresses that take events."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from airflow_reshape.sandbox.answers import Answer, settle
from airflow_reshape.sandbox.bench import Bench
from airflow_reshape.sandbox.inspection import LARGEST_BODY, ROUTES, Arrival, Inspection, Route, inspect
from airflow_reshape.sandbox.record import Record
from airflow_reshape.sandbox.wire import wait_for_client_to_go


class _Silence(Response):
    """No answer at all: the connection is gone."""

    async def __call__(self, _scope: Scope, _receive: Receive, _send: Send) -> None:
        return None


def event_router(bench: Bench) -> APIRouter:
    """Routes for every address in :data:`~airflow_reshape.sandbox.inspection.ROUTES`.

    :param bench: the sandbox.
    """
    router = APIRouter()
    for route in ROUTES:
        router.add_route(route.path, _endpoint(bench, route), methods=["POST"])
    return router


def _endpoint(bench: Bench, route: Route) -> Callable[[Request], Awaitable[Response]]:
    async def take_event(request: Request) -> Response:
        with bench.gauge.one_more() as in_work:
            try:
                raw = await _read(request)
            except ClientDisconnect:
                return _Silence()
            inspection = inspect(
                Arrival(
                    route=route,
                    script_id=request.query_params.get("id"),
                    token=_token(request),
                    content_type=request.headers.get("content-type"),
                    raw=raw,
                ),
                token=bench.settings.token,
                script_id=bench.settings.script_id,
                judge=bench.judge,
            )
            reaction, faults, seconds = bench.misbehaviour.meet(inspection.name, inspection.id, in_work)
            answer = settle(inspection, reaction, faults, bench.clock.now())
            # Kept before the delay: a client that gives up waiting cannot know that its event was taken.
            bench.store.add(_record(bench, inspection, answer))
            try:
                if not await wait_for_client_to_go(request.receive, seconds) and answer.drop:
                    patience = faults.hang_seconds if faults else 0
                    await bench.wire.drop(request.scope, request.receive, answer.drop, patience)
            except asyncio.CancelledError:
                # The server stops and will not wait for those it keeps waiting.
                await bench.wire.cut_off(request.scope, request.receive)
                return _Silence()
            return _Silence() if answer.status is None else _response(answer, answer.status)

    return take_event


def _response(answer: Answer, status: int) -> Response:
    return Response(answer.body, status, answer.headers, answer.content_type)


def _token(request: Request) -> str | None:
    # Blanks around a header's value are not part of it; not every HTTP parser drops them.
    token = request.headers.get("x-dre-access-token")
    return None if token is None else token.strip(" \t")


async def _read(request: Request) -> bytes | None:
    """The body, or None once it is larger than anything that could be an event."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > LARGEST_BODY:
            return None
    return bytes(raw)


def _record(bench: Bench, inspection: Inspection, answer: Answer) -> Record:
    return Record(
        at=bench.clock.now().astimezone(UTC).isoformat(timespec="milliseconds"),
        route=inspection.route.path,
        generation=inspection.route.generation,
        test=inspection.route.test,
        environment=inspection.environment,
        name=inspection.name,
        id=inspection.id,
        token_ok=inspection.token_ok,
        violations=inspection.violations,
        status=answer.status,
        fault=answer.fault,
        taken=answer.taken,
        body=inspection.text,
    )
