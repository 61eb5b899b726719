"""Stops a send whose consent column holds something that nobody can read, before its first event."""

from __future__ import annotations

from collections import Counter

from airflow_reshape.events.prepared import Answers

LEAST_ANSWERS = 20
"""Answers to one purpose in the first batch; fewer say nothing of the column."""
CURE = (
    'give its words in consent_map, such as {{"{purpose}": {{"granted": True, "denied": False}}}}; of a timestamp, '
    "select whether it holds: granted_at IS NOT NULL AND (withdrawn_at IS NULL OR withdrawn_at < granted_at)"
)


class FirstAnswers:
    """The answers about consent of the first batch of leads, and of the next ones until there are enough."""

    def __init__(self) -> None:
        self._read: Counter[str] = Counter()
        self._unread: Counter[str] = Counter()
        self._kinds: dict[str, Counter[str]] = {}
        self._over: set[str] = set()

    def take(self, answers: Answers) -> None:
        """Count the answers of a lead."""
        if not (answers.read or answers.unread) or self._over.issuperset((*answers.read, *answers.unread)):
            return
        self._read.update(answers.read)
        for purpose, kind in answers.unread.items():
            self._unread[purpose] += 1
            self._kinds.setdefault(purpose, Counter())[kind] += 1

    def end_of_batch(self) -> str | None:
        """Why the send must stop, or None. Once there were enough answers, later ones are not looked at."""
        asked = self._read | self._unread
        open_purposes = [purpose for purpose in asked if purpose not in self._over]
        self._over.update(purpose for purpose in open_purposes if self._seen(purpose) >= LEAST_ANSWERS)
        for purpose in open_purposes:
            count = self._unread[purpose]
            if count >= LEAST_ANSWERS and not self._read[purpose]:
                kinds = " and ".join(kind for kind, _ in self._kinds[purpose].most_common())
                return (
                    f"none of the first {count:,} answers of consent.{purpose} is a yes or a no; the column holds "
                    f"{kinds}: {CURE.format(purpose=purpose)}"
                )
        return None

    def _seen(self, purpose: str) -> int:
        return self._read[purpose] + self._unread[purpose]
