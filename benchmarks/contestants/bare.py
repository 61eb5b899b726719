"""aiohttp with ready bytes: one session, a fixed number of workers, the whole answer read.

The limit of our transport.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
import time
from collections.abc import Iterator

import aiohttp

from benchmarks import leads
from benchmarks.contestants.meter import Cost, Task, measured, run


async def post_all(task: Task, bodies: Iterator[bytes], cost: Cost) -> None:
    url, headers = f"{task.base_url}{task.endpoint}", task.headers
    trust = ssl.create_default_context(cafile=task.ca_path) if task.ca_path else True

    async def work(session: aiohttp.ClientSession) -> None:
        for body in bodies:
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                answer = await response.read()
            if response.status == 200 and json.loads(answer)["result"] == "ok":
                cost.events += 1
            else:
                cost.refused += 1

    connector = aiohttp.TCPConnector(limit=task.window, ssl=trust)
    async with (
        aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session,
        asyncio.TaskGroup() as workers,
    ):
        for _ in range(task.window):
            workers.create_task(work(session))


def bytes_of(rows: Iterator[dict[str, object]]) -> Iterator[bytes]:
    return (json.dumps(leads.body(row)).encode() for row in rows)


def send_rows(task: Task) -> Cost:
    """Send so many rows, made ready before."""
    warm_up = list(bytes_of(leads.rows(task.leads, 1, task.warm_up)))
    ready = list(bytes_of(leads.rows(task.leads, task.warm_up + 1, task.warm_up + task.rows)))
    asyncio.run(post_all(task, iter(warm_up), Cost(events=0)))
    with measured() as cost:
        asyncio.run(post_all(task, iter(ready), cost))
    return cost


def send_for_a_while(task: Task) -> Cost:
    """Send until the time is over."""
    with measured() as cost:
        end = time.monotonic() + task.seconds
        in_time = itertools.takewhile(lambda _: time.monotonic() < end, leads.endless(task.run))
        asyncio.run(post_all(task, bytes_of(in_time), cost))
    return cost


if __name__ == "__main__":
    run(lambda task: send_for_a_while(task) if task.seconds else send_rows(task), "aiohttp")
