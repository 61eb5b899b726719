"""What the log may tell of a server's words: a digest by which they are found again, or words that are no person's."""

from __future__ import annotations

import hashlib
import re

# Names are not among them, nor words that are names too (Will, May, Mark).
_FIELDS = (
    "event context user consent cookies name value currency id ids exchange rate properties environment data "
    "source agent ip url landing page referrer referring override overide type email phone first last country "
    "region city street postal code created at orders total number canceled refunded predicted new customer "
    "analytics personalization marketing products shipping payments coupons lead leads qualified disqualified "
    "reason score before after qualification disqualification method criteria met detail stage days pipeline utm "
    "medium campaign term"
)
_RULES = (
    "is are was were be been must not no a the of to for in with without or and than this that it its such one "
    "both either only out required missing unknown wrong invalid valid field fields type text body json well "
    "formed too large long short empty larger bytes digits letters capital eight numbers object array list string "
    "boolean true false integer unique once before already generation spells sandbox asked misbehave script query "
    "parameter content application header token format statuses outage limit fail garbage redirect error could "
    "processed received has been sent twice duplicate"
)
WORDS = frozenset(f"{_FIELDS} {_RULES}".split())
LONGEST_TOLD = 200
_WORD = re.compile(r"[a-z]++")
# Anything else, such as a digit, a sign or a letter with an accent, may be a part of somebody's data.
_PLAIN = re.compile(r"[A-Za-z .,:;()\[\]_\-]*+")


def told(detail: str) -> str:
    """What may be told of a server's words: the words if each is known to be nobody's, else a digest.

    :param detail: masked, as it is kept with the lead.
    """
    words = _WORD.findall(detail.lower())
    if len(detail) <= LONGEST_TOLD and _PLAIN.fullmatch(detail) and WORDS.issuperset(words):
        return detail
    return f"detail {digest(detail)}"


def digest(detail: str) -> str:
    """Eight characters that stand for a text: equal texts have equal ones."""
    return hashlib.sha256(detail.encode("utf-8", "surrogatepass")).hexdigest()[:8]
