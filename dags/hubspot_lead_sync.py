"""Contacts of HubSpot, by the history of their lifecycle stage and lead status.

Every run finds the contacts that were modified in the last 71 hours, reads when each entered its stages, and yields a
row for each stage that lasted half an hour; ``@task.reshape`` sends them while it reads, and the ledger drops what was
sent. A contact that is no longer disqualified is not sent as such (docs/recipes/rules.md). Connections: ``hubspot``
(type HTTP, host ``https://api.hubapi.com``, the service key as its password, no login), ``reshape_ledger`` (a SQL
database that the workers may write to) and ``reshape_default``.
Pool: ``reshape`` (``airflow pools set reshape 2 "sends to DATA Reshape"``). The how-to page is docs/recipes/hubspot.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from airflow.sdk import DAG, Param, task

if TYPE_CHECKING:
    import requests
    from tenacity import RetryCallState

CONTACTS = "/crm/objects/2026-09/contacts"
PAGE_SIZE = 200  # HubSpot's most
BATCH_SIZE = 50  # its most with histories

LIFECYCLE, STATUS, MERGED_IDS = "lifecyclestage", "hs_lead_status", "hs_merged_object_ids"
# Your own properties. HubSpot leaves out of its answer what an account does not have.
LEAD_ID, REASON, VALUE = "reshape_lead_id", "disqualification_reason", "lead_value"
PERSON = ("email", "phone", "mobilephone", "firstname", "lastname", "address", "city", "state", "zip", "country")
PROPERTIES = [*PERSON, "createdate", LIFECYCLE, STATUS, LEAD_ID, REASON, VALUE]
HISTORIES = [LIFECYCLE, STATUS, MERGED_IDS]

SETTLED = timedelta(minutes=30)
# Who set a stage without deciding anything about the lead.
IMPORTS = {"IMPORT", "EMAIL_INBOX_IMPORT", "MIGRATION", "PROPERTY_DEFAULT_VALUE", "PROPERTY_RESTORE", "RESTORE_OBJECTS"}
MERGES = {"MERGE_CONTACTS", "MERGE_COMPANIES", "MERGE_OBJECTS", "MERGE_REVERT_OBJECTS"}
# Whoever came so far is no lead any more: an exclusion would hit a customer.
PAST_LEAD = {"opportunity", "customer", "evangelist"}
# What the status says by itself, where nobody gave a reason.
STATUS_REASONS = {"BAD_TIMING": "no_timing"}

STAGES = {
    "subscriber": None,
    "lead": None,
    "marketingqualifiedlead": "lead_qualified",
    "salesqualifiedlead": "lead_qualified",
    "opportunity": None,
    "customer": None,
    "evangelist": None,
    "other": None,
    "NEW": None,
    "OPEN": None,
    "IN_PROGRESS": None,
    "OPEN_DEAL": None,
    "ATTEMPTED_TO_CONTACT": None,
    "CONNECTED": None,
    "UNQUALIFIED": "lead_disqualified",
    "BAD_TIMING": "lead_disqualified",
    # Not HubSpot's: these are counted in the report and not sent.
    "(imported)": None,
    "(merged)": None,
    "(no lead any more)": None,
    "(no longer disqualified)": None,
}
DISQUALIFIED = {stage for stage, event in STAGES.items() if event == "lead_disqualified"}

CURES = {
    401: ": the service key belongs into the connection's password, and its login stays empty",
    403: ": the key needs the scope crm.objects.contacts.read",
}


class HubSpotUnavailableError(AirflowException):
    """HubSpot does not answer, or refuses all the time. A retry reads again."""


class HubSpotRefusedError(AirflowFailException):
    """HubSpot will not answer this, however often it is asked."""


class HubSpot:
    """The contacts of an account.

    :param conn_id: connection of type HTTP, the service key as its password.
    """

    def __init__(self, conn_id: str) -> None:
        from airflow.providers.http.hooks.http import HttpHook

        self.hook = HttpHook(method="POST", http_conn_id=conn_id)
        self.headers = {"Authorization": f"Bearer {self.hook.get_connection(conn_id).password}"}

    def modified(self, since: datetime) -> Iterator[list[str]]:
        """Ids of the contacts modified since then, in pages.

        No page is asked for by its number: a search ends at its 10,000th result, and each page here is a new search,
        for the ids above the last one. So contacts may also move in the results while they are read.
        """
        changed = {"propertyName": "lastmodifieddate", "operator": "GTE", "value": str(int(since.timestamp() * 1000))}
        last = "0"
        while True:
            above = {"propertyName": "hs_object_id", "operator": "GT", "value": last}
            found = self.ask(
                "search",
                {
                    "filterGroups": [{"filters": [changed, above]}],
                    "sorts": [{"propertyName": "hs_object_id", "direction": "ASCENDING"}],
                    "properties": ["hs_object_id"],
                    "limit": PAGE_SIZE,
                },
            )
            ids = [contact["id"] for contact in found["results"]]
            if ids:
                yield ids
            if not ids or not found.get("paging", {}).get("next"):
                return
            last = ids[-1]

    def with_history(self, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Contacts with the histories of their stages."""
        for start in range(0, len(ids), BATCH_SIZE):
            asked = ids[start : start + BATCH_SIZE]
            inputs = [{"id": contact_id} for contact_id in asked]
            read = self.ask(
                "batch/read", {"properties": PROPERTIES, "propertiesWithHistory": HISTORIES, "inputs": inputs}
            )
            # A contact that was merged since the search comes under its new id, and is found by that.
            yield from (contact for contact in read["results"] if contact["id"] in asked)

    def ask(self, what: str, body: dict[str, Any]) -> Any:
        """The answer to a request. Waits and asks again where that helps.

        :raises HubSpotUnavailableError: it did not help.
        :raises HubSpotRefusedError: it would not.
        """
        import requests
        from tenacity import retry_if_exception_type, retry_if_result, stop_after_attempt

        lost = (requests.ConnectionError, requests.Timeout)
        tries = {
            "retry": retry_if_exception_type(lost) | retry_if_result(passes),
            "wait": seconds_to_wait,
            "stop": stop_after_attempt(8),
            "retry_error_callback": last_answer,
        }
        try:
            answer = self.hook.run_with_advanced_retry(
                tries,
                endpoint=f"{CONTACTS}/{what}",
                json=body,
                headers=self.headers,
                # Else the hook logs the bodies of errors, and follows redirects.
                extra_options={"check_response": False, "allow_redirects": False, "timeout": 30},
            )
        except lost as error:
            raise HubSpotUnavailableError(f"HubSpot cannot be reached ({type(error).__name__})") from None
        if answer.status_code in (200, 207):
            return answer.json()
        told = error_of(answer)
        kind = told.get("policyName") or told.get("category") or "no category"
        text = f"HubSpot answered {what} with {answer.status_code} ({kind}, id {told.get('correlationId')})"
        if answer.status_code in (429, 477) or passes(answer):
            raise HubSpotUnavailableError(text)
        raise HubSpotRefusedError(text + CURES.get(answer.status_code, ""))


def error_of(answer: requests.Response) -> Mapping[str, Any]:
    """What HubSpot says about an error; all of it is optional."""
    try:
        told = answer.json()
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def passes(answer: requests.Response) -> bool:
    """Whether waiting a moment helps. The day's limit and a migration of the account (477) last for hours."""
    if answer.status_code == 429:
        return error_of(answer).get("policyName") != "DAILY"
    return answer.status_code == 423 or answer.status_code >= 500


def seconds_to_wait(state: RetryCallState) -> float:
    """How long to wait before HubSpot is asked again."""
    longer = float(min(30, 2 ** (state.attempt_number - 1)))
    if state.outcome is None or state.outcome.failed:
        return longer
    answer: requests.Response = state.outcome.result()
    if given := answer.headers.get("Retry-After", ""):
        return min(120.0, float(given)) if given.isdigit() else longer
    if answer.status_code == 429:
        # Answers to searches have no such header: their limit is so many a second.
        window = answer.headers.get("X-HubSpot-RateLimit-Interval-Milliseconds", "")
        if window.isdigit():
            return int(window) / 1000
        return 10.0 if error_of(answer).get("policyName") == "TEN_SECONDLY_ROLLING" else longer
    return max(2.0, longer) if answer.status_code == 423 else longer


def last_answer(state: RetryCallState) -> Any:
    """What the last try gave, or raised."""
    return state.outcome.result() if state.outcome else None


def stage_rows(contact: Mapping[str, Any], since: datetime, now: datetime) -> list[dict[str, Any]]:
    """A row for each stage that the contact entered since then and kept for a while, oldest first.

    :param contact: as the batch read gives it.
    :param since: stages entered earlier are left out.
    :param now: the end of the stage that holds.
    """
    properties: dict[str, Any] = contact["properties"]
    histories: dict[str, Any] = contact.get("propertiesWithHistory") or {}
    merged_at = last_merge(properties, histories, now)
    lifecycle, status = lasting(histories.get(LIFECYCLE), now), lasting(histories.get(STATUS), now)
    out_since = disqualified_since(status, properties.get(STATUS))
    rows = []
    for entered, change in sorted([*lifecycle, *status], key=itemgetter(0)):
        if entered < since or not change["value"]:
            continue
        stage = change["value"]
        counts_as = steering_stage(change, entered, merged_at, properties.get(LIFECYCLE))
        if counts_as in DISQUALIFIED and not (out_since and entered >= out_since):
            # The contact must not land in an exclusion audience.
            counts_as = "(no longer disqualified)"
        rows.append(
            {
                "lead_id": properties.get(LEAD_ID) or contact["id"],
                "stage": counts_as,
                "occurred_at": entered,
                "reason": properties.get(REASON) or STATUS_REASONS.get(stage),
                "disqualified_from": next((was["value"] for at, was in reversed(lifecycle) if at <= entered), None),
                "user_id": contact["id"],
                "phone": properties.get("phone") or properties.get("mobilephone"),
                "contact": properties,
            }
        )
    return rows


def steering_stage(change: Mapping[str, Any], entered: datetime, merged_at: datetime | None, lifecycle: Any) -> str:
    """The stage for ``stage_map``: HubSpot's own, or why the change says nothing about a lead."""
    if (merged_at and entered <= merged_at) or change["sourceType"] in MERGES:
        return "(merged)"
    if change["sourceType"] in IMPORTS:
        return "(imported)"
    if change["value"] in DISQUALIFIED and lifecycle in PAST_LEAD:
        return "(no lead any more)"
    return str(change["value"])


def disqualified_since(status: Sequence[tuple[datetime, Mapping[str, Any]]], now_in: Any) -> datetime | None:
    """Since when a contact is disqualified, None if it is not.

    :param status: its lead status, as far as it lasted, oldest first.
    :param now_in: the lead status that it has, however short.
    """
    since = None
    for entered, change in status:
        since = (since or entered) if change["value"] in DISQUALIFIED else None
    return since if now_in in DISQUALIFIED else None


def last_merge(properties: Mapping[str, Any], histories: Mapping[str, Any], now: datetime) -> datetime | None:
    """When the contact was made of others, None if it never was.

    It has the histories of all of them, and all that happened before was sent, or not, under their ids.
    """
    history = histories.get(MERGED_IDS) or []
    if not history:
        return now if properties.get(MERGED_IDS) else None
    return max(moment(change) for change in history)


def lasting(history: Sequence[Mapping[str, Any]] | None, now: datetime) -> list[tuple[datetime, Mapping[str, Any]]]:
    """The changes of a property to a value that it kept for a while, oldest first, each with its time.

    What comes back after something short was never left.
    """
    newest_first = sorted(history or [], key=moment, reverse=True)  # as HubSpot gives them, also within one moment
    changes = _changed(newest_first[::-1])
    ends = [*(moment(later) for later in changes[1:]), now]
    kept = [change for change, end in zip(changes, ends, strict=False) if end - moment(change) >= SETTLED]
    return [(moment(change), change) for change in _changed(kept)]


def _changed(changes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [next(same) for _, same in groupby(changes, key=itemgetter("value"))]


def moment(change: Mapping[str, Any]) -> datetime:
    """When a change was made."""
    return datetime.fromisoformat(change["timestamp"])


with DAG(
    dag_id="hubspot_lead_sync",
    description="Stage history of HubSpot's contacts to lead_qualified and lead_disqualified",
    doc_md=__doc__,
    schedule="@hourly",
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1), "pool": "reshape"},
    params={
        "since": Param(None, type=["null", "string"], description="UTC, or with an offset; default: 71 hours ago"),
        "validate_only": Param(False, type="boolean", description="report what would be sent, send nothing"),
        "baseline": Param(False, type="boolean", description="remember all as known, send nothing: the first run"),
        "max_rejected": Param(0, type="number", description="leads that may fail: a count, or a share such as 0.01"),
    },
    tags=["datareshape", "example"],
) as dag:

    @task.reshape(
        ledger_conn_id="reshape_ledger",
        mapping={
            "disqualification_reason": "reason",
            "event.properties.disqualification_stage": "disqualified_from",
            "event.value": f"contact.{VALUE}",
            "user.id": "user_id",
            "user.email": "contact.email",
            "user.phone": "phone",
            "user.first_name": "contact.firstname",
            "user.last_name": "contact.lastname",
            "user.street": "contact.address",
            "user.city": "contact.city",
            "user.region": "contact.state",
            "user.postal_code": "contact.zip",
            "user.country": "contact.country",
            "user.created_at": "contact.createdate",
        },
        unknown_columns="ignore",
        stage_map=STAGES,
        # The options of your own property. A duplicate's address is often that of a good lead, or of a customer.
        reason_map={
            "Not a fit": "out_of_icp",
            "No budget": "no_budget",
            "Not the decision maker": "no_authority",
            "Bad timing": "no_timing",
            "Wrong contact details": "invalid_contact",
            "Went with competitor": "competitor",
            "Duplicate": None,
            "Test": None,
        },
        defaults={"event.currency": "EUR"},
        default_region="RO",
        exclude_emails=["*@hubspot.com"],  # the sample contacts of a new account
        validate_only="{{ params.validate_only }}",
        baseline="{{ params.baseline }}",
        max_rejected="{{ params.max_rejected }}",
    )
    def send_leads(since: str) -> Iterator[dict[str, Any]]:
        """Read the contacts in batches; each batch is sent while the next is on its way."""
        crm, now = HubSpot("hubspot"), datetime.now(UTC)
        begin = datetime.fromisoformat(since)
        if begin.tzinfo is None:
            begin = begin.replace(tzinfo=UTC)
        for ids in crm.modified(begin):
            for contact in crm.with_history(ids):
                yield from stage_rows(contact, begin, now)

    # An hour less than max_age, 72 hours: an older event cannot be credited to its day any more.
    send_leads(since="{{ params.since or (dag_run.run_after - macros.timedelta(hours=71)).isoformat() }}")
