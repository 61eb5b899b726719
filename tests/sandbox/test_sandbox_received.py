"""What the sandbox keeps and how it is asked for."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from airflow_reshape.sandbox.store import StoreError
from airflow_reshape.sandbox.testing import running_sandbox


@pytest.fixture
def story(client: Any, lead: Any) -> None:
    """Six requests: one event twice, one in dev, one invalid, one under a wrong token, one without id."""
    client.send(lead("a"))
    client.send(lead("b"))
    client.send(lead("a"))
    client.send({**lead("c", name="lead_created"), "context": {"environment": "dev"}})
    client.send(lead("d", currency="euro"))
    client.send(lead("e"), token="wrong")
    client.send({"event": {"name": "ping"}}, "/webhooks/reshape/event")
    client.send({"event": {"name": "ping"}}, "/webhooks/reshape/event")


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"name": "lead_qualified"}, [1, 2, 3, 5, 6]),
        ({"name": "lead_"}, []),
        ({"id": "a"}, [1, 3]),
        ({"id": "A"}, []),
        ({"valid": True}, [1, 2, 3, 4, 6, 7, 8]),
        ({"valid": False}, [5]),
        ({"taken": True}, [1, 2, 3, 4, 7, 8]),
        ({"taken": False}, [5, 6]),
        ({"duplicates": True}, [1, 3]),
        ({"duplicates": False}, [2, 4, 5, 6, 7, 8]),
        ({"environment": "dev"}, [4]),
        ({"search": "CREATED"}, [4]),
        ({"search": "ping"}, [7, 8]),
        ({"search": "%"}, []),
        ({"after": 6}, [7, 8]),
        ({"name": "lead_qualified", "taken": True, "id": "a"}, [1, 3]),
    ],
)
@pytest.mark.usefixtures("story")
def test_filters(sandbox: Any, filters: dict[str, Any], numbers: list[int]) -> None:
    first = sandbox.received()[0]["seq"]
    if "after" in filters:
        filters = {**filters, "after": filters["after"] + first - 1}
    assert [kept["seq"] - first + 1 for kept in sandbox.received(**filters)] == numbers


@pytest.mark.usefixtures("story")
def test_totals(sandbox: Any) -> None:
    totals = sandbox.summary()
    assert {key: totals[key] for key in ("requests", "taken", "distinct_taken", "duplicates", "valid", "invalid")} == {
        "requests": 8,
        "taken": 6,
        "distinct_taken": 5,
        "duplicates": 1,
        "valid": 7,
        "invalid": 1,
    }
    assert totals["by_status"] == {"200": 6, "401": 1, "422": 1}
    assert totals["by_environment"] == {"dev": 1, "prod": 5}
    assert totals["by_name"]["lead_qualified"] == {"requests": 5, "taken": 3, "duplicates": 1, "valid": 4, "invalid": 1}
    assert totals["by_fault"] == {}
    assert totals["in_work"] == 0
    assert totals["max_concurrent"] == 1


@pytest.mark.usefixtures("story")
def test_a_kept_request_says_everything(sandbox: Any) -> None:
    kept = sandbox.received(valid=False)[0]
    seq, at = kept.pop("seq"), kept.pop("at")
    assert kept == {
        "route": "/reshape/standard/event",
        "generation": "standard",
        "test": False,
        "environment": "prod",
        "name": "lead_qualified",
        "id": "d",
        "token_ok": True,
        "valid": False,
        "violations": [
            {
                "field": "event.currency",
                "rule": "currency",
                "says": "must be an ISO 4217 code of three capital letters",
            }
        ],
        "status": 422,
        "fault": None,
        "taken": False,
        "times_taken": 0,
        "body": {
            "event": {"name": "lead_qualified", "currency": "euro", "id": "d"},
            "user": {"id": "customer-1", "email": "ana.ionescu@example.com"},
        },
    }
    assert seq >= 5
    assert at.endswith("+00:00")


@pytest.mark.usefixtures("story")
def test_the_list_comes_in_pieces_in_either_order(client: Any) -> None:
    answer = client.ask("GET", "/received?limit=3&offset=1&order=desc&bodies=false").json
    everything = client.ask("GET", "/received").json["events"]
    assert [kept["seq"] for kept in answer["events"]] == [kept["seq"] for kept in everything[::-1][1:4]]
    assert answer["matching"] == 8
    assert answer["totals"]["requests"] == 8
    assert all("body" not in kept for kept in answer["events"])


@pytest.mark.usefixtures("story")
def test_requests_without_a_name_are_found_under_the_empty_one(client: Any) -> None:
    client.send({"event": {}})
    assert [kept["name"] for kept in client.ask("GET", "/received?name=").json["events"]] == [None]


def test_one_request_by_its_number(client: Any, sandbox: Any, lead: Any) -> None:
    client.send(lead())
    (kept,) = sandbox.received()
    assert client.ask("GET", f"/received/{kept['seq']}").json == kept
    assert client.ask("GET", f"/received/{kept['seq'] + 1}").status == 404


@pytest.mark.parametrize(
    "query", ["limit=-1", "limit=5001", "order=up", "valid=perhaps", "environment=test", "after=x"]
)
def test_a_filter_that_makes_no_sense_is_refused(client: Any, query: str) -> None:
    answer = client.ask("GET", f"/received?{query}")
    assert answer.status == 422
    assert query.partition("=")[0] in answer.detail[0]


@pytest.mark.usefixtures("story")
def test_forgetting(client: Any, sandbox: Any, lead: Any) -> None:
    assert client.ask("DELETE", "/received").json["requests"] == 0
    assert sandbox.received() == []
    client.send(lead("a"))
    assert sandbox.summary()["duplicates"] == 0


def test_the_same_id_under_another_name_is_no_duplicate(client: Any, sandbox: Any, lead: Any) -> None:
    client.send(lead("lead-9", name="lead_created"))
    client.send(lead("lead-9", name="lead_disqualified", value=0, properties={"disqualification_reason": "no_timing"}))
    assert sandbox.summary()["taken"] == 2
    assert sandbox.summary()["duplicates"] == 0
    client.send(lead("lead-9", name="lead_created"))
    client.send(lead("lead-9", name="lead_created"))
    assert sandbox.summary()["duplicates"] == 2
    assert [kept["times_taken"] for kept in sandbox.received(duplicates=True)] == [1, 2, 3]


def test_what_is_not_ascii_comes_back_as_it_was(client: Any, sandbox: Any, lead: Any) -> None:
    body = lead("id ✓", properties={"note": "Ștefan 😀 \u2028 \x7f"})
    client.send(body)
    assert sandbox.received(id="id ✓")[0]["body"] == body


def test_a_file_outlives_the_sandbox(tmp_path: Path, client_of: Any, lead: Any) -> None:
    file = tmp_path / "received.db"
    with running_sandbox(database=file) as first:
        client_of(first).send(lead("a"))
        client_of(first).send(lead("b", currency="euro"))
        before = first.received()
    with running_sandbox(database=file) as second:
        client_of(second).send(lead("a"))
        assert second.received()[:2] == before
        assert [kept["times_taken"] for kept in second.received(id="a")] == [1, 2]
        totals = second.summary()
    assert (totals["requests"], totals["taken"], totals["duplicates"], totals["invalid"]) == (3, 2, 1, 1)
    assert totals["by_status"] == {"200": 2, "422": 1}


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    database, text = tmp_path / "crm.db", tmp_path / "notes.txt"
    with sqlite3.connect(database) as crm:
        crm.execute("CREATE TABLE leads (id)")
    crm.close()
    text.write_text("not a database, and longer than a header of one hundred bytes " * 4)
    for file in (database, text):
        content = file.read_bytes()
        with pytest.raises(StoreError, match=file.name), running_sandbox(database=file):
            pass
        assert file.read_bytes() == content
