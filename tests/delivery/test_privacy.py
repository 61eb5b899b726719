"""What is shown of a send holds counts, names of fields, rules: no person."""

from __future__ import annotations

import html
import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_reshape.delivery.guards import Guards
from airflow_reshape.delivery.hidden_values import SHORTEST_WITHIN_A_WORD
from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.privacy import LONGEST_DETAIL, event_label, label, masked, redacted
from airflow_reshape.delivery.report import report
from airflow_reshape.delivery.spellings import folded
from airflow_reshape.delivery.tally import MOST_EXAMPLES, MOST_REASONS, MOST_STAGES, NAMED_BY_ROWS, UNTOLD_STAGES
from airflow_reshape.events.rules import GENERATIONS, Generation, Rules
from airflow_reshape.mapping import EventBuilder, FieldMap, Steering
from tests.delivery.leads import KeepingTally, lead, send
from tests.delivery.servers import Reply, Request, scripted

pytestmark = pytest.mark.timeout(30)

FAILED = (Kind.INVALID, Kind.REJECTED, Kind.SKIPPED)
EMAIL, PHONE, FIRST, LAST = "ana.marker@example.com", "+40722123456", "Ruxandra", "Ștefănescu-Marker"
PERSON: dict[str, Any] = {
    "user.id": "customer-marker-77",
    "user.email": EMAIL,
    "user.phone": PHONE,
    "user.first_name": FIRST,
    "user.last_name": LAST,
    "user.country": "RO",
    "user.city": "Cluj",
    "user.street": "Strada Markerului 12",
    "user.postal_code": "400001",
    "user.created_at": "2024-05-06T07:08:09Z",
    "user.properties": {"nickname": "Marky", "cnp": 2960101123456, "pets": ["Azorel"], "vip": True},
    "event.properties": {"notes": "Call Marky after 5", "lead_score_after": 95},
    "context.url": "https://crm.example.com/leads/marker-page",
    "context.user_agent": "Marker/5.0",
    "context.data_source": "crm",
    "context.override_ip": "203.0.114.7",
    "cookies._ga": "GA1.2.marker",
}
MARKERS = (
    EMAIL, PHONE, "722123456", FIRST, LAST, "marker", "Marky", "Azorel", "2960101123456", "Cluj", "Strada", "400001",
    "203.0.114.7", "1714979289", "GA1.2",
)  # fmt: skip


def markers_in(text: str) -> list[str]:
    """Those that stand in a text, in any case and any spelling."""
    plain = json.dumps(text).lower() + text.lower()
    return [marker for marker in MARKERS if marker.lower() in plain or json.dumps(marker)[1:-1].lower() in plain]


BODY = {
    "event": {"name": "lead_qualified", "id": "e-991", "currency": "EUR", "value": 750},
    "user": {
        "email": [EMAIL, "second@example.org"],
        "phone": PHONE,
        "first_name": FIRST,
        "last_name": LAST,
        "country": "RO",
    },
}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("event.currency is unknown", "event.currency is unknown"),
        (f"'{EMAIL}' is no address", "'…' is no address"),
        (f"'{EMAIL.upper()}' is no address", "'…' is no address"),
        ("mail other@somewhere.else.example bounced", "mail … bounced"),
        (f"unknown phone {PHONE}, sorry", "unknown phone …, sorry"),
        ("unknown phone 0722 123 456.", "unknown phone …."),
        (f"Lead {FIRST.lower()} {LAST.upper()} exists", "Lead … … exists"),
        (f"x{FIRST}y", "x…y"),
        (f"last_name {json.dumps(LAST)} exists", 'last_name "…" exists'),
        (f"last_name {json.dumps(LAST, ensure_ascii=False)} exists", 'last_name "…" exists'),
        (f"?name={quote(LAST)}&n=1", "?name=…&n=1"),
        ("e-991 was sent before", "… was sent before"),
        ("error: RO is no region of ROmania", "error: … is no region of ROmania"),
        ("value 750 in EUR for lead_qualified", "value … in EUR for lead_qualified"),
    ],
)
def test_what_the_server_says_is_redacted(said: str, shown: str) -> None:
    assert redacted(said, BODY) == shown


QUOTINGS = [
    str.upper,
    str.lower,
    str.title,
    html.escape,
    quote,
    json.dumps,
    lambda value: json.dumps({"user": [value]}),
    lambda value: "  \n ".join(value.split(" ")),
    lambda value: f"prefix{value}suffix",
]


# Latin, Greek and Cyrillic letters, and all that stands between them.
WRITTEN = st.characters(max_codepoint=0x52F, exclude_categories=["Cc"])


@given(st.text(WRITTEN, min_size=4, max_size=30), st.sampled_from(QUOTINGS))
def test_a_value_is_found_however_it_is_quoted(value: str, quoting: Any) -> None:
    value = " ".join(value.split())
    assume(len(folded(value).strip()) >= SHORTEST_WITHIN_A_WORD)
    assume(all(len(c.lower()) == len(c.upper()) == 1 for c in value))  # not ß and the like
    assume(value.upper().lower() == value.lower())
    said = quoting(value)
    assume(value.lower() not in "invalid first name: ")
    shown = redacted(f"invalid first name: {said}", {"user": {"first_name": value}})
    assert value.lower() not in shown.lower()


def test_a_value_is_not_cut_in_half_before_it_is_looked_for() -> None:
    for padding in range(LONGEST_DETAIL - 25, LONGEST_DETAIL + 5):
        shown = redacted("x" * padding + f" {LAST} {EMAIL}", BODY)
        assert len(shown) <= LONGEST_DETAIL
        assert LAST[:4] not in shown
        assert EMAIL[:4] not in shown


@pytest.mark.parametrize("generation", GENERATIONS)
def test_a_masked_payload_shows_its_structure_and_no_person(generation: Generation) -> None:
    builder = EventBuilder(FieldMap(), Steering(event="lead_qualified"), Rules(generation=generation))
    prepared: Any = builder(lead(1, **PERSON))
    payload = masked(prepared.body)
    assert markers_in(json.dumps(prepared.body, ensure_ascii=False)), "the markers are in what is sent"
    assert markers_in(json.dumps(payload, ensure_ascii=False)) == []
    assert payload["event"]["name"] == "lead_qualified"
    assert payload["event"]["currency"] == "EUR"
    assert payload["event"]["properties"]["lead_score_after"] == 95
    assert payload["context"]["data_source"] == "crm"
    assert payload["user"]["email"] == f"<e-mail, {len(EMAIL)} characters>"
    assert payload["user"]["phone"] == "<phone, 12 characters>"
    assert payload["user"]["first_name"] == "<text, 8 characters>"
    assert "<number, 13 digits>" in payload["user"]["properties"].values()
    assert True in payload["user"]["properties"].values()
    assert payload["user"].keys() == prepared.body["user"].keys()


json_values = st.recursive(st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(max_size=5), x), max_leaves=8)


@given(st.dictionaries(st.sampled_from(["user", "event", "cookies", "products"]), json_values))
def test_every_text_is_masked(body: Any) -> None:
    def texts(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [text for item in value.values() for text in texts(item)]
        return [text for item in value for text in texts(item)] if isinstance(value, list) else [value]

    shown = masked(body)
    for text in texts(shown):
        assert text.startswith("<")
        assert text.endswith(" characters>")


def test_labels() -> None:
    assert label("  Sales   qualified ") == "Sales qualified"
    assert label("x" * 200) == "x" * 60
    for personal in (EMAIL, f"call {PHONE}", "0722 123 456"):
        assert label(personal) == "(hidden: looks like a personal value)"
    assert event_label("lead_qualified") == "lead_qualified"
    for personal in (EMAIL, PHONE, "Ana Pop", "", "x" * 99):
        assert event_label(personal) == "(hidden: looks like a personal value)"


def everything_shown(tally: KeepingTally) -> str:
    shown = report(tally, environment="prod", validate_only=False, seconds=1.0)
    return shown + json.dumps(tally.summary(), ensure_ascii=False)


def test_nothing_that_is_shown_of_a_send_holds_a_person() -> None:
    answers = {2: 422, 3: 500, 4: 403}

    def script(request: Request) -> Reply:
        # A server that quotes all it got, twice escaped.
        said = json.dumps({"result": "error", "detail": ["refused", request.body, json.dumps(request.body)]})
        return Reply(answers.get(int(request.id[1:]), 200), said.encode() if int(request.id[1:]) != 1 else b"")

    rows = [
        *(lead(n, **PERSON, stage="SQL") for n in range(1, 9)),
        lead(9, **{**PERSON, "event.currency": "junk " + EMAIL}, stage="SQL"),
        lead(10, **PERSON, stage=EMAIL),
        lead(11, **{**PERSON, "user.phone": f"junk {PHONE} {LAST}"}, stage="SQL"),
        lead(12, **PERSON, stage="SQL", occurred_at=f"on {LAST}'s birthday"),
        {**lead(13, **PERSON, stage="SQL"), "user": {EMAIL: 1}},
        f"{EMAIL} {LAST}",
    ]
    builder = EventBuilder(FieldMap(), Steering(stage_map={"SQL": "lead_qualified"}), Rules())
    with scripted(script) as server:
        sent = send(server.url, rows, prepare=builder, concurrency=1)
    shown = everything_shown(sent.tally)
    assert markers_in(shown) == []
    assert "refused" in shown
    assert sent.tally.sent_without == {}
    told = [(outcome.why, outcome.detail) for outcome in sent.tally.outcomes]
    assert markers_in(json.dumps(told, ensure_ascii=False)) == []
    examples = Counter(example.kind for example in sent.tally.examples)
    assert examples == {kind: min(sent.tally.kinds[kind], MOST_EXAMPLES) for kind in FAILED}
    assert max(examples.values()) == MOST_EXAMPLES


BALANCE = "9 leads read = 5 delivered + 1 rejected + 1 invalid + 2 skipped + 0 unsent"


def test_the_report_of_a_send() -> None:
    answers = {5: Reply(422, b'{"detail":"no such lead"}')}
    rows = [
        *(lead(n, stage="SQL", **{"user.phone": "junk"}) for n in range(1, 7)),
        lead(7, stage="Won"),
        lead(8, stage="New"),
        {**lead(9, stage="SQL"), "currency": "XX"},
    ]
    steering = Steering(stage_map={"SQL": "lead_qualified", "New": None})
    with scripted(lambda r: answers.get(int(r.id[1:]), Reply())) as server:
        prepare = EventBuilder(FieldMap(), steering, Rules())
        sent = send(server.url, rows, prepare=prepare, knows_stage=steering.names_stage)
    lines = report(sent.tally, environment="dev", validate_only=False, seconds=2.5).splitlines()
    assert lines == [
        f"Reshape (dev): {BALANCE} (6 requests in 2.5 s)",
        "  delivered lead_qualified: 5",
        "    today  5",
        "  stages that are not named here, for they may be free text: 1 unknown: add it to stage_map",
        "  stage 'New': 1 not sent",
        "  stage 'SQL': 7 lead_qualified",
        "  fields found: context.environment 100 % · event.currency 100 % · event.id 100 % · event.name 100 %",
        "  sent without (bad value left out): user.phone: must be a phone number 5",
        "  without occurred_at, so their age is not known: 5",
        "  skipped: stage makes no event 1",
        "  skipped, and counted as failures: stage not in stage_map: add it 1",
        "  invalid: event.currency: must be a currency of ISO 4217, three letters, for example EUR 1",
        "  rejected: 422 refused by the server 1",
        "  row 7 of the source skipped: stage not in stage_map: add it",
        "  row 9 of the source invalid: event.currency: must be a currency of ISO 4217, three letters, for example EUR",
        "  row 5 of the source rejected: 422 refused by the server: no such lead",
    ]


STAGES_OF_THE_CRM = ["SQL"] * 4


@pytest.mark.parametrize(
    ("stages", "told"),
    [
        # Names, one by one.
        ([f"Ana Marker {chr(65 + n)}" for n in range(20)], {UNTOLD_STAGES: 20}),
        # A stage that stage_map lacks, where most rows have one that it names.
        ([*STAGES_OF_THE_CRM, "Nurture", "Nurture"], {"SQL": 4, "Nurture": 2}),
        ([*STAGES_OF_THE_CRM, "Ana Marker"], {"SQL": 4, UNTOLD_STAGES: 1}),
        # The same where nothing tells that the column holds stages.
        (["Nurture", "Nurture"], {UNTOLD_STAGES: 2}),
        (["Nurture", "Nurture", "Nurture", LAST], {"Nurture": 3, UNTOLD_STAGES: 1}),
        ([*STAGES_OF_THE_CRM, EMAIL], {"SQL": 4, UNTOLD_STAGES: 1}),
        ([*STAGES_OF_THE_CRM, "a note on " + "the lead " * 5], {"SQL": 4, UNTOLD_STAGES: 1}),
    ],
)
def test_stages_that_may_be_persons_are_counted_only(stages: list[str], told: dict[str, int]) -> None:
    steering = Steering(stage_map={"SQL": "lead_qualified"})
    with scripted() as server:
        sent = send(
            server.url,
            [lead(n, stage=stage) for n, stage in enumerate(stages, 1)],
            prepare=EventBuilder(FieldMap(), steering, Rules()),
            knows_stage=steering.names_stage,
        )
    assert {stage: becomes.total() for stage, becomes in sent.tally.stages.items()} == told
    assert sent.tally.summary()["stages"].keys() == told.keys()


def test_a_lead_with_three_rows_makes_no_word_of_its_name() -> None:
    rows = [lead(n, stage="Ana Marker", lead_id="L-1") for n in range(1, 4)]
    with scripted() as server:
        sent = send(server.url, rows, prepare=EventBuilder(FieldMap(), Steering(stage_map={"SQL": "some"}), Rules()))
    assert sent.tally.stages == {UNTOLD_STAGES: {"unknown_stage": 3}}


def disqualified(*reasons: str) -> list[str]:
    """The report of leads lost for these reasons."""
    lost = {"stage": "Lost", "currency": "EUR", "value": 0, "user.id": "7"}
    rows = [{**lost, "lead_id": n, "disqualification_reason": reason} for n, reason in enumerate(reasons, 1)]
    steering = Steering(stage_map={"Lost": "lead_disqualified"}, reason_map={"Too small": "out_of_icp"})
    with scripted() as server:
        sent = send(server.url, rows, prepare=EventBuilder(FieldMap(), steering, Rules()))
        assert len(server.requests) == sum(reason in ("Too small", "no_budget") for reason in reasons)
    return report(sent.tally, environment="dev", validate_only=False, seconds=1).splitlines()


def test_reasons_that_reason_map_lacks_are_named() -> None:
    lines = disqualified(*["Prea mic"] * 4, *["Went  elsewhere"] * 3, "Too small", "no_budget", *["Bankrupt"] * 2)
    assert [line for line in lines if "reason" in line and "unknown" in line] == [
        "  reason 'Prea mic': 4 unknown: add it to reason_map",
        "  reason 'Went elsewhere': 3 unknown: add it to reason_map",
        "  unknown reasons that are not named here, for they may be free text: 2",
    ]
    assert not any("unknown" in line for line in disqualified("Too small", "no_budget"))


@pytest.mark.parametrize(
    "notes",
    [
        [f"{FIRST} {LAST} said no"] * 2,
        [f"{FIRST} {LAST} said that she would never buy anything"] * 5,
        [f"ask {EMAIL}"] * 5,
        [f"call {PHONE}"] * 5,
        [f"{FIRST}{n // 3} {LAST}" for n in range(300)],
        [f"{FIRST}{n} {LAST}" for n in range(3 * MOST_REASONS)],
    ],
    ids=["written twice", "long", "e-mail", "phone", "many", "very many"],
)
def test_reasons_in_free_text_are_counted_and_not_named(notes: list[str]) -> None:
    lines = disqualified(*notes)
    assert markers_in("\n".join(lines)) == []
    assert f"  unknown reasons that are not named here, for they may be free text: {len(notes):,}" in lines


def test_wrongly_mapped_columns_neither_show_persons_nor_fill_memory() -> None:
    many = 2 * max(MOST_REASONS, MOST_STAGES)
    rows: list[Any] = [
        {"event.id": f"e{n}", "event.name": f"{FIRST}.{n}@example.com", "cookies": {f"c{n}": "x"}} for n in range(many)
    ]
    rows += [{"event.id": f"n{n}", "event.name": f"name_{n}", "shipping": {f"k{n}": 1}} for n in range(many)]
    rows += [{"event.id": f"s{n}", "event.name": "some", "stage": f"stage {n}"} for n in range(many)]
    rows += [{"event.id": f"u{n}", "event.name": "some", "user": {f"key{n}": 1, EMAIL: 2}} for n in range(many)]
    with scripted() as server:
        sent = send(server.url, rows, prepare=EventBuilder(FieldMap(), Steering(), Rules(generation="webhooks")))
    assert sent.tally.read == 4 * many
    assert markers_in(everything_shown(sent.tally)) == []
    assert sent.tally.by_event.keys() == {NAMED_BY_ROWS}
    assert sent.tally.days.keys() == {NAMED_BY_ROWS}
    assert len(sent.tally.stages) <= MOST_STAGES + 1
    assert len(sent.tally.invalid_by) <= MOST_REASONS + 1
    assert len(sent.tally.fields_found) < 30


def test_a_name_of_an_event_is_shown_if_the_vocabulary_or_the_configuration_holds_it() -> None:
    names = ("lead_created", "demo_booked", FIRST, "Ana Marker")
    rows = [lead(n, **{"event.name": name}) for n, name in enumerate(names, 1)]
    prepare = EventBuilder(FieldMap(), Steering(), Rules())
    with scripted() as server:
        sent = send(server.url, rows, prepare=prepare, configured_events={"demo_booked"})
        validated = send(server.url, rows, prepare=prepare, guards=Guards(validate_only=True))
    assert sent.tally.by_event == {
        "lead_created": {"delivered": 1},
        "demo_booked": {"delivered": 1},
        NAMED_BY_ROWS: {"delivered": 2},
    }
    for tally in (sent.tally, validated.tally):
        shown = everything_shown(tally)
        assert markers_in(shown) == []
        assert "Ana" not in shown
    assert [payload["event"]["name"] for payload in validated.tally.payloads] == [
        "lead_created",
        NAMED_BY_ROWS,
        NAMED_BY_ROWS,
    ]


def test_days_are_counted_where_the_lead_happened() -> None:
    rows = [lead(n, occurred_at=datetime.now(UTC)) for n in range(1, 4)]
    with scripted() as server:
        sent = send(server.url, rows)
    (days,) = sent.tally.days.values()
    assert days.total() == 3
    assert "today" not in days
