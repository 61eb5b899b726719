"""Puts the sandbox together as a FastAPI application."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request

from airflow_reshape.sandbox.bench import Bench
from airflow_reshape.sandbox.clock import Clock
from airflow_reshape.sandbox.control_routes import control_router
from airflow_reshape.sandbox.event_routes import event_router
from airflow_reshape.sandbox.gauge import Gauge
from airflow_reshape.sandbox.judge import Judge
from airflow_reshape.sandbox.local_names import only_local_names
from airflow_reshape.sandbox.misbehaviour import Misbehaviour
from airflow_reshape.sandbox.received_routes import received_router
from airflow_reshape.sandbox.settings import Settings
from airflow_reshape.sandbox.store import Store
from airflow_reshape.sandbox.viewer_routes import viewer_router
from airflow_reshape.sandbox.wire import Wire


def create_bench(settings: Settings, connections: Callable[[], Iterable[Any]], clock: Clock | None = None) -> Bench:
    """A sandbox that has received nothing yet, or what its database file holds.

    :param settings: how it is set up.
    :param connections: the server's open connections, see :class:`~airflow_reshape.sandbox.wire.Wire`.
    :param clock: where the time comes from; the system's clocks by default.
    :raises airflow_reshape.sandbox.store.StoreError: if the database file cannot be used.
    """
    clock = clock or Clock()
    return Bench(
        settings=settings,
        clock=clock,
        judge=Judge(settings.strictness),
        store=Store(settings.database),
        gauge=Gauge(),
        misbehaviour=Misbehaviour(clock, settings.faults),
        wire=Wire(connections),
    )


def create_app(bench: Bench) -> FastAPI:
    """The web application of a sandbox.

    :param bench: the sandbox.
    """
    # No interactive API pages: they load their scripts from elsewhere. An almost right path is a wrong path.
    app = FastAPI(title="DATA Reshape sandbox", docs_url=None, redoc_url=None, redirect_slashes=False)
    app.include_router(event_router(bench))
    to_look_at = [Depends(only_local_names(bench.settings))]
    for router in (viewer_router(bench), received_router(bench), control_router(bench)):
        app.include_router(router, dependencies=to_look_at)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _misasked)
    return app


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # the handler is registered for nothing else
    return JSONResponse({"result": "error", "detail": [error.detail]}, error.status_code, error.headers)


async def _misasked(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    detail = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()]
    return JSONResponse({"result": "error", "detail": detail}, 422)
