"""A statsd server on this machine, and Airflow's own client told to use it."""

from __future__ import annotations

import importlib
import inspect
import os
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Stats

from airflow_reshape.hooks import metrics

END = b"end of the test"


@dataclass
class Heard:
    """What arrived, as it was sent: ``airflow.reshape.requests,task_id=t:12|c``."""

    packets: list[str] = field(default_factory=list)

    def of(self, kind: str) -> list[tuple[str, dict[str, str], float]]:
        """Name, tags and value of every metric of a kind: ``c``, ``g`` or ``ms``."""
        found = []
        for packet in self.packets:
            told, value, of_kind = packet.replace("|", ":").rsplit(":", 2)
            name, *tags = told.split(",")
            if of_kind == kind:
                found.append((name, dict(tag.split("=") for tag in tags), float(value)))
        return found

    def sums(self) -> dict[str, int]:
        """The sum of each counter."""
        sums: Counter[str] = Counter()
        for name, _, value in self.of("c"):
            sums[name.removeprefix("airflow.reshape.")] += int(value)
        return dict(sums)


@contextmanager
def listening(patch: pytest.MonkeyPatch, *, tags: bool = True, **settings: str) -> Iterator[Heard]:
    """Hear all metrics that Airflow's client sends while the block lasts; complete after it.

    :param tags: they go with the names, as InfluxDB writes them.
    :param settings: more of Airflow's section ``metrics``.
    """
    heard = Heard()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        server.bind(("127.0.0.1", 0))
        address = server.getsockname()

        def listen() -> None:
            while (packet := server.recv(65_536)) != END:
                heard.packets.append(packet.decode())

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        wanted = {
            "statsd_on": "True",
            "statsd_host": "127.0.0.1",
            "statsd_port": str(address[1]),
            "statsd_prefix": "airflow",
            "statsd_influxdb_enabled": str(tags),
            **settings,
        }
        for name, value in wanted.items():
            patch.setenv(f"AIRFLOW__METRICS__{name.upper()}", value)
        use(patch, new_client())
        try:
            yield heard
        finally:
            # From this process to itself: it comes after all that was sent before.
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.sendto(END, address)
            thread.join(30)
    assert not thread.is_alive()


def new_client() -> Any:
    """The client that Airflow makes of its settings."""
    try:
        utils = importlib.import_module("airflow.sdk.observability.metrics.stats_utils")
    except ImportError:  # before 3.2
        return importlib.import_module("airflow.metrics.statsd_logger").get_statsd_logger(None)
    factory = utils.get_stats_factory
    return (factory(Stats) if inspect.signature(factory).parameters else factory())()  # with an argument in 3.2


def use(patch: pytest.MonkeyPatch, client: Any) -> None:
    """Give a client to those who ask Airflow for its metrics, until the patch is undone."""
    stats: Any = Stats
    if isinstance(vars(stats).get("incr"), staticmethod):
        module = importlib.import_module(stats.incr.__module__)
        patch.setattr(module, "_backend", client)
    else:  # before 3.2
        patch.setattr(stats, "instance", client)
        patch.setattr(stats, "_instance_pid", os.getpid(), raising=False)


def at_every_pulse(patch: pytest.MonkeyPatch) -> None:
    """Make a batch of each pulse, so that a short send has many."""
    patch.setattr(metrics, "SECONDS_BETWEEN_BATCHES", 0.0)
