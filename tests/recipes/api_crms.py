"""Salesforce and HubSpot on loopback behind one face: leads, and the stages they are put into."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tests.recipes.hubspot_server import Account
from tests.recipes.salesforce_org import Org

BACK = "(no longer disqualified)"


def ago(**time: float) -> datetime:
    return datetime.now(UTC) - timedelta(**time)


@dataclass
class Crm:
    """A CRM, as the tests of both need it.

    :param create: makes an open lead of last week; gives its id.
    :param put: puts a lead into a stage (``open``, ``qualified``, ``disqualified``) at a time, for a reason.
    :param qualified: what the CRM calls that stage.
    """

    create: Callable[[], str]
    put: Callable[..., None]
    qualified: str


def salesforce_crm(org: Org) -> Crm:
    """Leads by their status."""
    names = {"open": "Nurturing", "qualified": "Qualified", "disqualified": "Unqualified"}

    def create() -> str:
        return org.create(f"00Q{len(org.leads):012d}", "New", ago(days=7))

    def put(lead: str, stage: str, at: datetime, reason: str = "Too small") -> None:
        org.change(lead, names[stage], at, Disqualification_Reason__c=reason)

    return Crm(create, put, "Qualified")


def hubspot_crm(account: Account) -> Crm:
    """Contacts by their lifecycle stage and lead status."""
    properties = {
        "open": {"hs_lead_status": "OPEN"},
        "qualified": {"lifecyclestage": "salesqualifiedlead"},
        "disqualified": {"hs_lead_status": "UNQUALIFIED"},
    }

    def create() -> str:
        return str(account.create(ago(days=7), email="ana@example.com", lifecyclestage="lead", hs_lead_status="NEW"))

    def put(lead: str, stage: str, at: datetime, reason: str = "Not a fit") -> None:
        account.change(int(lead), at, disqualification_reason=reason, **properties[stage])

    return Crm(create, put, "salesqualifiedlead")
