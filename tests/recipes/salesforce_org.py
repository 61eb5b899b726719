"""An org in memory: leads, their status history, the recycle bin, and the part of SOQL that the recipe needs.

After Salesforce's documentation: creating a lead writes no history; history times are whole seconds; new values cannot
be filtered; ``query`` leaves out what is deleted, with its history, and ``queryAll`` does not; merging deletes the
other lead, sets its ``MasterRecordId`` and changes the remaining one. Fields that are not there are refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Record = dict[str, Any]

LEAD_FIELDS = [
    "Id",
    "IsDeleted",
    "MasterRecordId",
    "FirstName",
    "LastName",
    "Company",
    "Email",
    "Phone",
    "Country",
    "City",
    "State",
    "PostalCode",
    "Status",
    "LeadSource",
    "CreatedDate",
    "SystemModstamp",
    "Disqualification_Reason__c",
    "Web_Lead_Id__c",
]
HISTORY_FIELDS = ["Id", "IsDeleted", "LeadId", "CreatedDate", "Field", "OldValue", "NewValue"]
NOT_FILTERED = {"OldValue", "NewValue"}
QUERY = re.compile(
    r"SELECT (?P<fields>.+?) FROM (?P<object>\w+) WHERE (?P<where>.+?)(?: ORDER BY (?P<order>.+))?", re.DOTALL
)
CONDITION = re.compile(r"(?P<field>\w+) (?P<operator>=|!=|>=) (?P<value>'[^']*'|\S+)")
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    ">=": lambda one, other: one >= other,
}


class Refused(Exception):
    """A query that Salesforce does not run.

    :param code: its error code.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def case_safe(short: str) -> str:
    """The id of 18 characters: for each five, which of them are capitals, least first."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
    blocks = (short[at : at + 5] for at in (0, 5, 10))
    return short + "".join(digits[sum(sign.isupper() << n for n, sign in enumerate(block))] for block in blocks)


@dataclass
class Org:
    """What Salesforce holds.

    :param keeps_history: whether rows of deleted leads are still listed, without their lead.
    :param hidden: fields that the user may not see.
    """

    keeps_history: bool = False
    hidden: set[str] = field(default_factory=set)
    leads: dict[str, Record] = field(default_factory=dict)
    history: list[Record] = field(default_factory=list)

    def create(self, short_id: str, status: str | None, at: datetime, **fields: Any) -> str:
        """A new lead; its id of 18 characters."""
        lead_id = case_safe(short_id)
        blank: Record = dict.fromkeys(LEAD_FIELDS)
        given: Record = {"Id": lead_id, "IsDeleted": False, "Status": status, "CreatedDate": at, "SystemModstamp": at}
        self.leads[lead_id] = blank | {"LastName": "Person", "Company": "ACME"} | given | fields
        return lead_id

    def change(self, lead_id: str, status: str, at: datetime, **fields: Any) -> None:
        """Another status, and whatever else is saved with it."""
        lead = self.leads[lead_id]
        self.history.append(
            {
                "Id": case_safe(f"017000000{len(self.history):06d}"),
                "IsDeleted": False,
                "LeadId": lead_id,
                "CreatedDate": at.replace(microsecond=0),
                "Field": "Status",
                "OldValue": lead["Status"],
                "NewValue": status,
            }
        )
        lead.update(fields, Status=status, SystemModstamp=at)

    def delete(self, lead_id: str, at: datetime) -> None:
        """Into the recycle bin."""
        self.leads[lead_id].update(IsDeleted=True, SystemModstamp=at)
        for change in self.history:
            if change["LeadId"] == lead_id:
                change["IsDeleted"] = not self.keeps_history

    def merge(self, master: str, other: str, at: datetime, status: str | None = None) -> None:
        """One lead into another, which may take over the status."""
        self.delete(other, at)
        self.leads[other]["MasterRecordId"] = master
        if status is not None and status != self.leads[master]["Status"]:
            self.change(master, status, at)

    def run(self, soql: str, deleted: bool) -> list[Record]:
        """The records that a query finds.

        :param deleted: as ``queryAll`` does.
        :raises Refused: Salesforce would not run it.
        """
        query = QUERY.fullmatch(soql)
        if query is None:
            raise Refused("MALFORMED_QUERY", f"unexpected token: {soql[:20]}")
        kind = query["object"]
        known = self._known(kind)
        rows = list(self.leads.values()) if kind == "Lead" else self.history
        for condition in query["where"].split(" AND "):
            name, operator, value = _condition(condition)
            self._check([name], known)
            rows = [row for row in rows if OPERATORS[operator](row[name], value)]
        for name in reversed((query["order"] or "Id").split(", ")):
            rows = sorted(rows, key=lambda row: row[name])
        fields = query["fields"].split(", ")
        self._check(fields, known)
        return [self._selected(row, fields, kind) for row in rows if deleted or not row["IsDeleted"]]

    def age(self, by: timedelta) -> None:
        """Let time pass: all that happened, happened longer ago."""
        for record in [*self.leads.values(), *self.history]:
            record.update({name: value - by for name, value in record.items() if isinstance(value, datetime)})

    def _known(self, kind: str) -> list[str]:
        fields = LEAD_FIELDS if kind == "Lead" else HISTORY_FIELDS
        return [name for name in fields if name not in self.hidden]

    def _check(self, fields: list[str], known: list[str]) -> None:
        for name in fields:
            own = name.removeprefix("Lead.")
            if own not in (known if own == name else self._known("Lead")):
                raise Refused("INVALID_FIELD", f"No such column '{own}' on entity")

    def _selected(self, row: Record, fields: list[str], kind: str) -> Record:
        found: Record = {"attributes": {"type": kind, "url": f"/services/data/v59.0/sobjects/{kind}/{row['Id']}"}}
        of_lead = [name.removeprefix("Lead.") for name in fields if name.startswith("Lead.")]
        found |= {name: _shown(row[name]) for name in fields if not name.startswith("Lead.")}
        if of_lead:
            lead = self.leads[row["LeadId"]]
            there = not lead["IsDeleted"] or row["IsDeleted"]
            found["Lead"] = self._selected(lead, of_lead, "Lead") if there else None
        return found


def _shown(value: Any) -> Any:
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.000+0000}" if isinstance(value, datetime) else value


def _condition(text: str) -> tuple[str, str, Any]:
    parts = CONDITION.fullmatch(text)
    if parts is None:
        raise Refused("MALFORMED_QUERY", f"unexpected token: {text}")
    if parts["field"] in NOT_FILTERED:
        raise Refused("INVALID_FIELD", f"field '{parts['field']}' can not be filtered in a query call")
    return parts["field"], parts["operator"], _literal(parts["value"])


def _literal(text: str) -> Any:
    words: dict[str, Any] = {"true": True, "false": False, "null": None}
    if text in words:
        return words[text]
    return text[1:-1] if text.startswith("'") else datetime.fromisoformat(text)
