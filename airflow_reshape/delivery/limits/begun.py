"""What the limits know of a request, and how it ended for them."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Begun(NamedTuple):
    """A request in flight.

    :param number: of the request, from 1.
    :param at: when it began, in seconds.
    :param in_flight: requests in flight then, this one among them.
    :param connects: there were never so many in flight: it needs a connection of its own first, which takes time.
    :param pressed: there was more to send at that moment: it was up to the limits how much went out.
    """

    number: int
    at: float
    in_flight: int
    connects: bool = False
    pressed: bool = True


class End(Enum):
    """How a request ended, as far as the limits are concerned."""

    TAKEN = "taken"
    """The server dealt with the event, whatever it said of it."""
    REFUSED = "refused"
    """429 or 503: the server does not take so much."""
    LOST = "lost"
    """No answer in time, or the connection was lost."""
