"""Phone numbers of every country, whole and damaged: the right one or nobody, never another."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from functools import cache
from itertools import combinations
from typing import Any, NamedTuple
from uuid import UUID

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata, PhoneNumberFormat, PhoneNumberType
from pydantic_core import PydanticCustomError

from airflow_reshape.events.phones import E164, EXTENSIONS, LABELS, phone, split_phones

FIXED = settings(derandomize=True, database=None, deadline=None, print_blob=True)
REGIONS = sorted(phonenumbers.SUPPORTED_REGIONS)


class Example(NamedTuple):
    """A number that libphonenumber gives as an example, in the ways to write it."""

    region: str
    e164: str
    international: str
    national: str
    rfc3966: str
    significant: str
    with_trunk: str
    code: str


def _example(region: str, kind: int) -> Example | None:
    number = phonenumbers.example_number_for_type(region, kind)
    if number is None:
        return None
    written = {each: phonenumbers.format_number(number, each) for each in range(4)}
    national = written[PhoneNumberFormat.NATIONAL]
    return Example(
        region,
        written[PhoneNumberFormat.E164],
        written[PhoneNumberFormat.INTERNATIONAL],
        national,
        written[PhoneNumberFormat.RFC3966],
        phonenumbers.national_significant_number(number),
        re.sub(r"\D", "", national),
        str(number.country_code),
    )


EXAMPLES = [
    example
    for region in REGIONS
    for kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)
    if (example := _example(region, kind))
]


# ---- Ways to write and to damage a number --------------------------------------------------------------------------


def unmutated(of: Example) -> Iterator[str]:
    yield from (of.e164, of.international, of.national, of.rfc3966, of.significant)


def of_a_float_column(of: Example) -> Iterator[str]:
    for digits in (of.significant, of.with_trunk, of.e164[1:]):
        yield from (digits + ".0", digits + ".00")


def without_its_plus(of: Example) -> Iterator[str]:
    yield from (of.e164[1:], of.international[1:])


def one_digit_missing(of: Example) -> Iterator[str]:
    for written in (of.national, of.international, of.e164, of.significant):
        for at, character in enumerate(written):
            if character.isdigit():
                yield written[:at] + written[at + 1 :]


REMARKS = (
    *(" (Ana)", " Ana", "Ana", " - Ana Pop", ", Ana", " / Ana", " after 18h", " (after 5)", " x", " #", " e", " ext"),
    *(" (2)", " [1]", "?", " \ufffd", " 🙂", " fax", "!", "&", " @work", " мама", "мама", " (Мария)", " 妈妈"),
    *(
        "（田中）",
        " أحمد",
        " Ελένη",
        " דנה",
        " O'Neil",
        " mit 2 Kindern",
        " o. 2",
        " и 2",
        " p2",
        " w2",
        " a",
        "l",
        "O",
    ),
)


def with_a_remark(of: Example) -> Iterator[str]:
    for written in (of.international, of.national):
        yield from (written + remark for remark in REMARKS)
        yield from (f"Ana {written}", f"мама {written}", f"Fax: {written}", f"fax {written}", f"Tel/Fax: {written}")


def masked(of: Example, mask: str) -> Iterator[str]:
    for written in (of.national, of.e164, of.significant):
        places = [at for at, character in enumerate(written) if character.isdigit()]
        runs = [places[start : start + length] for length in (1, 2, 3) for start in range(len(places))]
        pairs = [list(pair) for pair in combinations(places, 2)] if written == of.national else []
        for hidden in runs + pairs:
            yield "".join(mask if at in hidden else character for at, character in enumerate(written))


def behind_its_international_prefix(of: Example) -> Iterator[str]:
    metadata: Any = PhoneMetadata.metadata_for_region(of.region, None)
    preferred = (metadata.preferred_international_prefix or "").replace("~", "")
    for prefix in dict.fromkeys([preferred, *_all_that_match(metadata.international_prefix)]):
        if prefix:
            yield from (prefix + of.e164[1:], f"{prefix} {of.international[1:]}")


@cache
def _all_that_match(pattern: str) -> tuple[str, ...]:
    """All texts that a pattern of libphonenumber's international prefixes can mean."""
    position = 0

    def choices() -> list[str]:
        nonlocal position
        found, current = [], [""]
        while position < len(pattern) and pattern[position] != ")":
            if pattern[position] == "|":
                found += current
                current = [""]
                position += 1
                continue
            options = one()
            if pattern[position : position + 1] == "?":
                options = ["", *options]
                position += 1
            current = [left + right for left in current for right in options]
        return found + current

    def one() -> list[str]:
        nonlocal position
        if pattern.startswith("(?:", position):
            position += 3
            inner = choices()
            position += 1
            return inner
        single = re.compile(r"\[[^]]*\]|\\d|\d").match(pattern, position)
        assert single, pattern
        position = single.end()
        return [digit for digit in "0123456789" if re.fullmatch(single[0], digit)]

    texts = choices()
    assert all(re.fullmatch(pattern, each) for each in texts)
    return tuple(texts)


def with_a_kept_zero(of: Example) -> Iterator[str]:
    code, rest = of.code, of.international.partition(" ")[2] or of.significant
    for kept in ("(0)", " (0) ", " [ 0 ]"):
        yield from (f"+{code}{kept}{rest}", f"00{code}{kept}{rest}", f"{code}{kept}{rest}")


EXTENDED = (
    *(
        " ext. 12",
        "ext12",
        " Extension 12",
        ";ext=12",
        ", ext. 12",
        " - ext. 12",
        " (ext. 12)",
        " ext 1",
        " ext 1234567",
    ),
    *(" x12", "x12", " X 12", "#12", " # 12", " x1", "#1", "x12345", "p12", ",12", ",,12", ";12", " ｅｘｔ．１２"),
    *(" poste 12", " int. 12", " interno 12", " Durchwahl 12", " anexo 12", " доб. 12", " 内线12"),
)


def with_an_extension(of: Example) -> Iterator[str]:
    for written in (of.international, of.national):
        yield from (written + extension for extension in EXTENDED)


BEFORE = (
    *("tel:", "Tel. ", "TEL: ", "callto:", "tel://", "T: ", "M:", "m. ", "Mobile phone: ", "Tel. mobil: ", "Handy - "),
    *("тел. ", "手机：", "WhatsApp ", "☎ ", "Nr. tel.: ", "'"),
)


def with_a_label(of: Example) -> Iterator[str]:
    for written in (of.international, of.national):
        yield from (label + written for label in BEFORE)


def glued(of: Example) -> Iterator[str]:
    neighbour = OTHERS[of.region]
    for between in ("", " ", "-", "/", "x", "#"):
        for first, second in ((of, neighbour), (neighbour, of), (of, of)):
            yield first.e164 + between + second.e164
            yield first.e164 + between + second.with_trunk
            yield first.e164[1:] + between + second.e164[1:]
            yield first.national + between + second.national
            yield first.significant + between + second.significant


def in_other_characters(of: Example) -> Iterator[str]:
    for written in (of.international, of.national):
        yield from (written.replace(" ", blank) for blank in "\u00a0\u2007\u202f\u3000\t\n")
        yield from (
            written.replace("-", dash).replace(" ", dash) for dash in "-\u2010\u2011\u2012\u2013\u2014\u2212\uff0d."
        )
        yield from (
            "".join(chr(ord(zero) + int(each)) if each.isdigit() else each for each in written)
            for zero in "\uff10\u0660\u06f0\u0966"
        )
        yield "\u202a" + written.replace(" ", " \u200b") + "\u202c"
        yield written.replace("+", "\uff0b").replace("(", "\uff08").replace(")", "\uff09")
        yield f" {written} "


def with_a_second_ending(of: Example) -> Iterator[str]:
    for written in (of.international, of.national, of.e164, of.significant):
        yield from (written + tail for tail in ("/57", " / 57", "/5", "/578", "/5789", "\uff0f57"))


def one_digit_missing_and_no_plus(of: Example) -> Iterator[str]:
    yield from (of.e164[1:at] + of.e164[at + 1 :] for at in range(1, len(of.e164)))


def truncated(of: Example) -> Iterator[str]:
    for written in (of.national, of.international, of.significant):
        yield from (written[:-lost] for lost in (2, 3))


MUTATIONS: dict[str, Callable[[Example], Iterator[str]]] = {
    "unmutated": unmutated,
    "without its plus": without_its_plus,
    "as text with .0": of_a_float_column,
    "one digit missing": one_digit_missing,
    "one digit and the plus missing": one_digit_missing_and_no_plus,
    "two or three missing at the end": truncated,
    "a name or remark": with_a_remark,
    **{f"masked with {mask}": lambda of, mask=mask: masked(of, mask) for mask in "*Xx#"},  # type: ignore[misc]
    "its international prefix": behind_its_international_prefix,
    "kept (0)": with_a_kept_zero,
    "an extension": with_an_extension,
    "a label before": with_a_label,
    "two glued": glued,
    "other blanks, dashes, digits": in_other_characters,
    "a tail such as /57": with_a_second_ending,
}
DIGITS_MISSING = ("one digit missing", "one digit and the plus missing", "two or three missing at the end")
OTHERS = {each.region: each for each in EXAMPLES}  # the last of a region: its landline


def read(written: Any, region: str | None) -> str | None:
    try:
        return phone(written, region).e164
    except PydanticCustomError:
        return None


def is_another_number(e164: str, written: str, region: str) -> bool:
    """Whether the digits that are left are a whole number of their own, as libphonenumber sees it: nobody can tell."""
    for digits in (written, "+" + written):
        try:
            parsed = phonenumbers.parse(digits, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(parsed) and e164 == phonenumbers.format_number(parsed, PhoneNumberFormat.E164):
            return True
    return False


def lenient(written: str, region: str) -> str | None:
    """The reader before this one: all that libphonenumber finds in a text and takes for possible."""
    try:
        parsed = phonenumbers.parse("+" + written[2:] if written.startswith("00") else written, region)
    except phonenumbers.NumberParseException:
        return None
    e164 = str(phonenumbers.format_number(parsed, PhoneNumberFormat.E164))
    return e164 if phonenumbers.is_possible_number(parsed) else None


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_right_number_or_nobody(name: str) -> None:
    figures: Counter[str] = Counter()
    wrong = []
    for of in EXAMPLES:
        for written in MUTATIONS[name](of):
            e164 = read(written, of.region)
            outcome = "nobody" if e164 is None else "right" if e164 == of.e164 else "wrong"
            if e164 and outcome == "wrong" and name in DIGITS_MISSING and is_another_number(e164, written, of.region):
                outcome = "left out"
            figures[outcome] += 1
            if outcome == "wrong":
                wrong.append((of.region, written, e164))
    _show(name, figures)
    assert wrong == []


def _show(name: str, figures: Counter[str]) -> None:
    told = "  ".join(f"{outcome} {figures[outcome]:6}" for outcome in ("right", "nobody", "wrong", "left out"))
    sys.stdout.write(f"{name:36} {told} ({figures['left out'] / figures.total():.1%})\n")


def test_whole_numbers_are_read_as_often_as_leniently() -> None:
    # Counted and not written down: the examples change with each release of libphonenumber.
    right = sum(read(written, of.region) == of.e164 for of in EXAMPLES for written in unmutated(of))
    before = sum(lenient(written, of.region) == of.e164 for of in EXAMPLES for written in unmutated(of))
    sys.stdout.write(f"whole numbers read right: {right}, leniently {before}, of {5 * len(EXAMPLES)}\n")
    assert right >= before > 4 * len(EXAMPLES)


def test_00_means_the_same_abroad_or_nothing() -> None:
    abroad = {}  # one country for each way to dial
    for region in REGIONS:
        metadata: Any = PhoneMetadata.metadata_for_region(region, None)
        abroad[metadata.international_prefix] = region
    figures: Counter[str] = Counter()
    for of in EXAMPLES:
        for region in abroad.values():
            e164 = read("00" + of.e164[1:], region)
            figures["nobody" if e164 is None else "right" if e164 == of.e164 else "wrong"] += 1
    _show("00 and country code, abroad", figures)
    assert figures["wrong"] == 0
    assert figures["right"] > 0.98 * figures.total()


# ---- From real life ------------------------------------------------------------------------------------------------

# as written, country of the lead, E.164 or None
WRITTEN = [
    ("1711234567.0", "DE", "+491711234567"),
    ("43664123456.0", "AT", "+43664123456"),
    ("43664123456.00", "AT", "+43664123456"),
    ("1711234567.5", "DE", None),
    ("491711234567", "DE", "+491711234567"),  # a mobile, not nine digits in Leer
    ("4930901820", "DE", "+4930901820"),
    ("468123456", "SE", None),  # Stockholm with its country code, or Lund without its zero
    ("0171 1234567 (Ana)", "DE", None),
    ("0171/1234567", "DE", "+491711234567"),
    ("040 123456/57", "DE", None),
    ("040 123456 / 7", "DE", None),
    ("030 901820-12", "DE", "+493090182012"),  # direct dialling belongs to the number
    ("030 901820 Durchwahl 12", "DE", "+4930901820"),
    ("030 901820 x12", "DE", None),  # with a digit hidden it would be as long as others
    ("030 901820 (12)", "DE", None),
    ("Tel.: +49 (0)171 1234567", None, "+491711234567"),
    ("+49 (0) 171 / 1234567", None, "+491711234567"),
    ("Handy 0171-1234567", "DE", "+491711234567"),
    ("Fax 030 901820", "DE", None),
    ("0171 12345 67 oder 68", "DE", None),
    ("+40721eeasd0", "RO", None),
    ("+40 0722 123 456", None, "+40722123456"),
    ("+0040 722 123 456", None, "+40722123456"),
    ("(+40) 722 123 456", None, "+40722123456"),
    ("(0040)722123456", None, "+40722123456"),
    ("+0722 123 456", "RO", None),
    ("Tel. mobil: 0722/123.456", "RO", "+40722123456"),
    ("0722/123/456", "RO", "+40722123456"),
    ("0722123456/78", "RO", None),
    ("0722.123.456,", "RO", "+40722123456"),
    ("'0722123456", "RO", "+40722123456"),
    ('="0722123456"', "RO", "+40722123456"),
    ("0722 123 45x", "RO", None),
    ("0722 *** 456", "RO", None),
    ("07 123456X8", "RO", None),
    ("0722123456 0733123456", "RO", None),
    ("+40722123456+40733123456", "RO", None),
    ("40+722123456", "RO", None),
    ("1 (+40) 722 123 456", "RO", None),
    ("+(40) 722 123 456", None, "+40722123456"),
    ("0722123456 int. 12", "RO", "+40722123456"),
    ("0722 123 4\ufffd6", "RO", None),
    ("7.22123456E+8", "RO", None),
    ("1.7E+10", "DE", None),
    ("0722 123 456\u00b9", "RO", None),  # a footnote
    ("2024-01-15", "DK", None),
    ("20 24 01 15", "DK", "+4520240115"),
    ("061234567", "FR", None),
    ("06.12.34.56.78", "FR", "+33612345678"),
    ("06 12 34 56 78 poste 12", "FR", "+33612345678"),
    ("+33 (0)6 12 34 56 78", "RO", "+33612345678"),
    ("+39 (0)6 6982", None, "+39066982"),  # Italy keeps it
    ("+39 (0)312 345 6789", None, None),  # a mobile, or Milan
    ("312 345 6789", "IT", "+393123456789"),
    ("(+44)(0)20 7946 0958", None, "+442079460958"),
    ("+44(0)2079460958 ext. 34", None, "+442079460958"),
    ("tel:+44-20-7946-0958;ext=34", None, "+442079460958"),
    ("callto:+442079460958", None, "+442079460958"),
    ("(212) 555-0142 x12", "US", "+12125550142"),
    ("212-555-0142 #12", "US", "+12125550142"),
    ("1 800 FLOWERS", "US", None),
    ("1-800-MICROSOFT", "US", None),
    ("011 40 722 123 456", "US", "+40722123456"),
    ("0722123456", "US", None),
    ("555-0142", "US", None),
    ("250-1234", "BB", None),  # no area code is added
    ("+10000000000", None, "+10000000000"),
    ("009 40 722 123 456", "CO", "+40722123456"),
    ("0094 722 123 456", "CO", None),  # Norway behind the prefix 009, or Sri Lanka behind 00
    ("0011 40 722 123 456", "AU", "+40722123456"),
    ("0040 722 123 456", "AU", "+40722123456"),
    ("8~10 40 722 123 456", "RU", None),
    ("810 40 722 123 456", "RU", "+40722123456"),
    ("8 (495) 123-45-67 доб. 123", "RU", "+74951234567"),
    ("моб. 8-912-345-67-89", "RU", "+79123456789"),
    ("011 15-2345-6789", "AR", "+5491123456789"),
    ("+54 9 11 2345-6789", None, "+5491123456789"),
    ("0 15 11 96123-4567", "BR", "+5511961234567"),  # with the code of a carrier
    ("（０９０）１２３４−５６７８", "JP", "+819012345678"),
    ("手机：138 0013 8000", "CN", "+8613800138000"),
    ("٠١٠٠ ١٢٣ ٤٥٦٧", "EG", "+201001234567"),
    ("0821234567", "RO", "+40821234567"),  # possible, though no range that is known
    ("082123456", "RO", None),
    ("722123", "RO", None),
    ("44 7400 123456", "RO", None),  # of another country
    ("0722 123 456", "XX", None),
    ("", "RO", None),
    ("+", "RO", None),
    ("0" * 200, "RO", None),
]


@pytest.mark.parametrize(("written", "region", "e164"), WRITTEN)
def test_numbers_of_real_life(written: str, region: str | None, e164: str | None) -> None:
    assert read(written, region) == e164


VALUES = [
    (722123456, "+40722123456"),
    (722123456.0, "+40722123456"),
    (Decimal("722123456.00"), "+40722123456"),
    (Decimal(40722123456), "+40722123456"),
    (b"0722 123 456", "+40722123456"),
    (722123456.5, None),
    (Decimal("722123456.5"), None),
    (Decimal("7.22123E+8"), None),
    (Decimal("NaN"), None),
    (float("inf"), None),
    (-722123456, None),
    (date(2024, 1, 15), None),
    (UUID(int=722123456), None),
    (True, None),
    (None, None),
]


@pytest.mark.parametrize(("value", "e164"), VALUES)
def test_numbers_as_drivers_return_them(value: Any, e164: str | None) -> None:
    assert read(value, "RO") == e164


@pytest.mark.parametrize(
    ("written", "cut", "valid"),
    [
        ("0722 123 456", False, True),
        ("(0722) 123-456", False, True),
        ("0722 123 456 ext. 12", True, True),
        ("tel: 0722 123 456", True, True),
        ("tel: +1 000 000 0000", True, False),
    ],
)
def test_what_was_taken_off_is_told(written: str, cut: bool, valid: bool) -> None:
    read = phone(written, "RO")
    assert (read.cut, read.valid) == (cut, valid)


@pytest.mark.parametrize(
    ("written", "region", "rule"),
    [
        ("0722 123 456", None, "phone_region"),
        ("tel. 0722 123 456", None, "phone_region"),
        ("none", None, "phone"),
        ("0722 123", "RO", "phone_possible"),
        ("0094 722 123 456", "CO", "phone_ambiguous"),
        ("040 123456/57", "DE", "phone_several"),
    ],
)
def test_the_broken_rule_is_told(written: str, region: str | None, rule: str) -> None:
    with pytest.raises(PydanticCustomError) as error:
        phone(written, region)
    assert error.value.type == rule
    assert not re.search(r"\d", error.value.message())


ALPHABET = st.sampled_from(
    [*"0123456789+-./()[] x#*;,'=\"", "\u0660", "\uff15", "\u00a0", "\u2013", *LABELS, *EXTENSIONS]
)
NUMBERS = st.builds(
    lambda example, form, before, behind: before + form(example) + behind,
    st.sampled_from(EXAMPLES),
    st.sampled_from(
        [lambda of: of.e164, lambda of: of.national, lambda of: of.international, lambda of: of.significant]
    ),
    st.lists(ALPHABET, max_size=2).map("".join),
    st.lists(ALPHABET, max_size=4).map("".join),
)


@settings(FIXED, max_examples=500)
@given(st.lists(ALPHABET, max_size=20).map("".join) | NUMBERS | st.text(), st.sampled_from([None, *REGIONS]))
def test_nothing_is_invented(written: str, region: str | None) -> None:
    try:
        e164 = phone(written, region).e164
    except PydanticCustomError:
        return
    assert E164.fullmatch(e164)
    given = "".join(str(unicodedata.decimal(each)) for each in written if each.isdecimal())
    code = str(phonenumbers.parse(e164).country_code)
    national = e164[1 + len(code) :]
    if code == "54" and national not in given:  # Argentina's mobiles: 011 15 1234 5678 is +54 9 11 1234 5678
        digits = iter(given)
        assert national[0] == "9"
        assert all(digit in digits for digit in national[1:])
        return
    assert national in given


SEVERAL = [
    ("0722123456", ["0722123456"]),
    ("0722123456; 0733123456", ["0722123456", "0733123456"]),
    ("0722123456, 0733123456", ["0722123456", "0733123456"]),
    ("0722123456|0733123456", ["0722123456", "0733123456"]),
    ("0722123456\r\n0733123456\n", ["0722123456", "0733123456"]),
    ("0722123456 / 0733123456", ["0722123456", "0733123456"]),
    ("0722123456/0733123456/0744123456", ["0722123456", "0733123456", "0744123456"]),
    ("+40722123456/+40733123456", ["+40722123456", "+40733123456"]),
    ("Tel: 0722 123 456 / Mob: 0733 123 456", ["Tel: 0722 123 456", "Mob: 0733 123 456"]),
    ("(212) 555-0142 / (212) 555-0143", ["(212) 555-0142", "(212) 555-0143"]),
    ("0171/1234567", ["0171/1234567"]),
    ("0171 / 1234567", ["0171 / 1234567"]),
    ("+49 6221/1234567", ["+49 6221/1234567"]),
    ("0049 33203/1234567", ["0049 33203/1234567"]),
    ("0171/1234567; 0172/1234567", ["0171/1234567", "0172/1234567"]),
    ("040 123456/57", ["040 123456/57"]),
    ("0722/123/456", ["0722/123/456"]),
    ("tel:+40722123456;ext=12", ["tel:+40722123456;ext=12"]),
    ("0722123456, ext. 12", ["0722123456, ext. 12"]),
    ("0722123456, ext. 12; 0733123456", ["0722123456, ext. 12", "0733123456"]),
    ("callto://+40722123456", ["callto://+40722123456"]),
    (" ; ,\n", []),
]


@pytest.mark.parametrize(("text", "numbers"), SEVERAL)
def test_several_numbers_in_one_cell(text: str, numbers: list[str]) -> None:
    assert split_phones(text) == numbers
