"""Stands in for the store that Airflow gives to a task."""

from __future__ import annotations

import json
from typing import Any

from airflow_reshape.delivery.checkpoint.checkpoint import STORE_KEY
from airflow_reshape.delivery.checkpoint.record import CheckpointRecord


class Store:
    """Keeps what Airflow's would: JSON."""

    def __init__(self) -> None:
        self.text: str | None = None

    def get(self, key: str) -> Any:
        assert key == STORE_KEY
        return None if self.text is None else json.loads(self.text)

    def set(self, key: str, value: Any) -> None:
        self.text = json.dumps(value)

    def delete(self, key: str) -> None:
        self.text = None

    @property
    def covered(self) -> frozenset[int]:
        """Positions that the checkpoint calls settled for good."""
        stored = self.get(STORE_KEY)
        if stored is None:
            return frozenset()
        record = CheckpointRecord.model_validate(stored)
        settled = frozenset(range(1, record.settled + 1)) | record.settled_beyond()
        return settled - frozenset(record.failed)
