"""The hook: a connection to DATA Reshape, and sending over it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from typing import Any

from airflow.providers.common.compat.sdk import BaseHook

from airflow_reshape.delivery.checkpoint.checkpoint import StateStore
from airflow_reshape.delivery.ledger.store import SenderIdentity
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.repeats import Repeat
from airflow_reshape.delivery.retry import RetryPolicy
from airflow_reshape.events.models import BaseEvent
from airflow_reshape.events.probe import PROBE_EVENT
from airflow_reshape.exceptions import ReshapeError, ReshapeFailedLeadsError
from airflow_reshape.get_provider_info import get_provider_info
from airflow_reshape.hooks.chunks import chunked
from airflow_reshape.hooks.connections import connection
from airflow_reshape.hooks.failures import open_failures
from airflow_reshape.hooks.lead_send import LeadSend
from airflow_reshape.hooks.ledger import open_ledger
from airflow_reshape.hooks.lineage import tell_lineage
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.settings import ReshapeSettings, read_settings

# Somebody looks at the connection form and waits.
TEST_RETRY = RetryPolicy(most_attempts=2, first_delay=0.2, longest_delay=0.5, longest_retry_after=1.0)
TEST_OUTAGE = timedelta(seconds=1)


class ReshapeHook(BaseHook):
    """Sends events to DATA Reshape.

    The connection is resolved once. No redirect is followed, every request has a timeout, and neither the
    token nor a lead's values are logged.

    :param reshape_conn_id: id of a connection of type ``reshape``. Default ``reshape_default``.
    """

    conn_name_attr = "reshape_conn_id"
    default_conn_name = "reshape_default"
    conn_type = "reshape"
    hook_name = "DATA Reshape"

    def __init__(self, reshape_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reshape_conn_id = reshape_conn_id

    @cached_property
    def settings(self) -> ReshapeSettings:
        """The resolved connection.

        :raises ReshapeConfigurationError: the connection is wrong; the text says what to correct.
        """
        return read_settings(connection(self.reshape_conn_id))

    def get_conn(self) -> ReshapeSettings:
        """The resolved connection; requests are made by :meth:`send_event` and :meth:`send_events`."""
        return self.settings

    def lead_send(
        self,
        plan: SendPlan,
        identity: SenderIdentity | None = None,
        state_store: StateStore | None = None,
        holds: bool = True,
    ) -> LeadSend:
        """A send that has not begun, for callers that need to stop it.

        :param plan: what is sent, and how.
        :param identity: the task's try, for the ledger and the metrics. Default: nobody.
        :param state_store: keeps how far the tries of a task came, as Airflow's ``task_state_store``; unused with a
            ledger. Default: nothing does.
        :param holds: with ``max_events``, nothing is sent before all events are counted. Default True.
        """
        identity = identity or SenderIdentity()
        return LeadSend(
            self.settings,
            plan,
            self.log,
            ledger=open_ledger(self.settings, plan, identity),
            state_store=state_store,
            # The event of a row that repeats its id was sent: the row is not to be sent again.
            failures=open_failures(plan, self.settings, identity, plan.guards().failing - {Repeat.FAN_OUT.value}),
            holds=holds,
            identity=identity,
        )

    def send_events(self, leads: Any, **options: Any) -> dict[str, Any]:
        """Send leads: mapped, guarded, concurrently, in order per lead, each with one outcome.

        :param leads: dicts or events, in a list, a DataFrame, an iterator or a generator.
        :param options: the arguments of :class:`~airflow_reshape.hooks.plan.SendPlan`.
        :returns: the summary, counts only.
        :raises ReshapeError: see :mod:`airflow_reshape.exceptions`.
        """
        send = self.lead_send(SendPlan(**options))
        try:
            return send.run(chunked(leads))
        finally:
            tell_lineage(self, send)

    def send_event(self, event: BaseEvent | Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """Send one event.

        :param event: an event such as :class:`~airflow_reshape.events.LeadQualified`, or a mapping with
            ``event.name``.
        :param options: the arguments of :class:`~airflow_reshape.hooks.plan.SendPlan`.
        :returns: the summary, counts only.
        :raises ReshapeFailedLeadsError: the event is invalid or was rejected; the text names field and rule.
        :raises ReshapeError: see :mod:`airflow_reshape.exceptions`.
        """
        summary = self.send_events(event, **{"concurrency": 1, "max_rejected": 0, **options})
        if not summary[Kind.DELIVERED.value] and not summary["validate_only"]:
            raise ReshapeFailedLeadsError(f"the event was skipped: {', '.join(summary['skipped_by'])}", summary)
        return summary

    def test_connection(self) -> tuple[bool, str]:
        """Send one event with ``environment`` ``dev``, which Reshape logs and does not process.

        :returns: whether it was accepted, and a text.
        """
        try:
            LeadSend(self.settings, SendPlan(concurrency=1, max_outage=TEST_OUTAGE), self.log, retry=TEST_RETRY).run(
                [[PROBE_EVENT]]
            )
        except ReshapeError as error:
            return False, str(error)
        except Exception as error:  # noqa: BLE001  # the connection form shows a text, whatever happened
            return False, f"{type(error).__name__}"
        return True, f"A dev event was accepted by {self.settings.destination.base_url}"

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """How the connection form shows the standard fields (Airflow 3.1; later ones read the provider's info)."""
        behaviour = _connection_type()["ui-field-behaviour"]
        return {key.replace("-", "_"): value for key, value in behaviour.items()}

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """The extra fields of the connection form (Airflow 3.1; later ones read the provider's info)."""
        from wtforms import BooleanField, IntegerField, PasswordField, StringField  # type: ignore[import-untyped]
        from wtforms.validators import Optional, any_of  # type: ignore[import-untyped]

        fields = {"boolean": BooleanField, "number": IntegerField, "password": PasswordField}

        def widget(spec: dict[str, Any]) -> Any:
            schema = spec["schema"]
            return fields.get(schema.get("format", schema["type"][0]), StringField)(
                label=spec["label"],
                description=spec["description"],
                default=schema.get("default"),
                validators=[Optional(), *([any_of(schema["enum"])] if "enum" in schema else [])],
            )

        return {name: widget(spec) for name, spec in _connection_type()["conn-fields"].items()}


def _connection_type() -> dict[str, Any]:
    types: list[dict[str, Any]] = get_provider_info()["connection-types"]
    return types[0]
