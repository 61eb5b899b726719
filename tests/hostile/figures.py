"""What hostile servers, processes and databases did to a send before this release, and what they do now.

``python -m tests.hostile.figures`` measures and prints the table; kinds 3 and 4 on the simulated clock, with the
defaults. "Before" was measured with other servers of the same kinds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from airflow_reshape.delivery import privacy
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.report import report
from airflow_reshape.events.prepared import PreparedEvent
from airflow_reshape.events.probe import PROBE_EVENT
from airflow_reshape.events.rules import Rules
from airflow_reshape.events.wire import to_bytes, to_wire
from airflow_reshape.mapping import EventBuilder, FieldMap, Steering
from tests.delivery import test_server_words, test_token_in_answers, test_unreadable_answers
from tests.delivery.leads import builder, destination, lead, leads, send
from tests.delivery.servers import Reply, Request, scripted
from tests.hostile.persons import FAILS, PLACES, DislikesSome, throttles
from tests.limits.simulation import Simulated, simulate

PROBE = to_bytes(to_wire(PROBE_EVENT, "standard", "dev"))
FOR_EVER = 1e9


class Figure(NamedTuple):
    """One kind.

    :param now: measures, and says what came out.
    """

    kind: str
    before: str
    now: Callable[[], str]


def refused_leads() -> str:
    said = []
    for share in (0.001, 0.01, 0.05, 0.2):
        bad = {f"e{number}" for number in PLACES["spread"](2000, int(share * 2000))} | {"e1"}

        def script(request: Request, bad: set[str] = bad) -> Reply:
            return Reply(403) if request.id in bad else Reply()

        with scripted(script) as server:
            sent = send(server.url, leads(2000), probe=PROBE)
        said.append(f"{len(bad)} refused: {_counts(sent.counts)}")
    return "; ".join(said)


def wrong_connections() -> str:
    said = []
    for status in (401, 404, 302):
        with scripted(Reply(status)) as server:
            sent = send(server.url, leads(2000), probe=PROBE, first_window=8)
        assert sent.result.halt is not None
        said.append(f"{status}: {sent.result.halt.stop.value} after {len(server.requests)} requests")
    return "; ".join(said)


def failing_leads() -> str:
    alone = _seconds_of_others(1500, {})
    spread = set(PLACES["spread"](1500, 300))
    said = []
    for count, bad in ((1200, set(range(1, 201))), (1500, spread)):
        model = DislikesSome(dislikes={str(number): FAILS for number in bad})
        run = simulate(model, FOR_EVER, events=count)
        said.append(
            f"{len(bad)} of {count}: others delivered after {_last(model):.1f} s, end after {run.ended_at:.0f} s, "
            f"{_kinds(run)}"
        )
    return "; ".join(said) + f" (1,500 without such leads: {alone:.1f} s)"


def throttled_lead() -> str:
    alone = _seconds_of_others(3000, {})
    said = [
        f"{asked} s: {_seconds_of_others(3000, {'1': throttles(asked, status)}):.1f} s"
        for asked, status in (("1", 429), ("5", 429), ("60", 429), ("120", 503))
    ]
    return f"2,999 others with a Retry-After of {', '.join(said)}; without that lead {alone:.1f} s"


def long_texts() -> str:
    body = builder()(lead(1, **{"user.email": "somebody@example.com"}))
    assert isinstance(body, PreparedEvent)
    details = _cpu(lambda: [privacy.redacted(f"{n}" + "x" * 61_000, body.body) for n in range(12)])
    stages = EventBuilder(FieldMap(), Steering(stage_map={"won": "lead_closed"}), Rules())
    stage = _cpu(lambda: stages(lead(1, stage="x" * 50_000)))
    lorem = {"event": {"properties": {"a": "lorem ipsum dolor " * 5555}}}
    value = _cpu(lambda: privacy.redacted("the value is not valid " * 20, lorem))
    bad = {f"e{number}" for number in range(1, 13)}
    refusal = Reply(400, json.dumps({"detail": "x" * 61_000}).encode())
    with scripted(lambda request: refusal if request.id in bad else Reply()) as server:
        started = time.monotonic()
        sent = send(server.url, leads(200))
    return (
        f"12 details {details:.3f} s, whole send {time.monotonic() - started:.1f} s with {_counts(sent.counts)}; "
        f"stage {stage:.4f} s a row; property {value:.3f} s"
    )


def unreadable_answers() -> str:
    cases = [*test_unreadable_answers.READ, *test_unreadable_answers.UNREADABLE]
    delivered = 0
    for case in cases:
        content_type, body = case.values
        with scripted(Reply(200, body, content_type)) as server:  # type: ignore[arg-type]
            delivered += send(server.url, leads(1)).tally.kinds[Kind.DELIVERED]
    return f"{delivered} of {len(cases)} forms delivered"


def tokens() -> str:
    seen = 0
    for spelling in test_token_in_answers.SPELLINGS.values():
        spelt = spelling(test_token_in_answers.TOKEN)
        with scripted(Reply(422, json.dumps({"detail": [f"the token {spelt}"]}).encode())) as server:
            sent = send(replace(destination(server.url), token=test_token_in_answers.TOKEN), [lead(1)])
        shown = str(sent.tally.at(1).detail) + report(sent.tally, environment="prod", validate_only=False, seconds=1)
        seen += test_token_in_answers.holds_token(shown)
    return f"{seen} of {len(test_token_in_answers.SPELLINGS)} spellings in the log or the kept row"


def persons() -> str:
    seen = 0
    for spelling in test_server_words.SPELLINGS.values():
        quoted = spelling()
        body = json.dumps({"result": "error", "detail": [f"the name {quoted} is not valid"]})
        with scripted(Reply(422, body.encode())) as server:
            sent = send(server.url, [lead(1, **test_server_words.PERSON)])
        shown = "\n".join(report(sent.tally, environment="prod", validate_only=False, seconds=1).splitlines())
        seen += quoted in shown + json.dumps(sent.tally.summary(), ensure_ascii=False)
    return f"{seen} of {len(test_server_words.SPELLINGS)} spellings in the log"


def living_tries() -> str:
    said = []
    for line in _ran("-m", "tests.ledger.two_tries").splitlines():
        figures = json.loads(line)
        if "not here" in figures:
            said.append(f"{figures['database']} is not here")
        else:
            said.append(
                f"{figures['database']}: {figures['repeated']} of {figures['events']:,} repeated, "
                f"{figures['most_in_flight']} in flight at most, {figures['lost']} lost, "
                f"the earlier try ended with {figures['errors'][0]}"
            )
    return "; ".join(said)


def held(what: str, *tests: str) -> Callable[[], str]:
    """What tests hold, and how many of them passed."""

    def now() -> str:
        summary = _ran("-m", "pytest", "-q", "-m", "not crash", *tests).strip().splitlines()[-1]
        return f"{what}: {summary}"

    return now


def _ran(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True).stdout


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.items())


def _kinds(run: Simulated) -> str:
    return ", ".join(f"{sum(o.kind is kind for o in run.outcomes):,} {kind.value}" for kind in Kind if _has(run, kind))


def _has(run: Simulated, kind: Kind) -> bool:
    return any(outcome.kind is kind for outcome in run.outcomes)


def _last(model: DislikesSome) -> float:
    return max(times[-1] for number, times in model.times.items() if number.isdigit() and number not in model.dislikes)


def _seconds_of_others(count: int, dislikes: dict[str, object]) -> float:
    model = DislikesSome(dislikes=dislikes)  # type: ignore[arg-type]
    simulate(model, FOR_EVER, events=count)
    return _last(model)


def _cpu(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


FIGURES = (
    Figure(
        "1 one lead is refused (403)",
        "each run delivers 7, then stops for ever; 5 % refused: 6 of 6 sends of 2,000 stopped",
        refused_leads,
    ),
    Figure("1 the connection is wrong", "stops after the requests in flight", wrong_connections),
    Figure(
        "2 two living tries of one task",
        "4,136 of 6,000 repeated, both green",
        living_tries,
    ),
    Figure("3 leads always get 500", "200 ahead of 1,000: 0 delivered in 302 s", failing_leads),
    Figure(
        "4 one lead always gets 429 with Retry-After",
        "of 2,999 others in 90 s: 174 (1 s), 62 (5 s), 10 (60 s), 7 (120 s)",
        throttled_lead,
    ),
    Figure("5 long texts", "12 details 82 s, 25 of 200 delivered; stage 5 s a row; property 0.4 s", long_texts),
    Figure("6 refusals that are hard to read", "5 of 5 forms counted as delivered", unreadable_answers),
    Figure("7 the server quotes the token", "the whole token in the kept row and the log", tokens),
    Figure("8 the server quotes persons", "12 of 31 spellings in the log", persons),
    Figure(
        "9 names in keys, event names and errors",
        "in the log, the ledger and the traceback",
        held(
            "not in log and summary, nor with hide_errors in the traceback",
            "tests/delivery/test_texts_of_rows.py",
            "tests/operators/test_decorator.py",
        ),
    ),
    Figure(
        "10 PgBouncer in transaction mode",
        "3 of 3 senders side by side failed",
        held("each event once, with both drivers", "tests/ledger/test_pgbouncer.py"),
    ),
    Figure(
        "11 deadlocks, 14 lost connections",
        "9 of 12 sends ended; one closed connection ended a send",
        held("the send goes on", "tests/ledger/test_again.py", "tests/ledger/test_failover.py"),
    ),
    Figure(
        "12 PostgreSQL's isolation",
        "a claim that waited for forget was granted",
        held("the lead stays forgotten", "tests/ledger/test_forgetting.py"),
    ),
    Figure(
        "13 values without a plain form",
        "a new failure every run, or the end of the send",
        held("known by their digest, and no end", "tests/ledger/test_digests.py"),
    ),
    Figure(
        "15 terminal, proxy, headers, columns",
        "escape sequences, MarkupError, 407 retried for max_outage, 'connection lost', 'does not answer'",
        held(
            "literal; stops; read, or named; named",
            "tests/command_line/test_hostile_texts.py",
            "tests/command_line/test_missing_column.py",
            "tests/delivery/test_transport.py",
            "tests/ledger/test_columns.py",
        ),
    ),
)


def main() -> None:
    """Print the table."""
    for figure in FIGURES:
        sys.stdout.write(f"{figure.kind}\n  before: {figure.before}\n  now:    {figure.now()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    os.environ.setdefault("AIRFLOW__CORE__UNIT_TEST_MODE", "True")
    main()
