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
PROXY_SCHEMES = ("http", "https")
HOST_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
LONGEST_HOST = 253
CONN_TYPE = "reshape"


class AirflowConnection(Protocol):
    """The part of Airflow's Connection that is read."""

    conn_id: str
    conn_type: str | None
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
    :param ledger_key: the key of the ledger's digests, or None for the access token; never shown.
    """

    destination: Destination
    generation: Generation
    environment: Environment
    data_source: str | None
    ledger_key: str | None = field(default=None, repr=False)


def _one_of(*allowed: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if str(value).strip().lower() not in allowed:
            raise ValueError(f"must be {' or '.join(allowed)}")
        return str(value).strip().lower()

    return read


def _secret(value: Any) -> str | None:
    if not isinstance(value, str):
        raise TypeError
    return value.strip() or None


def _timeout(value: Any) -> float:
    seconds = float(value)
    if not 0 < seconds <= 3600:
        raise ValueError
    return seconds


def _proxies(value: Any) -> dict[str, str]:
    if isinstance(value, str) and value.strip().startswith("{"):
        value = json.loads(value)
    if isinstance(value, str):
        value = dict.fromkeys(PROXY_SCHEMES, value)
    if not isinstance(value, Mapping) or not set(value) <= set(PROXY_SCHEMES):
        raise ValueError
    return {scheme: _proxy_url(url) for scheme, url in value.items() if url}


def _proxy_url(url: Any) -> str:
    """The URL of a proxy; without a scheme it speaks http, as for other clients."""
    if not isinstance(url, str):
        raise TypeError
    url = url.strip() if "://" in url else f"http://{url.strip()}"
    parts = urlsplit(url)
    if parts.scheme not in PROXY_SCHEMES or not _is_host(parts.hostname or "") or parts.port == 0:
        raise ValueError
    return str(url)


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
    "proxies": _Extra(
        None, _proxies, 'must be the URL of an http proxy, or an object such as {"https": "http://proxy:3128"}'
    ),
    "allow_http": _Extra(False, flag, "must be true or false"),
    "ledger_key": _Extra(None, _secret, "must be text"),
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
    # A secrets backend may leave the type out; another one is another service's connection.
    if (kind := connection.conn_type or CONN_TYPE) != CONN_TYPE:
        reader.problems.append(f"its type is {kind!r}, and must be {CONN_TYPE!r}")
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
        ledger_key=extras["ledger_key"],
    )


def _address(connection: AirflowConnection, reader: _Reader) -> tuple[Literal["http", "https"], str, int | None]:
    """Scheme, host and port; the host may have been pasted as a URL, or with a port."""
    given = (connection.host or "").strip()
    pasted, _, rest = given.rpartition("://")
    authority, _, path = rest.partition("/")
    host, port = _host_and_port(authority)
    if not _is_host(host):
        reader.problems.append("the host is missing or wrong: your own subdomain, such as dre2.yourdomain.com")
    if path.strip("/"):
        reader.problems.append("the host must come without a path: the route follows from extra 'api'")
    scheme = (connection.schema or "").strip().lower() or pasted.lower() or "https"
    if scheme not in ("http", "https"):
        reader.problems.append("the schema must be https (or http, see extra 'allow_http')")
    port = connection.port or port
    if port is not None and not 0 < port < 65536:
        reader.problems.append("the port must be a number between 1 and 65535")
    return ("http" if scheme == "http" else "https"), host, port


def _host_and_port(authority: str) -> tuple[str, int | None]:
    """Host and port of ``host``, ``host:port``, ``[IPv6]:port`` or a bare IPv6; no host if it is none of these."""
    if _is_ip(authority):
        return authority, None
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        host, port = authority, ""
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1] if _is_ip(host[1:-1]) else ""
    elif ":" in host:
        host = ""
    if port and not (port.isascii() and port.isdecimal()):
        host = ""
    return host, int(port) if host and port else None


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_host(host: str) -> bool:
    """Whether it can be a host: an address, or a name, which may hold any letters (IDNA)."""
    if _is_ip(host):
        return True
    try:
        name = host.encode("idna").decode("ascii").removesuffix(".")
    except UnicodeError:  # empty or overlong labels
        return False
    return len(name) <= LONGEST_HOST and all(HOST_LABEL.fullmatch(label) for label in name.split("."))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its name or address; nothing is looked up."""
    if host.lower() == "localhost":
        return True
    return _is_ip(host) and ipaddress.ip_address(host).is_loopback


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _proxy(scheme: str, host: str, proxies: Mapping[str, str] | None) -> str | None:
    """The proxy for a host: the connection's, else the environment's, as for any other client."""
    if proxies is not None:
        return proxies.get(scheme)
    if is_loopback(host) or proxy_bypass(host):
        return None
    url = getproxies().get(scheme)
    try:
        return _proxy_url(url) if url else None
    except ValueError:
        raise ReshapeConfigurationError(
            f"{scheme.upper()}_PROXY of the environment is no http proxy: set extra 'proxies', to {{}} for none"
        ) from None
