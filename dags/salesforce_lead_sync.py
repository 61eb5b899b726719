"""Leads from Salesforce: each status that a lead enters, straight into DATA Reshape.

Status changes come from ``LeadHistory``, the first status of a new lead from the lead itself. Salesforce cannot filter
the history by the new value, so all of them are read, and ``stage_map`` says which make an event. Every run reads the
last 71 hours, and the ledger drops what was sent. What a lead was in for less than 30 minutes does not count; a lead
that is no longer disqualified is not sent as disqualified (``docs/recipes/rules.md``). What has to be set up:
``docs/recipes/salesforce.md``. Connections: ``salesforce_default`` (``apache-airflow-providers-salesforce``),
``reshape_ledger`` (a SQL database that the workers may write to) and ``reshape_default``.
Pool: ``reshape`` (``airflow pools set reshape 2 "sends to DATA Reshape"``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice, permutations
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, Param, task

if TYPE_CHECKING:
    from airflow.providers.salesforce.hooks.salesforce import SalesforceHook

# What is sent, and from which field of Lead. A field that is not there, or hidden from the user, is an error.
FIELDS = {
    "user.id": "Id",
    "user.email": "Email",
    "user.phone": "Phone",
    "user.first_name": "FirstName",
    "user.last_name": "LastName",
    "user.country": "Country",
    "user.city": "City",
    "user.region": "State",
    "user.postal_code": "PostalCode",
    "user.created_at": "CreatedDate",
    "user.properties.company": "Company",
    "user.properties.lead_source": "LeadSource",
    "disqualification_reason": "Disqualification_Reason__c",
}
STAGES = {
    "New": None,
    "Open - Not Contacted": None,
    "Contacted": None,
    "Working - Contacted": None,
    "Nurturing": None,
    "Qualified": "lead_qualified",
    "Closed - Converted": "lead_qualified",
    "Unqualified": "lead_disqualified",
    "Closed - Not Converted": "lead_disqualified",
    # Not Salesforce's: counted in the report and not sent.
    "(no longer disqualified)": None,
}
REASONS = {
    "Not our market": "out_of_icp",
    "Too small": "out_of_icp",
    "No budget": "no_budget",
    "No authority": "no_authority",
    "Bad timing": "no_timing",
    "Bad contact data": "invalid_contact",
    "Went with competitor": "competitor",
    # The other record is perhaps a good customer's: their address must not land in an exclusion audience.
    "Duplicate": None,
    "Test": None,
}
# An hour less than max_age, 72 hours: an older event cannot be credited to its day any more.
WINDOW = timedelta(hours=71)
SETTLING = timedelta(minutes=30)
RECYCLE_BIN = timedelta(days=15)  # how long Salesforce still tells which leads were merged
A_MOMENT = timedelta(minutes=1)  # between the two records of one merge
TIMEOUT = 60.0  # seconds that Salesforce may be silent

NEW_LEADS = "SELECT {fields} FROM Lead WHERE CreatedDate >= {since}"
MERGED_LEADS = (
    "SELECT {fields}, MasterRecordId, SystemModstamp FROM Lead"
    " WHERE IsDeleted = true AND MasterRecordId != null AND SystemModstamp >= {since}"
)
CHANGES = (
    "SELECT Id, LeadId, OldValue, NewValue, CreatedDate, {fields_of_lead} FROM LeadHistory"
    " WHERE Field = 'Status' AND CreatedDate >= {since} ORDER BY CreatedDate, Id"
)

Record = dict[str, Any]


@dataclass(frozen=True)
class Ids:
    """Which id a lead's events carry: the one that its lead_created was sent with.

    :param name: the field of Lead that holds it; leads without a value there go by their ``Id``.
    :param length: characters of ``Id``, 18, or 15 for its short form.
    """

    name: str = "Id"
    length: int = 18

    def of(self, lead: Record) -> str:
        """The id of a lead's events."""
        own = lead[self.name] if self.name != "Id" else None
        return str(own or lead["Id"][: self.length])


@dataclass
class Stay:
    """A lead in a status, from when until when (None: still)."""

    stage: str
    entered: datetime
    left: datetime | None


def entered_stages(salesforce: SalesforceHook, since: datetime, now: datetime, ids: Ids) -> Iterator[Record]:
    """A row for each status that a lead entered and stayed in; deleted leads are left out.

    :param since: the oldest entry that is wanted.
    :param now: the present.
    """
    names = sorted({"Id", "Status", "CreatedDate", ids.name, *FIELDS.values()})
    fields, fields_of_lead = ", ".join(names), ", ".join(f"Lead.{name}" for name in names)
    first = since - SETTLING  # whether the first entries are new, what was before them tells

    # New leads before the history: if a status changes between the two, it is the history that counts.
    new_leads = _read(salesforce, NEW_LEADS.format(fields=fields, since=_soql(first)))
    merged = MERGED_LEADS.format(fields=fields, since=_soql(now - RECYCLE_BIN))
    inherited = inherited_ids(_read(salesforce, merged, deleted=True), ids)
    history: dict[str, list[Record]] = {}
    for change in _read(salesforce, CHANGES.format(fields_of_lead=fields_of_lead, since=_soql(first))):
        if change["Lead"]:  # not deleted in this moment
            history.setdefault(change["LeadId"], []).append(change)

    leads = {lead["Id"]: lead for lead in new_leads} | {key: rows[-1]["Lead"] for key, rows in history.items()}
    for key, lead in leads.items():
        before: str | None = None
        found = stays(lead, history.get(key, []), now)
        for number, stay in enumerate(found):
            if stay.entered >= since:
                since_then = [later.stage for later in found[number:]] + [lead["Status"]]
                merged_at, merged_id = inherited.get((key, stay.stage), (now, ""))
                yield {
                    **{target: lead[name] for target, name in FIELDS.items()},
                    "lead_id": merged_id if stay.entered >= merged_at - A_MOMENT else ids.of(lead),
                    "stage": counts_as(stay.stage, since_then),
                    "occurred_at": stay.entered,
                    "disqualification_stage": before,
                }
            before = stay.stage


def counts_as(stage: str, since_then: list[str]) -> str:
    """The status for ``stage_map``: a lead that is no longer disqualified must not land in an exclusion audience.

    :param since_then: the statuses from this one on, up to the one that the lead is in.
    """
    if event_of(stage) != "lead_disqualified":
        return stage
    # One that STAGES lacks fails the task: nobody knows whether it means disqualified.
    unknown = [later for later in since_then if _folded(later) not in map(_folded, STAGES)]
    if unknown:
        return unknown[0]
    return stage if {*map(event_of, since_then)} == {"lead_disqualified"} else "(no longer disqualified)"


def event_of(status: str) -> str | None:
    """The event of a status, compared as ``stage_map`` does: without regard to case and blanks."""
    return {_folded(name): event for name, event in STAGES.items()}.get(_folded(status))


def _folded(status: str | None) -> str:
    return " ".join((status or "").split()).casefold()


def stays(lead: Record, changes: list[Record], now: datetime) -> list[Stay]:
    """The statuses that a lead stayed in, oldest first.

    :param changes: the newest rows of its history, sorted by time. What an older lead was in before them counts as
        its first status: its time is too long ago to matter.
    :param now: the present.
    """
    changes = in_order(changes, lead["Status"])
    # Creating a lead is no change of it: its first status is the old value of its first row, or what it is in still.
    began_with = changes[0]["OldValue"] if changes else lead["Status"]
    steps = [(_moment(lead["CreatedDate"]), began_with)]
    steps += [(_moment(change["CreatedDate"]), change["NewValue"]) for change in changes]
    ends = [*(entered for entered, _ in steps[1:]), None]
    found: list[Stay] = []
    for (entered, stage), left in zip(steps, ends, strict=True):
        if stage is None or (left or now) - entered < SETTLING:
            continue
        if found and found[-1].stage == stage:
            found[-1].left = left  # it was away too shortly to count
        else:
            found.append(Stay(stage, entered, left))
    return found


def in_order(changes: list[Record], status: str) -> list[Record]:
    """Changes of a lead as they happened: each begins with the status that the one before it ended with.

    Their times are whole seconds, and Salesforce does not promise an order within one.

    :param changes: sorted by time.
    :param status: what the lead is in now.
    """
    left_once_more = Counter(change["OldValue"] for change in changes)
    left_once_more.subtract(change["NewValue"] for change in changes)
    # A lead that left no status more often than it entered it came back to where it began.
    before = next((name for name, times in left_once_more.items() if times > 0), status)
    ordered: list[Record] = []
    for _, second in groupby(changes, key=lambda change: change["CreatedDate"]):
        ordered += _chain(list(second), before)
        before = ordered[-1]["NewValue"]
    return ordered


def _chain(second: list[Record], before: str | None) -> tuple[Record, ...]:
    """The order in which most changes join; 7 of them have 5,040 orders."""

    def joints(order: tuple[Record, ...]) -> int:
        ends = [before, *(change["NewValue"] for change in order)]
        return sum(bool(end == change["OldValue"]) for end, change in zip(ends, order, strict=False))

    return max(islice(permutations(second), 5040), key=joints)


def inherited_ids(merged: Iterable[Record], ids: Ids) -> dict[tuple[str, str], tuple[datetime, str]]:
    """By remaining lead and status: when a lead in that status was merged into it, and that lead's id.

    If merging is what brought the status, one person entered it once, so the event keeps the id of the merged lead.
    """
    masters = {lead["Id"]: lead["MasterRecordId"] for lead in merged}
    found: dict[tuple[str, str], tuple[datetime, str]] = {}
    for lead in merged:
        remaining = lead["MasterRecordId"]
        while remaining in masters:
            remaining = masters[remaining]
        found[remaining, lead["Status"]] = (_moment(lead["SystemModstamp"]), ids.of(lead))
    return found


def _read(salesforce: SalesforceHook, soql: str, deleted: bool = False) -> list[Record]:
    found = salesforce.make_query(soql, include_deleted=deleted, query_params={"timeout": TIMEOUT})
    records: list[Record] = found["records"]
    return records


def _soql(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


with DAG(
    dag_id="salesforce_lead_sync",
    description="Lead status in Salesforce to lead_qualified and lead_disqualified",
    doc_md=__doc__,
    schedule="@hourly",
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "execution_timeout": timedelta(minutes=55),
        "pool": "reshape",
    },
    params={
        "since": Param(None, type=["null", "string"], description="UTC; default: 71 hours ago"),
        "lead_id_field": Param(
            "Id",
            type="string",
            pattern="^[A-Za-z][A-Za-z0-9_]*$",
            description="field of Lead with the id that lead_created was sent with",
        ),
        "lead_id_length": Param(18, enum=[15, 18], description="15 if that was Salesforce's id in its short form"),
        "baseline": Param(False, type="boolean", description="first run: remember what is there, send nothing"),
        "validate_only": Param(False, type="boolean", description="report what would be sent, send nothing"),
        "max_rejected": Param(0, type="number", description="leads that may fail: a count, or a share such as 0.01"),
    },
    tags=["datareshape", "example"],
) as dag:

    @task.reshape(
        ledger_conn_id="reshape_ledger",
        stage_map=STAGES,
        reason_map=REASONS,
        defaults={"event.currency": "EUR"},
        default_region="RO",
        baseline="{{ params.baseline }}",
        validate_only="{{ params.validate_only }}",
        max_rejected="{{ params.max_rejected }}",
    )
    def send_leads(params: dict[str, Any] | None = None) -> Iterator[Record]:
        """Ask Salesforce three questions, and send what its leads entered."""
        from airflow.providers.salesforce.hooks.salesforce import SalesforceHook

        assert params is not None
        now = datetime.now(UTC)
        since = _moment(params["since"]) if params["since"] else now - WINDOW
        ids = Ids(params["lead_id_field"], params["lead_id_length"])
        yield from entered_stages(SalesforceHook("salesforce_default"), since, now, ids)

    send_leads()
