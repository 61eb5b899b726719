"""One running sandbox: its account, its memory, its faults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_reshape.sandbox.clock import Clock
from airflow_reshape.sandbox.gauge import Gauge
from airflow_reshape.sandbox.judge import Judge
from airflow_reshape.sandbox.misbehaviour import Misbehaviour
from airflow_reshape.sandbox.settings import Settings
from airflow_reshape.sandbox.store import Store
from airflow_reshape.sandbox.wire import Wire


@dataclass(frozen=True)
class Bench:
    """What the routes share. Everything on it belongs to the server's event loop."""

    settings: Settings
    clock: Clock
    judge: Judge
    store: Store
    gauge: Gauge
    misbehaviour: Misbehaviour
    wire: Wire

    def totals(self) -> dict[str, Any]:
        """The totals as JSON."""
        return {
            **self.store.tally.summary(),
            "in_work": self.gauge.now,
            "max_concurrent": self.gauge.most,
        }
