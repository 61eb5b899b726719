"""Running totals, so that showing them never reads what was received."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

_PER_NAME: Final = ("requests", "taken", "duplicates", "valid", "invalid")


class Tally:
    """Counts requests as they come."""

    def __init__(self) -> None:
        self.totals: Counter[str] = Counter()
        self._by_name: dict[str, Counter[str]] = {}
        self._by_status: Counter[str] = Counter()
        self._by_fault: Counter[str] = Counter()
        self._by_environment: Counter[str] = Counter()
        self._takings: Counter[tuple[str | None, str]] = Counter()

    def add(
        self,
        *,
        name: str | None,
        id_: str | None,
        environment: str,
        status: int | None,
        fault: str | None,
        valid: bool,
        taken: bool,
    ) -> int:
        """Count one request.

        :returns: how many-th time this event was taken, 0 if it was not. An event without an id has nothing
            that would make it the same as another and is always taken for the first time.
        """
        times = 0
        if taken:
            times = 1
            if id_ is not None:
                self._takings[name, id_] += 1
                times = self._takings[name, id_]
        facts = {
            "requests": True,
            "valid": valid,
            "invalid": not valid,
            "taken": taken,
            "duplicates": times > 1,
        }
        per_name = self._by_name.setdefault(name or "", Counter())
        for fact, holds in facts.items():
            self.totals[fact] += holds
            per_name[fact] += holds
        self._by_status["none" if status is None else str(status)] += 1
        if fault:
            self._by_fault[fault] += 1
        if taken:
            self._by_environment[environment] += 1
        return times

    def summary(self) -> dict[str, Any]:
        """The totals as JSON. ``duplicates`` are takings beyond the first, ``by_environment`` counts takings.

        Requests without an event name stand under the empty name, dropped connections under ``none``.
        """
        return {
            **{fact: self.totals[fact] for fact in _PER_NAME},
            "distinct_taken": self.totals["taken"] - self.totals["duplicates"],
            "by_name": {
                name: {fact: counts[fact] for fact in _PER_NAME} for name, counts in sorted(self._by_name.items())
            },
            "by_status": dict(sorted(self._by_status.items())),
            "by_fault": dict(sorted(self._by_fault.items())),
            "by_environment": dict(sorted(self._by_environment.items())),
        }
