"""``python -m airflow_reshape.sandbox``: a local stand-in of the DATA Reshape event API."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Annotated, NewType
from urllib.parse import quote

import typer
import uvicorn

from airflow_reshape.sandbox.bench import Bench
from airflow_reshape.sandbox.faults import Faults, read_plan
from airflow_reshape.sandbox.inspection import ROUTES
from airflow_reshape.sandbox.schemas import Strictness
from airflow_reshape.sandbox.server import bind, create_server, is_loopback
from airflow_reshape.sandbox.settings import DEFAULT_SCRIPT_ID, DEFAULT_TOKEN, Settings
from airflow_reshape.sandbox.store import StoreError

Plan = NewType("Plan", tuple[Faults, ...])  # not a plain tuple: an option of that type takes several words

cli = typer.Typer(add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


def greeting(settings: Settings, host: str, port: int) -> str:
    """What is printed at the start: the addresses, and how Airflow gets a connection to here.

    :param settings: how the sandbox is set up.
    :param host: name or address it listens on.
    :param port: its port.
    """
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    base = f"http://{authority}"
    uri = f"reshape://:{quote(settings.token, safe='')}@{authority}/http?script_id={settings.script_id}"
    rows = [
        ("page", f"{base}/"),
        *(
            (
                f"{route.generation}{' test' if route.test else ''}",
                f"{base}{route.path}?id={settings.script_id}",
            )
            for route in ROUTES
        ),
        ("received", f"{base}/received"),
        ("faults", f"{base}/control/faults"),
    ]
    return "\n".join(
        [
            "DATA Reshape sandbox: a stand-in built from the public documentation, not the real service.",
            *(f"  {label:<14} {address}" for label, address in rows),
            "Connection for Airflow:",
            f"  airflow connections add reshape_default --conn-uri '{uri}'",
        ]
    )


def _plan(text: str) -> Plan:
    try:
        return Plan(read_plan(Path(text[1:]).read_bytes() if text.startswith("@") else text))
    except OSError as error:
        raise typer.BadParameter(f"cannot read {text[1:]}: {error.strerror}") from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _listen(host: str, port: int, allow_remote: bool) -> socket.socket:
    try:
        if not allow_remote and not is_loopback(host):
            raise typer.BadParameter(
                f"{host} can be reached from other machines, and the sandbox shows every lead it received"
                " to anyone who asks; add --allow-remote if that is meant",
                param_hint="--host",
            )
        return bind(host, port)
    except OSError as error:
        raise typer.BadParameter(
            f"cannot listen on {host} port {port}: {error.strerror}", param_hint="--host"
        ) from None


@cli.command()
def run(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on, 0 for any free one.")] = 8800,
    token: Annotated[str, typer.Option(help="The access token that is accepted.")] = DEFAULT_TOKEN,
    script_id: Annotated[str, typer.Option(help="The script id that is known.")] = DEFAULT_SCRIPT_ID,
    db: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="Keep what is received in this SQLite file, not in memory."),
    ] = None,
    faults: Annotated[
        Plan | None,
        typer.Option(
            parser=_plan, metavar="JSON|@FILE", help='Misbehave from the start, e.g. \'{"statuses": {"500": 0.1}}\'.'
        ),
    ] = None,
    require_reason: Annotated[
        bool, typer.Option(help="Whether lead_disqualified must have a disqualification_reason.")
    ] = True,
    require_identifier: Annotated[
        bool, typer.Option(help="Whether the user of lead_disqualified must have id, email or phone.")
    ] = True,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Allow an address that other machines can reach.")
    ] = False,
) -> None:
    """Run a local stand-in of the DATA Reshape event API.

    Built from the public documentation; it is not the real service and sends nothing anywhere.
    """
    try:
        settings = Settings(
            token=token,
            script_id=script_id,
            database=db,
            strictness=Strictness(require_reason=require_reason, require_identifier=require_identifier),
            faults=faults or (),
            any_host_name=allow_remote,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with _listen(host, port, allow_remote) as listener:
        try:
            server, bench = create_server(settings)
        except StoreError as error:
            raise typer.BadParameter(str(error), param_hint="--db") from None
        _serve(settings, host, listener, server, bench)


def _serve(settings: Settings, host: str, listener: socket.socket, server: uvicorn.Server, bench: Bench) -> None:
    # The server raises the signal that stopped it once more when it is done; here that is a good end.
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, lambda *_: None)
    typer.echo(greeting(settings, host, listener.getsockname()[1]))
    if settings.faults:
        layers = [layer.model_dump(exclude_defaults=True) for layer in settings.faults]
        typer.echo(f"Misbehaving on purpose: {json.dumps(layers)}")
    try:
        server.run(sockets=[listener])
    finally:
        bench.store.close()
    typer.echo(f"received {bench.store.tally.totals['requests']}, taken {bench.store.tally.totals['taken']}")


if __name__ == "__main__":
    cli(prog_name="python -m airflow_reshape.sandbox")
