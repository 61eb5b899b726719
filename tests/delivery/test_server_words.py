"""A server quotes persons in ways that no list foresees: the log tells a digest, kept rows the words."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import unicodedata
from collections.abc import Callable
from urllib.parse import quote

import pytest

from airflow_reshape.delivery.privacy import HIDDEN_KEY, free_key_hidden, masked
from airflow_reshape.delivery.report import report
from airflow_reshape.delivery.server_words import WORDS, digest, told
from tests.delivery.leads import lead, send
from tests.delivery.servers import Reply, scripted

pytestmark = pytest.mark.timeout(30)

FIRST, LAST, STREET = "Ștefăniță", "O'Brien-Crăciunescu", "Bulevardul Mărăști"
EMAIL, PHONE = "stefi.obrien@markermail.example", "+40722987654"
PERSON = {
    "user.first_name": FIRST,
    "user.last_name": LAST,
    "user.street": f"{STREET} 41",
    "user.email": EMAIL,
    "user.phone": PHONE,
}


def plain(text: str) -> str:
    return "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))


def hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


SPELLINGS: dict[str, Callable[[], str]] = {
    "as it is": lambda: f"{FIRST} {LAST}",
    "capitals": LAST.upper,
    "SQL": lambda: LAST.replace("'", "''"),
    "backslash": lambda: LAST.replace("'", "\\'"),
    "typographic": lambda: LAST.replace("'", "’"),
    "cut": lambda: LAST[:5],
    "cut within": lambda: STREET[:14],
    "its end": lambda: LAST[-7:],
    "one word of a name": lambda: "Crăciunescu",
    "one word of a street": lambda: "Mărăști",
    "number of a house": lambda: "no. 41",
    "local part": lambda: EMAIL.partition("@")[0],
    "part of the local part": lambda: "obrien",
    "domain": lambda: EMAIL.partition("@")[2],
    "(at)": lambda: EMAIL.replace("@", "(at)"),
    "at and dot": lambda: EMAIL.replace("@", " at ").replace(".", " dot "),
    "without diacritics": lambda: plain(FIRST),
    "other diacritics": lambda: FIRST.replace("Ș", "Ş").replace("ț", "ţ"),
    "page": lambda: "".join(c if c.isascii() else f"&#{ord(c)};" for c in FIRST),
    "page, hexadecimal": lambda: "".join(c if c.isascii() else f"&#x{ord(c):x};" for c in FIRST),
    "page, by name": lambda: html.escape(LAST),
    "mojibake": lambda: FIRST.encode().decode("latin-1"),
    "mojibake twice": lambda: FIRST.encode().decode("latin-1").encode().decode("latin-1"),
    "question marks": lambda: FIRST.encode("ascii", "replace").decode(),
    "joined": lambda: FIRST + LAST,
    "joined with an underscore": f"{plain(FIRST)}_{plain(LAST)}".lower,
    "the other way round": lambda: f"{LAST}, {FIRST}",
    "initials": lambda: "S. O. C.",
    "backwards": lambda: LAST[::-1],
    "decomposed": lambda: unicodedata.normalize("NFD", FIRST),
    "JSON": lambda: json.dumps(FIRST),
    "JSON in JSON": lambda: json.dumps(json.dumps(FIRST)),
    "URL": lambda: quote(FIRST),
    "URL twice": lambda: quote(quote(FIRST)),
    "Base64": lambda: base64.b64encode(EMAIL.encode()).decode(),
    "spaced": lambda: " ".join(LAST),
    "phone with blanks": lambda: "+40 722 987 654",
    "national phone": lambda: "0722987654",
    "end of a phone": lambda: "…7654",
    "hash of the e-mail": lambda: hashed(EMAIL),
    "hash of the phone": lambda: hashed(PHONE.removeprefix("+")),
    "hash of the name": lambda: hashed(plain(FIRST).lower()),
    "short hash": lambda: hashlib.md5(EMAIL.encode()).hexdigest(),
    "somebody else": lambda: "Ruxandra Marker",
}


@pytest.mark.parametrize("how", SPELLINGS)
def test_no_spelling_of_a_person_is_told(how: str) -> None:
    quoted = SPELLINGS[how]()
    body = json.dumps({"result": "error", "detail": [f"the name {quoted} is not valid"]})
    with scripted(Reply(422, body.encode())) as server:
        sent = send(server.url, [lead(1, **PERSON)])
    outcome = sent.tally.at(1)
    assert outcome.detail
    told_of = report(sent.tally, environment="prod", validate_only=False, seconds=1).splitlines()
    (line,) = [line for line in told_of if line.startswith("  row 1 ")]
    assert line == f"  row 1 of the source rejected: 422 refused by the server: detail {digest(outcome.detail)}"
    shown = "\n".join(told_of) + json.dumps(sent.tally.summary(), ensure_ascii=False)
    assert quoted not in shown
    assert "is not valid" not in shown


@pytest.mark.parametrize(
    "how",
    [
        "as it is",
        "SQL",
        "backslash",
        "(at)",
        "without diacritics",
        "page",
        "joined",
        "JSON in JSON",
        "URL twice",
        "cut",
        "one word of a street",
        "hash of the e-mail",
        "short hash",
        "local part",
        "decomposed",
        "Base64",
        "other diacritics",
    ],
)
def test_kept_rows_hold_the_words_with_these_masked(how: str) -> None:
    quoted = SPELLINGS[how]()
    body = json.dumps({"detail": f"the name {quoted} is not valid"})
    with scripted(Reply(422, body.encode())) as server:
        sent = send(server.url, [lead(1, **PERSON)])
    detail = str(sent.tally.at(1).detail)
    assert detail.startswith("the name ")
    assert detail.endswith(" is not valid")
    letters = plain(detail).lower()
    for word in ("stefanita", "brien", "craciunescu", "marasti", "stefi", "markermail", "722987", hashed(EMAIL)[:12]):
        assert word not in letters


@pytest.mark.parametrize(
    "said",
    ["event.currency is required", "user.email must be one string", "no such lead", "body: is not well-formed JSON"],
)
def test_words_that_are_nobodys_are_told(said: str) -> None:
    assert told(said) == said


@pytest.mark.parametrize("said", ["lead 7", "the name Ana", "a@b", "…", "event.currency" * 30, "\u0301", "\ud800"])
def test_others_are_told_by_their_digest(said: str) -> None:
    assert told(said) == f"detail {digest(said)}"


def test_no_first_name_is_among_the_words() -> None:
    names = {
        "ana",
        "will",
        "mark",
        "may",
        "bill",
        "rose",
        "grant",
        "an",
        "so",
        "do",
        "june",
        "art",
        "pat",
        "drew",
        "rich",
    }
    assert not WORDS & names


def test_keys_that_may_be_names() -> None:
    for name in ("Ana Pop", "ana pop", "Ana", "ștefan", "ana-maria", "Ana.Pop", "ana_pop", "ana_lead_score"):
        assert free_key_hidden(f"user.properties.{name}") == "user.properties.…"
        assert masked({"user": {"properties": {name: "x"}}}) == {
            "user": {"properties": {HIDDEN_KEY.format(1): "<text, 1 characters>"}}
        }
    for field in ("user.properties.lead_score", "user.email", "cookies._ga", "event.properties.utm_2024"):
        hidden = free_key_hidden(field)
        assert hidden is None, field


def test_a_key_is_told_if_several_leads_have_it() -> None:
    def one(number: int, key: str) -> dict[str, object]:
        return {**lead(number), "event.properties": {key: {"nested": 1}}}

    with scripted() as server:
        sent = send(server.url, [one(1, "Ana Pop"), one(2, "Deal Size"), one(3, "Deal Size"), one(4, "Deal Size")])
    shown = json.dumps(sent.tally.summary(), ensure_ascii=False)
    shown += report(sent.tally, environment="prod", validate_only=False, seconds=1)
    assert "Ana Pop" not in shown
    assert sent.tally.sent_without == {"event.properties.…": 2, "event.properties.Deal Size": 2}
