"""Python's garbage collector, kept from looking through all of Airflow again and again while a send runs."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

_frozen_in: set[int] = set()
"""Processes that froze their objects here."""


@contextmanager
def older_objects_left_alone() -> Iterator[None]:
    """Inside, the collector looks only at objects made since: what was there before is most of it, and stays.

    Nothing changes for objects without cycles, which Python frees at once as always. A process in which somebody has
    frozen objects before, as Airflow's executors do before they fork, keeps all of them frozen; there it is done once,
    for whatever is garbage at that moment stays for ever.
    """
    frozen_before = gc.get_freeze_count() > 0
    if not frozen_before or os.getpid() not in _frozen_in:
        gc.freeze()
        _frozen_in.add(os.getpid())
    try:
        yield
    finally:
        if not frozen_before:
            gc.unfreeze()
