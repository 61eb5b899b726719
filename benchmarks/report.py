"""The tables, from ``results.json`` alone: ``python -m benchmarks.report`` shows them, ``--write`` puts them into the
documentation."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.figures import Results, cpu_seconds, find, median_rate, peak, ratio
from benchmarks.goals import goals
from benchmarks.sizes import SETTLING, WINDOW
from benchmarks.speed import BARE, CONTESTANTS

RESULTS = Path("benchmarks/results.json")
PAGE = Path("docs/performance.md")
SPEED = ("", "events/s", "of bare aiohttp", "CPU-s per 10,000", "peak MB", "rows a round")
SERVER = ("before each answer", "connections", "wrk, requests/s")
LIMITS = (
    "server",
    "accepted/s",
    "of the possible",
    f"refused after {SETTLING:.0f} s",
    "refused before",
    "bare aiohttp by fixed window",
)
BEGIN, END = "<!-- results: python -m benchmarks.report --write -->", "<!-- end of results -->"


def tables(results: Results) -> str:
    """Everything that was measured, as Markdown."""
    return "\n\n".join(["\n".join(_machine(results)), *(_section(*of) for of in _sections(results))])


def _machine(results: Results) -> Iterator[str]:
    machine, versions = results["machine"], results.get("versions", {})
    yield (
        f"Measured on {machine['day']}: {machine['processors']} processors ({machine['processor']}), "
        f"{machine['memory_gb']} GB, Python {machine['python']}, nginx {machine['nginx']}, load before it "
        f"{machine['load_before']}. {results['rounds']} rounds; medians."
    )
    if versions:
        yield "Versions: " + ", ".join(f"{name} {number}" for name, number in sorted(versions.items())) + "."


def _sections(results: Results) -> Iterator[tuple[str, Sequence[str], Iterable[Sequence[str]]]]:
    yield "Goals", ("", "goal", "measured", ""), (goal.cells for goal in goals(results))
    for latency in sorted({run["latency_ms"] for run in results.get("speed", ())}):
        title = f"TLS, {latency} ms before each answer" if latency else "TLS, answered at once"
        yield title, SPEED, _speed(results, latency)
    if "server" in results:
        yield "The server is not the bottleneck", SERVER, _server(results)
    if "limits" in results:
        yield "Servers with limits", LIMITS, _limits(results)
    if "memory" in results:
        yield "Memory", ("rows", "peak MB", "events/s"), _memory(results)
    if "per_event" in results:
        yield "Processor time of one event", ("", "µs"), _per_event(results)


def _speed(results: Results, latency: int) -> Iterator[Sequence[str]]:
    for name in CONTESTANTS:
        run = find(results, latency, name)
        share = ratio(results, latency, name, BARE)
        if run is None or share is None:
            continue
        rate, cost, memory = median_rate(run), cpu_seconds(run), peak(run)
        bound = f" (bound {WINDOW / latency * 1000:,.0f})" if latency and name == BARE else ""
        rows = f"{run['rounds'][0]['events']:,}"
        yield name, f"{rate:,.0f}{bound}", f"{share:.1%}", f"{cost:.2f}", f"{memory:.0f}", rows


def _server(results: Results) -> Iterator[Sequence[str]]:
    for run in results["server"]:
        yield f"{run['latency_ms']} ms", str(run["connections"]), f"{run['per_second']:,.0f}"


def _limits(results: Results) -> Iterator[Sequence[str]]:
    for used in results["limits"]:
        fixed = " · ".join(f"{window}: {rate:.0f}/s" for window, rate in used["fixed_windows"].items())
        rate = f"{used['accepted'] / used['seconds']:.1f}"
        share, later = f"{used['share']:.1%}", f"{used['refused_later']:.1%}"
        yield used["limit"], rate, share, later, f"{used['refused_at_first']:,}", fixed


def _memory(results: Results) -> Iterator[Sequence[str]]:
    for run in results["memory"]:
        yield f"{run['rows']:,}", f"{run['peak_mb']:.1f}", f"{run['events'] / run['seconds']:,.0f}"


def _per_event(results: Results) -> Iterator[Sequence[str]]:
    event = results["per_event"]
    for name, cost in event["parts_us"].items():
        yield name, f"{cost:.0f}"
    yield "**all of these**", f"**{event['ours_us']:.0f}**"
    yield "a bare aiohttp POST over TLS", f"{event['bare_post_us']:.0f}"


def _section(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    table = [list(head), *map(list, rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in table
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([f"### {title}", "", lines[0], rule, *lines[1:]])


def write(page: Path, text: str) -> None:
    """Put the tables between the page's two marks.

    :raises ValueError: the marks are not there.
    """
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for the results: {BEGIN} … {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", nargs="?", type=Path, default=RESULTS)
    parser.add_argument("--write", action="store_true", help=f"into {PAGE}")
    parser.add_argument("--page", type=Path, default=PAGE, help="another page to write into")
    asked = parser.parse_args()
    text = tables(json.loads(asked.results.read_text()))
    if asked.write:
        write(asked.page, text)
    else:
        print(text)


if __name__ == "__main__":
    main()
