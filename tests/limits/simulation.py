"""The real engine, from taking an event in to its outcome, against a model of a server, on simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

from airflow_reshape.delivery.dispatch import Dispatch
from airflow_reshape.delivery.halt import Halt, Stop
from airflow_reshape.delivery.limits.limits import Limits
from airflow_reshape.delivery.limits.rate import Rate
from airflow_reshape.delivery.limits.window import FIRST, Window
from airflow_reshape.delivery.outcome import Kind, Outcome
from airflow_reshape.delivery.pace import Pace
from airflow_reshape.delivery.pending import Pending
from airflow_reshape.delivery.retry import RetryPolicy
from airflow_reshape.delivery.stopping import Stopping
from airflow_reshape.delivery.trouble import Trouble
from airflow_reshape.events.prepared import PreparedEvent
from airflow_reshape.events.probe import PROBE_EVENT
from airflow_reshape.events.wire import to_bytes, to_wire
from tests.delivery.leads import builder, lead
from tests.limits.servers import Model
from tests.limits.simulated_time import SimulatedTime

PROBE = to_bytes(to_wire(PROBE_EVENT, "standard", "dev"))
EPOCH = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass
class Simulated:
    """What happened."""

    model: Model
    outcomes: list[Outcome] = field(default_factory=list)
    windows: list[tuple[float, int, float | None]] = field(default_factory=list)
    halt: Halt | None = None
    ended_at: float = 0.0

    def delivered(self) -> int:
        return sum(outcome.kind is Kind.DELIVERED for outcome in self.outcomes)


def simulate(
    model: Model,
    seconds: float,
    *,
    ceiling: int = 64,
    first: int = FIRST,
    rate_limit: float | None = None,
    events: int | None = None,
    max_outage: float = 300.0,
    seed: int = 1,
    keys: Callable[[int], str | None] = lambda n: None,
    probe: bytes | None = PROBE,
) -> Simulated:
    """Send, for so long or so many events.

    :param events: how many there are. Default: as many as can be sent in the time.
    :param probe: a body that is no lead's, or None: leads probe the server.
    """
    run = Simulated(model)
    template = builder()(lead(1))
    assert isinstance(template, PreparedEvent)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        dispatches: list[Dispatch] = []

        def on_halt() -> None:
            loop.call_soon(dispatches[0].go_on)

        stopping = Stopping(on_halt)
        stopping.open()
        limits = Limits(Window(ceiling, first), Rate(rate_limit, loop.time()))
        dispatch = Dispatch(
            transport=model,
            limits=limits,
            retry=RetryPolicy(),
            trouble=Trouble(max_outage=max_outage),
            random=Random(seed),
            now=lambda: EPOCH + timedelta(seconds=loop.time()),
            stopping=stopping,
            record=run.outcomes.append,
            pace=Pace(),
            room=512,
            probe=probe,
        )
        dispatches.append(dispatch)

        async def watch() -> None:
            while True:
                run.windows.append((loop.time(), limits.window.size, limits.rate.per_second(loop.time())))
                await asyncio.sleep(0.5)

        watching = asyncio.create_task(watch())
        position = 0
        while loop.time() < seconds and (events is None or position < events) and not stopping.is_halted():
            position += 1
            event = PreparedEvent(template.event, {"event": {"id": str(position)}}, order_key=keys(position))
            await dispatch.admit(Pending(position, event, None, to_bytes(event.body)))
        if events is None:
            stopping.stop(Halt(Stop.REQUESTED, "time is up"))
        await dispatch.all_settled()
        watching.cancel()
        run.halt = stopping.halt
        run.ended_at = loop.time()

    loop = SimulatedTime()
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    return run
