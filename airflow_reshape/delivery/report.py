"""The report that ends every send, and that ``validate_only`` is for: counts, never a lead."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping

from airflow_reshape.delivery.outcome import Kind
from airflow_reshape.delivery.privacy import words_told
from airflow_reshape.delivery.repeats import MOST_REMEMBERED
from airflow_reshape.delivery.tally import UNTOLD_STAGES, Tally

WHAT_BECOMES = {
    "unknown_stage": "unknown: add it to stage_map",
    "stage_not_sent": "not sent",
    "invalid": "invalid",
}
CURES = {
    "too_old": "older than max_age: narrow the query, or set max_age",
    "in_future": "occurred_at lies in the future: check the time zone",
    "no_consent": "consent not given",
    "unreadable_consent": "consent neither yes nor no: give its words in consent_map",
    "repeated": "repeats an event id of this source",
    "repeated_later": "repeats an event id of this source, with other data of another time",
    "fan_out": "repeats an event id of this source with other data: a JOIN multiplies rows? (allow_fan_out)",
    "excluded": "excluded e-mail",
    "no_identifier": "no id, e-mail or phone",
    "validate_only": "validate_only",
    "unknown_stage": "stage not in stage_map: add it",
    "stage_not_sent": "stage makes no event",
    "stage_unchanged": "stage did not change",
    "reason_not_sent": "reason is not to be sent",
    "already_sent": "already sent, or known since a baseline",
    "changed": "already sent, with another value, currency or reason",
    "still_rejected": "rejected before, unchanged",
    "rejected_in_this_run": "rejected by an earlier try of this run, unchanged",
    "still_invalid": "invalid before, unchanged",
    "baseline": "known from now on, not sent",
    "forgotten": "forgotten, and never sent again",
    "settled_before": "settled in an earlier try",
}


def report(tally: Tally, *, environment: str, validate_only: bool, seconds: float) -> str:
    """The report of a send, several lines of text.

    :param environment: ``prod`` or ``dev``, of the connection.
    :param validate_only: nothing was sent.
    :param seconds: how long it took.
    """
    return "\n".join(_lines(tally, environment, validate_only, seconds))


def _lines(tally: Tally, environment: str, validate_only: bool, seconds: float) -> Iterator[str]:
    balance = " + ".join(f"{tally.kinds[kind]:,} {kind.value}" for kind in Kind)
    title = "validated only, nothing sent" if validate_only else f"{tally.requests:,} requests in {seconds:.1f} s"
    yield f"Reshape ({environment}): {tally.read:,} leads read = {balance} ({title})"
    yield from _days(tally, "would send" if validate_only else "delivered")
    total = max(1, sum(days.total() for days in tally.days.values()))
    yield from _stages(tally)
    shares = {name: f"{100 * count / total:.0f} %" for name, count in sorted(tally.fields_found.items())}
    yield from _counts("fields found", shares)
    yield from _counts("sent without (bad value left out)", tally.left_out_by)
    if tally.undated:
        yield f"  without occurred_at, so their age is not known: {tally.undated:,}"
    yield from _counts("cleaned (a part taken out)", tally.cleaned_by)
    yield from _counts("doubtful (of a possible length, but in no numbering plan; sent all the same)", tally.doubtful)
    yield from _counts("filled from defaults", tally.defaulted)
    yield from _counts("disqualified", tally.disqualified_by)
    for name, sums in sorted(tally.value_by.items()):
        yield from _counts(f"value of {name}", {currency: f"{sums[currency]:,.2f}" for currency in sorted(sums)})
    yield from warnings(tally)
    yield from _skipped(tally)
    yield from _counts("invalid", tally.invalid_by)
    yield from _reasons(tally)
    yield from _counts("rejected", tally.rejected_by)
    yield from _counts("unsent", tally.unsent_by)
    if tally.still_failing:
        yield f"  still failing since an earlier run, and no failure of this one: {tally.still_failing:,}"
    if tally.sent_again:
        yield f"  in doubt since an earlier send, sent again with the same id: {tally.sent_again:,}"
    if tally.in_doubt:
        yield f"  in doubt (sent, answer unknown): {tally.in_doubt:,}"
    for example in tally.examples:
        yield f"  row {example.position:,} of the source {example.kind.value}: {CURES.get(example.why, example.why)}"
    told = Counter(example.kind for example in tally.examples)
    if more := tally.kinds[Kind.REJECTED] + tally.kinds[Kind.INVALID] - told[Kind.REJECTED] - told[Kind.INVALID]:
        yield f"  and {more:,} rows more; with a ledger, python -m airflow_reshape problems lists them"
    if more := tally.skipped_and_failed - told[Kind.SKIPPED]:
        yield f"  and {more:,} skipped rows more that count as failures"
    for number, payload in enumerate(tally.payloads, 1):
        yield f"  payload {number}, masked: {json.dumps(payload, ensure_ascii=False)}"


def warnings(tally: Tally) -> Iterator[str]:
    """What is wrong with the source as a whole, line by line."""
    for path, count in tally.unread_consents.most_common():
        yield f"  {count:,} answers of {path} are neither yes nor no, and not taken for a yes"
    repeated = tally.repeated
    if repeated["rows"]:
        yield (
            f"  {repeated['rows']:,} rows repeat an event id of this source, "
            f"{repeated['with_other_data']:,} of them with other data"
        )
    if repeated["not_compared"]:
        most = f"{MOST_REMEMBERED:,} event ids are remembered"
        yield f"  {repeated['not_compared']:,} rows not compared with others, for {most}"


def _days(tally: Tally, verb: str) -> Iterator[str]:
    for name, days in sorted(tally.days.items()):
        yield f"  {verb} {name}: {days.total():,}"
        shown = sorted(days.items())
        for day, count in shown[-14:]:
            yield f"    {day}  {count:,}"
        if len(shown) > 14:
            yield f"    and {len(shown) - 14} earlier days with {sum(c for _, c in shown[:-14]):,}"


def _stages(tally: Tally) -> Iterator[str]:
    for stage, becomes in sorted(tally.stages.items()):
        told = ", ".join(f"{count:,} {WHAT_BECOMES.get(what, what)}" for what, count in becomes.most_common())
        untold = "stages that are not named here, for they may be free text"
        yield f"  {untold if stage == UNTOLD_STAGES else f'stage {stage!r}'}: {told}"


def _skipped(tally: Tally) -> Iterator[str]:
    """What somebody chose, and what nobody did."""
    titles = {False: "skipped", True: "skipped, and counted as failures"}
    for fails, title in titles.items():
        counts = {
            CURES.get(why, why): count
            for why, count in tally.skipped_by.most_common()
            if why != "validate_only" and (why in tally.failing_skips) is fails
        }
        yield from _counts(title, counts)


def _reasons(tally: Tally) -> Iterator[str]:
    told = words_told(tally.unknown_reasons)
    for reason, count in sorted(told.items()):
        yield f"  reason {reason!r}: {count:,} unknown: add it to reason_map"
    if tally.unknown_reasons and (untold := tally.unknown_reasons.total() - sum(told.values())):
        yield f"  unknown reasons that are not named here, for they may be free text: {untold:,}"


def _counts(title: str, counts: Mapping[str, int | str]) -> Iterator[str]:
    if counts:
        told = (f"{name} {count if isinstance(count, str) else format(count, ',')}" for name, count in counts.items())
        yield f"  {title}: {' · '.join(told)}"
