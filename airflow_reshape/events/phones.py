"""Phone numbers as CRMs hold them: the right number in E.164, or nobody. A wrong but valid one is another person.

A cell is read in two steps. The grammar takes it apart into a label, a number and an extension, and refuses whatever
else stands there. Then all the readings that the digits can have are compared: as a national number, with the
country code but without the plus, behind an international prefix. Where two of them are numbers, it is nobody's.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import phonenumbers
from phonenumbers import COUNTRY_CODE_TO_REGION_CODE, PhoneMetadata, PhoneNumber

from airflow_reshape.events.rules import broken
from airflow_reshape.events.text import code

NO_PHONE = "must be a phone number"
IMPOSSIBLE_PHONE = "must be a possible phone number (its length does not fit its country)"
AMBIGUOUS_PHONE = "may be two different phone numbers: write it with a plus and the country code"
E164 = re.compile(r"\+[1-9][0-9]{6,14}")


class Phone(NamedTuple):
    """A phone number in E.164.

    :param valid: whether the numbering plan knows it.
    :param cut: whether an extension or a label was taken off.
    """

    e164: str
    valid: bool
    cut: bool


def phone(value: object, region: str | None) -> Phone:
    """One phone number in E.164.

    A number that the numbering plan does not know passes and says so, because plans age faster than libraries; but
    only if it cannot be one that lost digits.

    :param value: text, bytes or a number; whole floats are numbers of columns that hold empty cells too.
    :param region: ISO 3166 two-letter country for a number without one, or None.
    :raises PydanticCustomError: if it is no phone number, a damaged one, or may be two.
    """
    if not isinstance(value, str):
        _refuse_what_lost_digits(value)
    written = code(value)
    if len(written) > LONGEST_CELL:
        raise broken("phone", NO_PHONE)
    if _PLAIN.fullmatch(written):
        return _read((written.replace(" ", ""),), _home(region), cut=False)
    return _read_with_surroundings(written, _home(region))


def _refuse_what_lost_digits(value: object) -> None:
    if isinstance(value, (date, UUID)):
        raise broken("phone", NO_PHONE)
    if isinstance(value, float) and not value.is_integer():
        raise broken("phone", NO_PHONE)
    if isinstance(value, Decimal):
        exponent = value.as_tuple().exponent
        if not isinstance(exponent, int) or exponent > 0 or value != value.to_integral_value():
            raise broken("phone", NO_PHONE)


# ---- The grammar: label, number, extension -------------------------------------------------------------------------

_PLAIN = re.compile(r"\+?[0-9]++(?: [0-9]++)*+")
LONGEST_CELL = 80

# Words before a number, casefolded. A fax is nobody's own, so that it is missing here.
LABELS = (
    # English
    *("phone", "telephone", "mobile", "mob", "cell", "cellphone", "cellular", "number", "num", "no", "call", "sms"),
    *("home", "work", "office", "business", "private", "main", "primary", "direct"),
    # The same in most languages, and services
    *("tel", "telefon", "telefono", "gsm", "nr", "whatsapp", "wa", "viber", "signal", "telegram", "callto"),
    # German, Dutch, Nordic
    *("handy", "mobil", "mobiltelefon", "mobilnummer", "handynummer", "telefonnummer", "rufnummer", "nummer", "privat"),
    *("geschäftlich", "dienstlich", "festnetz", "natel", "fon", "telefoon", "telefoonnummer", "mobiel", "tlf"),
    *("puhelin", "puh", "mobilen", "sími"),
    # Romance
    *("téléphone", "téléphone portable", "portable", "port", "tél", "numéro", "numero", "número", "nº", "cellulare"),
    *("cel", "celular", "móvil", "movil", "teléfono", "telefone", "telemóvel", "tlm", "tfno", "telf", "mobilul"),
    # Eastern Europe, Turkish
    *("telefonszám", "mobiltel", "mobitel", "komórka", "kom", "komórkowy", "cep", "telefonu", "numer", "număr"),
    *("тел", "телефон", "моб", "мобильный", "мобілний", "мобилен", "сот", "номер", "τηλ", "τηλέφωνο", "κιν", "κινητό"),
    # Other scripts, and pictures
    *("هاتف", "جوال", "موبايل", "تلفن", "موبایل", "טלפון", "נייד", "फोन", "मोबाइल", "โทร", "โทรศัพท์"),
    *("电话", "電話", "手机", "手機", "携帯", "携帯電話", "電話番号", "전화", "전화번호", "휴대폰"),
    *("№", "☎", "☏", "✆", "📞", "📱"),
)
LETTERS = "tmpchwo"  # T: 0722…, M: 0722…
# Words between a number and its extension, casefolded.
EXTENSIONS = (
    *("extension", "ext", "extn", "extensión", "extensie", "internal", "poste", "interno", "interior", "int", "intern"),
    *("durchwahl", "dw", "nebenstelle", "nst", "klappe", "kl", "toestel", "tst", "anknytning", "ankn", "lokal", "lok"),
    *("доб", "добавочный", "внутр", "внутренний", "вн", "anexo", "ramal", "wewn", "wewnętrzny", "wew", "klapka"),
    *("linka", "mellék", "dahili", "dah", "εσωτ", "εσωτερικό", "alanumero", "שלוחה", "تحويلة", "داخلی"),
    *("内线", "內線", "内線", "分机", "分機", "내선", "ต่อ"),
)


def _any_of(words: Iterable[str]) -> str:
    return "|".join(map(re.escape, sorted({word.casefold() for word in words}, key=len, reverse=True)))


_SEPARATOR = r"(?: ?[-./] ?| )?"
_DIGITS = rf"[0-9](?:{_SEPARATOR}[0-9])*+"
_BRACKET = rf"\( ?{_DIGITS} ?\)|\[ ?{_DIGITS} ?\]"
# A plus stands before the first digit only. The last that stands there are digits: "(2)" at the end is a remark.
_NUMBER = rf"(?:\( ?\+ ?{_DIGITS} ?\)|(?:\+ ?)?(?:[0-9]|{_BRACKET}))(?:{_SEPARATOR}(?:[0-9]|{_BRACKET}))*(?<=[0-9])"
_LABEL = rf"(?:(?:{_any_of(LABELS)}|[{LETTERS}](?=[.:]))(?:://|\.?[ ]?[-:]?[ ]?)){{0,4}}"
_MARK = rf"(?:{_any_of(EXTENSIONS)})[.:]?[ =]?(?:nr\.? ?|no\.? ?)?"
_EXTENSION = (
    rf"[ ,;\-]{{0,3}}(?:{_MARK}[0-9]{{1,7}}|\({_MARK}[0-9]{{1,7}}\)|;ext=[0-9]{{1,7}})"
    r"|[ ,]{0,2}[x#]\.? ?(?P<behind>[0-9]{1,5})"
)
_CELL = re.compile(rf"(?P<label>{_LABEL})(?P<number>{_NUMBER})(?P<extension>{_EXTENSION})?[.,;]?")
# How spreadsheets keep the zeros of a number: '0722…, ="0722…".
_QUOTED = re.compile(r"=?[\"'](?P<inner>[^\"']*)[\"']?")
# Bare digits and one dot are how a column of floats becomes text.
_FLOAT = re.compile(r"(?P<whole>\+?[0-9]+)\.(?P<decimals>[0-9]{1,2}|0+)")
_DATE = re.compile(r"(?:19|20)[0-9]{2}([-/.])[01][0-9]\1[0-3][0-9]|[0-3][0-9]([-/.])[01][0-9]\2(?:19|20)[0-9]{2}")
_OPTIONAL_ZERO = re.compile(r"[(\[] ?0 ?[)\]]")
_COUNTER = re.compile(r"[(\[]?(?P<digit>[0-9])[)\]]?[ .\-]")
_NO_DIGIT = re.compile(r"[^0-9]+")


def _read_with_surroundings(written: str, home: _Home | None) -> Phone:
    plain = _in_ascii(written).casefold()
    quoted = _QUOTED.fullmatch(plain)
    if quoted:
        plain = quoted["inner"].strip()
    as_float = _FLOAT.fullmatch(plain)
    if as_float:
        if as_float["decimals"].strip("0"):
            raise broken("phone", NO_PHONE)
        return _read((as_float["whole"],), home, cut=False, doubtful=False)
    cell = _CELL.fullmatch(plain)
    if not cell or _DATE.fullmatch(plain):
        raise broken("phone", NO_PHONE)
    number, extension = cell["number"], cell["extension"]
    counter = _COUNTER.match(number) if cell["label"] else None
    if counter and not (home and counter["digit"] in (home.prefix.trunk, home.plan.code)):
        raise broken("phone", NO_PHONE)  # "Tel 2 0171 1234567"
    _refuse_a_second_ending(number, home)
    read = _read(_spellings(number), home, cut=bool(cell["label"] or extension), doubtful=not extension)
    if cell["behind"]:
        _refuse_what_x_may_hide(_spelled(number), cell["behind"], read.e164, home)
    return read


def _in_ascii(text: str) -> str:
    """Digits, signs and full-width letters of all scripts as ASCII has them. Other letters stay."""
    return text if text.isascii() else "".join(map(_ascii, text))


_SIGNS = {
    **dict.fromkeys("\u2212\u30fc\u2043", "-"),
    **dict.fromkeys("\u2044\u2215", "/"),
    **dict.fromkeys("\u00b7\u30fb\u2027\u2024", "."),
    **dict.fromkeys("\u2018\u2019", "'"),
    **dict.fromkeys("\u201c\u201d\u201e", '"'),
    "\ufe62": "+",
}


@lru_cache(maxsize=1024)
def _ascii(character: str) -> str:
    # Superscripts are footnotes: no decimals.
    if character.isdecimal():
        return str(unicodedata.decimal(character))
    if "\uff01" <= character <= "\uff5e":
        return chr(ord(character) - 0xFEE0)
    if unicodedata.category(character) == "Pd":
        return "-"
    return _SIGNS.get(character, character)


def _spelled(number: str) -> str:
    """The bare digits, with the plus if there is one."""
    plus = "+" if "+" in number else ""
    return plus + _NO_DIGIT.sub("", number)


def _spellings(number: str) -> tuple[str, ...]:
    """The digits, and for the (0) of ``+44 (0)20`` the digits without it too: Italy keeps it, others do not."""
    zero = _OPTIONAL_ZERO.search(number)
    if not zero or zero.start() == 0:
        return (_spelled(number),)
    return _spelled(number), _spelled(number[: zero.start()] + number[zero.end() :])


def _refuse_a_second_ending(number: str, home: _Home | None) -> None:
    """``123456/57`` names two numbers, ``0171/1234567`` and ``0721/123/456`` one."""
    before, slash, behind = number.rpartition("/")
    if not slash:
        return
    short = "/" not in before and len(_NO_DIGIT.sub("", behind)) <= 3
    if short or any(each.is_valid() for each in _readings(_spelled(before), home)):
        raise broken("phone_several", "must be one phone number")


def _refuse_what_x_may_hide(before: str, behind: str, e164: str, home: _Home | None) -> None:
    """x and # stand before extensions, and in the place of digits: ``0722 12345x 78``. And between two numbers."""
    filled = (each for digit in "0123456789" for each in _readings(before + digit + behind, home))
    own = next(_international(e164[1:])).plan
    if any(each.is_possible() for each in filled) or own.known.fullmatch(behind):
        raise broken("phone", NO_PHONE)


# ---- The readings of bare digits -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Prefix:
    """What is dialled before a national number, and how the rest is changed without it.

    :param trunk: the plain prefix, or nothing: ``0``.
    :param parsing: what libphonenumber takes off, with the codes of carriers.
    """

    trunk: str
    parsing: re.Pattern[str] | None
    transform: str | None

    def without(self, national: str) -> str | None:
        """The number without the prefix, None if it has none."""
        found = self.parsing.match(national) if self.parsing else None
        if not found or not found.end():
            return None
        kept = found[found.re.groups] if self.transform else None
        if not self.transform or kept is None:
            return national[found.end() :]
        if kept == found[0]:
            return None  # a local number, before which an area code would have to be invented
        return found.expand(self.transform) + national[found.end() :]


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """The numbering plan of a country code, with all countries that share it.

    :param known: what a national number looks like; wider than the valid ones, and cheap.
    :param lengths: how many digits one may have.
    """

    code: str
    known: re.Pattern[str]
    lengths: frozenset[int]
    prefix: _Prefix


@dataclass(frozen=True, slots=True, eq=False)
class _Home:
    """The country that a number without a country code is of."""

    plan: _Plan
    prefix: _Prefix
    international: re.Pattern[str]


def _prefix(metadata: PhoneMetadata) -> _Prefix:
    parsing = metadata.national_prefix_for_parsing
    return _Prefix(
        metadata.national_prefix or "",
        re.compile(parsing) if parsing else None,
        metadata.national_prefix_transform_rule,
    )


@lru_cache(maxsize=2048)  # there are 1110 texts of up to three digits
def _plan(country_code: str) -> _Plan | None:
    regions = COUNTRY_CODE_TO_REGION_CODE.get(int(country_code))
    if not regions:
        return None
    # Typed loosely: the stubs take every part of the metadata for optional.
    sharing: list[Any] = [
        PhoneMetadata.metadata_for_region_or_calling_code(int(country_code), region) for region in regions
    ]
    patterns = dict.fromkeys(f"(?:{each.general_desc.national_number_pattern})" for each in sharing)
    lengths = frozenset(length for each in sharing for length in each.general_desc.possible_length)
    return _Plan(country_code, re.compile("|".join(patterns)), lengths, _prefix(sharing[0]))


@lru_cache(maxsize=512)
def _home(region: str | None) -> _Home | None:
    metadata: Any = PhoneMetadata.metadata_for_region(region.upper(), None) if region else None
    plan = _plan(str(metadata.country_code)) if metadata else None
    if not plan:
        return None
    return _Home(plan, _prefix(metadata), re.compile(metadata.international_prefix or "00"))


class _Reading(NamedTuple):
    """One meaning that digits can have.

    :param clean: whether there was no trunk prefix where none belongs, as in ``+40 0722…``.
    """

    plan: _Plan
    national: str
    clean: bool = True

    @property
    def e164(self) -> str:
        return f"+{self.plan.code}{self.national}"

    def is_possible(self) -> bool:
        """Whether its length fits."""
        return len(self.national) in self.plan.lengths

    def is_known(self) -> bool:
        """Whether it looks like a number of its plan. Cheap."""
        return self.plan.known.fullmatch(self.national) is not None

    def is_valid(self) -> bool:
        """Whether the plan knows it."""
        if not self.is_known():
            return False
        zeros = len(self.national) - len(self.national.lstrip("0"))
        number = PhoneNumber(
            country_code=int(self.plan.code),
            national_number=int(self.national),
            italian_leading_zero=zeros > 0 or None,
            number_of_leading_zeros=zeros if zeros > 1 else None,
        )
        return bool(phonenumbers.is_valid_number(number)) and E164.fullmatch(self.e164) is not None


def _readings(digits: str, home: _Home | None) -> Iterator[_Reading]:
    """All that the digits can mean.

    :param digits: with a plus before them, or bare.
    """
    if digits[0] == "+":
        # No country code begins with 0. Two zeros are an international prefix once more.
        yield from _international(digits[3:] if digits.startswith("+00") else digits[1:])
        return
    if digits.startswith("00"):
        yield from _international(digits[2:])
    if not home:
        return
    yield _Reading(home.plan, digits)
    rest = home.prefix.without(digits)
    if rest:
        yield _Reading(home.plan, rest)
    if digits.startswith(home.plan.code):
        yield from _international(digits)
    for end in range(1, len(digits)):
        if digits[end] != "0" and home.international.fullmatch(digits, 0, end):
            yield from _international(digits[end:])


def _international(digits: str) -> Iterator[_Reading]:
    if digits.startswith("0"):
        return
    for length in (1, 2, 3):
        plan = _plan(digits[:length]) if len(digits) > length else None
        if plan:
            national = digits[length:]
            yield _Reading(plan, national)
            rest = plan.prefix.without(national)
            if rest:
                yield _Reading(plan, rest, clean=False)
            return


def _read(spellings: tuple[str, ...], home: _Home | None, *, cut: bool, doubtful: bool = True) -> Phone:
    """The one number that the digits mean.

    :param spellings: the digits, in every way in which they may be meant.
    :param doubtful: whether it may be a number that its plan does not know.
    """
    if not home and spellings[0][0] != "+" and not spellings[0].startswith("00"):
        raise broken(
            "phone_region",
            "has no country code, and the lead no country that is known: map user.country, or set default_region "
            "for leads without one",
        )
    readings = [each for digits in spellings for each in _readings(digits, home)]
    for clean in (True, False):
        valid = {each.e164 for each in readings if each.clean is clean and each.is_valid()}
        if len(valid) > 1 and not (home and _mobile_among(valid, spellings[0], home)):
            raise broken("phone_ambiguous", AMBIGUOUS_PHONE)
        if valid:
            return Phone(min(valid, key=len), True, cut)
    if doubtful and len(spellings) == 1:
        unknown = {each.e164 for each in readings if _may_be_new(each, spellings[0], home)}
        if len(unknown) == 1:
            return Phone(unknown.pop(), False, cut)
    raise broken("phone_possible", IMPOSSIBLE_PHONE)


def _mobile_among(numbers: set[str], digits: str, home: _Home) -> bool:
    """Whether the shorter of two numbers is a mobile with its country code, the other a landline as long as none is.

    In columns of integers, ``491711234567`` is a German mobile. The plan lets it be one of 0491 with nine digits too.
    """
    mobile, landline = f"+{digits}", f"+{home.plan.code}{digits}"
    return (
        numbers == {mobile, landline}
        and phonenumbers.number_type(phonenumbers.parse(mobile)) == phonenumbers.PhoneNumberType.MOBILE
        and phonenumbers.number_type(phonenumbers.parse(landline)) == phonenumbers.PhoneNumberType.FIXED_LINE
    )


LOST = 3  # digits that a number may have lost at its end


def _may_be_new(reading: _Reading, digits: str, home: _Home | None) -> bool:
    """Whether a number that its plan does not know is of a range younger than the library, and not a damaged one."""
    plan, national = reading.plan, reading.national
    length = len(national)
    if not (reading.clean and reading.is_possible() and E164.fullmatch(reading.e164)):
        return False
    if plan.lengths.intersection(range(length + 1, length + 1 + LOST)):
        return False
    if plan.prefix.trunk and national.startswith(plan.prefix.trunk):
        return False
    if digits[0] != "+" and (national[0] == "0" or any(each.is_valid() for each in _readings("+" + digits, None))):
        return False  # a number of another country, which only lacks its plus
    if _is_two(national, plan) or not _reads_as_itself(reading.e164):
        return False
    return not any(_is_short_of_one(each, home, reading.e164) for each in {digits, reading.e164})


def _is_short_of_one(digits: str, home: _Home | None, e164: str) -> bool:
    """Whether one digit more makes another number that a plan knows.

    Behind a plus, only the country code is looked at: for the rest, the length has been.
    """
    places = range(1, 5) if digits[0] == "+" else range(len(digits) + 1)
    longer = (digits[:at] + lost + digits[at:] for at in places for lost in "0123456789")
    return any(
        each.clean and each.e164 != e164 and (digits[0] == "+" or (home and each.plan is home.plan)) and each.is_valid()
        for more in longer
        for each in _readings(more, home)
    )


def _is_two(national: str, plan: _Plan) -> bool:
    """Whether it may be two short numbers in a row, as small islands have them."""
    return any(
        plan.known.fullmatch(national, 0, at) and plan.known.fullmatch(national, at) for at in range(1, len(national))
    )


def _reads_as_itself(e164: str) -> bool:
    """Whether a reader takes no digit for a trunk prefix: +40 0 0… would be another number to the next one."""
    try:
        again = phonenumbers.parse(e164)
    except phonenumbers.NumberParseException:
        return False
    return bool(phonenumbers.format_number(again, phonenumbers.PhoneNumberFormat.E164) == e164)


# ---- Several numbers in one cell -----------------------------------------------------------------------------------

# A comma or semicolon before an extension does not end a number.
_BETWEEN = re.compile(
    rf"[\n\r\v\f\x85\u2028\u2029|，；،、]|[;,](?!\s*(?:{_any_of(EXTENSIONS)}|[x#])[\s.:=]*\d)", re.IGNORECASE
)
_DIALLED = re.compile(r"[+\d]")


def split_phones(text: str) -> list[str]:
    """The phone numbers in one cell; blank text holds none.

    They are separated by ``;``, ``,``, ``|``, a line break, or a slash between two whole numbers.

    :param text: as the CRM holds it, with its line breaks.
    """
    parts: list[str] = []
    for piece in _BETWEEN.split(text):
        first, *others = piece.split("/")
        together, dialled = [first], _dialled(first)[:LONGEST_CELL]
        for other in others:
            behind = _dialled(other)
            if _are_two_numbers(dialled, behind):
                parts.append("/".join(together))
                together, dialled = [other], behind[:LONGEST_CELL]
            else:
                together.append(other)
                dialled = (dialled + behind)[:LONGEST_CELL]
        parts.append("/".join(together))
    return [part.strip() for part in parts if part.strip()]


def _are_two_numbers(before: str, behind: str) -> bool:
    """Whether a slash stands between two whole numbers. One after an area code does not: ``+49 6221/123456``."""
    if len(behind.lstrip("+")) < 7:
        return False
    if behind.startswith(("+", "0")):
        return len(before.lstrip("+")) >= 7
    # A country code and an area code have up to eight digits, behind an international prefix ten.
    return len(before.lstrip("+")) >= (11 if before.startswith(("+", "00")) else 9)


def _dialled(text: str) -> str:
    return "".join(_DIALLED.findall(_in_ascii(text)))
