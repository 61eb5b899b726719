"""``make down``: ends what ``make up`` left running, or a killed demo or ``make screenshots``, and nothing else."""

from __future__ import annotations

import sys

from demo import services, stack


def main() -> int:
    """End the processes that were written down, by pid and start time.

    :returns: 0.
    """
    ended = 0
    for name in ("up", "demo", "screenshots"):
        pids = stack.pids_of(name)
        running = [service for service in services.remembered(pids) if service.process() is not None]
        services.stop(running)
        pids.unlink(missing_ok=True)
        ended += len(running)
    print(f"Ended {ended} programs." if ended else "Nothing was running.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
