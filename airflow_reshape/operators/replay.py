"""Sending kept failures again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, ClassVar

import pendulum
from airflow.providers.common.compat.sdk import Context

from airflow_reshape.delivery.failures.replay import ReplayedFailures, Wanted
from airflow_reshape.delivery.records import FailuresUnwritableError
from airflow_reshape.exceptions import ReshapeConfigurationError, ReshapeFailuresNotKeptError
from airflow_reshape.hooks.failures import open_replay
from airflow_reshape.hooks.lead_send import LeadSend
from airflow_reshape.hooks.ledger import open_ledger
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.operators.events import BaseReshapeOperator, _identity


class ReshapeReplayOperator(BaseReshapeOperator):
    """Send the leads again that earlier runs kept at ``failures_path``, with the mapping and the guards of today.

    Rows that are delivered, already sent or forgotten are marked, and no later replay sends them. Those that fail
    again, or are skipped, stay as they are. A replay that dies may have sent rows that it did not mark: the next one
    sends them again with the same ids, unless a ledger knows them.

    :param failures_path: the folder, as in the task that failed. (templated)
    :param of_dag_id: only what this DAG kept. Default any. (templated)
    :param of_task_id: only what this task kept. Default any. (templated)
    :param of_run_id: only what this run kept. Default any. (templated)
    :param reasons: only these: outcomes (``invalid``, ``rejected``, ``unsent``, ``skipped``), reasons as the report
        tells them (``too_old``, ``event.currency: is required``), or fields of invalid leads. Default any.
    :param since: only what was kept at this time or later, a datetime or ISO text; without a zone, in ``timezone``.
        Default any. (templated)
    :param until: only what was kept before this time. Default any. (templated)
    :param kwargs: what :class:`~airflow_reshape.operators.events.BaseReshapeOperator` takes; give the arguments of
        the task that failed, mended.
    :raises ReshapeConfigurationError: when the DAG is parsed: an argument is wrong.
    """

    template_fields: Sequence[str] = (
        "of_dag_id",
        "of_task_id",
        "of_run_id",
        "since",
        "until",
        *BaseReshapeOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = BaseReshapeOperator.template_fields_renderers

    def __init__(
        self,
        *,
        failures_path: str,
        of_dag_id: str | None = None,
        of_task_id: str | None = None,
        of_run_id: str | None = None,
        reasons: Sequence[str] | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(failures_path=failures_path, **kwargs)
        if isinstance(reasons, str) or not all(isinstance(reason, str) for reason in reasons or ()):
            raise ReshapeConfigurationError('reasons must be a list, such as ["invalid", "rejected"]')
        self.of_dag_id = of_dag_id
        self.of_task_id = of_task_id
        self.of_run_id = of_run_id
        self.reasons = tuple(reasons or ())
        self.since = since
        self.until = until
        self._replay: ReplayedFailures | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Send again what matches; a replay that finds nothing says what there is."""
        summary = super().execute(context)
        if not summary["read"] and self._replay is not None:
            there = ", ".join(f"{task} ({count:,})" for task, count in sorted(self._replay.tasks().items())[:5])
            self.log.warning("No kept rows match. Kept and not settled: %s", there or "nothing")
        return summary

    def chunks(self, plan: SendPlan) -> Iterator[Sequence[object]]:
        """The kept rows."""
        assert self._replay is not None
        try:
            yield from self._replay.chunks(marks=not plan.validate_only)
        except FailuresUnwritableError as error:
            raise ReshapeFailuresNotKeptError(str(error)) from None

    def _new_send(self, plan: SendPlan, context: Context) -> LeadSend:
        wanted = Wanted(
            dag_id=self.of_dag_id or None,
            task_id=self.of_task_id or None,
            run_id=self.of_run_id or None,
            reasons=frozenset(self.reasons),
            since=_moment("since", self.since, plan.timezone),
            until=_moment("until", self.until, plan.timezone),
        )
        settings, identity = ReshapeHook(self.reshape_conn_id).settings, _identity(context)
        self._replay = open_replay(plan, settings, identity, wanted)
        # No checkpoint: the marks tell a retry what is left.
        return LeadSend(
            settings,
            plan,
            self.log,
            ledger=open_ledger(settings, plan, identity),
            failures=self._replay,
            is_one_source=False,
            identity=identity,
        )


def _moment(name: str, value: datetime | str | None, timezone: str) -> datetime | None:
    if value is None or value in ("", "None"):
        return None
    try:
        if isinstance(value, str):
            value = pendulum.parse(value, tz=timezone)  # type: ignore[assignment]
        assert isinstance(value, datetime)
        return value if value.tzinfo else pendulum.instance(value, tz=timezone)
    except (ValueError, AssertionError):
        raise ReshapeConfigurationError(
            f"{name} must be a time, such as 2025-03-01T00:00:00, also when rendered"
        ) from None
