"""The contacts of a HubSpot account: search and batch read, with the shapes, limits and errors of its documentation.

docs/recipes/hubspot.md names the pages. It is a server on loopback; ``AIRFLOW_CONN_HUBSPOT`` points the DAG at it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import operator
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

CONTACTS = "/crm/objects/2026-09/contacts"
MOST_RESULTS, LONGEST_PAGE = 10_000, 200
MOST_GROUPS, MOST_FILTERS, MOST_IN_ALL = 5, 6, 18
LARGEST_BATCH, LARGEST_BATCH_WITH_HISTORY = 100, 50
SCOPE = "crm.objects.contacts.read"
FUNNEL = (
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
    "evangelist",
)
ALWAYS = ("createdate", "hs_object_id", "lastmodifieddate")
STANDARD = {
    *ALWAYS,
    *("email", "phone", "mobilephone", "firstname", "lastname", "address", "city", "state", "zip", "country"),
    *("lifecyclestage", "hs_lead_status", "hs_merged_object_ids"),
}
FAULTS = {423: "LOCKED", 477: "MIGRATION", 502: "TIMEOUT"}
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "LT": operator.lt,
    "LTE": operator.le,
    "GT": operator.gt,
    "GTE": operator.ge,
    "EQ": operator.eq,
}


def iso(at: datetime) -> str:
    """A time as HubSpot writes it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass
class Contact:
    """A record.

    :param histories: changes by property, the newest first.
    """

    id: int
    created: datetime
    modified: datetime
    histories: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def value(self, name: str) -> str | None:
        own = {"hs_object_id": str(self.id), "createdate": iso(self.created), "lastmodifieddate": iso(self.modified)}
        if name in own:
            return own[name]
        changes = self.histories.get(name)
        return changes[0]["value"] if changes else None

    def number(self, name: str) -> float:
        """A value as searches compare it: times in milliseconds."""
        if name == "hs_object_id":
            return self.id
        if name == "lastmodifieddate":
            return self.modified.timestamp() * 1000
        return _number(self.value(name))

    def put(self, name: str, value: str, at: datetime, source: str) -> None:
        changes = self.histories.setdefault(name, [])
        changes.insert(0, {"value": value, "timestamp": iso(at), "sourceType": source, "sourceId": "userId:7"})
        changes.sort(key=lambda change: str(change["timestamp"]), reverse=True)
        self.modified = max(self.modified, at)

    def shown(self, names: list[str]) -> dict[str, Any]:
        return {
            "id": str(self.id),
            "properties": {name: self.value(name) for name in (*ALWAYS, *names)},
            "createdAt": iso(self.created),
            "updatedAt": iso(self.modified),
            "archived": False,
        }


@dataclass
class Account:
    """A HubSpot account and its API.

    :param searches_a_second: more are refused, as is what goes beyond ``burst``: requests, and seconds of its window.
    :param custom: properties that the account has defined.
    :ivar answered: how often each request had each status.
    :ivar faults: statuses that the next requests get.
    """

    token: str = "pat-eu1-test"
    scopes: tuple[str, ...] = (SCOPE,)
    searches_a_second: int = 1000
    burst: tuple[int, float] = (1_000_000, 10.0)
    custom: set[str] = field(default_factory=lambda: {"reshape_lead_id", "disqualification_reason", "lead_value"})
    contacts: dict[int, Contact] = field(default_factory=dict)
    merged_into: dict[int, int] = field(default_factory=dict)
    answered: Counter[tuple[str, int]] = field(default_factory=Counter)
    faults: deque[int] = field(default_factory=deque)
    daily_limit_reached: bool = False
    port: int = 0
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(101))
    _searches: deque[float] = field(default_factory=deque)
    _requests: deque[float] = field(default_factory=deque)

    def create(self, at: datetime, source: str = "FORM", **properties: str) -> int:
        """A new contact; gives its id."""
        contact = Contact(next(self._ids), at, at)
        self.contacts[contact.id] = contact
        self.change(contact.id, at, source, **properties)
        return contact.id

    def change(self, contact_id: int, at: datetime, source: str = "CRM_UI", **properties: str) -> None:
        """Set properties."""
        assert set(properties) <= STANDARD | self.custom
        for name, value in properties.items():
            self.contacts[contact_id].put(name, value, at, source)

    def merge(self, primary_id: int, other_id: int, at: datetime) -> int:
        """Two contacts become a third; gives its id."""
        primary, other = self.contacts.pop(primary_id), self.contacts.pop(other_id)
        merged = Contact(next(self._ids), min(primary.created, other.created), at)
        for name in {*primary.histories, *other.histories}:
            wins = primary.value(name) or other.value(name)
            if name == "lifecyclestage":
                stages = [stage for stage in (primary.value(name), other.value(name)) if stage]
                wins = max(stages, key=FUNNEL.index)
            changes = [*primary.histories.get(name, []), *other.histories.get(name, [])]
            merged.histories[name] = sorted(changes, key=lambda change: str(change["timestamp"]), reverse=True)
            if wins and merged.value(name) != wins:
                merged.put(name, wins, at, "MERGE_OBJECTS")
        merged.put("hs_merged_object_ids", f"{primary_id};{other_id}", at, "MERGE_OBJECTS")
        self.contacts[merged.id] = merged
        for gone in (primary_id, other_id):
            self.merged_into[gone] = merged.id
        return merged.id

    def connection(self) -> str:
        """The account as an Airflow connection, in JSON."""
        return json.dumps({"conn_type": "http", "host": "http://127.0.0.1", "port": self.port, "password": self.token})

    def answer(self, what: str, headers: Any, body: dict[str, Any]) -> JSONResponse:
        """The answer to a request; counted."""
        given = self._refusal(what, headers) or (self._found(body) if what == "search" else self._read(body))
        self.answered[what, given.status_code] += 1
        return given

    def _refusal(self, what: str, headers: Any) -> JSONResponse | None:
        if headers.get("authorization") != f"Bearer {self.token}":
            return error(401, "INVALID_AUTHENTICATION", "Authentication credentials not found.")
        if SCOPE not in self.scopes:
            return error(403, "MISSING_SCOPES", "This app hasn't been granted all required scopes.")
        if self.daily_limit_reached:
            return too_many("daily", "DAILY")
        if self.faults:
            status = self.faults.popleft()
            return error(status, FAULTS[status], "Try again.", {"Retry-After": "86400"} if status == 477 else None)
        most, seconds = self.burst
        if what == "search":
            if not _within(self._searches, self.searches_a_second, 1.0):
                return too_many("secondly", "SECONDLY")
        elif not _within(self._requests, most, seconds):
            limits = {"Max": most, "Remaining": 0, "Interval-Milliseconds": int(seconds * 1000)}
            told = {f"X-HubSpot-RateLimit-{name}": str(number) for name, number in limits.items()}
            return too_many("ten_secondly_rolling", "TEN_SECONDLY_ROLLING", told)
        return None

    def _found(self, body: dict[str, Any]) -> JSONResponse:
        groups = [group["filters"] for group in body.get("filterGroups", [])]
        limit, after = body.get("limit", 10), int(body.get("after", 0))
        filters = [one for group in groups for one in group]
        if (
            len(groups) > MOST_GROUPS
            or len(filters) > MOST_IN_ALL
            or any(len(group) > MOST_FILTERS for group in groups)
            or len(body.get("sorts", [])) > 1
            or not 1 <= limit <= LONGEST_PAGE
            or any(one["operator"] not in OPERATORS for one in filters)
        ):
            return error(400, "VALIDATION_ERROR", "There was a problem with the request.")
        if after + limit > MOST_RESULTS:
            return error(400, "VALIDATION_ERROR", "Paging beyond 10,000 results is not possible.")
        hits = [
            contact
            for contact in self.contacts.values()
            if not groups or any(all(_matches(contact, one) for one in group) for group in groups)
        ]
        for rule in body.get("sorts", []):
            name = rule["propertyName"]
            hits.sort(key=operator.methodcaller("number", name), reverse=rule["direction"] == "DESCENDING")
        page = hits[after : after + limit]
        names = [name for name in body.get("properties", []) if name in STANDARD | self.custom]
        answer: dict[str, Any] = {"total": len(hits), "results": [contact.shown(names) for contact in page]}
        if after + limit < len(hits):
            answer["paging"] = {"next": {"after": str(after + limit)}}
        return JSONResponse(answer)

    def _read(self, body: dict[str, Any]) -> JSONResponse:
        inputs, histories = body["inputs"], body.get("propertiesWithHistory", [])
        most = LARGEST_BATCH_WITH_HISTORY if histories else LARGEST_BATCH
        if len(inputs) > most:
            kind = "for property histories is" if histories else "is"
            return error(
                400,
                "VALIDATION_ERROR",
                f"The maximum number of inputs supported in a batch request {kind} {most}. "
                "Please reduce the number of items and try again",
            )
        ids = [int(one["id"]) for one in inputs]
        there = [self.contacts.get(self.merged_into.get(one, one)) for one in ids]
        results = []
        for contact in filter(None, there):
            shown = contact.shown([name for name in body.get("properties", []) if name in STANDARD | self.custom])
            shown["propertiesWithHistory"] = {
                name: contact.histories.get(name) for name in histories if name in STANDARD | self.custom
            }
            results.append(shown)
        now = iso(datetime.now(UTC))
        answer: dict[str, Any] = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
        missing = [str(one) for one, contact in zip(ids, there, strict=True) if contact is None]
        if not missing:
            return JSONResponse(answer)
        lost = {"status": "error", "category": "OBJECT_NOT_FOUND", "message": "Could not get some CONTACT objects"}
        answer |= {"numErrors": 1, "errors": [{**lost, "context": {"ids": missing}}]}
        return JSONResponse(answer, status_code=207)


def _within(times: deque[float], most: int, seconds: float) -> bool:
    now = time.monotonic()
    while times and times[0] <= now - seconds:
        times.popleft()
    if len(times) >= most:
        return False
    times.append(now)
    return True


def _matches(contact: Contact, one: dict[str, str]) -> bool:
    value = contact.number(one["propertyName"])
    return not math.isnan(value) and OPERATORS[one["operator"]](value, _number(one["value"]))


def _number(value: str | None) -> float:
    if value is None:
        return math.nan
    if value.isdigit():
        return float(value)
    return datetime.fromisoformat(value).timestamp() * 1000


def error(status: int, category: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error, in the shape that they have in common."""
    told = {"status": "error", "message": message, "correlationId": "a43683b0-5717-4ceb", "category": category}
    return JSONResponse(told, status_code=status, headers=headers)


def too_many(limit: str, policy: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """429."""
    told = {
        "status": "error",
        "message": f"You have reached your {limit} limit.",
        "errorType": "RATE_LIMIT",
        "correlationId": "c033cdaa-2c40-4a64",
        "policyName": policy,
    }
    return JSONResponse(told, status_code=429, headers=headers)


@contextlib.contextmanager
def running_account(account: Account) -> Iterator[Account]:
    """Serve an account from a thread, on a free port of loopback."""
    app = FastAPI(docs_url=None, redoc_url=None)

    @app.post(CONTACTS + "/search")
    async def search(request: Request) -> JSONResponse:
        return account.answer("search", request.headers, await request.json())

    @app.post(CONTACTS + "/batch/read")
    async def read(request: Request) -> JSONResponse:
        return account.answer("batch/read", request.headers, await request.json())

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        account.port = listening.getsockname()[1]
        listening.listen()  # requests wait in the backlog until the server takes them
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            yield account
        finally:
            server.should_exit = True
            thread.join(timeout=10)
