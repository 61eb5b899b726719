"""National numbers of every country, with the country's name in fifteen languages: the right number or none."""

from __future__ import annotations

from collections import Counter

import babel
import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from tests.events.reading import Read, base
from tests.events.test_countries import LANGUAGES


def example(region: str) -> phonenumbers.PhoneNumber:
    mobile = phonenumbers.example_number_for_type(region, PhoneNumberType.MOBILE)
    number = mobile or phonenumbers.example_number(region)
    assert number is not None
    return number


def test_a_national_number_is_read_with_the_name_of_its_country() -> None:
    told: Counter[str] = Counter()
    wrong = []
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        number = example(region)
        national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
        right = phonenumbers.format_number(number, PhoneNumberFormat.E164)
        for language in LANGUAGES:
            user = {"country": babel.Locale(language).territories[region], "phone": national}
            sent = Read(base("lead_qualified", user=user), default_region="RO").body
            assert sent is not None
            e164 = sent["user"].get("phone")
            told["right" if e164 == right else "none" if e164 is None else "wrong"] += 1
            if e164 not in (None, right):
                wrong.append((region, language))
    print(f"national numbers by the country's name in 15 languages: {dict(told)}")  # noqa: T201
    assert wrong == []
    assert told.total() == 15 * len(phonenumbers.SUPPORTED_REGIONS) == 3_675
    assert told["right"] >= 3_600
