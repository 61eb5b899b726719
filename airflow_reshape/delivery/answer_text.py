"""What an answer holds: bytes become text, and text becomes what it says."""

from __future__ import annotations

import codecs
import json
import re
from enum import Enum
from functools import lru_cache
from typing import Any, Final

# The longer mark first: that of UTF-32 begins with that of UTF-16.
MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    # JSON without a mark: its first character is one of ASCII (RFC 4627, 3).
    (b"{\0", "utf-16-le"),
    (b"[\0", "utf-16-le"),
    (b"\0{", "utf-16-be"),
    (b"\0[", "utf-16-be"),
)
CHARSETS: Final = frozenset(
    ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "ascii", "iso8859-1", "cp1252")
)
"""Read if the server names them, as Python calls them; others are read as UTF-8."""
_BYTE_ORDER_MARK = "\ufeff"
_BEGINS_LIKE_JSON = re.compile(r'\s*+(?:\{|\[\s*+(?:[\[{"\]]|\Z))')
# What PHP writes before an answer if it is set up to show its warnings.
_OF_PHP = re.compile(
    r"(?:<[^<>\n]*+>|\s)*+(?:PHP )?(?:Warning|Notice|Deprecated|Strict Standards|Fatal error|Parse error)\b",
    re.IGNORECASE,
)
_ENDS = re.compile(r'\n|(?=\{")')


class Nothing(Enum):
    """Why an answer says nothing."""

    UNREADABLE = "unreadable"
    """It says that it is JSON, and is not, or not to its end."""
    NO_JSON = "no json"


def decoded_answer(content: bytes, charset: str | None) -> str:
    """The text of an answer. A mark at its beginning counts before what the header says; never raises.

    :param content: its bytes.
    :param charset: from the header, or None.
    """
    for mark, encoding in MARKS:
        if content.startswith(mark):
            return content.decode(encoding, "replace").removeprefix(_BYTE_ORDER_MARK)
    return content.decode(_known(charset or "utf-8"), "replace").removeprefix(_BYTE_ORDER_MARK)


def _known(charset: str) -> str:
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):  # ValueError: a name with a null character
        return "utf-8"
    return name if name in CHARSETS else "utf-8"


def said(text: str, *, is_json: bool, is_cut: bool) -> Any:
    """What an answer says as JSON, not to be changed; a :class:`Nothing` if it does not.

    :param text: of the answer.
    :param is_json: its content type says so.
    :param is_cut: there was more.
    """
    begin = _begin(text)
    if not is_json and not _BEGINS_LIKE_JSON.match(text, begin) and not (is_cut and not text[begin:].strip()):
        return Nothing.NO_JSON
    if is_cut:
        return Nothing.UNREADABLE
    return _parsed(text[begin:]) if text.strip() else Nothing.NO_JSON


def _begin(text: str) -> int:
    """Where the answer begins, behind the warnings of PHP."""
    begin = len(text) - len(text.lstrip(_BYTE_ORDER_MARK))
    while (warning := _OF_PHP.match(text, begin)) is not None:
        end = _ENDS.search(text, warning.end())
        begin = end.end() if end else len(text)
    return begin


@lru_cache(maxsize=16)
def _parsed(text: str) -> Any:
    """Most answers of a server are the same."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return Nothing.UNREADABLE
