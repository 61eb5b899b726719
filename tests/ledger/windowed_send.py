"""A send in a process of its own: ``python -m tests.ledger.windowed_send RUN FIRST LAST SEED``.

Says ``ready`` once all is imported, waits for a line, sends the leads of the window in an order of its own, and prints
the summary as JSON.
"""

from __future__ import annotations

import json
import sys
from random import Random

from airflow_reshape.delivery.ledger.store import SenderIdentity
from airflow_reshape.hooks.chunks import chunked
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.reshape import ReshapeHook
from tests.ledger.leads import leads

if __name__ == "__main__":
    run, first, last, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    rows = leads(first, last)
    Random(f"{seed}/{run}").shuffle(rows)
    hook = ReshapeHook()
    send = hook.lead_send(
        SendPlan(event="lead_qualified", ledger_conn_id="ledger"), SenderIdentity("dag", run, "task", -1, 1)
    )
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    summary = send.run(chunked(rows))
    sys.stdout.write(json.dumps(summary) + "\n")
