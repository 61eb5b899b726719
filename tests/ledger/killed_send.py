"""A send in a process of its own, to be killed: ``python -m tests.ledger.killed_send COUNT TRY``."""

from __future__ import annotations

import sys

from airflow_reshape.delivery.ledger.store import SenderIdentity
from airflow_reshape.hooks.chunks import chunked
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.reshape import ReshapeHook
from tests.ledger.leads import leads

if __name__ == "__main__":
    count, try_number = int(sys.argv[1]), int(sys.argv[2])
    plan = SendPlan(event="lead_qualified", ledger_conn_id="ledger")
    identity = SenderIdentity("dag", "run", "task", -1, try_number)
    ReshapeHook().lead_send(plan, identity).run(chunked(leads(0, count)))
