"""``airflow`` and ``python -m airflow_reshape`` without the seconds that each takes to import Airflow.

The first command of each kind is a process as a reader has it. The later ones are forked from one process that has
imported what they need: same program, arguments, variables, folder and output, but no start.
"""

from __future__ import annotations

import array
import importlib
import json
import os
import runpy
import socket
import sys
import traceback
from pathlib import Path
from typing import Any

IMPORTED = (
    "airflow.__main__",
    "airflow.cli.cli_parser",
    "airflow.cli.commands.dag_command",
    "airflow.api_fastapi.execution_api.app",
    "airflow.api_fastapi.execution_api.routes",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.providers.smtp.notifications.smtp",
    "airflow_reshape.command_line.app",
    "airflow_reshape.transfers.sql_to_reshape",
    "airflow_reshape.delivery.ledger.store",
)
WRAPPER = """#!/bin/sh
# The rest of the commands of this kind is forked.
case "{name} $*" in
"airflow db migrate"*) ;;
"airflow "*|"python -m airflow_reshape "*)
    if [ -e "$0.forked" ]; then exec {python} {here} ask {address} "{name}" "$@"; fi
    : > "$0.forked" ;;
esac
exec {binaries}/{name} "$@"
"""
STREAMS = 3
LONGEST_TEXT = 1 << 20
LONGEST_WAIT = 300.0


def put_wrappers(folder: Path, address: Path) -> None:
    """Write ``airflow`` and ``python`` to a folder that is to come first in ``PATH``.

    :param address: socket of the process that they are forked from.
    """
    binaries = Path(sys.executable).parent
    for name in ("airflow", "python"):
        wrapper = folder / name
        wrapper.write_text(
            WRAPPER.format(name=name, python=sys.executable, here=__file__, address=address, binaries=binaries)
        )
        wrapper.chmod(0o755)


def serving(listener: int) -> str:
    """The shell's line that starts the process."""
    return f"{sys.executable} {__file__} serve {listener} > warm.log 2>&1 &"


def serve(listener: socket.socket) -> None:
    """Import, then fork whatever is asked for, one after the other."""
    for module in IMPORTED:
        importlib.import_module(module)
    while True:
        asked, _ = listener.accept()
        with asked:
            text, streams, _, _ = socket.recv_fds(asked, LONGEST_TEXT, STREAMS)
            child = os.fork()
            if child == 0:
                listener.close()
                run(json.loads(text), list(streams))
            for stream in streams:
                os.close(stream)
            _, status = os.waitpid(child, 0)
            asked.sendall(array.array("i", [os.waitstatus_to_exitcode(status)]).tobytes())


def run(asked: dict[str, Any], streams: list[int]) -> None:
    """Be the command, and end."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    code: Any = 1
    try:
        sys.argv = asked["words"]
        if sys.argv[0] == "airflow":
            code = sys.modules["airflow.__main__"].main()
        else:
            sys.path.insert(0, "")
            sys.argv = sys.argv[2:]  # without python -m
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
            code = 0
    except SystemExit as end:
        code = end.code
        if isinstance(code, str):
            print(code, file=sys.stderr)  # noqa: T201  # as the interpreter does
            code = 1
    except BaseException:  # noqa: BLE001  # it is told, and the code says it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(code or 0))


def ask(address: str, words: list[str]) -> int:
    """Have a command run with the streams, variables and folder of this process.

    :returns: its exit code.
    """
    text = json.dumps({"words": words, "folder": os.getcwd(), "environment": dict(os.environ)})  # noqa: PTH109
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(LONGEST_WAIT)  # should that process have died
        channel.connect(address)
        socket.send_fds(channel, [text.encode()], list(range(STREAMS)))
        code = array.array("i", channel.recv(array.array("i").itemsize))
    return code[0]


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(socket.socket(fileno=int(sys.argv[2])))
    else:
        sys.exit(ask(sys.argv[2], sys.argv[3:]))
