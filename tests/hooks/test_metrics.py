"""Metrics at the wire: what a statsd server hears, compared with what Reshape's stand-in received."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Stats
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from statsd import StatsClient  # type: ignore[import-untyped]

from airflow_reshape.delivery.ledger.store import SenderIdentity
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.pace import Pace
from airflow_reshape.delivery.retry import RetryPolicy
from airflow_reshape.exceptions import ReshapeFailedLeadsError, ReshapeStoppedError
from airflow_reshape.hooks.chunks import chunked
from airflow_reshape.hooks.lead_send import LeadSend
from airflow_reshape.hooks.metrics import SECONDS_BETWEEN_BATCHES, SHARE_OF_THE_TIME, SendMetrics
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.operators.events import ReshapeLeadQualifiedOperator
from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox
from tests.delivery.clock import Clock
from tests.delivery.leads import KeepingTally
from tests.hooks.conftest import HookFor
from tests.hooks.statsd import at_every_pulse, listening, new_client, use

pytestmark = pytest.mark.timeout(60)

QUICK = RetryPolicy(first_delay=0.002, longest_delay=0.01)
TASK = SenderIdentity(dag_id="leads", task_id="group.send", run_id="manual__2026", map_index=3, try_number=2)
TAGS = {"dag_id": "leads", "task_id": "group.send", "environment": "prod"}
COUNT = 300
log = logging.getLogger("tests.metrics")


@pytest.fixture(scope="module")
def one_sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(one_sandbox: RunningSandbox) -> RunningSandbox:
    one_sandbox.clear()
    return one_sandbox


def leads(count: int = COUNT, **columns: Any) -> list[dict[str, Any]]:
    return [
        {"lead_id": f"l{n}", "stage": "MQL", "currency": "EUR", "value": 1, "user.email": f"marker{n}@example.com"}
        | columns
        for n in range(count)
    ]


def new_send(hook: Any, identity: SenderIdentity | None = TASK, **arguments: Any) -> LeadSend:
    plan = SendPlan(**{"event": "lead_qualified", "max_rejected": COUNT, **arguments})
    return LeadSend(hook.settings, plan, log, retry=QUICK, identity=identity)


def test_the_sums_are_what_was_received(
    sandbox: RunningSandbox, hook_for: HookFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_every_pulse(monkeypatch)
    rows = leads()
    for bad in (7, 70, 270):
        rows[bad]["currency"] = None
    for unmapped in (5, 150):
        rows[unmapped]["stage"] = "New"
    sandbox.set_faults(statuses={"503": 0.04, "422": 0.05}, reset_after=0.04)

    def source() -> Iterator[dict[str, Any]]:
        yield from rows[:100]
        while send.summary()["delivered"] < 20:
            time.sleep(0.001)
        yield from rows[100:]

    with listening(monkeypatch) as heard:
        send = new_send(hook_for(sandbox), event=None, stage_map={"MQL": "lead_qualified", "New": None})
        summary = send.run(chunked(source(), rows=20))
    received = sandbox.summary()
    status = received["by_status"]
    assert min(status["none"], status["503"], status["422"], summary["invalid"], summary["skipped"]) > 0
    rejected = len({one["id"] for one in sandbox.received() if one["status"] == 422})
    assert heard.sums() == {
        "leads.delivered": received["distinct_taken"],
        "leads.rejected": rejected,
        "leads.invalid": 3,
        "leads.skipped": 2,
        "requests": received["requests"],
        "retries": received["requests"] - (COUNT - 5),
        "held_back": status["503"],
        "unanswered": status["none"],
    }
    assert sum(heard.sums()[f"leads.{kind}"] for kind in Kind if summary[kind]) == summary["read"] == COUNT
    batches = [value for name, _, value in heard.of("c") if name.endswith("leads.delivered")]
    assert len(batches) >= 2
    assert batches[0] >= 1
    latencies = [value for name, _, value in heard.of("ms") if name == "airflow.reshape.latency"]
    assert latencies
    assert all(0 < milliseconds < 60_000 for milliseconds in latencies)
    gauges = {name: value for name, _, value in heard.of("g")}  # the last of each
    assert gauges == {f"airflow.reshape.{name}": 0 for name in ("window", "in_flight", "rate_limit", "paused")}
    windows = [value for name, _, value in heard.of("g") if name == "airflow.reshape.window"]
    assert max(windows) >= 1
    text = "\n".join(heard.packets)
    assert "marker" not in text
    assert "manual" not in text


def test_latency_is_in_milliseconds(
    sandbox: RunningSandbox, hook_for: HookFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.set_faults(latency=0.2)
    with listening(monkeypatch) as heard:
        new_send(hook_for(sandbox)).run(chunked(leads(8)))
    ((name, tags, milliseconds),) = heard.of("ms")
    assert (name, tags) == ("airflow.reshape.latency", TAGS)
    assert 200 <= milliseconds < 20_000


def test_every_metric_has_the_tags(sandbox: RunningSandbox, hook_for: HookFor, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(monkeypatch) as heard:
        new_send(hook_for(sandbox)).run(chunked(leads(5)))
    told = [*heard.of("c"), *heard.of("g"), *heard.of("ms")]
    assert len(told) == len(heard.packets) == 2 + 1 + 4
    assert all(tags == TAGS for _, tags, _ in told)


def test_without_tags_the_names_are_the_same(
    sandbox: RunningSandbox, hook_for: HookFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(monkeypatch, tags=False) as heard:
        new_send(hook_for(sandbox)).run(chunked(leads(5)))
    assert "airflow.reshape.leads.delivered:5|c" in heard.packets
    assert heard.sums() == {"leads.delivered": 5, "requests": 5}


def test_of_a_task(sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch, hook_for: HookFor) -> None:
    hook_for(sandbox, environment="dev")
    operator = ReshapeLeadQualifiedOperator(task_id="send", reshape_conn_id="reshape_tests", leads=leads(5))
    ti = SimpleNamespace(dag_id="crm", run_id="r", task_id="send", map_index=-1, try_number=1)
    with listening(monkeypatch) as heard:
        operator.execute({"ti": ti})  # type: ignore[typeddict-item]
    assert ("airflow.reshape.leads.delivered", {"dag_id": "crm", "task_id": "send", "environment": "dev"}, 5.0) in (
        heard.of("c")
    )


def test_outside_a_task(sandbox: RunningSandbox, hook_for: HookFor, monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(monkeypatch) as heard:
        hook_for(sandbox).send_events(leads(5), event="lead_qualified")
    assert ("airflow.reshape.leads.delivered", {"environment": "prod"}, 5.0) in heard.of("c")


def test_what_is_no_send_is_not_told(
    sandbox: RunningSandbox, hook_for: HookFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = hook_for(sandbox)
    with listening(monkeypatch) as heard:
        hook.send_events(leads(5), event="lead_qualified", validate_only=True)
        assert hook.test_connection()[0]
    assert sandbox.summary()["requests"] == 1
    assert heard.packets == []


@pytest.mark.parametrize("end", ["failed", "stopped", "broken"])
def test_the_sums_are_complete_however_it_ends(
    end: str, sandbox: RunningSandbox, hook_for: HookFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = leads()
    expected: dict[str, type[Exception]] = {
        "failed": ReshapeFailedLeadsError,
        "stopped": ReshapeStoppedError,
        "broken": OSError,
    }

    def source() -> Iterator[dict[str, Any]]:
        for at, row in enumerate(rows):
            if at == 200 and end == "stopped":
                send.stop()
            if at == 200 and end == "broken":
                raise OSError("the CRM is gone")
            yield row

    rows[3]["currency"] = None
    with listening(monkeypatch) as heard:
        send = new_send(hook_for(sandbox), max_rejected=0)
        with pytest.raises(expected[end]):
            send.run(chunked(source(), rows=50))
    summary, sums = send.summary(), heard.sums()
    assert {kind: sums.get(f"leads.{kind}", 0) for kind in Kind} == {kind: summary[kind] for kind in Kind}
    assert sums["requests"] == summary["requests"] == sandbox.summary()["requests"]


# Backends that fail


class BrokenClient(StatsClient):  # type: ignore[misc]
    """As a client of somebody's own may be."""

    def _send(self, data: str) -> None:
        raise ConnectionError(data)


def test_a_backend_that_fails_fails_no_send(
    sandbox: RunningSandbox, hook_for: HookFor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    at_every_pulse(monkeypatch)
    with listening(monkeypatch, statsd_custom_client_path=f"{__name__}.BrokenClient"):
        with pytest.raises(ConnectionError):
            Stats.incr("this_client_fails")
        summary = new_send(hook_for(sandbox)).run(chunked(leads(), rows=20))
    assert summary["delivered"] == sandbox.summary()["distinct_taken"] == COUNT
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["Metrics cannot be told (ConnectionError); the send goes on without them"]


class Recorded(StatsClient):  # type: ignore[misc]
    """Keeps what it would send; fails or dawdles before that, as it is told to."""

    def __init__(self, before: Callable[[], None]) -> None:
        super().__init__()
        self._before = before
        self.sums: dict[str, int] = {}

    def _send(self, data: str) -> None:
        self._before()
        name, value = data.split(":", 1)
        if value.endswith("|c"):
            self.sums[name] = self.sums.get(name, 0) + int(value.removesuffix("|c"))


SUMS = (*Kind, "requests", "answers", "retries", "held_back", "unanswered")
grown = st.tuples(st.fixed_dictionaries({str(name): st.integers(0, 9) for name in SUMS}), st.floats(0, 10))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(grown, max_size=12), st.lists(st.booleans(), min_size=1, max_size=40))
def test_sums_are_exact_also_after_failures(
    monkeypatch: pytest.MonkeyPatch, steps: list[tuple[dict[str, int], float]], fails: list[bool]
) -> None:
    """Whatever did not go out goes out later, and nothing goes twice."""
    left = iter(fails)

    def perhaps_fail() -> None:
        if next(left, False):
            raise OSError

    client = Recorded(perhaps_fail)
    tally, pace, clock = KeepingTally(), Pace(), Clock()
    with monkeypatch.context() as patch:
        backend = new_client_of(patch, client)
        use(patch, backend)
        told = SendMetrics(tally, lambda: pace, TAGS, lambda line: None, clock)
        for step, seconds in steps:
            tally.kinds.update({kind: step[kind] for kind in Kind})
            tally.requests += step["requests"]
            for name in ("answers", "retries", "held_back", "unanswered"):
                setattr(pace, name, getattr(pace, name) + step[name])
            clock.now += seconds
            told.pulse()
        for _ in range(len(fails) + 1):
            told.end()
    expected = {
        **{f"reshape.leads.{kind}": tally.kinds[kind] for kind in Kind},
        "reshape.requests": max(tally.requests, pace.answers + pace.unanswered),
        "reshape.retries": pace.retries,
        "reshape.held_back": pace.held_back,
        "reshape.unanswered": pace.unanswered,
    }
    assert client.sums == {name: count for name, count in expected.items() if count}


def test_a_slow_backend_gets_a_small_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    spent = [0.0]

    def dawdle() -> None:
        clock.now += 1.5
        spent[0] += 1.5

    tally, pace = KeepingTally(), Pace()
    use(monkeypatch, new_client_of(monkeypatch, Recorded(dawdle)))
    told = SendMetrics(tally, lambda: pace, TAGS, lambda line: None, clock)
    most_at_once = 0.0
    while clock.now < 3_600:
        clock.now += 1
        tally.kinds[Kind.DELIVERED] += 1
        before = spent[0]
        told.pulse()
        most_at_once = max(most_at_once, spent[0] - before)
    assert 0 < spent[0] <= SHARE_OF_THE_TIME * clock.now + most_at_once


def test_batches_are_seconds_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    sent_at: list[float] = []
    clock, tally = Clock(), KeepingTally()
    use(monkeypatch, new_client_of(monkeypatch, Recorded(lambda: sent_at.append(clock.now))))
    told = SendMetrics(tally, Pace, TAGS, lambda line: None, clock)
    while clock.now < 60:
        clock.now += 0.5
        tally.kinds[Kind.DELIVERED] += 1
        told.pulse()
    times = sorted(set(sent_at))
    assert len(times) == 12
    assert {after - before for before, after in pairwise(times)} == {SECONDS_BETWEEN_BATCHES}


def new_client_of(patch: pytest.MonkeyPatch, client: StatsClient) -> Any:
    """Airflow's client over another statsd client."""
    for name, value in {"STATSD_ON": "True", "STATSD_HOST": "127.0.0.1", "STATSD_PORT": "8125"}.items():
        patch.setenv(f"AIRFLOW__METRICS__{name}", value)
    backend = new_client()
    backend.statsd = client
    return backend
