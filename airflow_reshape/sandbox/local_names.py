"""Who may look: what was received is shown under names of this machine only."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable

from fastapi import HTTPException, Request

from airflow_reshape.sandbox.settings import Settings


def names_this_machine(host: str | None) -> bool:
    """Whether a ``Host`` name can only mean this machine.

    :param host: the name without its port, None if the client sent none.
    """
    if host is None or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def only_local_names(settings: Settings) -> Callable[[Request], Awaitable[None]]:
    """A check before a route: refuses (403) other names, unless the settings allow any.

    A web page from elsewhere may point its own host name at 127.0.0.1 and then read what it gets: not here.

    :param settings: how the sandbox is set up.
    """

    async def check(request: Request) -> None:
        if not settings.any_host_name and not names_this_machine(request.url.hostname):
            raise HTTPException(403, "the sandbox shows what it received under names of this machine only")

    return check
