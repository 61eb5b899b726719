"""Which tables a query reads, for OpenLineage. Nothing that may be personal leaves: neither parameters nor literals."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

log = logging.getLogger(__name__)

HIDDEN = "'?'"
# Oracle's own quotes, q'[it's]': the lexer does not know them.
QUOTING_PREFIXES = frozenset({"q", "nq"})
DOUBLE_QUOTES_ARE_TEXT = frozenset({"mysql", "mariadb", "bigquery", "databricks", "hive"})


def without_literals(sql: str, dialect: str = "") -> str | None:
    """A query with ``'?'`` for every text and placeholder, ``0`` for every number, and no comment.

    OpenLineage's parser knows no ``%(since)s``; with this it finds the tables of such queries too.

    :param dialect: the database's name; in some of them, double quotes hold texts.
    :returns: None if it is not sure where its texts begin and end.
    """
    parts: list[str] = []
    try:
        parts.extend(_blanked(sql, dialect))
    except ValueError:
        return None
    return "".join(parts).strip().rstrip(";")


def _blanked(sql: str, dialect: str) -> Iterator[str]:
    from sqlparse import lexer, tokens

    before = ""
    for kind, text in lexer.tokenize(sql):  # type: ignore[no-untyped-call]
        if kind in tokens.Error:
            raise ValueError
        if kind in tokens.Comment:
            yield "\n" if text.endswith("\n") else " "
        elif kind in tokens.Number:
            yield "0"
        elif kind in tokens.String.Symbol and dialect not in DOUBLE_QUOTES_ARE_TEXT:
            yield text
        elif kind in tokens.Literal:
            # Whether a backslash escapes a quote depends on the database and its settings.
            if "\\'" in text or '\\"' in text or before.lower() in QUOTING_PREFIXES:
                raise ValueError
            yield HIDDEN
        elif kind in tokens.Name.Placeholder:
            yield HIDDEN
        else:
            yield text
        before = text


def query_lineage(hook: DbApiHook, conn_id: str, sql: str) -> Any:
    """The tables that a query reads, as an ``OperatorLineage`` of the OpenLineage provider; the database's own words
    for them come from its hook.

    :param hook: of the database.
    :param conn_id: of the connection.
    :param sql: the query.
    :returns: None if the hook tells OpenLineage nothing of its database (SQLite's does not), or nothing is found out.
    """
    from airflow.providers.openlineage.sqlparser import SQLParser

    try:
        stored = hook.get_connection(conn_id)
        database = hook.get_openlineage_database_info(stored)
        dialect = hook.get_openlineage_database_dialect(stored)
        shown = without_literals(sql, dialect)
        if database is None or shown is None:
            return None
        parser = SQLParser(dialect=dialect, default_schema=hook.get_openlineage_default_schema())
        # Without asking the database for the tables' columns.
        return parser.generate_openlineage_metadata_from_sql(
            sql=shown, hook=hook, database_info=database, use_connection=False
        )
    except Exception as error:  # noqa: BLE001  # a driver's text may hold values of the query
        log.warning("The tables that the query reads are not known to OpenLineage (%s)", type(error).__name__)
        return None
