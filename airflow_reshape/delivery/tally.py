"""Counting outcomes. The balance must hold; counts are all that leaves a send."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_reshape.delivery.identifiers import identifiers
from airflow_reshape.delivery.outcome import Kind, Outcome
from airflow_reshape.delivery.privacy import (
    LEAST_USES,
    LONGEST_LOOKED_AT,
    free_key_hidden,
    label,
    masked,
    words_told,
)
from airflow_reshape.delivery.repeats import WITH_OTHER_DATA, Repeat
from airflow_reshape.delivery.server_words import told as words_of
from airflow_reshape.events.models import EVENT_MODELS
from airflow_reshape.events.prepared import InvalidLead, PreparedEvent
from airflow_reshape.events.reasons import REASONS

MOST_STAGES = 50
MOST_EXAMPLES = 5  # of an outcome
MOST_ALIKE = 2  # of them with one reason
MOST_PAYLOADS = 3
OTHER_STAGES = "(other stages)"
UNTOLD_STAGES = "(not named here: may be free text)"
NAMED_BY_ROWS = "(named by rows)"
"""Events whose names neither the vocabulary nor the configuration holds: a wrongly mapped column may bring persons."""
# Field names come from columns, but also from the keys of nested data: there may be any number of them.
MOST_REASONS = 200
SEVERAL_LEADS = 2
"""Of a key that may be a person's name, before it is told."""
OTHER_REASONS = "(others)"
OTHER_DISQUALIFICATIONS = "(outside the vocabulary)"
NO_DISQUALIFICATION = "(no reason)"
KNOWN = ("already_sent", "changed", "still_rejected", "rejected_in_this_run", "still_invalid", "baseline")
"""Reasons for skipping that say: an earlier send has dealt with it. They count again at every run that reads it."""
STILL_FAILING = ("still_rejected", "still_invalid")
# The others (cookies, products …) have keys of their own in every lead.
PARTS_OF_KNOWN_FIELDS = frozenset({"event", "context", "user", "consent"})


def _count(counter: Counter[str], name: str) -> None:
    counter[name if name in counter or len(counter) < MOST_REASONS else OTHER_REASONS] += 1


def _counter(counters: dict[str, Counter[str]], name: str) -> Counter[str]:
    if name not in counters:
        counters[name] = Counter()
    return counters[name]


class BalanceError(AssertionError):
    """A lead has no outcome, or two: a bug of this package."""


@dataclass(frozen=True, slots=True)
class Example:
    """A failed lead to look at: where it stands in its source, and what is wrong. No value of it."""

    position: int
    kind: Kind
    why: str


@dataclass
class Tally:
    """The counts of one send.

    :param day_of: the day that an event is counted on, ``YYYY-MM-DD``, from its ``occurred_at`` or None.
    :param failing_skips: reasons for skipping that count as failures; see :attr:`Guards.failing`. Default none.
    :param knows_stage: whether the configuration names a stage, so that it holds no person. Default: it names none.
    :param configured_events: names of events that the configuration holds. Default none.
    """

    day_of: Callable[[datetime | None], str]
    failing_skips: Collection[str] = frozenset()
    knows_stage: Callable[[str], bool] = lambda _: False
    configured_events: Collection[str] = frozenset()
    read: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    by_event: dict[str, Counter[str]] = field(default_factory=dict)
    days: dict[str, Counter[str]] = field(default_factory=dict)
    invalid_by: Counter[str] = field(default_factory=Counter)
    rejected_by: Counter[str] = field(default_factory=Counter)
    skipped_by: Counter[str] = field(default_factory=Counter)
    unsent_by: Counter[str] = field(default_factory=Counter)
    sent_without: Counter[str] = field(default_factory=Counter)
    left_out_by: Counter[str] = field(default_factory=Counter)
    cleaned: Counter[str] = field(default_factory=Counter)
    doubtful: Counter[str] = field(default_factory=Counter)
    defaulted: Counter[str] = field(default_factory=Counter)
    known_stages: dict[str, Counter[str]] = field(default_factory=dict)
    other_stages: dict[str, Counter[str]] = field(default_factory=dict)
    """As they came: to be told by :attr:`stages` only."""
    known_by: dict[str, Counter[str]] = field(default_factory=dict)
    disqualified_by: Counter[str] = field(default_factory=Counter)
    unknown_reasons: Counter[str] = field(default_factory=Counter)
    """As they came: to be told by :func:`~airflow_reshape.delivery.privacy.words_told` only."""
    value_by: dict[str, dict[str, float]] = field(default_factory=dict)
    identifiers: dict[str, Counter[str]] = field(default_factory=dict)
    requests: int = 0
    in_doubt: int = 0
    sent_again: int = 0
    undated: int = 0
    unread_consents: Counter[str] = field(default_factory=Counter)
    """Answers that are neither yes nor no, of all leads."""
    cleaned_by: Counter[str] = field(default_factory=Counter)
    ids_not_compared: int = 0
    """Rows that came after more event ids than are remembered."""
    examples: list[Example] = field(default_factory=list)
    payloads: list[Any] = field(default_factory=list)
    _found: dict[str, dict[str, int]] = field(default_factory=dict, repr=False)
    _leads_in: dict[str, set[str | int]] = field(default_factory=dict, repr=False)
    _leads_with: dict[str, set[str | int]] = field(default_factory=dict, repr=False)

    def record(self, outcome: Outcome) -> None:
        """Count one outcome."""
        self.kinds[outcome.kind] += 1
        self.requests += outcome.attempts
        self.in_doubt += outcome.in_doubt
        lead = outcome.lead
        name = lead.name if lead is not None else None
        shown = self._shown_event(name)
        _counter(self.by_event, shown)[outcome.kind.value] += 1
        if isinstance(lead, PreparedEvent) and lead.answers.unread:
            self.unread_consents.update(f"consent.{purpose}" for purpose in lead.answers.unread)
        if lead is not None:
            self._record_stage(lead.stage, outcome, shown if name else None)
        getattr(self, f"_record_{outcome.kind.value}")(outcome)

    def _shown_event(self, name: str | None) -> str:
        if name is None:
            return "(unknown)"
        return name if name in EVENT_MODELS or name in self.configured_events else NAMED_BY_ROWS

    def _record_stage(self, stage: str | None, outcome: Outcome, name: str | None) -> None:
        if stage is None:
            return
        stages = self.known_stages if self.knows_stage(stage) else self.other_stages
        shown = label(stage)
        if shown not in stages and len(stages) >= MOST_STAGES:
            shown = OTHER_STAGES
        unsteered = outcome.why if outcome.why in ("unknown_stage", "stage_not_sent") else None
        _counter(stages, shown)[unsteered or name or "invalid"] += 1
        if stages is self.other_stages and len(leads := self._leads_in.setdefault(shown, set())) < LEAST_USES:
            leads.add(_lead_of(outcome))

    @property
    def stages(self) -> dict[str, Counter[str]]:
        """What became of each stage. A wrongly mapped column may bring persons: a stage that the configuration does not
        name is told if three leads were in it, or two where most rows have a stage that it does name."""
        known = sum(becomes.total() for becomes in self.known_stages.values())
        others = sum(becomes.total() for becomes in self.other_stages.values())
        in_use = {stage: len(leads) for stage, leads in self._leads_in.items()}
        told = words_told(in_use, LEAST_USES - 1 if known >= others else LEAST_USES)
        untold = sum((becomes for stage, becomes in self.other_stages.items() if stage not in told), Counter())
        shown = {stage: self.other_stages[stage] for stage in told}
        return {**self.known_stages, **shown, **({UNTOLD_STAGES: untold} if untold else {})}

    def _record_delivered(self, outcome: Outcome) -> None:
        lead = outcome.lead
        assert isinstance(lead, PreparedEvent)
        name = self._shown_event(lead.name)
        _counter(self.days, name)[self.day_of(lead.occurred_at)] += 1
        kinds = _counter(self.identifiers, name)
        for kind in identifiers(lead.event):
            kinds[kind] += 1
        self._record_value(name, lead.body["event"])
        if lead.left_out or lead.cleaned or lead.doubtful:
            self._record_problems(outcome, lead)
        self.undated += lead.occurred_at is None
        for path in lead.defaulted:
            self.defaulted[path] += 1
        for part, content in lead.body.items():
            keys = content if part in PARTS_OF_KNOWN_FIELDS and isinstance(content, dict) else ("",)
            found = self._found.setdefault(part, {})
            for key in keys:
                found[key] = found.get(key, 0) + 1

    def _field(self, name: str, outcome: Outcome) -> str:
        """A field as it may be told: a key that may be a name, from the second lead on that has it."""
        hidden = free_key_hidden(name)
        if hidden is None:
            return label(name)
        if name not in self._leads_with and len(self._leads_with) >= MOST_REASONS:
            return hidden
        leads = self._leads_with.setdefault(name, set())
        if len(leads) < SEVERAL_LEADS:
            leads.add(_lead_of(outcome))
        return label(name) if len(leads) >= SEVERAL_LEADS else hidden

    def _record_problems(self, outcome: Outcome, lead: PreparedEvent) -> None:
        for counter, problems in (
            (self.sent_without, lead.left_out),
            (self.cleaned, lead.cleaned),
            (self.doubtful, lead.doubtful),
        ):
            for left_out in {self._field(problem.field, outcome) for problem in problems}:
                _count(counter, left_out)
        for counter, problems in ((self.left_out_by, lead.left_out), (self.cleaned_by, lead.cleaned)):
            for told in {f"{self._field(problem.field, outcome)}: {problem.rule}" for problem in problems}:
                _count(counter, told)

    @property
    def fields_found(self) -> dict[str, int]:
        """How many delivered events had each field: those of the known parts by name, other parts as a whole."""
        return {
            f"{part}.{key}" if key else part: count
            for part, found in self._found.items()
            for key, count in found.items()
        }

    def _record_value(self, name: str, details: Mapping[str, Any]) -> None:
        """Sum the value, and count why a lead was disqualified: in the vocabulary's words, not the sales team's."""
        value, currency = details.get("value"), details.get("currency")
        if value is not None:
            sums = self.value_by.setdefault(name, {})
            currency = str(currency or "(no currency)")
            sums[currency] = sums.get(currency, 0) + value
        if name == "lead_disqualified":
            reason = details.get("properties", {}).get("disqualification_reason")
            unnamed = OTHER_DISQUALIFICATIONS if reason else NO_DISQUALIFICATION
            self.disqualified_by[reason if str(reason) in REASONS else unnamed] += 1

    def _record_rejected(self, outcome: Outcome) -> None:
        self.rejected_by[outcome.why or "rejected"] += 1
        told = f"{outcome.why}: {words_of(outcome.detail)}" if outcome.detail else str(outcome.why)
        self._keep_example(outcome, told)

    def _record_invalid(self, outcome: Outcome) -> None:
        assert isinstance(outcome.lead, InvalidLead)
        problems = [f"{self._field(problem.field, outcome)}: {problem.rule}" for problem in outcome.lead.problems]
        for problem in dict.fromkeys(problems):
            _count(self.invalid_by, problem)
        if (reason := outcome.lead.reason) is not None:
            _count(self.unknown_reasons, " ".join(reason[:LONGEST_LOOKED_AT].split()))
        self._keep_example(outcome, "; ".join(problems))

    def _record_skipped(self, outcome: Outcome) -> None:
        why = outcome.why or "skipped"
        self.skipped_by[why] += 1
        if why in self.failing_skips:
            self._keep_example(outcome, why)
        if outcome.why in KNOWN:
            name = self._shown_event(outcome.lead.name if outcome.lead is not None else None)
            _counter(self.known_by, name)[outcome.why] += 1
        if outcome.why == "validate_only" and isinstance(outcome.lead, PreparedEvent):
            self._record_delivered(outcome)
            if len(self.payloads) < MOST_PAYLOADS:
                self.payloads.append(self._payload(outcome.lead))

    def _payload(self, lead: PreparedEvent) -> Any:
        payload = masked(lead.body)
        payload["event"]["name"] = self._shown_event(lead.name)
        return payload

    def _record_unsent(self, outcome: Outcome) -> None:
        self.unsent_by[outcome.why or "unsent"] += 1

    def _keep_example(self, outcome: Outcome, why: str) -> None:
        others = [example.why for example in self.examples if example.kind is outcome.kind]
        if len(others) < MOST_EXAMPLES and others.count(why) < MOST_ALIKE:
            self.examples.append(Example(outcome.position, outcome.kind, why))

    @property
    def skipped_and_failed(self) -> int:
        """Leads that were skipped for a reason that nobody chose."""
        return sum(self.skipped_by[why] for why in self.failing_skips)

    @property
    def failures(self) -> int:
        """Leads that failed for themselves: rejected, invalid, or skipped for a reason that nobody chose."""
        return self.kinds[Kind.REJECTED] + self.kinds[Kind.INVALID] + self.skipped_and_failed

    @property
    def still_failing(self) -> int:
        """Leads that failed in an earlier run and did not change: no failures of this one."""
        return sum(self.skipped_by[why] for why in STILL_FAILING)

    @property
    def repeated(self) -> dict[str, int]:
        """Rows that repeat an event id of this source, how many of them with other data, and rows not compared."""
        return {
            "rows": sum(self.skipped_by[how] for how in Repeat),
            "with_other_data": sum(self.skipped_by[how] for how in WITH_OTHER_DATA),
            "not_compared": self.ids_not_compared,
        }

    def check_balance(self) -> None:
        """Check that every lead read has exactly one outcome.

        :raises BalanceError: it does not hold.
        """
        if self.read != self.kinds.total():
            counted = ", ".join(f"{kind.value} {self.kinds[kind]}" for kind in Kind)
            raise BalanceError(f"{self.read} leads read, but {counted}: please report this as a bug")

    def summary(self) -> dict[str, Any]:
        """The counts, for XCom and for whoever reads them. No personal data."""
        sent = "would_send" if self.skipped_by["validate_only"] else "days"
        return {
            "read": self.read,
            **{kind.value: self.kinds[kind] for kind in Kind},
            "still_failing": self.still_failing,
            "by_event": {name: dict(counts) for name, counts in sorted(self.by_event.items())},
            sent: {name: dict(sorted(days.items())) for name, days in sorted(self.days.items())},
            "invalid_by": dict(self.invalid_by.most_common()),
            "rejected_by": dict(self.rejected_by.most_common()),
            "skipped_by": dict(self.skipped_by.most_common()),
            "unsent_by": dict(self.unsent_by.most_common()),
            "known_by": _by_name(self.known_by),
            "disqualified_by": dict(self.disqualified_by.most_common()),
            "value_by": {
                # Floats add up to 0.30000000000000004.
                name: {currency: round(total, 6) for currency, total in sorted(sums.items())}
                for name, sums in sorted(self.value_by.items())
            },
            "identifiers": _by_name(self.identifiers),
            "sent_without": dict(self.sent_without.most_common()),
            "left_out_by": dict(self.left_out_by.most_common()),
            "cleaned": dict(self.cleaned.most_common()),
            "cleaned_by": dict(self.cleaned_by.most_common()),
            "doubtful": dict(self.doubtful.most_common()),
            "defaulted": dict(self.defaulted.most_common()),
            "fields_found": dict(sorted(self.fields_found.items())),
            "stages": {stage: dict(becomes) for stage, becomes in sorted(self.stages.items())},
            "unreadable_consent": dict(self.unread_consents.most_common()),
            "repeated": self.repeated,
            "requests": self.requests,
            "in_doubt": self.in_doubt,
            "sent_again": self.sent_again,
        }


def _by_name(counts: Mapping[str, Counter[str]]) -> dict[str, dict[str, int]]:
    return {name: dict(counter.most_common()) for name, counter in sorted(counts.items())}


def _lead_of(outcome: Outcome) -> str | int:
    lead = outcome.lead
    return lead.lead_id if lead is not None and lead.lead_id else outcome.position
