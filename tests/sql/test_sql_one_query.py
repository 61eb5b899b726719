"""What is accepted as the one query of a stream, before any database is asked."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_reshape.transfers.sql_errors import SqlUnusable
from airflow_reshape.transfers.sql_query import column_names, execute_arguments, one_query


@pytest.mark.parametrize(
    ("sql", "query"),
    [
        ("SELECT 1", "SELECT 1"),
        ("\n  SELECT 1\n;\n", "SELECT 1"),
        ("SELECT 1;;", "SELECT 1"),
        ("SELECT 1; -- the end", "SELECT 1"),
        ("SELECT 1; /* the; end */ ;", "SELECT 1"),
        ("-- leads; all of them\nSELECT 1", "-- leads; all of them\nSELECT 1"),
        ("SELECT ';' AS a;", "SELECT ';' AS a"),
        ("SELECT 'it''s; x', \"a;b\" FROM `c;d`;", "SELECT 'it''s; x', \"a;b\" FROM `c;d`"),
        ("SELECT $$a;b$$;", "SELECT $$a;b$$"),
        ("SELECT 'C:\\' ;", "SELECT 'C:\\'"),
        ("SELECT 1 -- x;y\n, 2;", "SELECT 1 -- x;y\n, 2"),
        ("SELECT /*+ INDEX(l; i) */ 1;", "SELECT /*+ INDEX(l; i) */ 1"),
        ("WITH a AS (SELECT 1) SELECT * FROM a;", "WITH a AS (SELECT 1) SELECT * FROM a"),
        ("(SELECT 1) UNION (SELECT 2);", "(SELECT 1) UNION (SELECT 2)"),
        ("CALL leads_of_today();", "CALL leads_of_today()"),
    ],
)
def test_one_query_without_what_follows_it(sql: str, query: str) -> None:
    assert one_query(sql) == query


@pytest.mark.parametrize(
    ("sql", "cure"),
    [
        ("", "The SQL is empty"),
        (" ;\n-- nothing\n;", "The SQL is empty"),
        ("SELECT 1; SELECT 2", "more than one statement"),
        ("SELECT 1;; -- and\n DELETE FROM leads", "more than one statement"),
        ("SET NOCOUNT ON; SELECT 1", "more than one statement"),
        ("update leads SET stage = 'SQL'", "UPDATE changes the database"),
        ("/* first */ DELETE FROM leads", "DELETE changes the database"),
        ("INSERT INTO leads VALUES (1) RETURNING id", "INSERT changes the database"),
        ("REPLACE INTO leads VALUES (1)", "REPLACE changes the database"),
        ("DROP TABLE leads", "DROP changes the database"),
        ("TRUNCATE leads", "TRUNCATE changes the database"),
        ("CREATE TABLE a AS SELECT 1", "CREATE changes the database"),
        ("GRANT ALL ON leads TO public", "GRANT changes the database"),
    ],
)
def test_anything_else_is_refused_with_its_cure(sql: str, cure: str) -> None:
    with pytest.raises(SqlUnusable, match=cure) as raised:
        one_query(sql)
    assert isinstance(raised.value, AirflowFailException)


@pytest.mark.parametrize(
    ("parameters", "arguments"),
    [
        (None, ()),
        ([], ()),
        ({}, ()),
        (["a", 1], (("a", 1),)),
        ({"a": 1}, ({"a": 1},)),
        ((value for value in "ab"), (("a", "b"),)),
    ],
)
def test_no_parameters_are_no_argument(parameters: Any, arguments: tuple[Any, ...]) -> None:
    assert execute_arguments(parameters) == arguments


def test_parameters_given_as_text_are_refused_without_being_shown() -> None:
    with pytest.raises(SqlUnusable, match="give a list") as raised:
        execute_arguments("maria.pop@example.com")
    assert "maria" not in str(raised.value)


@pytest.mark.parametrize(
    ("description", "cure"),
    [
        (None, "gives no rows"),
        ([], "gives no rows"),
        ([("id",), ("",), (None,)], r"Column 2, 3 of the query has no name"),
        ([("id",), ("email",), ("id",), ("email",), ("Email",)], "more than one column named email, id"),
    ],
)
def test_columns_must_have_names_of_their_own(description: Any, cure: str) -> None:
    with pytest.raises(SqlUnusable, match=cure):
        column_names(description)
