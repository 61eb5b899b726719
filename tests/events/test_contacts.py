"""E-mail addresses and phone numbers as people and CRMs write them."""

from __future__ import annotations

from typing import Any

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from airflow_reshape.events.cleaning import clean_code
from airflow_reshape.events.contacts import email
from airflow_reshape.events.phones import phone
from airflow_reshape.sandbox.formats import is_email, is_phone
from tests.events.reading import Read, base, user_field

FIXED = settings(derandomize=True, database=None, deadline=None, print_blob=True)

# country as in the row, number as in the row, E.164
NATIONAL = [
    ("Romania", "0722 123 456", "+40722123456"),
    ("România", "0722.123.456", "+40722123456"),
    ("RO", "(021) 312-34-56", "+40213123456"),
    ("ROU", "722123456", "+40722123456"),
    ("rou", "0722/123.456", "+40722123456"),
    ("Moldova", "068 123 456", "+37368123456"),
    ("Germany", "030 901820", "+4930901820"),
    ("Deutschland", "0171 1234567", "+491711234567"),
    ("Österreich", "0664 1234567", "+436641234567"),
    ("United Kingdom", "020 7946 0958", "+442079460958"),
    ("UK", "07400 123456", "+447400123456"),
    ("England", "(0)7400 123456", "+447400123456"),
    ("France", "06 12 34 56 78", "+33612345678"),
    ("Italia", "06 6982", "+39066982"),
    ("Italy", "312 345 6789", "+393123456789"),
    ("Espana", "612 34 56 78", "+34612345678"),
    ("España", "612 34 56 78", "+34612345678"),
    ("Hungary", "06 20 123 4567", "+36201234567"),
    ("United States", "(212) 555-0142", "+12125550142"),
    ("USA", "1-212-555-0142", "+12125550142"),
    ("US", "212.555.0142 ext. 12", "+12125550142"),
    ("Canada", "416 555 0142", "+14165550142"),
    ("Türkiye", "0501 234 56 78", "+905012345678"),
    ("Turkey", "0501 234 56 78", "+905012345678"),
    ("Russia", "8 (912) 345-67-89", "+79123456789"),
    ("Poland", "512 345 678", "+48512345678"),
    ("Kosovo", "043 201 234", "+38343201234"),
    ("XK", "043 201 234", "+38343201234"),
    ("Argentina", "011 15-2345-6789", "+5491123456789"),
    ("Brazil", "(11) 96123-4567", "+5511961234567"),
    ("Japan", "090-1234-5678", "+819012345678"),
    ("India", "081234 56789", "+918123456789"),
    ("Australia", "0412 345 678", "+61412345678"),
    ("Elbonia", "0722 123 456", None),
]
# national and complete numbers need no country, or not the row's
ANYWHERE = [
    ("+40722123456", "+40722123456"),
    ("+40 (0)722 123 456", "+40722123456"),
    ("0040 722 123 456", "+40722123456"),
    (" +44 (0) 20 7946 0958 ", "+442079460958"),
    ("+1 (212) 555-0142", "+12125550142"),
    ("tel:+40-722-123-456", "+40722123456"),
    ("+40722123456", "+40722123456"),
    ("+10000000000", "+10000000000"),
]


@pytest.mark.parametrize(("country", "number", "e164"), NATIONAL)
def test_national_numbers_are_read_with_the_country_of_the_lead(country: str, number: str, e164: str | None) -> None:
    outcome = Read(base("lead_qualified", user={"country": country, "phone": number}))
    assert outcome.body is not None
    assert outcome.body["user"] == {"country": country} | ({"phone": e164} if e164 else {})
    assert outcome.fields == ([] if e164 else ["user.phone"])
    assert outcome.doubtful == ()


@pytest.mark.parametrize(("number", "e164"), ANYWHERE)
@pytest.mark.parametrize("region", [None, "RO", "US"])
@pytest.mark.parametrize("country", [None, "Romania", "Germany", "somewhere", "Antarctica"])
def test_complete_numbers_mean_the_same_everywhere(
    number: str, e164: str, region: str | None, country: str | None
) -> None:
    outcome = Read(base("lead_qualified", user={"country": country, "phone": number}), default_region=region)
    assert outcome.body is not None
    assert outcome.body["user"]["phone"] == e164


@pytest.mark.parametrize("value", ["0722 123 456", "722123456", 722123456, 722123456.0, 40722123456, b"0722123456"])
def test_the_default_region_is_for_leads_without_a_known_country(value: Any) -> None:
    assert user_field("phone", value, default_region="RO") == "+40722123456"
    assert user_field("phone", value) is None


def test_the_leads_country_wins_over_the_default_region() -> None:
    outcome = Read(base("lead_qualified", user={"country": "DE", "phone": "0171 1234567"}), default_region="RO")
    assert outcome.body is not None
    assert outcome.body["user"]["phone"] == "+491711234567"


@pytest.mark.parametrize("country", ["642", 642, "40", "+40", [57], {"id": 57}])
def test_a_number_is_no_country(country: Any) -> None:
    """It may be ISO's number of Romania, or a key of the CRM, or a dial code."""
    outcome = Read(
        base("lead_qualified", user={"id": 1, "country": country, "phone": "0722 123 456"}), default_region="RO"
    )
    assert outcome.body is not None
    assert outcome.body["user"] == {"id": "1"}
    assert outcome.fields == ["user.phone", "user.country"]


def test_what_is_missing_is_told() -> None:
    outcome = Read(base("lead_qualified", user={"phone": "0722 123 456"}))
    assert outcome.problems == {
        "user.phone": "has no country code, and the lead no country that is known: map user.country, or set "
        "default_region for leads without one"
    }


IMPOSSIBLE = [
    "+1555987654",  # S1's own, a digit short
    "+4079876543",
    "+40",
    "+",
    "12",
    "0722",
    "+40722123456789",
    "+4912345678901234567",  # longer than E.164 allows
    "+49115",  # shorter than a number that can be dialled from elsewhere
    "+4400289267211",  # the next reader would take a zero away
    "0722123456 0733123456",
    "+40722123456+40733123456",
    "none",
    "call me",
    "ana@example.com",
    "+999123456789",
    True,
    [[]],
    {"mobile": "0722123456"},
    float("nan"),
    "٠٧٢٢",
]


@pytest.mark.parametrize("value", IMPOSSIBLE)
def test_a_number_that_cannot_be_is_left_out(value: Any) -> None:
    outcome = Read(base("lead_qualified", user={"id": 1, "phone": value}), default_region="RO")
    assert outcome.body is not None
    assert outcome.body["user"] == {"id": "1"}
    assert outcome.fields == ["user.phone"]


def test_a_possible_number_outside_the_numbering_plan_is_sent_and_told() -> None:
    outcome = Read(base("lead_qualified", user={"phone": "+10000000000"}))
    assert outcome.body is not None
    assert outcome.body["user"]["phone"] == "+10000000000"
    assert (outcome.fields, outcome.doubtful) == ([], ("user.phone",))


@settings(FIXED, max_examples=500)
@given(
    st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)),
    st.from_regex(r"\A(\+|00)?[0-9]{3,16}\Z") | st.from_regex(r"\A0{1,3}[0-9]{4,12}\Z"),
)
def test_a_number_that_is_written_reads_as_itself(region: str, number: str) -> None:
    try:
        once = phone(number, region)
    except PydanticCustomError:
        return
    assert phone(once.e164, None) == once
    assert phone(once.e164, "RO" if region != "RO" else "US") == once
    assert is_phone(once.e164)


EMAILS = [
    ("ana@example.com", "ana@example.com"),
    ("  ANA.Pop+crm@Example.COM\n", "ana.pop+crm@example.com"),
    ("o'neil_99-x@sub.example.co.uk", "o'neil_99-x@sub.example.co.uk"),
    ("ștefan@exämple.ro", "ștefan@exämple.ro"),
    ("a@xn--exmple-cua.com", "a@xn--exmple-cua.com"),
    ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    (b"ana@example.com", "ana@example.com"),
    ('["ana@example.com", "ana@example.com"]', ["ana@example.com"]),
    (("ana@example.com",), ["ana@example.com"]),
    ("Ana <ana@example.com>", "ana@example.com"),
    ('"Pop, Ana" <ana@example.com>', "ana@example.com"),
    ("Pop, Ana <ana@example.com>", "ana@example.com"),
    ("ana@example.com; ion@example.com", ["ana@example.com", "ion@example.com"]),
    ("ana@example.com,ion@example.com", ["ana@example.com", "ion@example.com"]),
    ("ana@example.com ion@example.com", ["ana@example.com", "ion@example.com"]),
    ("ana@example.com\nion@example.com", ["ana@example.com", "ion@example.com"]),
    ("Ana <ana@example.com>; ion@example.com", ["ana@example.com", "ion@example.com"]),
    ("mailto:ana@example.com?subject=x", "ana@example.com"),
    ("MAILTO:ana%40example.com", "ana@example.com"),
    ("\u200bana\x00@exa\u00admple.com", "ana@example.com"),
    ({"value": "ana@example.com"}, "ana@example.com"),
    (
        [{"value": "ion@example.com", "primary": False}, {"value": "ana@example.com", "primary": True}],
        ["ana@example.com", "ion@example.com"],
    ),
    ('[{"label": "work", "value": "ana@example.com", "primary": true}]', ["ana@example.com"]),
]
NO_EMAILS = [
    "ana",
    "ana@",
    "@example.com",
    "ana@example",
    "ana@@example.com",
    "ana@ex ample.com",
    "ana pop@example.com",
    "ana@example..com",
    "ana@.example.com",
    "ana@example.com.",
    "ana@-example.com",
    "ana@exa_mple.com",
    "ana@127.0.0.1",
    "ana@[127.0.0.1]",
    "ana@example.c0m-",
    "ana@example.1",
    "ana@example.²",
    ".ana@example.com",
    "ana.@example.com",
    "a..b@example.com",
    "a" * 65 + "@example.com",
    "ana@" + "a" * 64 + ".com",
    "ana@" + "example." * 40 + "com",
    "ana\\@example.com",
    "ana\ufffd@example.com",
    "ana@example.com.invalid",
    "ana@localhost",
    "a" * 63,
    '["ana@"]',
    "[",
    5,
    True,
    b"\xff",
    [[]],
    {"score": "ana@example.com"},
]


@pytest.mark.parametrize(("given", "written"), EMAILS)
def test_e_mail_addresses(given: Any, written: Any) -> None:
    assert user_field("email", given) == written


@pytest.mark.parametrize("given", NO_EMAILS)
def test_what_is_no_e_mail_address(given: Any) -> None:
    outcome = Read(base("lead_qualified", user={"id": 1, "email": given}))
    assert outcome.body is not None
    assert outcome.body["user"] == {"id": "1"}
    assert outcome.fields == ["user.email"]


@settings(FIXED, max_examples=300)
@given(st.emails() | st.from_regex(r"[^@ ]{1,6}@[^@ ]{1,8}\.[^@ ]{1,4}"))
def test_every_address_that_is_written_is_one_for_the_sandbox_too(address: str) -> None:
    try:
        written = email(address)
    except PydanticCustomError:
        return
    assert is_email(written)
    assert email(written) == written
    assert written == clean_code(address).lower()
