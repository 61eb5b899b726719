"""Tasks of their own processes that are interrupted while they send; see test_stop.py.

With arguments ``URL PLACE URL PLACE …`` each pair is a child process that sends to the URL, writes ``{"case": 1,
"pid": …}`` when it is to be interrupted, and later what came of it. With one URL, the process interrupts itself, many
times.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from random import Random
from types import FrameType
from typing import Any

from airflow_reshape.delivery.transport import AiohttpTransport
from tests.delivery.leads import destination, in_chunks, lead, sender

TIMES = 20
MOST_LEADS = 20_000  # more than can be sent before the alarm
IN_THE_SOURCE, FOR_THE_SERVER, FOR_THE_END = "in the source", "waiting for the server", "waiting for the end"


class TaskTimeout(BaseException):
    """Like Airflow's: not an Exception, so that a task's own error handling does not swallow it."""


def tell(**facts: Any) -> None:
    os.write(1, f"{json.dumps(facts)}\n".encode())  # in one piece, beside other processes


def sender_is_left() -> bool:
    for thread in threading.enumerate():
        if thread.name == "reshape-sender":
            thread.join(5)
    return any(thread.name == "reshape-sender" for thread in threading.enumerate())


def many_times(url: str) -> None:
    """Run into the execution timeout again and again, each time somewhere else."""

    def on_alarm(number: int, frame: FrameType | None) -> None:
        raise TaskTimeout

    def in_a_finalizer(_: Any) -> None:
        # Python drops what a signal handler raises there, whoever's task it is: the alarm rings once more.
        signal.setitimer(signal.ITIMER_REAL, 0.01)

    signal.signal(signal.SIGALRM, on_alarm)
    sys.unraisablehook = in_a_finalizer
    random = Random(3)
    surfaced = ended = balanced = 0
    for _ in range(TIMES):
        engine, tally = sender(AiohttpTransport(destination(url), 4), concurrency=4)
        try:
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.001, 0.1))
            engine.send(in_chunks(lead(number) for number in range(1, MOST_LEADS)))
        except TaskTimeout:
            surfaced += 1
        ended += not sender_is_left()
        balanced += tally.read == tally.kinds.total()
    tell(surfaced=surfaced, ended=ended, balanced=balanced)


def once(case: int, url: str, where: str) -> None:
    """Send until interrupted, and tell what came of it."""
    engine, tally = sender(AiohttpTransport(destination(url, timeout=1000), 4), concurrency=4)

    def raises(error: type[BaseException]) -> Any:
        def on_signal(number: int, frame: FrameType | None) -> None:
            raise error

        return on_signal

    def on_term(number: int, frame: FrameType | None) -> None:
        engine.stop()  # what on_kill does

    signal.signal(signal.SIGALRM, raises(TaskTimeout))
    signal.signal(signal.SIGINT, raises(KeyboardInterrupt))
    signal.signal(signal.SIGTERM, on_term)

    def interrupt_me() -> None:
        tell(case=case, pid=os.getpid())

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(1, 101 if where == FOR_THE_END else 100_000):
            yield lead(number)
            if where == IN_THE_SOURCE and number == 50:
                interrupt_me()
                for _ in range(1000):
                    time.sleep(0.02)  # a slow page of an API

    if where != IN_THE_SOURCE:
        # The server answers nothing: soon the reader waits for it, with all that may be read ahead.
        threading.Timer(1.5, interrupt_me).start()

    told: dict[str, Any] = {"raised": None, "halt": None}
    try:
        result = engine.send(in_chunks(rows()))
        told["halt"] = result.halt.stop.value if result.halt else None
    except BaseException as error:  # noqa: BLE001  # told to the test
        told["raised"] = type(error).__name__
    told["thread_left"] = sender_is_left()
    told["kinds"] = {kind.value: count for kind, count in tally.kinds.items()}
    tell(case=case, read=tally.read, in_doubt=tally.in_doubt, **told)


def main(arguments: list[str]) -> None:
    if len(arguments) == 1:
        many_times(arguments[0])
        return
    children = []
    for case, (url, where) in enumerate(zip(arguments[::2], arguments[1::2], strict=True)):
        child = os.fork()  # cheaper than eight times all imports; there are no threads yet
        if child == 0:
            try:
                once(case, url, where)
            finally:
                os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(sys.argv[1:])
