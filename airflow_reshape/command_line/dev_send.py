"""Sending one lead to look what comes of it."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

from airflow_reshape.command_line.output import fail, say, show_json
from airflow_reshape.delivery.report import CURES
from airflow_reshape.exceptions import ReshapeFailedLeadsError
from airflow_reshape.hooks.lead_send import LeadSend
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.reshape import TEST_OUTAGE, TEST_RETRY
from airflow_reshape.hooks.settings import ReshapeSettings

log = logging.getLogger(__name__)
log.setLevel(logging.WARNING)  # a report of one lead says less than what is printed here


def send_as_dev(settings: ReshapeSettings, lead: Any, plan: SendPlan) -> None:
    """Send one lead as dev, whatever the connection says, and tell what came of it.

    :raises ReshapeError: it was not accepted.
    """
    settings = dataclasses.replace(settings, environment="dev")
    plan = dataclasses.replace(plan, max_outage=TEST_OUTAGE)
    build = plan.builder(settings)

    def prepare(row: object) -> Any:
        prepared = build(row)
        if body := getattr(prepared, "body", None):
            say("Sending, as a dev event:")
            show_json(body)
        return prepared

    send = LeadSend(settings, plan, log, prepare, TEST_RETRY)
    try:
        summary = send.run([[lead]])
    except ReshapeFailedLeadsError:
        for example in send.examples:
            say((example.kind.value, "yellow"), f": {example.why}")
        raise
    if summary["skipped"]:
        fail(f"not sent: {', '.join(CURES.get(why, why) for why in summary['skipped_by'])}")
    say(("Accepted", "green"), f" by {settings.destination.base_url}")
    for problem in summary["left_out_by"]:
        say(("without", "yellow"), f" {problem}")
