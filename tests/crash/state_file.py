"""A task's state store in a file: what Airflow's keeps in its database, for sends outside Airflow."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class StateFile:
    """Get, set and delete JSON values by key, as ``context["task_state_store"]`` does.

    A value is written whole or not at all, whenever the process dies, and survives the machine's crash too.

    :param path: of the file; made at the first write.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, key: str, default: Any = None) -> Any:
        return self._all().get(key, default)

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        if value is None:
            raise ValueError("None cannot be stored")
        self._write({**self._all(), key: value})

    def delete(self, key: str) -> None:
        self._write({name: value for name, value in self._all().items() if name != key})

    def _all(self) -> dict[str, Any]:
        try:
            kept: dict[str, Any] = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        return kept

    def _write(self, content: dict[str, Any]) -> None:
        unfinished = self._path.with_suffix(f".{os.getpid()}")
        with unfinished.open("w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name
        finally:
            os.close(folder)
