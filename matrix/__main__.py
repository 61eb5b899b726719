"""``python -m matrix``: run the tests in cells, one after another, and print a table."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from matrix.cells import CELLS, Cell
from matrix.environments import NotInstalledError, find_python, prepare, versions
from matrix.tiers import TIERS, Result, run_tier


@dataclass
class Row:
    """What became of a cell.

    :param note: which versions it had, or why it did not run.
    :param results: by tier.
    :param failed: something is wrong.
    """

    cell: str
    note: str = ""
    results: dict[str, Result] = field(default_factory=dict)
    failed: bool = False


def main(arguments: Sequence[str]) -> int:
    """Run what is asked for.

    :returns: the exit code: 0 if every test of every cell that could run passed.
    """
    options = _parser().parse_args(arguments)
    if options.list:
        print(json.dumps([{"name": cell.name, "python": cell.python} for cell in CELLS.values()]))
        return 0
    chosen = [CELLS[name] for name in options.cell] or list(CELLS.values())
    tiers = options.tier or list(TIERS)
    rows = [run_cell(cell, tiers, must=bool(options.cell)) for cell in chosen]
    print("\n".join(table(rows, tiers)))
    return int(any(row.failed for row in rows))


def run_cell(cell: Cell, tiers: Sequence[str], *, must: bool) -> Row:
    """Make a cell's environment, and run its tiers.

    :param must: that its Python is missing is a failure.
    """
    row = Row(cell.name)
    base = find_python(cell.python)
    if base is None:
        row.note, row.failed = f"no Python {cell.python} on this machine", must
        return row
    print(f"== {cell.name}: making its environment with {base}", flush=True)
    try:
        python = prepare(cell, base)
    except NotInstalledError as error:
        print(error, file=sys.stderr)
        row.note, row.failed = "cannot be installed", True
        return row
    row.note = versions(python)
    for tier in tiers:
        print(f"== {cell.name}, {tier}: {row.note}", flush=True)
        row.results[tier] = run_tier(cell, tier, python)
    row.failed = any(result.failed for result in row.results.values())
    return row


def table(rows: Sequence[Row], tiers: Sequence[str]) -> list[str]:
    """The lines of the table that tells what became of every cell."""
    head = ["cell", *tiers, "", ""]
    lines = [
        head,
        *([row.cell, *(_told(row.results.get(tier)) for tier in tiers), _verdict(row), row.note] for row in rows),
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return ["  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _verdict(row: Row) -> str:
    if row.failed:
        return "FAILED"
    return "passed" if row.results else "not run"


def _told(result: Result | None) -> str:
    if result is None:
        return "-"
    parts = [f"{result.passed} passed"]
    parts += [f"{result.failed} failed"] if result.failed else []
    parts += [f"{result.skipped} skipped"] if result.skipped else []
    return f"{', '.join(parts)} ({result.seconds:.0f} s)"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m matrix", description=__doc__)
    parser.add_argument("--cell", action="append", default=[], choices=CELLS, help="may be given again; all if none is")
    parser.add_argument("--tier", action="append", default=[], choices=TIERS, help="may be given again; all if none is")
    parser.add_argument("--list", action="store_true", help="print the cells as JSON, and run nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
