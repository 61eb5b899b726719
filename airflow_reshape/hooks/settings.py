"""What a connection of type ``reshape`` says."""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Literal, Protocol, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from airflow_reshape.delivery.transport import Destination
from airflow_reshape.events.formats import flag
from airflow_reshape.events.rules import GENERATIONS, Environment, Generation
from airflow_reshape.events.wire import WIRE_FORMS
from airflow_reshape.exceptions import ReshapeConfigurationError, ReshapeCredentialsError

SCRIPT_ID = re.compile(r"^[A-Z0-9]{8}$")
ENVIRONMENTS: tuple[Environment, ...] = ("prod", "dev")
DEFAULT_TIMEOUT = 30.0


class AirflowConnection(Protocol):
    """The part of Airflow's Connection that is read."""

    conn_id: str
    host: str | None
    schema: str | None
    password: str | None
    port: int | None

    @property
    def extra_dejson(self) -> dict[str, Any]:
        """The extra, parsed."""
        ...


@dataclass(frozen=True, slots=True)
class ReshapeSettings:
    """A resolved connection.

    :param generation: generation of the API.
    :param environment: ``dev`` also when the test route is used.
    :param data_source: for events without one, or None.
    """

    destination: Destination
    generation: Generation
    environment: Environment
    data_source: str | None


def _one_of(*allowed: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if str(value).strip().lower() not in allowed:
            raise ValueError(f"must be {' or '.join(allowed)}")
        return str(value).strip().lower()

    return read


def _timeout(value: Any) -> float:
    seconds = float(value)
    if not 0 < seconds <= 3600:
        raise ValueError
    return seconds


def _proxies(value: Any) -> dict[str, str]:
    if isinstance(value, str) and value.strip().startswith("{"):
        value = json.loads(value)
    if isinstance(value, str):
        return {"http": value.strip(), "https": value.strip()}
    if not isinstance(value, Mapping) or not all(isinstance(url, str) for url in value.values()):
        raise ValueError
    return dict(value)


@dataclass(frozen=True, slots=True)
class _Extra:
    default: Any
    read: Callable[[Any], Any]
    rule: str


EXTRAS: dict[str, _Extra] = {
    "script_id": _Extra(None, lambda value: str(value).strip(), "must be text"),
    "api": _Extra("standard", _one_of(*GENERATIONS), "must be standard or webhooks"),
    "environment": _Extra("prod", _one_of(*ENVIRONMENTS), "must be prod or dev"),
    "test_route": _Extra(False, flag, "must be true or false"),
    "data_source": _Extra(None, lambda value: str(value).strip(), "must be text"),
    "timeout": _Extra(DEFAULT_TIMEOUT, _timeout, "must be seconds, more than 0 and at most 3600"),
    "verify": _Extra(True, flag, "must be true or false"),
    "ca_path": _Extra(None, lambda value: str(value).strip(), "must be a path"),
    "proxies": _Extra(None, _proxies, "must be a URL, or an object of scheme and URL"),
    "allow_http": _Extra(False, flag, "must be true or false"),
}


@dataclass(slots=True)
class _Reader:
    conn_id: str
    problems: list[str] = field(default_factory=list)

    def extras(self, given: Mapping[str, Any]) -> dict[str, Any]:
        read = {name: extra.default for name, extra in EXTRAS.items()}
        for key, value in given.items():
            name = key.removeprefix("extra__reshape__")
            if name not in EXTRAS:
                near = get_close_matches(name, EXTRAS, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(EXTRAS)}"
                self.problems.append(f"extra {name!r} is unknown: {hint}")
            elif value is not None and value != "":
                try:
                    read[name] = EXTRAS[name].read(value)
                except (ValueError, TypeError):
                    self.problems.append(f"extra {name!r} {EXTRAS[name].rule}")
        return read


def read_settings(connection: AirflowConnection) -> ReshapeSettings:
    """Read a connection.

    :raises ReshapeCredentialsError: there is no token.
    :raises ReshapeConfigurationError: anything else is wrong; all of it is told at once.
    """
    reader = _Reader(connection.conn_id)
    extras = reader.extras(connection.extra_dejson)
    scheme, host, port = _address(connection, reader)
    generation = cast("Generation", extras["api"])
    form = WIRE_FORMS[generation]
    if not extras["script_id"]:
        reader.problems.append("extra 'script_id' is missing: eight capital letters or digits")
    elif not SCRIPT_ID.match(extras["script_id"]):
        reader.problems.append("extra 'script_id' must be eight capital letters or digits")
    if scheme == "http" and host and not extras["allow_http"] and not is_loopback(host):
        reader.problems.append(
            "plain http would send the token and the leads in clear: use https, or set extra 'allow_http'"
        )
    if extras["test_route"] and form.test_path is None:
        reader.problems.append(
            f"extra 'test_route': api {generation} documents no test route; set extra 'environment' to dev"
        )
    token = (connection.password or "").strip()
    if token and not (token.isascii() and token.isprintable()):
        reader.problems.append("the password (access token) has characters that no header can carry")
    if reader.problems:
        raise ReshapeConfigurationError(f"connection {connection.conn_id!r}: " + "; ".join(reader.problems))
    if not token:
        raise ReshapeCredentialsError(
            f"connection {connection.conn_id!r} has no access token: it goes into the password"
        )
    return ReshapeSettings(
        destination=Destination(
            base_url=f"{scheme}://{_bracketed(host)}{f':{port}' if port else ''}",
            path=form.test_path if extras["test_route"] and form.test_path else form.path,
            script_id=extras["script_id"],
            token=token,
            timeout=extras["timeout"],
            verify=extras["verify"],
            ca_path=extras["ca_path"],
            proxy=_proxy(scheme, host, extras["proxies"]),
        ),
        generation=generation,
        environment="dev" if extras["test_route"] else extras["environment"],
        data_source=extras["data_source"],
    )


def _address(connection: AirflowConnection, reader: _Reader) -> tuple[Literal["http", "https"], str, int | None]:
    """Scheme, host and port; the host may have been pasted as a URL."""
    host = (connection.host or "").strip()
    scheme = (connection.schema or "").strip().lower()
    port = connection.port
    if "://" in host:
        try:
            parts = urlsplit(host)
            scheme, host, port = scheme or parts.scheme, parts.hostname or "", port or parts.port
            path = parts.path
        except ValueError:
            host, path = "", ""
    else:
        host, _, path = host.partition("/")
    if path.strip("/"):
        reader.problems.append("the host must come without a path: the route follows from extra 'api'")
    host = host.strip("[]")
    if not host or any(c.isspace() or c in "@?#" for c in host):
        reader.problems.append("the host is missing or wrong: your own subdomain, such as dre2.yourdomain.com")
    if scheme not in ("", "http", "https"):
        reader.problems.append("the schema must be https (or http, see extra 'allow_http')")
    return ("http" if scheme == "http" else "https"), host, port


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address; nothing is looked up."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _proxy(scheme: str, host: str, proxies: Mapping[str, str] | None) -> str | None:
    """The proxy for a host: the connection's, else the environment's, as for any other client."""
    if proxies is not None:
        return proxies.get(scheme)
    if is_loopback(host) or proxy_bypass(host):
        return None
    return getproxies().get(scheme)
