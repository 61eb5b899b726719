"""What may be streamed: one statement that gives rows, its parameters, and columns that can name fields.

Nothing here asks a database: the text is judged before it is run, the columns by the cursor's description,
before the first row is fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_reshape.transfers.sql_errors import SqlUnusable


def one_query(sql: str) -> str:
    """The only statement of a text, without the semicolons and comments behind it.

    Oracle and Trino refuse a closing semicolon; mysqlclient and psycopg2 run whatever follows one.
    Statements that change data are refused before they run: the end is a rollback, which DDL on MySQL survives.

    :param sql: a query, as a ``.sql`` file may hold it.
    :raises SqlUnusable: there is no statement, more than one, or one that gives no rows.
    """
    from sqlparse import lexer, tokens

    start = end = None
    position = 0
    for kind, text in lexer.tokenize(sql):  # type: ignore[no-untyped-call]
        blank = text.isspace() or kind in tokens.Comment
        if kind is tokens.Punctuation and text == ";":
            end = position if end is None else end
        elif not blank and end is not None:
            raise SqlUnusable(
                "The SQL holds more than one statement, and only one query can be streamed. "
                "Put the steps before it into a view or into a task of their own."
            )
        elif not blank and start is None:
            start = position
            _refuse_change(kind, text)
        position += len(text)
    if start is None:
        raise SqlUnusable("The SQL is empty. Give one query, such as SELECT … FROM …")
    return sql[:end].strip()


def counting(sql: str) -> str:
    """A query for the number of another's rows; most databases know it.

    :raises SqlUnusable: it is not one query.
    """
    return f"SELECT COUNT(*) AS leads FROM (\n{one_query(sql)}\n) reshape_leads"  # noqa: S608  # the user's own SQL


def _refuse_change(kind: Any, keyword: str) -> None:
    """Refuse a statement by its first word."""
    from sqlparse import tokens

    changes = kind in tokens.DDL or kind in tokens.Keyword.DCL
    if changes or (kind in tokens.DML and keyword.upper() != "SELECT"):
        raise SqlUnusable(
            f"{keyword.upper()} changes the database or gives no rows; leads are read by one SELECT. "
            "Put other statements into a task of their own."
        )


def execute_arguments(parameters: Mapping[str, Any] | Iterable[Any] | None) -> tuple[Any, ...]:
    """What ``cursor.execute`` takes after the query: one argument, or none.

    Without parameters it is nothing: given an empty list, drivers take the % of a LIKE for a placeholder.

    :param parameters: a dict for named placeholders, anything else that can be iterated for positional ones.
    :raises SqlUnusable: a text, which would be taken apart into its letters.
    """
    if isinstance(parameters, (str, bytes)):
        raise SqlUnusable("The SQL parameters are text; give a list, or a dict of names.")
    if isinstance(parameters, Mapping):
        return (dict(parameters),) if parameters else ()
    values = tuple(parameters or ())
    return (values,) if values else ()


def column_names(description: Sequence[Sequence[Any]] | None) -> tuple[str, ...]:
    """The result's column names.

    :param description: of a cursor, as PEP 249 has it: one sequence a column, the name first.
    :raises SqlUnusable: no result, a column without a name, or two of one name.
    """
    if not description:
        raise SqlUnusable("The statement gives no rows. Give one query, such as SELECT … FROM …")
    names = tuple(str(column[0] or "") for column in description)
    unnamed = [str(number) for number, name in enumerate(names, 1) if not name]
    if unnamed:
        raise SqlUnusable(f"Column {', '.join(unnamed)} of the query has no name. Give it one with AS.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SqlUnusable(f"The query gives more than one column named {', '.join(twice)}. Rename all but one with AS.")
    return names
