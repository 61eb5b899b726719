"""Operators that send lead events from upstream tasks' results."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar, Literal

from airflow.providers.common.compat.sdk import BaseOperator, Context

from airflow_reshape import __version__
from airflow_reshape.airflow_features import task_state_store
from airflow_reshape.delivery.ledger.store import SenderIdentity
from airflow_reshape.events.formats import flag
from airflow_reshape.events.rules import OnBadField
from airflow_reshape.exceptions import ReshapeConfigurationError
from airflow_reshape.hooks.chunks import chunked, known_total
from airflow_reshape.hooks.lead_send import LeadSend
from airflow_reshape.hooks.lineage import tell_lineage
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.mapping.field_map import UnknownColumns
from airflow_reshape.operators.leads import Leads
from airflow_reshape.operators.openlineage import send_lineage
from airflow_reshape.operators.outlets import tell_outlets


class BaseReshapeOperator(BaseOperator):
    """What all operators that send to Reshape share.

    Leads end delivered, rejected, invalid, skipped or unsent; the summary with the counts is the task's XCom,
    pushed also when the task fails. No lead reaches XCom, rendered fields or logs.

    :param reshape_conn_id: connection of type ``reshape``. Default ``reshape_default``. (templated)
    :param kwargs: the arguments of :class:`~airflow_reshape.hooks.plan.SendPlan`, of which ``defaults``,
        ``max_rejected``, ``validate_only``, ``ledger_conn_id``, ``baseline``, ``retry_rejected`` and
        ``failures_path`` are templated, and those of any operator.
    :raises ReshapeConfigurationError: when the DAG is parsed: an argument is wrong.
    """

    template_fields: Sequence[str] = (
        "reshape_conn_id",
        "defaults",
        "max_rejected",
        "validate_only",
        "ledger_conn_id",
        "baseline",
        "retry_rejected",
        "failures_path",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"defaults": "json"}
    ui_color = "#e8f1fb"

    def __init__(
        self,
        *,
        reshape_conn_id: str = ReshapeHook.default_conn_name,
        event: str | None = None,
        mapping: Mapping[str, str] | None = None,
        defaults: Mapping[str, Any] | None = None,
        unknown_columns: UnknownColumns = "error",
        property_columns: Sequence[str] = (),
        stage_map: Mapping[str, str | None] | None = None,
        reason_map: Mapping[str, str | None] | None = None,
        event_id: str | None = None,
        disqualified_value: float | Literal["row"] | None = None,
        require_reason: bool = True,
        allow_other_reasons: bool = False,
        default_region: str | None = None,
        timezone: str = "UTC",
        on_bad_field: OnBadField = "leave_out",
        max_age: timedelta | None = None,
        require_consent: Sequence[str] = (),
        require_identifier: bool = False,
        consent_map: Mapping[str, Any] | None = None,
        allow_fan_out: bool = False,
        exclude_emails: Sequence[str] = (),
        concurrency: int = SendPlan.concurrency,
        rate_limit: float | None = None,
        max_outage: timedelta = SendPlan.max_outage,
        max_rejected: float | str = 0,
        validate_only: bool | str = False,
        ledger_conn_id: str | None = None,
        baseline: bool | str = False,
        ledger_retention: timedelta = SendPlan.ledger_retention,
        retry_rejected: bool | str = False,
        resume: bool = True,
        failures_path: str | None = None,
        failures_retention: timedelta = SendPlan.failures_retention,
        max_events: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.reshape_conn_id = reshape_conn_id
        self.defaults = dict(defaults) if defaults else None
        self.max_rejected = max_rejected
        self.validate_only = validate_only
        self.ledger_conn_id = ledger_conn_id
        self.baseline = baseline
        self.retry_rejected = retry_rejected
        self.failures_path = failures_path
        self.plan = SendPlan(
            event=event,
            mapping=mapping,
            defaults=defaults,
            unknown_columns=unknown_columns,
            property_columns=property_columns,
            stage_map=stage_map,
            reason_map=reason_map,
            event_id=event_id,
            disqualified_value=disqualified_value,
            require_reason=require_reason,
            allow_other_reasons=allow_other_reasons,
            default_region=default_region,
            timezone=timezone,
            on_bad_field=on_bad_field,
            max_age=max_age,
            require_consent=require_consent,
            require_identifier=require_identifier,
            consent_map=consent_map,
            allow_fan_out=allow_fan_out,
            exclude_emails=exclude_emails,
            concurrency=concurrency,
            rate_limit=rate_limit,
            max_outage=max_outage,
            max_rejected=0 if isinstance(max_rejected, str) else max_rejected,
            validate_only=False if isinstance(validate_only, str) else validate_only,
            ledger_conn_id=ledger_conn_id,
            baseline=False if isinstance(baseline, str) else baseline,
            ledger_retention=ledger_retention,
            retry_rejected=False if isinstance(retry_rejected, str) else retry_rejected,
            resume=resume,
            failures_path=failures_path,
            failures_retention=failures_retention,
            max_events=max_events,
        )
        self._send: LeadSend | None = None

    def chunks(self, plan: SendPlan) -> Iterable[Sequence[object]]:
        """The leads to send, in lists. What an operator reads is its own business."""
        raise NotImplementedError

    def execute(self, context: Context) -> dict[str, Any]:
        """Send, report, and fail if leads were lost.

        :returns: the summary, counts only.
        """
        plan = replace(
            self.plan,
            defaults=self.defaults,
            max_rejected=_limit(self.max_rejected),
            validate_only=_flag("validate_only", self.validate_only),
            ledger_conn_id=self.ledger_conn_id,
            baseline=_flag("baseline", self.baseline),
            retry_rejected=_flag("retry_rejected", self.retry_rejected),
            failures_path=self.failures_path,
        )
        self._send = self._new_send(plan, context)
        try:
            summary = self._send.run(self.chunks(plan))
            tell_outlets(context, self.outlets, self._send.assets, self.log)
            return summary
        except BaseException:
            # A result is not pushed when execute raises; whoever looks at the failed task wants the counts.
            if self.do_xcom_push:
                with contextlib.suppress(Exception):
                    context["ti"].xcom_push(key="return_value", value=self._send.summary())
            raise
        finally:
            tell_lineage(ReshapeHook(self.reshape_conn_id), self._send)

    def count_leads(self, plan: SendPlan) -> int | None:  # noqa: ARG002  # a query needs it
        """How many leads there are, at most; None if they cannot be counted before they are read."""
        return None

    def _new_send(self, plan: SendPlan, context: Context) -> LeadSend:
        store = task_state_store(context)
        if store is None and plan.resume and plan.ledger_conn_id is None and not plan.validate_only:
            self.log.info(
                "Nothing remembers what is sent: a retry sends the leads again, with the same ids. "
                "Name a ledger (ledger_conn_id), or use Airflow 3.3 or later"
            )
        holds = True
        if plan.max_events is not None and not plan.validate_only:
            count = self.count_leads(plan)
            holds = count is None or count > plan.max_events
        hook = ReshapeHook(self.reshape_conn_id)
        return hook.lead_send(plan, _identity(context), store, holds)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002  # the name is OpenLineage's
        """What OpenLineage is told when the task ends, also when it fails: counts, and no lead."""
        return send_lineage(self._send.summary() if self._send is not None else None)

    def on_kill(self) -> None:
        """End the send: requests in flight get 2 seconds, the rest is unsent."""
        if self._send is not None:
            self._send.stop()


class ReshapeSendEventsOperator(BaseReshapeOperator):
    """Send events of any name that Reshape knows.

    The name is fixed (``event``), follows from the lead's stage (``stage_map``), or stands in the rows
    (``event.name``).

    :param leads: dicts or events: a list, a task's output (also of mapped tasks), a DataFrame. Templates in
        them are not rendered.
    """

    template_fields: Sequence[str] = ("leads", *BaseReshapeOperator.template_fields)

    def __init__(self, *, leads: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.leads = Leads(leads)

    def chunks(self, plan: SendPlan) -> Iterable[Sequence[object]]:  # noqa: ARG002  # a query's columns need it
        """The leads of :attr:`leads`."""
        return chunked(self.leads.value)

    def count_leads(self, plan: SendPlan) -> int | None:  # noqa: ARG002
        """How many leads there are, where that is known."""
        return known_total(self.leads.value)


class ReshapeLeadQualifiedOperator(ReshapeSendEventsOperator):
    """Send lead_qualified for each lead.

    :param leads: see :class:`ReshapeSendEventsOperator`.
    """

    def __init__(self, *, leads: Any, **kwargs: Any) -> None:
        super().__init__(leads=leads, event="lead_qualified", **kwargs)


class ReshapeLeadDisqualifiedOperator(ReshapeSendEventsOperator):
    """Send lead_disqualified for each lead.

    :param leads: see :class:`ReshapeSendEventsOperator`.
    """

    def __init__(self, *, leads: Any, **kwargs: Any) -> None:
        super().__init__(leads=leads, event="lead_disqualified", **kwargs)


def _identity(context: Context) -> SenderIdentity:
    """The task's try, as far as the context tells; outside Airflow it tells nothing."""
    ti = context.get("ti")
    read = {name: getattr(ti, name, None) for name in ("dag_id", "run_id", "task_id", "map_index", "try_number")}
    return SenderIdentity(package_version=__version__, **read)


def _flag(name: str, value: bool | str) -> bool:
    try:
        return flag(value)
    except ValueError:
        raise ReshapeConfigurationError(f"{name} must be true or false, also when rendered") from None


def _limit(value: float | str) -> float:
    if not isinstance(value, str):
        return value
    for number in (int, float):
        with contextlib.suppress(ValueError):
            return number(value)
    raise ReshapeConfigurationError("max_rejected must be a number, also when rendered")
