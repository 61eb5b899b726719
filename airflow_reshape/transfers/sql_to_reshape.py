"""Send the rows of a query as lead events."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_reshape.exceptions import ReshapeConfigurationError
from airflow_reshape.hooks.connections import connection
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.operators.events import BaseReshapeOperator
from airflow_reshape.operators.openlineage import with_datasets
from airflow_reshape.transfers.read_ahead import ReadAhead
from airflow_reshape.transfers.sql_errors import SqlRefused
from airflow_reshape.transfers.sql_lineage import query_lineage
from airflow_reshape.transfers.sql_query import counting
from airflow_reshape.transfers.sql_stream import SqlStream

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook


class SqlToReshapeOperator(BaseReshapeOperator):
    """Send the rows of a query as lead events, streamed: memory does not grow with their number.

    The columns' names say where the values go (``SELECT l.email AS "user.email"``); an unknown column fails the
    task before anything is sent.

    :param sql: one SELECT, or the name of a ``.sql`` file. (templated)
    :param sql_conn_id: connection of the database; any whose hook is a ``DbApiHook``. (templated)
    :param parameters: of the query, in the driver's own style. (templated)
    :param sql_hook_params: extra arguments of the database's hook. Default none.
    :param read_ahead: once the cursor has stood idle for ten seconds, read the rest of the result into an encrypted
        temporary file and send it from there, so that the transaction ends. Default True.
    :param kwargs: see :class:`~airflow_reshape.operators.events.BaseReshapeOperator`.
    :raises ReshapeConfigurationError: when the DAG is parsed: an argument is wrong.
    """

    template_fields: Sequence[str] = (
        "sql",
        "sql_conn_id",
        "parameters",
        *BaseReshapeOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "sql": "sql",
        "parameters": "json",
        **BaseReshapeOperator.template_fields_renderers,
    }
    template_ext: Sequence[str] = (".sql",)

    def __init__(
        self,
        *,
        sql: str,
        sql_conn_id: str,
        parameters: Mapping[str, Any] | Iterable[Any] | None = None,
        sql_hook_params: Mapping[str, Any] | None = None,
        read_ahead: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters
        self.sql_hook_params = sql_hook_params
        if not isinstance(read_ahead, bool):
            raise ReshapeConfigurationError("read_ahead must be True or False")
        self.read_ahead = read_ahead

    def chunks(self, plan: SendPlan) -> Iterable[Sequence[object]]:
        """The rows of the query."""
        rows = self._rows(plan)
        return ReadAhead(rows) if self.read_ahead else rows

    def _rows(self, plan: SendPlan) -> Generator[Sequence[object], None, None]:
        with SqlStream(self._hook(), self.sql, self.parameters) as stream:
            plan.check_columns(stream.columns)
            yield from stream

    def count_leads(self, plan: SendPlan) -> int | None:  # noqa: ARG002
        """How many rows the query gives; None if the database cannot count them."""
        try:
            with SqlStream(self._hook(), counting(self.sql), self.parameters) as stream:
                return next((int(value) for chunk in stream for row in chunk for value in row.values()), None)
        except SqlRefused as error:
            self.log.info("The query's rows cannot be counted (%s): events are held back until all are read", error)
            return None

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """What OpenLineage is told when the task ends: the query's tables, what was sent to, and counts."""
        lineage = super().get_openlineage_facets_on_complete(task_instance)
        if self._send is None:
            return lineage
        return with_datasets(lineage, query_lineage(self._hook(), self.sql_conn_id, self.sql), self._send.assets())

    def _hook(self) -> DbApiHook:
        from airflow.providers.common.sql.hooks.sql import DbApiHook

        params = dict(self.sql_hook_params) if self.sql_hook_params else None
        hook = connection(self.sql_conn_id).get_hook(hook_params=params)
        if not isinstance(hook, DbApiHook):
            raise ReshapeConfigurationError(
                f"sql_conn_id {self.sql_conn_id!r} is no SQL database: {type(hook).__name__} is no DbApiHook"
            )
        return hook
