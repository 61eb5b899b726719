"""What the demo prints at its end."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from demo.compare import plainly
from demo.crm import Crm, Lead
from demo.truth import Expected

EVENTS = ("lead_qualified", "lead_disqualified")
STORY_STAGES = {"MQL", "SQL", "Disqualified"}
COVERAGE = {
    "user.email": "e-mail",
    "user.phone": "phone",
    "user.country": "country",
    "event.value": "value",
    "user.created_at": "first seen",
    "cookies": "Google client id",
}


def show(
    console: Console,
    crm: Crm,
    rows: Sequence[Expected],
    received: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
) -> None:
    """Print the tables, the coverage and one lead's story.

    :param console: to print to.
    :param rows: what should become of each row.
    :param received: what the sandbox received.
    :param summary: what the task returned.
    """
    console.print(_events_table(received, summary))
    console.print(_reasons_table(rows, summary))
    _coverage(console, summary)
    _story(console, crm, rows, received)


def _table(title: str, first_column: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(first_column, no_wrap=True)
    return table


def _events_table(received: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> Table:
    table = _table("What became of every row of the CRM", "event")
    unwanted = tuple(kind for kind in ("rejected", "unsent") if summary[kind])
    columns = ("read", "delivered", "invalid", "skipped", *unwanted)
    for column in (*columns, "at sandbox"):
        table.add_column(column, justify="right", no_wrap=True)
    taken = Counter(request["name"] for request in received if request["taken"])
    others = Counter[str]()
    for name, counts in summary["by_event"].items():
        if name in EVENTS:
            cells = {**counts, "read": sum(counts.values())}
            table.add_row(name, *(_number(cells.get(column, 0)) for column in columns), _number(taken[name]))
        else:
            others.update({**counts, "read": sum(counts.values())})
    table.add_row("no event", *(_number(others[column]) for column in columns), "")
    table.add_section()
    table.add_row("all", *(_number(summary[column]) for column in columns), _number(taken.total()), style="bold")
    return table


def _reasons_table(rows: Sequence[Expected], summary: Mapping[str, Any]) -> Table:
    """Why leads were not sent, or were sent without something, next to what the CRM's maker knows."""
    table = _table("Why, as the package says and as the CRM's maker knows", "outcome")
    table.add_column("reason")
    for column in ("package", "CRM"):
        table.add_column(column, justify="right", no_wrap=True)
    known = Counter((row.outcome, row.why) for row in rows)
    without = Counter(row.without for row in rows if row.without)
    for problem, count in summary["invalid_by"].items():
        table.add_row("invalid", problem, _number(count), _number(known["invalid", plainly(problem)]))
    for why, count in summary["skipped_by"].items():
        table.add_row("skipped", why, _number(count), _number(known["skipped", why]))
    for field, count in summary["sent_without"].items():
        table.add_row("sent without", field, _number(count), _number(without[field]))
    return table


def _coverage(console: Console, summary: Mapping[str, Any]) -> None:
    delivered = summary["delivered"] or 1
    found = summary["fields_found"]
    parts = [f"{label} {found.get(field, 0) / delivered:.0%}" for field, label in COVERAGE.items()]
    console.print(Text("Coverage of delivered events: " + " · ".join(parts)))
    left_out = ", ".join(f"{field} {count}" for field, count in summary["sent_without"].items()) or "nothing"
    console.print(Text(f"Sent without (the CRM's value was of no use): {left_out}"))
    if summary["doubtful"]:
        doubtful = ", ".join(f"{field} {count}" for field, count in summary["doubtful"].items())
        told = "Doubtful, and sent all the same (made-up numbers: of the right length, but in no numbering plan)"
        console.print(Text(f"{told}: {doubtful}"))
    console.print()


def _story(console: Console, crm: Crm, rows: Sequence[Expected], received: Sequence[Mapping[str, Any]]) -> None:
    lead = _storied(crm, rows)
    console.print(Text(f"The story of lead {lead.id}", style="bold"))
    row = lead.row
    console.print(
        Text(
            f"  In the CRM: {masked_email(row['email'])!r}, {masked_phone(row['phone'])!r}, "
            f"{row['country']!r}, {row['value']!r} {row['currency']!r}"
        )
    )
    for change in sorted(lead.history, key=lambda change: (change.changed_at, change.id)):
        reason = f", reason {change.lost_reason!r}" if change.lost_reason else ""
        moved = f"{change.from_stage or 'nothing'} → {change.to_stage}"
        console.print(Text(f"  {change.changed_at:%Y-%m-%d %H:%M:%S}  {moved}{reason}"))
    console.print(Text("  At the sandbox:"))
    for request in received:
        event, user = request["body"]["event"], request["body"].get("user", {})
        if user.get("id") != lead.id:
            continue
        reason = event.get("properties", {}).get("disqualification_reason")
        console.print(
            Text(
                f"  {event['name']} {event['id']}: {event.get('value')} {event['currency']}, "
                f"{masked_email(user.get('email'))}, {masked_phone(user.get('phone'))}"
                + (f", {reason}" if reason else "")
            )
        )
    console.print()


def _storied(crm: Crm, rows: Sequence[Expected]) -> Lead:
    """A lead that went back and forth, with a phone in a national format, all of whose events arrived."""
    delivered = Counter(row.lead_id for row in rows if row.outcome == "delivered")

    def interest(lead: Lead) -> tuple[bool, bool, int]:
        phone = str(lead.row["phone"] or "").strip()
        stages = [change.to_stage for change in lead.history if change.to_stage in STORY_STAGES]
        back_and_forth = len(stages) > len(set(stages))
        return (
            delivered[lead.id] == 3,
            bool(phone) and not phone.startswith(("+", "00", "(+")),
            back_and_forth,
        )

    return max((lead for lead in crm.leads if lead.meant.email and lead.flaw is None), key=interest)


def masked_email(email: str | None) -> str | None:
    """An e-mail address of which only the first letter, the blanks around and the domain are left."""
    if email is None:
        return None
    return re.sub(r"(\S)\S*@", r"\1•••@", email)


def masked_phone(phone: str | None) -> str | None:
    """A phone number in its own format, of which only the first two and the last two digits are left."""
    if phone is None:
        return None
    digits = [match.start() for match in re.finditer(r"\d", phone)]
    hidden = set(digits[2:-2])
    return "".join("•" if place in hidden else sign for place, sign in enumerate(phone))


def _number(count: int) -> str:
    return f"{count:,}" if count else "·"
