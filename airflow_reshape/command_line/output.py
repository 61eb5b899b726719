"""What all commands share of printing: the console, times, failures as a text.

Whatever a command prints is literal: nothing in it is markup, an emoji's name or a command to the terminal.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import date, datetime, timedelta
from typing import Any, NoReturn

import typer
from rich import box
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.highlighter import JSONHighlighter
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from airflow_reshape.command_line.visible import visible, visible_json

WIDTH_OF_PIPES = 120
WIDEST = 2_000
STDOUT, STDERR = 1, 2  # file descriptors


def console() -> Console:
    """The console; into a file or a pipe, lines are 120 characters long unless ``COLUMNS`` says otherwise."""
    piped = not sys.stdout.isatty() and not os.environ.get("COLUMNS", "").isdecimal()
    return Console(highlight=False, width=WIDTH_OF_PIPES if piped else None)


def say(*parts: str | tuple[str, str], fold: bool = False) -> None:
    """Print a line.

    :param parts: texts, or texts and their style.
    :param fold: break it where the console ends.
    """
    styled = [(part, "") if isinstance(part, str) else part for part in parts]
    console().print(Text.assemble(*((visible(text), style) for text, style in styled)), soft_wrap=not fold)


def table(title: str, *columns: str, numbers: tuple[str, ...] = (), unbroken: tuple[str, ...] = ()) -> Table:
    """An empty table that needs little room.

    :param numbers: the columns that are set to the right.
    :param unbroken: the columns whose lines are not broken: ids that somebody may want to copy.
    """
    styled = Text(visible(title), style="table.title")
    made = Table(title=styled, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        justify: JustifyMethod = "right" if column in numbers else "left"
        made.add_column(column, justify=justify, overflow="fold", no_wrap=column in unbroken)
    return made


def show(made: Table) -> None:
    """Print a table and an empty line, or nothing if it has no rows; as wide as its ids need it."""
    if made.row_count:
        printer = console()
        for column in made.columns:
            if column.no_wrap:
                lines = (line for cell in column.cells for line in str(cell).splitlines())
                column.min_width = max(map(cell_len, lines), default=None)
        needed = Measurement.get(printer, printer.options.update(max_width=WIDEST), made).minimum
        printer.width = max(printer.width, needed)
        printer.print(made)
        say()


def add_row(to: Table, *cells: object) -> None:
    """Add a row of plain values: None is empty, numbers have thousands, a tuple has a line for each value."""
    to.add_row(*(Text("\n".join(_lines(cell))) for cell in cells))


def _lines(cell: object) -> list[str]:
    told = [cell_text(part) for part in (cell if isinstance(cell, tuple) else (cell,))]
    return [visible(line) for line in told if line]


def cell_text(value: object) -> str:
    """A value as it is shown."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return f"{value:,}" if isinstance(value, int) else str(value)


def duration(seconds: float) -> str:
    """A duration in its two largest units, such as ``2 d 4 h``."""
    whole = timedelta(seconds=round(abs(seconds)))
    hours, rest = divmod(whole.seconds, 3600)
    parts = [(whole.days, "d"), (hours, "h"), (rest // 60, "min"), (rest % 60, "s")]
    first = next((n for n, (count, _) in enumerate(parts) if count), len(parts) - 1)
    told = " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count) or "0 s"
    return f"-{told}" if seconds < 0 and told != "0 s" else told


def answer(row: Any) -> str:
    """What Reshape said, or why there is no event, of a row with ``http_status`` and ``reason``."""
    status, reason = cell_text(row["http_status"]), cell_text(row["reason"])
    return reason if reason.startswith(status) else f"{status} {reason}".strip()


def who(row: Any) -> tuple[str, ...]:
    """Who sent, in lines, of a row with ``dag_id``, ``task_id``, ``run_id``, ``map_index`` and ``try_number``."""
    if row["dag_id"] is None:
        return ("no task",)
    mapped = f"[{row['map_index']}]" if row["map_index"] not in (None, -1) else ""
    tried = f" try {row['try_number']}" if row["try_number"] is not None else ""
    return f"{row['dag_id']}.{row['task_id']}{mapped}{tried},", str(row["run_id"])


def counted(count: int, what: str) -> str:
    """A number of things, such as ``1 row`` or ``2 rows``."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def logs_to_stderr() -> None:
    """From now on, what is logged goes to standard error, and standard output is the command's.

    For a process of its own, once Airflow is imported: its loggers keep the standard output that they found.
    """
    found = sys.stdout
    found.flush()
    sys.stdout = os.fdopen(os.dup(STDOUT), "w", buffering=1, encoding=found.encoding, errors=found.errors)
    os.dup2(STDERR, STDOUT)


@contextmanager
def logs_aside(aside: bool = True) -> Iterator[None]:
    """Send what is logged to standard error, as standard output is the JSON's.

    Loggers keep the standard output that they found, so its file descriptor is turned.

    :param aside: False for no change.
    """
    if not aside:
        yield
        return
    kept = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        if sys.__stdout__ is not None:
            sys.__stdout__.flush()
        os.dup2(kept, STDOUT)
        os.close(kept)


def print_json(data: Any) -> None:
    """Print JSON for machines; times are ISO 8601, in UTC."""
    typer.echo(_as_json(data))


def show_json(data: Any) -> None:
    """Print JSON for persons."""
    console().print(JSONHighlighter()(_as_json(data)), soft_wrap=True)


def _as_json(data: Any) -> str:
    return visible_json(json.dumps(data, default=_jsonable, ensure_ascii=False, indent=2))


def _jsonable(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value.isoformat()}Z" if value.tzinfo is None else value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return dict(value)


def fail(text: str) -> NoReturn:
    """Say what is wrong, and end with 1."""
    say(("Failed:", "red"), f" {text}")
    raise typer.Exit(1)


@contextmanager
def failures_told() -> Iterator[None]:
    """Whatever goes wrong becomes a text and exit code 1, never a traceback: it could show a token or a person."""
    from airflow.providers.common.compat.sdk import AirflowException
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    from airflow_reshape.delivery.ledger.opening import LedgerSchemaError

    try:
        yield
    except (typer.Exit, typer.Abort, typer.BadParameter):
        raise
    except (AirflowException, LedgerSchemaError) as error:
        fail(str(error))
    except SQLAlchemyError as error:
        cause = error.orig if isinstance(error, DBAPIError) else None
        fail(f"the ledger's database does not answer, or does not let you ask ({type(cause or error).__name__})")
    except ImportError as error:
        fail(f"a package is missing: {error.name}")
    except Exception as error:  # noqa: BLE001  # see above
        at = traceback.extract_tb(error.__traceback__)[-1]
        fail(f"{type(error).__name__} in {at.name} ({at.filename.rpartition('/')[2]}, line {at.lineno})")
