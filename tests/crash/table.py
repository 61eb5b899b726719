"""The table at the end of the crash suite."""

from __future__ import annotations

from collections.abc import Sequence

from tests.crash.campaign import Report

HEADS = ("", "leads due", "ended early", "lost", "sent twice", "bound", "most at once")


def shown(reports: Sequence[Report]) -> str:
    """One line for each campaign, and the sums of those that were killed and those that were stopped in order."""
    sums = {
        "all, killed (SIGKILL)": [report for report in reports if report.killed],
        "all, stopped in order": [report for report in reports if not report.killed],
    }
    lines = [_cells(report.name, [report]) for report in reports]
    rows = [HEADS, *lines, *(_cells(name, some) for name, some in sums.items() if some)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )


def _cells(name: str, reports: Sequence[Report]) -> tuple[str, ...]:
    kills = [kill for report in reports for kill in report.kills]
    most = max(kills, key=lambda kill: kill.repeated, default=None)
    return (
        name,
        f"{sum(report.due for report in reports):,}",
        f"{len(kills)}",
        f"{sum(report.lost for report in reports)}",
        f"{sum(report.repeated for report in reports):,}",
        f"{sum(report.bound for report in reports):,}",
        f"{most.repeated:,} of {most.bound:,}" if most else "",
    )
