"""The words that the made-up CRM uses: stages, lost reasons, countries and their phone numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

# Stage of the CRM -> event that it makes, or None.
STAGES: dict[str, str | None] = {
    "New": None,
    "Contacted": None,
    "MQL": "lead_qualified",
    "SQL": "lead_qualified",
    "Disqualified": "lead_disqualified",
}
# A stage that somebody added to the CRM without telling anybody.
UNKNOWN_STAGE = "Nurture 2019"

# What salespeople typed as the lost reason -> what it means; None: not a lost lead at all, do not send.
LOST_REASONS: dict[str, str | None] = {
    "Too small": "out_of_icp",
    "too small ": "out_of_icp",
    "Not our ICP": "out_of_icp",
    "wrong industry": "out_of_icp",
    "No budget": "no_budget",
    "no budget!!": "no_budget",
    "Budget frozen": "no_budget",
    "nu are buget": "no_budget",
    "Not the decision maker": "no_authority",
    "needs approval from HQ": "no_authority",
    "Next year maybe": "no_timing",
    "BAD TIMING": "no_timing",
    "Duplicate": "duplicate",
    "dupe": "duplicate",
    "Wrong number": "invalid_contact",
    "e-mail bounced": "invalid_contact",
    "Went with competitor": "competitor",
    "competitor ": "competitor",
    "Merged": None,
    "Test lead": None,
}
# Reasons that nobody has mapped yet.
UNMAPPED_REASONS = ("???", "see call notes", "asked to call back, never did")


class Country(NamedTuple):
    """A country as the CRM writes it, and its phone numbers.

    :param names: spellings that stand for the country in any tool.
    :param own_name: what its people call it; few tools know it.
    :param calling_code: digits after the plus sign.
    :param trunk: digit before a national number, not part of the international one.
    :param subscriber: a made-up subscriber number for a number from 0 to 99.
    :param groups: how people split the subscriber number.
    """

    code: str
    names: tuple[str, ...]
    own_name: str
    calling_code: str
    trunk: str
    subscriber: Callable[[int], str]
    groups: tuple[int, ...]
    cities: tuple[str, ...]
    currency: str


# The British, French, German and US numbers lie in ranges kept free for films and books. Romania and Italy
# keep none: theirs are of the right length, with a block of zeros. An Italian number keeps its zero abroad.
COUNTRIES: tuple[Country, ...] = (
    Country(
        "RO",
        ("Romania", "RO", "ro", "ROU"),
        "România",
        "40",
        "0",
        lambda n: f"7210000{n:02d}",
        (3, 3, 3),
        ("București", "Cluj-Napoca", "Iași"),
        "RON",
    ),
    Country(
        "DE",
        ("Germany", "DE", "de", "DEU"),
        "Deutschland",
        "49",
        "0",
        lambda n: f"17139200{n:02d}",
        (3, 4, 3),
        ("Berlin", "Köln", "München"),
        "EUR",
    ),
    Country(
        "FR",
        ("France", "FR", "fr"),
        "La France",
        "33",
        "0",
        lambda n: f"1990000{n:02d}",
        (1, 2, 2, 2, 2),
        ("Paris", "Orléans"),
        "EUR",
    ),
    Country(
        "GB",
        ("United Kingdom", "GB", "UK", "gb"),
        "Great Britain",
        "44",
        "0",
        lambda n: f"20794600{n:02d}",
        (2, 4, 4),
        ("London", "Stoke-on-Trent"),
        "GBP",
    ),
    Country(
        "US",
        ("United States", "US", "USA", "us"),
        "the States",
        "1",
        "",
        lambda n: f"20255501{n:02d}",
        (3, 3, 4),
        ("New York", "Coeur d'Alene"),
        "USD",
    ),
    Country(
        "IT",
        ("Italy", "IT", "it", "ITA"),
        "Italia",
        "39",
        "",
        lambda n: f"0600000{100 + n}",
        (2, 8),
        ("Roma", "Forlì"),
        "EUR",
    ),
)

FIRST_NAMES = (
    "Ana", "Ștefan", "Zoë", "Jürgen", "Chloé", "Siobhán", "Mary-Jane", "José", "Björn", "Ioana", "李", "Luca",
    "{{ ds }}", "Dana 🦊", "Małgorzata", "Nguyễn",
)  # fmt: skip
LAST_NAMES = (
    "Popescu", "O'Brien", "Müller", "D'Angelo", "van der Berg", "Țîrlea", "Smith", "García-López", "Ødegård",
    "{{ conn.reshape_default.password }}", "Null", "N'Diaye", "Robert'); DROP TABLE leads;--", "Lefèvre",
    "Ng",
)  # fmt: skip
COMPANIES = (
    "Acme & Sons",
    "Größe GmbH",
    '"Quoted" Ltd',
    "Șoseaua SRL",
    "L'Atelier",
    "Example Corp",
    "100% Pur SAS",
)
