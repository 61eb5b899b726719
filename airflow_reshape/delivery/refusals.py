"""Whose fault a refusal is (401, 403 to 405, 407, a redirect, a web page): the lead's, or the connection's. Pure.

A firewall may dislike one name, and a revoked token refuses everybody. What others were answered tells the two apart:

=========================================================  ==============================================
What is known when a refusal is looked at                  It is
=========================================================  ==============================================
a request that began after the refusal was taken           the lead's: rejected
others are in flight, and some were taken lately           not known yet: the send goes on
nothing was taken since three refusals of a path, since    suspected: nothing begins until all in flight
one of the token, or ever                                  are heard
likewise, and all in flight were heard                     asked for by a probe that is no lead's
the probe is taken, or refused for itself                  the lead's: rejected
the probe is refused as the leads were                     the connection's: the send stops, all such leads
                                                           are unsent
=========================================================  ==============================================
"""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")

REFUSALS_TO_SUSPECT = 3
"""Of a path, in a row; before anything was taken, one is enough."""


class Refusals(Generic[T]):
    """The refusals of one send that are not decided yet."""

    def __init__(self) -> None:
        self._open: list[tuple[int, T]] = []
        self._in_a_row = 0
        self._taken = False

    def __bool__(self) -> bool:
        return bool(self._open)

    @property
    def suspect_connection(self) -> bool:
        """Whether the connection may be wrong, so that nothing should begin."""
        return bool(self._open) and (not self._taken or self._in_a_row >= REFUSALS_TO_SUSPECT)

    def refused(self, refusal: T, begun: int, *, is_of_all: bool) -> None:
        """A request was refused.

        :param refusal: what is to be decided.
        :param begun: number of the latest request that had begun by then.
        :param is_of_all: the answer speaks of the token or the host, so that one is enough to suspect them.
        """
        self._open.append((begun, refusal))
        self._in_a_row += REFUSALS_TO_SUSPECT if is_of_all else 1

    def taken(self, request: int) -> list[T]:
        """A request was taken, or rejected for itself.

        :param request: its number.
        :returns: the refusals that are now known to be their leads' own: they came before it began.
        """
        self._in_a_row, self._taken = 0, True
        own = [refusal for begun, refusal in self._open if request > begun]
        self._open = [(begun, refusal) for begun, refusal in self._open if request <= begun]
        return own

    def open(self) -> list[T]:
        """Those that are not decided, oldest first."""
        return [refusal for _, refusal in self._open]

    def decide(self) -> list[T]:
        """All that are open: the connection was asked, or the send is over."""
        self._in_a_row, self._taken = 0, True
        decided, self._open = self.open(), []
        return decided
