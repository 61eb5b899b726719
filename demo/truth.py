"""What should become of every row that the DAG reads, worked out from what the CRM's maker meant.

Nothing here looks at the package: it shares no line with the code that it checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from demo.crm import Change, Crm, Lead
from demo.vocabulary import LOST_REASONS, STAGES

Outcome = Literal["delivered", "invalid", "skipped"]
MAX_AGE = timedelta(hours=72)
# Outcomes that a send counts as failures: nobody chose to lose these leads.
FAILURES = {"unknown_stage", "too_old", "in_future"}
# Flaw of a lead -> the recommended field whose value is of no use: the event goes without it.
LEFT_OUT = {
    "junk_phone": "user.phone",
    "junk_email": "user.email",
    "bad_created_at": "user.created_at",
    "odd_value": "event.value",
}


@dataclass(frozen=True)
class Policy:
    """What the DAG chose, as far as it decides about leads.

    :param require_consent: leads without a yes to marketing are skipped.
    :param max_age_is_chosen: the DAG sets ``max_age`` itself, so leads that are too old are no failures.
    """

    require_consent: bool = False
    max_age_is_chosen: bool = False


@dataclass(frozen=True)
class Expected:
    """What should become of one row.

    :param why: ``<field>: missing`` or ``<field>: wrong`` if invalid; why it is skipped; empty if delivered.
    :param facts: what the API should have received, by dotted path; empty unless delivered.
    :param without: the field that was left out because its value is of no use, or None.
    """

    lead_id: str
    stage: str
    name: str | None
    outcome: Outcome
    why: str
    facts: Mapping[str, Any]
    without: str | None = None

    def is_failure(self, policy: Policy) -> bool:
        """Whether the row counts against ``max_rejected``."""
        if self.outcome == "skipped":
            return self.why in FAILURES - ({"too_old"} if policy.max_age_is_chosen else set())
        return self.outcome == "invalid"


def expected(crm: Crm, policy: Policy) -> list[Expected]:
    """What should become of every row, one for each stage that a lead entered.

    :param crm: the CRM, with what was meant.
    :param policy: what the DAG chose.
    """
    return [_expected(lead, change, crm, policy) for lead in crm.leads for change in first_entries(lead)]


def first_entries(lead: Lead) -> list[Change]:
    """The first change into each stage, in the order of time."""
    first: dict[str, Change] = {}
    for change in sorted(lead.history, key=lambda change: (change.changed_at, change.id)):
        first.setdefault(change.to_stage, change)
    return list(first.values())


def _expected(lead: Lead, change: Change, crm: Crm, policy: Policy) -> Expected:
    def row(outcome: Outcome, why: str) -> Expected:
        return Expected(lead.id, change.to_stage, name, outcome, why, {})

    name = STAGES.get(change.to_stage)
    if change.to_stage not in STAGES:
        return row("skipped", "unknown_stage")
    if name is None:
        return row("skipped", "stage_not_sent")
    reason = None
    if name == "lead_disqualified":
        typed = change.lost_reason or ""
        if typed in LOST_REASONS and LOST_REASONS[typed] is None:
            return row("skipped", "reason_not_sent")
        reason = LOST_REASONS.get(typed)
        if reason is None:
            return row("invalid", _problem("event.properties.disqualification_reason", typed))
    if lead.meant.currency is None:
        return row("invalid", _problem("event.currency", lead.row["currency"]))
    if change.changed_at < crm.now - MAX_AGE:
        return row("skipped", "too_old")
    if change.changed_at > crm.now:
        return row("skipped", "in_future")
    if policy.require_consent and not lead.meant.consent:
        return row("skipped", "no_consent")
    without = LEFT_OUT.get(lead.flaw or "")
    if without == "event.value" and name == "lead_disqualified":
        without = None  # a lost lead is worth 0, whatever the CRM says
    facts = _facts(lead, change, name, reason)
    return Expected(lead.id, change.to_stage, name, "delivered", "", facts, without)


def _problem(field: str, cell: str | None) -> str:
    return f"{field}: {'wrong' if (cell or '').strip() else 'missing'}"


def _facts(lead: Lead, change: Change, name: str, reason: str | None) -> dict[str, Any]:
    lost = name == "lead_disqualified"
    facts = {
        "event.name": name,
        "event.id": lead.id if lost else f"{lead.id}:{change.to_stage}",
        "event.value": 0 if lost else lead.meant.value,
        "event.currency": lead.meant.currency,
        "event.properties.lead_score_after": lead.row["score"],
        "event.properties.disqualification_reason": reason,
        "event.properties.disqualification_stage": change.from_stage if lost else None,
        "user.id": lead.id,
        "user.email": lead.meant.email,
        "user.phone": lead.meant.phone,
        "user.first_name": lead.row["first_name"],
        "user.last_name": lead.row["last_name"],
        "user.country": lead.meant.country,
        "user.city": lead.row["city"] or None,
        "user.created_at": lead.meant.created_at_ms,
        "user.properties.company": lead.row["company"],
        "cookies._ga": lead.row["ga_client_id"],
    }
    return {path: value for path, value in facts.items() if value is not None}


def facts_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a received body says, by dotted path, whichever generation of the API it was sent to.

    Without the context, which tells of the sender and not of the lead, and the consent, which only one
    generation carries.
    """
    facts: dict[str, Any] = {}
    for part in ("event", "user", "cookies"):
        _flatten(part, body.get(part), facts)
    return facts


def _flatten(path: str, value: Any, facts: dict[str, Any]) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _flatten(f"{path}.{key}", inner, facts)
    elif path == "cookies" and isinstance(value, list):
        facts.update({f"cookies.{cookie['name']}": cookie["value"] for cookie in value})
    elif value is not None:
        facts[path] = value
