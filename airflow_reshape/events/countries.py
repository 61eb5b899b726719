"""Which country a CRM means by a code or a name: the right one or none, never another one.

A national phone number that is read in the wrong country is somebody else's. So a name that two countries share means
none, and a remark that says something else than the name makes it none.
"""

from __future__ import annotations

import gettext
import pickle
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

import phonenumbers
import pycountry
from babel.localedata import locale_identifiers, resolve_locale_filename
from pydantic_core import PydanticCustomError

from airflow_reshape.events.cleaning import clean_code
from airflow_reshape.events.json_values import opened
from airflow_reshape.events.rules import broken
from airflow_reshape.events.text import decoded, encodable, is_placeholder

# Names in daily use that not every version of CLDR and ISO has in the language they are of, divided by "|".
_ALIASES = {
    "AE": "UAE|EAU|VAE|الإمارات",
    "AL": "Shqipëria",
    "BA": "Bosnia|Bosnien|Bosnie|Bosna",
    "BL": "St. Barth|St. Barts",
    "BQ": "Bonaire, Saint Eustatius and Saba",
    "BY": "Byelorussia|Belorussia|Белоруссия|Беларусія",
    "CC": "Cocos Islands",
    "CD": "DR Congo|RD Congo|DRC|RDC|Zaire",
    "CG": "Congo-Brazza",
    "CH": "Die Schweiz|La Suisse|Confoederatio Helvetica",
    "CI": "Ivory Coast|Cote d Ivoire|Elfenbeinküste|Elfenbeinkueste|Берег Слоновой Кости",
    "CN": "中华人民共和国|PRC|PR China|Mainland China",
    "CV": "Cape Verde",
    "CZ": "Czech Republic|Tsjechische Republiek|チェコ共和国",
    "DE": "BRD|Deutchland",
    "DO": "República Dominicana",
    "FK": "Falklands|Malvinas",
    "FO": "Faeroe Islands",
    "FR": "Metropolitan France|France métropolitaine",
    "GB": "UK|Britain|Great Britain|England|Scotland|Wales|Northern Ireland|Marea Britanie|Anglia|Scoția|Țara Galilor"
    "|Irlanda de Nord|Regatul Unit al Marii Britanii|Großbritannien|Schottland|Nordirland|Grande-Bretagne|Angleterre"
    "|Écosse|Pays de Galles|Irlande du Nord|Gran Bretaña|Inglaterra|Escocia|Gales|Irlanda del Norte|Gran Bretagna"
    "|Inghilterra|Scozia|Galles|Irlanda del Nord|Grã-Bretanha|Escócia|País de Gales|Irlanda do Norte|Szkocja|Walia"
    "|Zjednoczone Królestwo|Nagy-Britannia|Nagybritannia|Skócia|Groot-Brittannië|Engeland|Schotland|İngiltere"
    "|Büyük Britanya|Velká Británie|Veľká Británia|Anglie|Engleska|Englanti|Англия|Шотландия|Μεγάλη Βρετανία|Αγγλία"
    "|بريطانيا|إنجلترا",
    "GE": "Republic of Georgia",
    "GR": "Ελλάς",
    "HK": "Hong Kong, China",
    "HU": "Magyar Köztársaság",
    "IE": "Republic of Ireland|Southern Ireland",
    "KH": "Kampuchea",
    "KN": "St. Kitts",
    "KP": "N. Korea|DPRK",
    "KR": "S. Korea|大韓民国|한국",
    "LA": "Lao PDR",
    "LK": "Ceylon",
    "LY": "Libyan Arab Jamahiriya",
    "MD": "R. Moldova",
    "MF": "St. Martin (French)",
    "MK": "Macedonia|FYROM|ARYM|FYR Macedonia|Republic of Macedonia|The former Yugoslav Republic of Macedonia"
    "|Mazedonien|Macédoine|Macedónia|Macedonië|Makedonija|Makedonya|Македонија|Македония",
    "MM": "Burma|Birmania|Бирма",
    "MO": "Macao, China|Macau, China|Macau SAR",
    "MX": "Méjico",
    "NL": "Holland|Hollande|Голландия|Die Niederlande",
    "PS": "Palestine|Palestinian Territory|Palestinian Territory, Occupied|Palestinian Authority|West Bank and Gaza",
    "RE": "Reunion Island",
    "RU": "Russia|Federación de Rusia|Federazione Russa|РФ",
    "SA": "KSA",
    "ST": "Sao Tome",
    "SX": "St. Maarten",
    "SZ": "Swaziland",
    "TL": "East Timor",
    "TR": "Turkey|Republic of Turkey",
    "TW": "Taiwan, China|Taiwan, ROC|Taiwan, Republic of China|Chinese Taipei",
    "US": "US|USA|US of A|EEUU|EE.UU.|SUA|EUA|VS|ABD|Förenta staterna|САЩ|ΗΠΑ|アメリカ|الولايات المتحدة الأمريكية"
    "|Estados Unidos de Norteamérica",
    "VA": "Holy See|Vatican City State",
    "VC": "St. Vincent",
    "VE": "Venezuela, RB",
    "VG": "BVI|Virgin Islands (UK)",
    "VI": "USVI|Virgin Islands (USA)",
    "WF": "Wallis & Futuna Islands",
    "WS": "Western Samoa",
    "XK": "Kosovo|Republic of Kosovo",
    "ZA": "RSA|S. Africa|ЮАР",
}
# Names that countries share. With a remark that tells them apart, as in "Congo (CD)", they mean one.
_SHARED = {
    "congo": "CD CG",
    "guyane": "GF GY",  # French for French Guiana, and the name of Guyana in other languages
    "kongo": "CD CG",
    "korea": "KP KR",
    "virgin islands": "VG VI",
}
# What ISO leaves to the user, and what proxies write where they know no country.
_NO_CODES = frozenset(("XX", "ZZ", "T1", "A1", "A2"))
# Codes beside those of ISO 3166: of the EU, and of the World Bank for Kosovo.
_MORE_CODES = {"EL": "GR", "UK": "GB", "XKX": "XK"}
# Vietnamese names (Austria, Belgium, the USA, Russia) that are also codes of other countries. Written as names are,
# nobody knows which of both is meant; "NGA" and "nga" are codes.
_NAMES_LIKE_CODES = {"Ao": "AO AT", "Bi": "BE BI", "My": "MY US", "Nga": "NG RU"}
# Parts of the world that some languages call as others call a country: "America" is not the USA.
_CONTINENTS = frozenset(("003", "019", "021", "419"))
# Mistakes in pycountry's translations: "Slovak" for Iran, "home" for Laos, "North Caledonia", "South Korea" for North.
_MISTRANSLATED = frozenset(("Slovenčina", "Domov", "צפון קלדוניה", "দক্ষিন কোৰিয়া"))

# Languages whose translations of official names were looked through. In others, some are those of another country.
_OFFICIAL = frozenset(
    (
        *("bg", "cs", "da", "de", "el", "es", "fi", "fr", "hr", "hu", "it", "nb_NO", "nl", "pl", "pt", "ro", "ru"),
        *("sl", "sr", "sr@latin", "sv", "tr", "uk"),
    )
)
_KINDS = ("official_name", "name", "common_name")

_PLAIN = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "ŧ": "t", "ŋ": "n"}
    | {"ı": "i", "ə": "e", "ة": "ه", "ى": "ي", "ی": "ي", "ک": "ك"}  # the Arabic ones: typed as one letter
)
_LETTERS: dict[int, str | None] = {
    **_PLAIN,
    # Marks of Latin, Greek and Cyrillic, Hebrew and Arabic. In other scripts they are parts of letters.
    **dict.fromkeys((*range(0x300, 0x370), *range(0x591, 0x5C8), *range(0x64B, 0x660), 0x670, ord("ـ"))),
    **dict.fromkeys(map(ord, ".'’‘`ʼʻʹ׳״\u200c\u200d")),
    **dict.fromkeys((*map(ord, '"!#$%&()*+,-/:;<=>?@[\\]^_{|}~«»„“”·・、،־'), *range(0x2010, 0x2016)), " "),
}
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"})
_NOISE = frozenset(("and", "the", "of"))
# "And" in other languages. Some are codes as well, so only between words: "Mexico (ES)" is not Mexico.
_AND = frozenset(("und", "et", "y", "e", "i", "si", "es", "og", "och", "en", "ve", "и"))
_SHORT = {"st": "saint", "rep": "republic", "dem": "democratic"}
_DOT_BETWEEN_WORDS = re.compile(r"(?<=\w\w)\.(?=\w)")  # St.Lucia, but not U.S.A.
_BLANK_BETWEEN_LETTERS = re.compile(r"(?<=\b\w)\.\s(?=\w\.)")  # U. S. A.
_REMARK = re.compile(r"[()\[\]{}<>|/;:,–—]|\s-\s|\s(?=\+)")
_DIAL_CODE = re.compile(r"\+(\d{1,3})")
_FLAG = re.compile("([\U0001f1e6-\U0001f1ff]{2})")
# The letters of flags. And the acute accent that stands for an apostrophe, which NFKC would part the word by.
_FLAG_LETTERS = {0x1F1E6 + number: chr(ord("A") + number) for number in range(26)}
_BEFOREHAND = _FLAG_LETTERS | {ord("´"): "'"}
# Keys of mappings that hold a country, lower-cased and without what divides words; a code says more than a name.
_KEYS = (
    *("code", "iso", "iso2", "isocode", "isocode2", "alpha2", "alpha2code", "countrycode"),
    *("iso3", "isocode3", "alpha3", "alpha3code"),
    *("name", "countryname", "displayname", "country", "label", "value"),
)
_DIVIDERS = str.maketrans("", "", "_- ")


def country_in(value: object) -> str | None:
    """The text of a country out of the shapes that CRMs give, or None if no country is given.

    :param value: text or bytes; a list of one text; Odoo's ``[57, "Germany"]``; a mapping with a code or a name; a list
        or mapping as JSON text. None, Odoo's ``False`` and placeholders such as ``N/A`` are no country.
    :raises PydanticCustomError: if it is anything else, or bytes that are no text.
    """
    found = _found_in(opened(value))
    if found is not None and not any(map(str.isalpha, found)):  # a foreign key or a dial code, nobody knows
        raise _shape()
    return found


def _found_in(value: object) -> str | None:
    if isinstance(value, Mapping):
        return _in_mapping(value)
    if isinstance(value, (list, tuple)):
        if len(value) == 2 and isinstance(value[0], int) and not isinstance(value[0], bool):
            return _text_in(value[1])
        if len(value) != 1:
            raise _shape()
        return _text_in(value[0])
    return _text_in(value)


def _in_mapping(value: Mapping[object, object]) -> str | None:
    given = {key.lower().translate(_DIVIDERS): each for key, each in value.items() if isinstance(key, str)}
    held = [given[key] for key in _KEYS if key in given]
    # Numbers are foreign keys, which a name beside them explains.
    texts = [_text_in(each) for each in held if each is None or each is False or isinstance(each, (str, bytes))]
    if not texts:
        raise _shape()
    telling = [text for text in texts if text]
    return next((text for text in telling if any(map(str.isalpha, text))), telling[0] if telling else None)


def _text_in(value: object) -> str | None:
    if value is None or value is False:
        return None
    if isinstance(value, bytes):
        value = decoded(value)
    if not isinstance(value, str):
        raise _shape()
    text = encodable(clean_code(value).translate(_FLAG_LETTERS))
    return None if not text or is_placeholder(text) or text.upper() in _NO_CODES else text


def _shape() -> PydanticCustomError:
    return broken("country_shape", "must be a country's name or code")


LONGEST_COUNTRY = 200
"""Of a name with a remark. What is longer is none, and is not remembered either."""


def region_of(country: str) -> str | None:
    """The two-letter code under which phone numbers know a country, or None if it is not known or not certain.

    :param country: ISO 3166 code, or a name in any language of CLDR, cleaned: ``RO``, ``rou``, ``Rumänien``.
    """
    return _region_of(country) if len(country) <= LONGEST_COUNTRY else None


@lru_cache(maxsize=1024)
def _region_of(country: str) -> str | None:
    text = unicodedata.normalize("NFKC", _FLAG.sub(r" (\1) ", country).translate(_BEFOREHAND)).strip()
    if len(text) == 1 and text.isascii():
        return None  # a column of Y and N has slipped
    meant = _meant(text) or _agreed(_REMARK.split(text))
    region = next(iter(meant), None)
    return region if len(meant) == 1 and region in phonenumbers.SUPPORTED_REGIONS else None


def _meant(text: str) -> frozenset[str]:
    """The countries that a code or name may mean."""
    if not any(map(str.isalpha, text)):  # a foreign key or a dial code, nobody knows
        return frozenset()
    found = _NAMES_LIKE_CODES.get(text) or (_codes().get(text.upper()) if text.isascii() else None)
    if not found:
        key = _key(text)
        found = _english().get(key) or ("" if _is_code(key, text) else _all_languages().get(key, ""))
    return frozenset(found.split())


def _is_code(key: str, text: str) -> bool:
    """Whether a key is a code with something around it: "(MY)" is no Vietnamese "Mỹ"."""
    return key.upper() in _codes() and all(letter.isascii() for letter in text if letter.isalpha())


def _agreed(parts: Iterable[str]) -> frozenset[str]:
    """The countries that all parts may mean, as "Germany" and "DE" in "Germany (DE)"."""
    meant: frozenset[str] | None = None
    named = False
    for part in filter(None, map(str.strip, parts)):
        if dial_code := _DIAL_CODE.fullmatch(part):
            also = frozenset(phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(int(dial_code[1]), ()))
        else:
            also, named = _meant(part), True
        meant = also if meant is None else meant & also
    return meant if meant and named else frozenset()


def _key(name: str) -> str:
    """What all spellings of a name have in common: its words without accents and little words, sorted."""
    if "." in name:
        name = _BLANK_BETWEEN_LETTERS.sub("", _DOT_BETWEEN_WORDS.sub(" ", name))
    words = unicodedata.normalize("NFKD", name.casefold()).translate(_LETTERS).split()
    if len(words) == 1:
        return words[0]
    last = len(words) - 1
    kept = [
        _SHORT.get(word, word)
        for at, word in enumerate(words)
        if word not in _NOISE and (word not in _AND or at in (0, last))
    ]
    return " ".join(sorted(kept or words))


@lru_cache(maxsize=1)
def _codes() -> dict[str, str]:
    codes = {region: region for region in phonenumbers.SUPPORTED_REGIONS}
    for country in pycountry.countries:
        codes[country.alpha_2] = codes[country.alpha_3] = country.alpha_2
    return codes | _MORE_CODES


def _iso_names(kind: str) -> Iterator[tuple[str, str]]:
    """Code and English name of every country of ISO 3166 that has such a name."""
    for country in pycountry.countries:
        if name := getattr(country, kind, None):
            yield country.alpha_2, name


def _cldr_names(language: str) -> Iterator[tuple[str, str]]:
    """Code and name of every territory in a language of CLDR.

    Babel's ``Locale`` and ``localedata.load`` would keep the whole data of every language (dates, currencies …) in
    memory for good, more than 100 MB. So the one file is read and let go.
    """
    data = pickle.loads(Path(resolve_locale_filename(language)).read_bytes())  # noqa: S301 – the package's own
    for code, name in data.get("territories", {}).items():
        if not code.isdigit() or code in _CONTINENTS:
            yield code, name


@lru_cache(maxsize=1)
def _english() -> dict[str, str]:
    """Codes by key of English names and aliases. They are plain, whatever they mean in other languages."""
    names = {_key(name): code for kind in _KINDS for code, name in _iso_names(kind)}
    names |= {_key(name): code for code, name in _cldr_names("en")}
    names |= {_key(name): code for code, listed in _ALIASES.items() for name in listed.split("|")}
    return names | _SHARED


@lru_cache(maxsize=1)
def _all_languages() -> dict[str, str]:
    """Codes by key of names in all languages, several where countries share one. Takes a second or two, once."""
    names: dict[str, str] = {}
    for language in locale_identifiers():
        _add(names, _cldr_names(language))
    _add(names, ((code, name.translate(_UMLAUTS)) for code, name in _cldr_names("de")))
    _add(names, _translated_names())
    return names


def _translated_names() -> Iterator[tuple[str, str]]:
    """Code and name of the countries of ISO 3166 in the languages of pycountry.

    CLDR has one name for a country in a language, these are others: 香港, Statele Unite, Česká republika.
    """
    english = [(code, name, kind) for kind in _KINDS for code, name in _iso_names(kind)]
    for file in Path(pycountry.LOCALES_DIR).glob("*/LC_MESSAGES/iso3166-1.mo"):
        with file.open("rb") as catalog:
            translated = gettext.GNUTranslations(catalog).gettext
        official = file.parent.parent.name in _OFFICIAL
        for code, name, kind in english:
            other = translated(name)
            if other == name or other in _MISTRANSLATED or (kind == "official_name" and not official):
                continue
            yield code, other
            if name == "Congo" and " " not in other:  # to ISO it is one of both, in every script
                yield "CD", other


def _add(names: dict[str, str], listed: Iterable[tuple[str, str]]) -> None:
    for code, name in listed:
        key = _key(name)
        known = names.get(key)
        if known is None:
            names[key] = code
        elif known != code and code not in known.split():
            names[key] = f"{known} {code}"
