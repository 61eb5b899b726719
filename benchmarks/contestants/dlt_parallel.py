"""dlt as before, with the rows in many files, so that its loader's threads post at the same time.

No default: whoever reads how the loader works finds it. What was being posted when a task dies is posted again.
"""

from __future__ import annotations

import os

from benchmarks.contestants.dlt import send
from benchmarks.contestants.meter import Cost, Task, run

THREADS = 20  # the loader's own default


def send_in_files(task: Task) -> Cost:
    os.environ["NORMALIZE__DATA_WRITER__FILE_MAX_ITEMS"] = str(max(1, task.rows // THREADS))
    return send(task)


if __name__ == "__main__":
    run(send_in_files, "dlt", "requests")
