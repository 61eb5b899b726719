"""The hook at the wire: what is sent, what comes back, and which error each trouble is."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_reshape.events import LeadDisqualified, LeadQualified, User
from airflow_reshape.events.rules import GENERATIONS, Generation
from airflow_reshape.exceptions import (
    ReshapeConfigurationError,
    ReshapeCredentialsError,
    ReshapeError,
    ReshapeFailedLeadsError,
    ReshapeStoppedError,
    ReshapeUnavailableError,
)
from airflow_reshape.hooks.chunks import chunked
from airflow_reshape.hooks.lead_send import LeadSend
from airflow_reshape.hooks.plan import SendPlan
from airflow_reshape.hooks.reshape import ReshapeHook
from airflow_reshape.sandbox.testing import RunningSandbox, running_sandbox
from tests.delivery.leads import QUICK
from tests.delivery.servers import Reply, closed_port, scripted
from tests.hooks.conftest import TOKEN, HookFor

pytestmark = pytest.mark.timeout(60)

log = logging.getLogger("tests.hooks")
QUALIFIED: Any = LeadQualified(
    event={"id": "42:SQL", "currency": "EUR", "value": 10}, user=User(email="ana@example.com")
)
DISQUALIFIED: Any = LeadDisqualified(
    event={"id": "42", "currency": "EUR", "value": 0, "properties": {"disqualification_reason": "no_budget"}},
    user={"id": "c-7"},
)


@pytest.fixture(scope="module")
def one_sandbox() -> Iterator[RunningSandbox]:
    with running_sandbox() as running:
        yield running


@pytest.fixture
def sandbox(one_sandbox: RunningSandbox) -> RunningSandbox:
    one_sandbox.clear()
    return one_sandbox


def rows(count: int) -> list[dict[str, Any]]:
    return [{"lead_id": f"l{n}", "currency": "EUR", "user.email": f"ana{n}@example.com"} for n in range(count)]


def quick(hook: ReshapeHook, leads: Any, **arguments: Any) -> dict[str, Any]:
    """As send_events, without long pauses between attempts, and with little patience in an outage."""
    plan = SendPlan(**{"max_outage": timedelta(seconds=0.5), **arguments})
    return LeadSend(hook.settings, plan, log, retry=QUICK).run(chunked(leads))


# One event


@pytest.mark.parametrize("api", GENERATIONS)
@pytest.mark.parametrize("event", [QUALIFIED, DISQUALIFIED], ids=["qualified", "disqualified"])
def test_an_event_arrives(event: Any, api: Generation, sandbox: RunningSandbox, hook_for: HookFor) -> None:
    summary = hook_for(sandbox, api=api, data_source="crm").send_event(event)
    (received,) = sandbox.received()
    assert received["taken"]
    assert received["valid"]
    assert (received["generation"], received["environment"]) == (api, "prod")
    assert received["body"]["context"]["data_source"] == "crm"
    assert (received["name"], received["id"]) == (event.event.name, event.event.id)
    assert (summary["delivered"], summary["requests"]) == (1, 1)


def test_a_dict_is_an_event_too(sandbox: RunningSandbox, hook_for: HookFor) -> None:
    hook_for(sandbox).send_event({"event.name": "lead_qualified", "lead_id": "7", "stage": "SQL", "currency": "EUR"})
    assert [one["id"] for one in sandbox.received()] == ["7:SQL"]


def test_an_invalid_event_names_field_and_rule_and_no_value(sandbox: RunningSandbox, hook_for: HookFor) -> None:
    with pytest.raises(ReshapeFailedLeadsError, match=r"event\.currency: must be a currency") as caught:
        hook_for(sandbox).send_event({"event.name": "lead_qualified", "lead_id": "7", "currency": "Marker"})
    assert "Marker" not in str(caught.value)
    assert sandbox.received() == []


def test_a_rejected_event_is_an_error(hook_for: HookFor) -> None:
    with scripted(Reply(422, b'{"detail":"unknown"}')) as server, pytest.raises(ReshapeFailedLeadsError, match="422"):
        hook_for(server.url).send_event(QUALIFIED)
    assert len(server.requests) == 1


def test_a_host_that_accepts_nothing_is_named_before_the_leads(hook_for: HookFor) -> None:
    with scripted(Reply(400)) as server, pytest.raises(ReshapeFailedLeadsError, match="check host and script_id"):
        hook_for(server.url).send_events(rows(3), event="lead_qualified")
    with (
        scripted(lambda r: Reply(400 if r.number < 3 else 200)) as server,
        pytest.raises(ReshapeFailedLeadsError) as caught,
    ):
        hook_for(server.url).send_events(rows(3), event="lead_qualified")
    assert "script_id" not in str(caught.value)


def test_a_skipped_event_is_an_error(sandbox: RunningSandbox, hook_for: HookFor) -> None:
    with pytest.raises(ReshapeFailedLeadsError, match="no_identifier"):
        hook_for(sandbox).send_event(QUALIFIED.model_copy(update={"user": None}), require_identifier=True)
    with pytest.raises(ReshapeFailedLeadsError, match="no_consent"):
        hook_for(sandbox).send_event(QUALIFIED, require_consent=["marketing"])
    assert sandbox.received() == []


def test_validate_only_sends_nothing(sandbox: RunningSandbox, hook_for: HookFor) -> None:
    summary = hook_for(sandbox).send_event(QUALIFIED, validate_only=True)
    assert summary["skipped_by"] == {"validate_only": 1}
    assert sandbox.received() == []


# Many


def test_leads_of_every_kind_arrive(sandbox: RunningSandbox, hook_for: HookFor) -> None:
    hook = hook_for(sandbox)
    made: list[Any] = [
        rows(5),
        (row for row in rows(5)),
        pd.DataFrame(rows(5)),
        [rows(5)[:2], rows(5)[2:]],
        iter(rows(5)),
    ]
    for leads in made:
        sandbox.clear()
        summary = hook.send_events(leads, event="lead_qualified")
        assert summary["delivered"] == len(sandbox.received(valid=True)) == 5
    assert hook.send_events([], event="lead_qualified")["read"] == 0
    assert hook.send_events([QUALIFIED, DISQUALIFIED])["by_event"] == {
        "lead_disqualified": {"delivered": 1},
        "lead_qualified": {"delivered": 1},
    }


def test_a_dev_connection_sends_no_real_event(sandbox: RunningSandbox, hook_for: HookFor) -> None:
    real = {"event.name": "lead_qualified", "lead_id": "1", "currency": "EUR", "context.environment": "prod"}
    hook_for(sandbox, environment="dev").send_event(real)
    hook_for(sandbox, api="webhooks", test_route=True).send_event(real)
    hook_for(sandbox).send_event({**real, "context.environment": "dev"})
    assert [one["environment"] for one in sandbox.received()] == ["dev"] * 3
    assert sandbox.received()[1]["test"]


def test_the_summary_is_json_with_counts_only(sandbox: RunningSandbox, hook_for: HookFor) -> None:
    summary = hook_for(sandbox).send_events(rows(3), event="lead_qualified")
    assert "@" not in json.dumps(summary)
    balance = {name: summary[name] for name in ("read", "delivered", "rejected", "invalid", "skipped", "unsent")}
    assert balance == {"read": 3, "delivered": 3, "rejected": 0, "invalid": 0, "skipped": 0, "unsent": 0}
    assert (summary["environment"], summary["validate_only"]) == ("prod", False)


# The case of the first page: a thousand leads, one without a currency, one with a junk phone


def thousand() -> list[dict[str, Any]]:
    leads = [{**row, "user.phone": f"+407221{n:05}"} for n, row in enumerate(rows(1000))]
    del leads[416]["currency"]
    leads[700]["user.phone"] = "call me, Marker!"
    return leads


@pytest.mark.parametrize("api", GENERATIONS)
def test_two_bad_leads_among_a_thousand(api: Generation, sandbox: RunningSandbox, hook_for: HookFor) -> None:
    hook = hook_for(sandbox, api=api)
    with pytest.raises(ReshapeFailedLeadsError) as caught:
        hook.send_events(thousand(), event="lead_qualified")
    error = caught.value
    assert isinstance(error, AirflowFailException)
    assert "1 of 1,000 leads failed, 0 allowed" in str(error)
    assert "event.currency: is required (1)" in str(error)
    assert "max_rejected" in str(error)
    received = sandbox.received()
    assert len({one["id"] for one in received if one["valid"] and one["taken"]}) == len(received) == 999
    assert "l416:qualified" not in {one["id"] for one in received}
    assert [one["id"] for one in received if "phone" not in one["body"]["user"]] == ["l700:qualified"]
    summary = error.summary
    assert summary is not None
    assert (summary["delivered"], summary["invalid"]) == (999, 1)
    assert summary["sent_without"] == {"user.phone": 1}
    assert summary["invalid_by"] == {"event.currency: is required": 1}
    assert "Marker" not in f"{error} {summary}"

    sandbox.clear()
    assert hook.send_events(thousand(), event="lead_qualified", max_rejected=1)["delivered"] == 999
    assert sandbox.summary()["distinct_taken"] == 999


def test_an_error_counts_in_words_and_hides_no_reason(sandbox: RunningSandbox, hook_for: HookFor) -> None:
    statuses = (400, 406, 409, 410, 415, 422, 451)
    sandbox.set_faults(*({"ids": [f"l{n}:qualified"], "statuses": {s: 1.0}} for n, s in enumerate(statuses, 1)))
    hook = hook_for(sandbox)
    text = str(error_of(hook, rows(8)))
    assert text.startswith("7 of 8 leads failed, 0 allowed: ")
    assert text.count("refused by the server") == 5
    assert "; and 2 more reasons. 1 was delivered. " in text

    text = str(error_of(hook, rows(7)[1:]))
    assert "; and 1 more reason. 0 were delivered. None was accepted" in text
    assert "1 of 1 lead failed" in str(error_of(hook, rows(2)[1:]))


def test_the_report_of_two_bad_leads(
    sandbox: RunningSandbox, hook_for: HookFor, caplog: pytest.LogCaptureFixture
) -> None:
    settings = hook_for(sandbox).settings
    with caplog.at_level(logging.INFO, "tests.hooks"):
        LeadSend(settings, SendPlan(event="lead_qualified", max_rejected=0.01), log).run(chunked(thousand()))
    lines = [record.getMessage() for record in caplog.records if record.name == "tests.hooks"]
    assert lines[0].startswith(
        "Reshape (prod): 1,000 leads read = 999 delivered + 0 rejected + 1 invalid + 0 skipped + 0 unsent"
    )
    assert "  sent without (bad value left out): user.phone: must be a phone number 1" in lines
    assert "  row 417 of the source invalid: event.currency: is required" in lines
    assert lines[-1] == "1 of 1,000 leads failed; see above"
    assert "Marker" not in "\n".join(lines)
    assert "example.com" not in "\n".join(lines)


# How a send ends


def error_of(hook: ReshapeHook, leads: Any = None, **arguments: Any) -> ReshapeError:
    with pytest.raises(ReshapeError) as caught:
        quick(hook, rows(50) if leads is None else leads, **{"event": "lead_qualified", **arguments})
    error = caught.value
    assert TOKEN not in str(error)
    assert "@" not in f"{error} {error.summary}"
    return error


def is_retried(error: ReshapeError) -> bool:
    return not isinstance(error, AirflowFailException)


def test_a_refused_token(hook_for: HookFor) -> None:
    with running_sandbox(token="another", script_id="AB12CD34") as other:
        error = error_of(hook_for(other.url), concurrency=4)
        assert 1 <= other.summary()["requests"] <= 4 + 1  # and the probe
    assert type(error) is ReshapeCredentialsError
    assert not is_retried(error)
    assert "the connection's password" in str(error)
    assert error.summary is not None
    assert error.summary["unsent"] == error.summary["read"] > 0


@pytest.mark.parametrize("status", [302, 307, 403, 404])
def test_a_wrong_host(status: int, hook_for: HookFor) -> None:
    with scripted() as elsewhere, scripted(Reply(status, headers={"Location": elsewhere.url})) as server:
        error = error_of(hook_for(server.url), concurrency=2)
        assert len(server.requests) <= 2 + 1  # and the probe
        assert elsewhere.connections == 0
    assert type(error) is ReshapeConfigurationError
    assert not is_retried(error)


def test_an_outage_is_retried(hook_for: HookFor) -> None:
    with closed_port() as port:
        error = error_of(hook_for(f"http://127.0.0.1:{port}"))
    assert type(error) is ReshapeUnavailableError
    assert is_retried(error)
    assert "50 leads read are unsent" in str(error)


def test_a_server_that_goes_down_for_longer_than_max_outage_ends_the_send(hook_for: HookFor) -> None:
    with scripted(lambda request: Reply() if request.number <= 20 else Reply(500)) as server:
        error = error_of(hook_for(server.url), rows(200), max_outage=timedelta(seconds=0.3), concurrency=4)
    assert type(error) is ReshapeUnavailableError
    assert is_retried(error)
    assert error.summary is not None
    assert error.summary["delivered"] == 20
    assert error.summary["unsent_by"] == {"outage": error.summary["read"] - 20}
    assert server.requests[-1].at - server.requests[20].at > 0.15, "it was given time to recover"


def test_the_rate_limit_of_the_plan_is_kept(hook_for: HookFor) -> None:
    began = time.monotonic()
    with scripted() as server:
        quick(hook_for(server.url), rows(25), event="lead_qualified", rate_limit=50)
    assert all(request.at - began >= (request.number - 1) / 50 - 0.02 for request in server.requests)
    assert len(server.requests) == 25


def test_a_stop_is_retried(hook_for: HookFor) -> None:
    def script(_: Any) -> Reply:
        send.stop()
        return Reply()

    with scripted(script) as server:
        send = LeadSend(hook_for(server.url).settings, SendPlan(event="lead_qualified", concurrency=1), log)
        with pytest.raises(ReshapeStoppedError) as caught:
            send.run(chunked(rows(50)))
    assert is_retried(caught.value)
    assert caught.value.summary is not None
    assert (caught.value.summary["delivered"], caught.value.summary["unsent"]) == (1, 49)


def test_a_source_that_breaks_is_told_as_it_is(sandbox: RunningSandbox, hook_for: HookFor) -> None:
    error = OSError("page 7 of the CRM")

    def leads() -> Iterator[dict[str, Any]]:
        yield from rows(7)
        raise error

    with pytest.raises(OSError, match="page 7") as caught:
        hook_for(sandbox).send_events(leads(), event="lead_qualified")
    assert caught.value is error
    assert len(sandbox.received()) == 7


def test_a_source_that_breaks_in_an_outage_is_the_cause(hook_for: HookFor) -> None:
    error = OSError("page 7 of the CRM")

    def leads() -> Iterator[dict[str, Any]]:
        yield from rows(7)
        raise error

    with closed_port() as port:
        outage = error_of(hook_for(f"http://127.0.0.1:{port}"), leads())
    assert type(outage) is ReshapeUnavailableError
    assert outage.__cause__ is error


@pytest.mark.parametrize(
    ("skipped", "fails"),
    [
        ({"occurred_at": "2020-01-01"}, True),
        ({"occurred_at": "2099-01-01"}, True),
        ({"stage": "Wonn"}, True),
        ({"stage": "New"}, False),
        ({"user.email": "tester@example.com"}, False),
    ],
)
def test_which_skipped_leads_fail_a_task(
    skipped: dict[str, Any], fails: bool, sandbox: RunningSandbox, hook_for: HookFor
) -> None:
    leads = [{"lead_id": n + 1, "currency": "EUR", "stage": "SQL"} for n in range(5)]
    leads[3] |= skipped
    arguments: dict[str, Any] = {
        "stage_map": {"SQL": "lead_qualified", "New": None},
        "exclude_emails": ["*@example.com"],
    }
    hook = hook_for(sandbox)
    if fails:
        with pytest.raises(ReshapeFailedLeadsError, match="1 of 5 leads failed"):
            hook.send_events(leads, **arguments)
        hook.send_events(leads, **arguments, max_rejected=1)
    else:
        assert hook.send_events(leads, **arguments)["skipped"] == 1
    assert len({one["id"] for one in sandbox.received()}) == 4


def test_old_leads_are_no_failure_for_whoever_set_the_age(sandbox: RunningSandbox, hook_for: HookFor) -> None:
    leads = [{"lead_id": 1, "currency": "EUR", "occurred_at": "2020-01-01"}]
    summary = hook_for(sandbox).send_events(leads, event="lead_qualified", max_age=timedelta(days=1))
    assert summary["skipped_by"] == {"too_old": 1}


def test_validate_only_never_fails_for_bad_leads(sandbox: RunningSandbox, hook_for: HookFor) -> None:
    summary = hook_for(sandbox).send_events(thousand(), event="lead_qualified", validate_only=True)
    assert (summary["invalid"], summary["skipped_by"]) == (1, {"validate_only": 999})
    assert sandbox.received() == []


def test_wrong_arguments_are_told_before_anything_is_sent(sandbox: RunningSandbox, hook_for: HookFor) -> None:
    with pytest.raises(ReshapeConfigurationError, match="concurrency"):
        hook_for(sandbox).send_events(rows(3), event="lead_qualified", concurrency=0)
    with pytest.raises(ReshapeConfigurationError, match="returned nothing"):
        hook_for(sandbox).send_events(None, event="lead_qualified")
    assert sandbox.received() == []


@pytest.mark.parametrize("what", ["missing", "no certificate"])
def test_a_ca_path_that_cannot_be_used(what: str, tmp_path: Path, hook_for: HookFor) -> None:
    path = tmp_path / "ca.pem"
    if what == "no certificate":
        path.write_text("nothing")
    leads = iter(rows(3))
    error = error_of(hook_for("https://127.0.0.1:9", ca_path=str(path)), leads)
    assert type(error) is ReshapeConfigurationError
    assert "ca_path" in str(error)
    assert len(list(leads)) == 3


def test_tls_with_an_authority_of_its_own(hook_for: HookFor) -> None:
    with running_sandbox(tls=True, token=TOKEN) as sandbox:
        hook_for(sandbox, ca_path=str(sandbox.ca_path)).send_event(QUALIFIED)
        hook_for(sandbox, verify=False).send_event(QUALIFIED)
        with pytest.raises(ReshapeConfigurationError, match="certificate"):
            hook_for(sandbox).send_event(QUALIFIED)
        assert len(sandbox.received()) == 2


# The connection


def test_plain_http_to_another_host_is_refused_before_any_request(
    hook_for: HookFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with scripted() as server:
        # Were it tried, the proxy would see it.
        monkeypatch.setenv("http_proxy", server.url)
        monkeypatch.delenv("no_proxy", raising=False)
        with pytest.raises(ReshapeConfigurationError, match="in clear"):
            hook_for("http://reshape.invalid").send_event(QUALIFIED)
        assert server.connections == 0
        hook_for("http://reshape.invalid", allow_http=True).send_event(QUALIFIED)
        (request,) = server.requests
    assert request.target.startswith("http://reshape.invalid/reshape/standard/event?id=")


def test_the_connection_is_resolved_once(
    sandbox: RunningSandbox, hook_for: HookFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = hook_for(sandbox)
    hook.send_event(QUALIFIED)
    monkeypatch.delenv("AIRFLOW_CONN_RESHAPE_TESTS")
    hook.send_event(QUALIFIED)
    assert hook.get_conn() is hook.settings
    assert len(sandbox.received()) == 2


def test_the_hook_does_not_show_the_token(sandbox: RunningSandbox, hook_for: HookFor) -> None:
    hook = hook_for(sandbox)
    assert sandbox.token not in f"{hook!r} {hook.settings!r} {hook.__dict__!r}"


@pytest.mark.parametrize("api", GENERATIONS)
@pytest.mark.parametrize("environment", ["prod", "dev"])
def test_the_test_of_a_connection_sends_a_dev_event(
    api: Generation, environment: str, sandbox: RunningSandbox, hook_for: HookFor
) -> None:
    worked, text = hook_for(sandbox, api=api, environment=environment).test_connection()
    assert worked, text
    assert sandbox.url in text
    (received,) = sandbox.received()
    assert received["taken"]
    assert received["valid"]
    assert received["environment"] == "dev"
    assert received["body"]["context"]["environment"] == "dev"
    assert received["body"].get("user") is None


def test_the_test_of_a_connection_that_does_not_work(sandbox: RunningSandbox, hook_for: HookFor) -> None:
    cases = {
        "401": {"host": sandbox.url, "script_id": sandbox.script_id},
        "script_id": {"host": "dre2.example.com", "script_id": "x"},
    }
    for told, fields in cases.items():
        host = fields.pop("host")
        worked, text = hook_for(host, **fields).test_connection()
        assert not worked
        assert told in text
        assert TOKEN not in text
    assert all(one["environment"] == "dev" for one in sandbox.received())
    worked, text = ReshapeHook("there_is_no_such_connection").test_connection()
    assert not worked
    assert text


@pytest.mark.parametrize("reply", [Reply(503), Reply(503, headers={"Retry-After": "3600"}), Reply(429)])
def test_whoever_tests_a_connection_does_not_wait_long(reply: Reply, hook_for: HookFor) -> None:
    with scripted(reply) as server:
        worked, text = hook_for(server.url).test_connection()
    assert not worked
    assert str(reply.status) in text
    assert 2 <= len(server.requests) <= 20, "nor is the server flooded"


def test_the_days_of_the_summary(sandbox: RunningSandbox, hook_for: HookFor) -> None:
    today = datetime.now(UTC)
    summary = hook_for(sandbox).send_events([{**rows(1)[0], "occurred_at": today}], event="lead_qualified")
    assert summary["days"] == {"lead_qualified": {today.strftime("%Y-%m-%d"): 1}}
