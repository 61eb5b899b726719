"""Telling that the server takes nothing, when it begins and when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable

from airflow_reshape.delivery.durations import in_words
from airflow_reshape.delivery.pace import Pace


class OutageNotice:
    """Warns once when an outage begins, and once when it ends.

    It is seen at a pulse: one that is over before the next pulse is not told, nor would it matter.

    :param pace: asked whether the send is paused.
    :param warn: writes a line.
    :param longest: seconds after which the send gives up, or None if it is not known. Default None.
    :param clock: seconds.
    """

    def __init__(
        self,
        pace: Callable[[], Pace],
        warn: Callable[[str], None],
        longest: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pace = pace
        self._warn = warn
        self._longest = longest
        self._clock = clock
        self._since: float | None = None

    def pulse(self) -> None:
        """Tell what changed; to be called about once a second."""
        if self._pace().paused and self._since is None:
            self._since = self._clock()
            patience = "" if self._longest is None else f", for at most {in_words(self._longest)}"
            self._warn(f"The server takes nothing: all leads wait, and a probe asks it now and then{patience}")
        else:
            self.end()

    def end(self) -> None:
        """Tell that the outage is over, if it is; an outage that ended the send is told by its error."""
        if self._since is not None and not self._pace().paused:
            self._warn(
                f"The server takes leads again, {in_words(self._clock() - self._since)} after the outage was noticed"
            )
            self._since = None
