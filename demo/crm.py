"""Makes a CRM as messy as real ones, and remembers for every lead what was meant before it was messed up.

The same seed and the same moment give the same CRM. Nobody in it exists: its domains are kept for examples.
"""

from __future__ import annotations

import random
import sqlite3
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from demo.vocabulary import (
    COMPANIES,
    COUNTRIES,
    FIRST_NAMES,
    LAST_NAMES,
    LOST_REASONS,
    UNKNOWN_STAGE,
    UNMAPPED_REASONS,
    Country,
)

# What is wrong with how many of 2,000 leads. At most one flaw a lead, so that each shows by itself.
FLAWS: dict[str, int] = {
    "no_currency": 6,
    "odd_currency": 4,
    "junk_phone": 24,
    "junk_email": 14,
    "bad_created_at": 15,
    "odd_value": 10,
    "unmapped_reason": 5,
    "no_reason": 3,
    "not_lost_at_all": 25,
    "unknown_stage": 3,
    "too_old": 30,
    "in_future": 2,
}
LOST = ("unmapped_reason", "no_reason", "not_lost_at_all")

# The ways through the stages, each with its weight. A stage can be entered more than once.
PATHS: dict[tuple[str, ...], int] = {
    ("New",): 8,
    ("New", "Contacted"): 12,
    ("New", "Disqualified"): 8,
    ("New", "Contacted", "Disqualified"): 10,
    ("New", "Contacted", "MQL"): 20,
    ("New", "MQL", "SQL"): 14,
    ("New", "Contacted", "MQL", "SQL"): 10,
    ("New", "MQL", "Disqualified"): 8,
    ("New", "Contacted", "MQL", "SQL", "Disqualified"): 4,
    ("New", "MQL", "Disqualified", "MQL"): 3,
    ("New", "MQL", "Disqualified", "MQL", "SQL"): 2,
    ("New", "MQL", "Disqualified", "MQL", "Disqualified"): 1,
}
EARLY = ("New", "Contacted")

JUNK_EMAILS = ("n/a", "ana@@example.com", "no e-mail", "bob at example.com", "-")
JUNK_PHONES = ("12", "call after 6", "0000000000000000000000", "ask reception", "07")
JUNK_TIMES = ("0000-00-00 00:00:00", "31/12/2025 14:05", "unknown", "last week")
ODD_CURRENCIES = ("EURO", "lei", "$")
ODD_VALUES = ("1.200,50", "about 5k", "€ 900")


@dataclass(frozen=True)
class Meant:
    """What is true of a lead, in the form in which it should arrive. None: nothing that could be sent.

    :param created_at_ms: milliseconds since the epoch.
    :param consent: what the lead said to marketing; no answer is a no.
    """

    email: str | None
    phone: str | None
    country: str | None
    currency: str | None
    value: float | None
    created_at_ms: int | None
    consent: bool


@dataclass(frozen=True)
class Change:
    """One line of the stage history.

    :param changed_at: aware, in UTC; the CRM keeps it without a zone.
    :param lost_reason: as typed.
    """

    id: int
    lead_id: str
    from_stage: str | None
    to_stage: str
    changed_at: datetime
    lost_reason: str | None


@dataclass(frozen=True)
class Lead:
    """A lead: the row that the CRM holds, what was meant by it, and its way through the stages.

    :param flaw: key of :data:`FLAWS`, or None.
    """

    row: dict[str, Any]
    meant: Meant
    flaw: str | None
    history: tuple[Change, ...]

    @property
    def id(self) -> str:
        """The CRM's id of the lead."""
        return str(self.row["lead_id"])


@dataclass(frozen=True)
class Crm:
    """All leads.

    :param now: the moment at which the CRM is read; its times lie around it.
    """

    now: datetime
    leads: tuple[Lead, ...] = field(repr=False)


def make_crm(now: datetime, leads: int = 2000, seed: int = 20260115) -> Crm:
    """Make the CRM.

    :param now: aware; events lie up to 60 hours before it, the leads' creation up to 90 days.
    :param leads: how many. The flaws of :data:`FLAWS` are scaled to it.
    :param seed: of the randomness.
    """
    dice = random.Random(seed)
    now = now.replace(microsecond=0)
    made = []
    next_id = 1
    for number, flaw in enumerate(_flaws(dice, leads), start=1):
        lead = _lead(dice, number, flaw, now, next_id)
        next_id += len(lead.history)
        made.append(lead)
    return Crm(now, tuple(made))


def write(crm: Crm, path: Path) -> None:
    """Write the CRM as a SQLite file, in place of one that is there.

    :param path: of the file; its folder must exist.
    """
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(SCHEMA)
        rows = [lead.row for lead in crm.leads]
        columns = list(rows[0])
        marks = ", ".join(f":{column}" for column in columns)
        database.executemany(f"INSERT INTO leads ({', '.join(columns)}) VALUES ({marks})", rows)  # noqa: S608
        database.executemany("INSERT INTO stage_history VALUES (?, ?, ?, ?, ?, ?)", _history_rows(crm))


SCHEMA = """
CREATE TABLE leads (
    lead_id TEXT PRIMARY KEY,
    email TEXT,
    phone TEXT,
    first_name TEXT,
    last_name TEXT,
    company TEXT,
    country TEXT,
    city TEXT,
    value NUMERIC,
    currency TEXT,
    score INTEGER,
    ga_client_id TEXT,
    consent_marketing INTEGER,
    created_at TEXT
);
CREATE TABLE stage_history (
    id INTEGER PRIMARY KEY,
    lead_id TEXT NOT NULL REFERENCES leads (lead_id),
    from_stage TEXT,
    to_stage TEXT NOT NULL,
    changed_at TEXT NOT NULL,
    lost_reason TEXT
);
CREATE INDEX stage_history_by_time ON stage_history (changed_at, id);
"""


def _flaws(dice: random.Random, leads: int) -> list[str | None]:
    deck: list[str | None] = []
    for flaw, of_2000 in FLAWS.items():
        deck += [flaw] * max(1, round(of_2000 * leads / 2000))
    deck += [None] * (leads - len(deck))
    dice.shuffle(deck)
    return deck[:leads]


def _lead(dice: random.Random, number: int, flaw: str | None, now: datetime, first_id: int) -> Lead:
    lead_id = f"L-{number:05d}"
    country = dice.choice(COUNTRIES)
    first, last = dice.choice(FIRST_NAMES), dice.choice(LAST_NAMES)
    created = now - timedelta(days=dice.uniform(20, 90))
    created = created.replace(microsecond=0)

    country_cell, known_region = _country(dice, country)
    email_cell, email = _email(dice, first, last, number, flaw)
    phone_cell, phone = _phone(dice, country, known_region, flaw)
    currency_cell, currency = _currency(dice, country, flaw)
    value_cell, value = _value(dice, flaw)
    created_cell, created_ms = _created_at(dice, created, flaw)
    # Leads with a flaw that shows only after the consent was looked at have given theirs.
    consent = 1 if flaw in ("too_old", "in_future") else dice.choices((1, 0, None), (80, 12, 8))[0]

    row = {
        "lead_id": lead_id,
        "email": email_cell,
        "phone": phone_cell,
        "first_name": first,
        "last_name": last,
        "company": dice.choice((*COMPANIES, None)),
        "country": country_cell,
        "city": dice.choice((*country.cities, "", None)),
        "value": value_cell,
        "currency": currency_cell,
        "score": dice.choice((None, *range(10, 101, 5))),
        "ga_client_id": f"GA1.1.{dice.randrange(10**8, 10**9)}.{int(created.timestamp())}"
        if dice.random() < 0.7
        else None,
        "consent_marketing": consent,
        "created_at": created_cell,
    }
    meant = Meant(email, phone, country_cell, currency, value, created_ms, consent == 1)
    return Lead(row, meant, flaw, tuple(_history(dice, lead_id, flaw, created, now, first_id)))


def _country(dice: random.Random, country: Country) -> tuple[str | None, bool]:
    """What stands in the column, and whether it tells a machine where a national number belongs."""
    kind = dice.choices(("known", "own", "none"), (88, 6, 6))[0]
    if kind == "known":
        return dice.choice(country.names), True
    return (country.own_name if kind == "own" else None), False


def _email(dice: random.Random, first: str, last: str, number: int, flaw: str | None) -> tuple[str | None, str | None]:
    if flaw == "junk_email":
        return dice.choice(JUNK_EMAILS), None
    if dice.random() < 0.06:
        return dice.choice((None, "", "  ")), None
    domain = dice.choice(("example.com", "example.org", "mail.example.com"))
    name = f"{_letters(first) or 'lead'}.{_letters(last) or 'x'}{dice.choice(('', '+crm'))}.{number}"
    meant = f"{name}@{domain}"
    messy = dice.choice((str, str.upper, str.title, lambda text: f" {text}", lambda text: f"{text}  "))
    return messy(meant), meant


def _letters(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return "".join(letter for letter in plain if letter.isalpha())


def _phone(
    dice: random.Random, country: Country, known_region: bool, flaw: str | None
) -> tuple[str | None, str | None]:
    if flaw == "junk_phone":
        return dice.choice(JUNK_PHONES), None
    if dice.random() < 0.1:
        return dice.choice((None, "")), None
    subscriber = country.subscriber(dice.randrange(100))
    # A national number means something only where the country is known: nobody could read the others.
    styles: Sequence[Callable[[Country, str], str]] = (
        (*INTERNATIONAL_STYLES, *NATIONAL_STYLES) if known_region else INTERNATIONAL_STYLES
    )
    return dice.choice(styles)(country, subscriber), f"+{country.calling_code}{subscriber}"


def _grouped(country: Country, subscriber: str, separator: str) -> str:
    parts, start = [], 0
    for size in country.groups:
        parts.append(subscriber[start : start + size])
        start += size
    return separator.join(parts)


NATIONAL_STYLES: tuple[Callable[[Country, str], str], ...] = (
    lambda country, number: country.trunk + number,
    lambda country, number: country.trunk + _grouped(country, number, " "),
    lambda country, number: country.trunk + _grouped(country, number, "-"),
    lambda country, number: country.trunk + _grouped(country, number, "."),
    lambda country, number: " " + country.trunk + _grouped(country, number, "/") + " ",
    lambda country, number: f"({country.trunk}{number[:3]}) {number[3:]}",
)
INTERNATIONAL_STYLES: tuple[Callable[[Country, str], str], ...] = (
    lambda country, number: f"+{country.calling_code}{number}",
    lambda country, number: f"+{country.calling_code} {_grouped(country, number, ' ')}",
    lambda country, number: f"00{country.calling_code}{number}",
    lambda country, number: f"00 {country.calling_code} {_grouped(country, number, '-')}",
    lambda country, number: f"(+{country.calling_code}) {_grouped(country, number, ' ')}",
    lambda country, number: f"+{country.calling_code} {country.trunk and f'({country.trunk})'}{number}",
)


def _currency(dice: random.Random, country: Country, flaw: str | None) -> tuple[str | None, str | None]:
    if flaw == "no_currency":
        return dice.choice((None, "")), None
    if flaw == "odd_currency":
        return dice.choice(ODD_CURRENCIES), None
    messy = dice.choices((str, str.lower, lambda code: f"{code} "), (80, 15, 5))[0]
    return messy(country.currency), country.currency


def _value(dice: random.Random, flaw: str | None) -> tuple[object, float | None]:
    if flaw == "odd_value":
        return dice.choice(ODD_VALUES), None
    meant = dice.choice((None, 0, 250, 500, 1200, 1250.5, 9999.99))
    return meant, meant


def _created_at(dice: random.Random, created: datetime, flaw: str | None) -> tuple[str | None, int | None]:
    if flaw == "bad_created_at":
        return dice.choice(JUNK_TIMES), None
    if dice.random() < 0.05:
        return None, None
    style = dice.choices(("naive", "zone", "date", "epoch"), (80, 10, 5, 5))[0]
    if style == "date":
        created = created.replace(hour=0, minute=0, second=0)
    meant = int(created.timestamp()) * 1000
    cells = {
        "naive": f"{created:%Y-%m-%d %H:%M:%S}",
        "zone": f"{created + timedelta(hours=2):%Y-%m-%dT%H:%M:%S}+02:00",
        "date": f"{created:%Y-%m-%d}",
        "epoch": str(meant),
    }
    return cells[style], meant


def _history(
    dice: random.Random, lead_id: str, flaw: str | None, created: datetime, now: datetime, first_id: int
) -> Iterator[Change]:
    path = _path(dice, flaw)
    moment, previous, id_ = created, None, first_id
    # Events of a lead start up to 60 hours ago: late enough to be dated to the right day.
    start = now - timedelta(hours=dice.uniform(12, 60))
    if flaw == "too_old":
        start = now - timedelta(days=dice.uniform(5, 15))
    if flaw == "in_future":
        start = now + timedelta(hours=dice.uniform(26, 50))
    for stage in path:
        moment = moment if stage in EARLY else max(moment, start)
        moment = (moment + timedelta(minutes=dice.uniform(1, 90))).replace(microsecond=0)
        reason = _lost_reason(dice, flaw) if stage == "Disqualified" else None
        change = Change(id_, lead_id, previous, stage, moment, reason)
        yield change
        id_ += 1
        if dice.random() < 0.05:
            # Saved twice: the same move again a second later, with whatever reason was typed by then.
            again = moment + timedelta(seconds=1)
            yield Change(id_, lead_id, previous, stage, again, reason and "Duplicate")
            id_ += 1
        previous = stage


def _path(dice: random.Random, flaw: str | None) -> tuple[str, ...]:
    if flaw == "unknown_stage":
        return ("New", "Contacted", UNKNOWN_STAGE)
    if flaw in ("too_old", "in_future"):
        return ("New", "MQL")
    paths = [path for path in PATHS if flaw not in LOST or "Disqualified" in path]
    return dice.choices(paths, [PATHS[path] for path in paths])[0]


def _lost_reason(dice: random.Random, flaw: str | None) -> str | None:
    if flaw == "unmapped_reason":
        return dice.choice(UNMAPPED_REASONS)
    if flaw == "no_reason":
        return dice.choice((None, "", " "))
    wanted_none = flaw == "not_lost_at_all"
    return dice.choice([typed for typed, meant in LOST_REASONS.items() if (meant is None) == wanted_none])


def _history_rows(crm: Crm) -> Iterator[tuple[Any, ...]]:
    for lead in crm.leads:
        for change in lead.history:
            changed_at = change.changed_at.astimezone(UTC)
            yield (
                change.id,
                change.lead_id,
                change.from_stage,
                change.to_stage,
                f"{changed_at:%Y-%m-%d %H:%M:%S}",
                change.lost_reason,
            )
