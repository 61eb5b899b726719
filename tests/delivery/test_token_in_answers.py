"""A server may quote the token that it refuses, in any spelling: it goes no further."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import pytest

from airflow_reshape.delivery.failures.kept import kept_lead
from airflow_reshape.delivery.hidden_token import TokenFinder
from airflow_reshape.delivery.report import report
from airflow_reshape.delivery.transport import Answer
from airflow_reshape.delivery.verdict import WITHHELD, judge
from tests.delivery.leads import destination, lead, send
from tests.delivery.servers import Reply, scripted

pytestmark = pytest.mark.timeout(30)

TOKEN = "Ab+9/xQ7~kLm=Zr4&Ty8<Wp2\u0103Vn6"
LETTERS = "ab9xq7klmzr4ty8wp2avn6"


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(character):04x}" for character in text)


def coded(text: str, before: str = "") -> str:
    return base64.b64encode((before + text).encode()).decode()


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "slash of JSON": lambda token: json.dumps(token)[1:-1].replace("/", "\\/"),
    "escapes of JSON": lambda token: json.dumps(token)[1:-1].replace("+", "\\u002b"),
    "all of it escapes": escaped,
    "JSON in JSON": lambda token: json.dumps(json.dumps(json.dumps(token))),
    "escapes of JavaScript": lambda token: token.replace("+", "\\x2B").replace("/", "\\x2f"),
    "URL": lambda token: quote(token, safe=""),
    "URL, small letters": lambda token: quote(token, safe="").lower(),
    "URL twice": lambda token: quote(quote(token, safe=""), safe=""),
    "form": quote_plus,
    "capitals": str.upper,
    "small letters": str.lower,
    "page": html.escape,
    "page, by number": lambda token: "".join(f"&#{ord(character)};" for character in token),
    "page, hexadecimal": lambda token: "".join(f"&#x{ord(character):X};" for character in token),
    "page, by name": lambda token: token.replace("+", "&plus;").replace("/", "&sol;").replace("=", "&equals;"),
    "Base64": coded,
    "Base64 without padding": lambda token: coded(token).rstrip("="),
    "Base64 for URLs": lambda token: base64.urlsafe_b64encode(token.encode()).decode(),
    "Base64 behind something": lambda token: coded(token, "Bearer "),
    "Base64 behind something else": lambda token: coded(token, "user:"),
    "cut": lambda token: token[:11] + "…",
    "its end": lambda token: "…" + token[-11:],
    "cut in the middle": lambda token: token[:12] + "***" + token[-4:],
    "backwards": lambda token: token[::-1],
    "quotes": lambda token: json.dumps(token.replace("&", '"&')),
    "blanks": " ".join,
    "line breaks": lambda token: "\r\n".join((token[:5], token[5:13], token[13:])),
    "invisible": "\u200b".join,
    "hexadecimal": lambda token: token.encode().hex(),
    "hexadecimal, capitals and colons": lambda token: token.encode().hex(":").upper(),
    "full width": lambda token: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in token),
}


def holds_token(text: str) -> bool:
    """Whether a text holds the token, by other means than the package's."""
    plain = "".join(character for character in text.lower() if character.isascii() and character.isalnum())
    coded_ones = [coded(TOKEN, before)[8:24].lower() for before in ("", "Bearer ", "user:")]
    letters = [each.replace("+", "").replace("/", "") for each in coded_ones]
    wanted = [LETTERS[:8], LETTERS[8:15], LETTERS[::-1][6:14], TOKEN.encode().hex()[:16], *letters]
    return any(each in plain for each in wanted) or escaped(TOKEN)[:24] in text or quote(TOKEN, safe="")[:14] in text


@pytest.mark.parametrize("how", SPELLINGS)
@pytest.mark.parametrize("raw", [False, True], ids=["written as JSON", "put into JSON"])
def test_a_token_goes_no_further_however_it_is_spelt(how: str, raw: bool) -> None:
    spelt = SPELLINGS[how](TOKEN)
    body = json.dumps({"result": "error", "detail": [f"the token {spelt} may not send this"]})
    if raw:  # as a careless program does it: not always JSON
        body = '{"result":"error","detail":["the token ' + spelt + ' may not send this"]}'
    with scripted(replace(Reply(), status=422, body=body.encode())) as server:
        sent = send(replace(destination(server.url), token=TOKEN), [lead(1)])
    outcome = sent.tally.at(1)
    kept = kept_lead(outcome, None, content={}, digest="", named=(), identity="1", at=datetime.now(UTC))
    shown = report(sent.tally, environment="prod", validate_only=False, seconds=1)
    for text in (str(outcome.detail), str(kept.detail), str(outcome.why), shown, json.dumps(sent.tally.summary())):
        assert not holds_token(text), text
    assert outcome.detail in (WITHHELD, "the token <token> may not send this", None)


@pytest.mark.parametrize("how", SPELLINGS)
def test_each_spelling_is_found(how: str) -> None:
    finder = TokenFinder(TOKEN)
    text = finder.hidden(f"before {SPELLINGS[how](TOKEN)} behind")
    assert finder.is_in(text) or text == "before <token> behind"


@pytest.mark.parametrize("said", ["", "no such lead", "the token is refused", "Ab+9/x", "<token>", "9" * 5000])
def test_what_does_not_quote_it_is_told(said: str) -> None:
    assert not TokenFinder(TOKEN).is_in(said)


def test_a_short_token_is_no_part_of_words() -> None:
    finder = TokenFinder("abc")
    assert finder.hidden("abcdef") == "abcdef"
    assert not finder.is_in("abcdef")


def test_an_answer_does_not_show_its_text() -> None:
    assert TOKEN not in repr(Answer(422, text=TOKEN))
    assert judge(Answer(422, text='{"detail":"x"}', quotes_token=True)).detail == WITHHELD
