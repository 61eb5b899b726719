"""Which identifiers an event carries: what ad platforms can match a lead by. Their kinds, never their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, urlsplit

from airflow_reshape.events.models import BaseEvent

# Cookies that name a browser, and names of click ids, as a cookie or as a parameter of a URL.
_BROWSER_COOKIE = re.compile(r"^(_ga(_.+)?|_fbp|_ttp|_uetvid|_pin_unauth|FPID|FPLC)$", re.IGNORECASE)
_CLICK_ID = re.compile(r"clid$|^(gbraid|wbraid|_?epik|li_fat_id|_fbc|_rdt_cid|_gcl_.+)$", re.IGNORECASE)


def _names(event: BaseEvent) -> Iterator[str]:
    yield from event.cookies or ()
    for url in (event.context.url, event.context.landing_url):
        if url:
            yield from (name for name, _ in parse_qsl(urlsplit(url).query))


IDENTIFIERS: dict[str, Callable[[BaseEvent], bool]] = {
    "email": lambda event: bool(event.user and event.user.email),
    "phone": lambda event: bool(event.user and event.user.phone),
    "user_id": lambda event: bool(event.user and event.user.id),
    "browser_cookie": lambda event: any(_BROWSER_COOKIE.search(name) for name in event.cookies or ()),
    "click_id": lambda event: any(_CLICK_ID.search(name) for name in _names(event)),
}


def identifiers(event: BaseEvent) -> list[str]:
    """The kinds of identifiers of an event; ``["none"]`` if it has none.

    :param event: a valid event.
    """
    return [kind for kind, has in IDENTIFIERS.items() if has(event)] or ["none"]
