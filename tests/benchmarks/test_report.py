"""The benchmarks' figures and tables follow from the results alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.figures import cpu_seconds, find, median_rate, memory_growth, ratio
from benchmarks.goals import goals
from benchmarks.report import BEGIN, END, PAGE, tables, write
from benchmarks.speed import BARE, DLT, DRT, HTTP_HOOK, OURS


def run(latency: int, contestant: str, *rates: float) -> dict[str, Any]:
    """A second's worth of events in each round."""
    rounds = [{"events": rate, "seconds": 1.0, "cpu_seconds": 0.5, "peak_mb": 100.0} for rate in rates]
    return {"latency_ms": latency, "contestant": contestant, "rounds": rounds}


def results(**groups: Any) -> dict[str, Any]:
    machine = {"day": "2030-01-01", "processors": 2, "processor": "some", "memory_gb": 8, "python": "3.11"}
    return {"machine": {**machine, "nginx": "1.2", "load_before": 0.1}, "rounds": 3, **groups}


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    return {cells[0]: cells[3] for goal in goals(found) if (cells := goal.cells)}


def test_a_ratio_is_the_median_of_rounds_that_ran_side_by_side() -> None:
    # The machine was slow in the second round and quick in the third: for both.
    found = results(speed=[run(50, BARE, 1000, 100, 4000), run(50, OURS, 900, 80, 3600)])
    assert ratio(found, 50, OURS) == pytest.approx(0.9)
    assert ratio(found, 20, OURS) is None


def test_rates_and_processor_time_are_medians() -> None:
    bare = find(results(speed=[run(0, BARE, 1000, 5000, 2000)]), 0, BARE)
    assert bare is not None
    assert median_rate(bare) == 2000
    assert cpu_seconds(bare) == pytest.approx(0.5 / 2000 * 10_000)


@pytest.mark.parametrize(("ours", "verdict"), [(970, "reached"), (969, "not reached")])
def test_a_goal_holds_from_its_bound_on(ours: float, verdict: str) -> None:
    found = results(speed=[run(50, BARE, 1000), run(50, OURS, ours), *(run(50, peer, 10) for peer in (DRT, DLT))])
    assert verdicts(found)["50 ms: share of bare aiohttp's rate"] == verdict


def test_what_was_not_measured_has_no_verdict() -> None:
    assert set(verdicts(results()).values()) == {""}
    assert verdicts(results(speed=[run(50, OURS, 900)]))[f"50 ms: times as fast as {HTTP_HOOK}"] == ""


@pytest.mark.parametrize(("many", "verdict"), [(120.0, "reached"), (120.1, "not reached")])
def test_memory_is_compared_between_ten_thousand_rows_and_a_million(many: float, verdict: str) -> None:
    few = {"rows": 10_000, "peak_mb": 100.0, "events": 10_000, "seconds": 1.0}
    found = results(memory=[few, {**few, "rows": 1_000_000, "peak_mb": many}])
    assert verdicts(found)["memory: 1,000,000 rows above 10,000"] == verdict
    assert memory_growth(results(memory=[few, {**few, "rows": 20_000}])) is None


def test_refusals_count_where_the_limit_is_a_rate() -> None:
    used = {"limit": "429 above 100/s", "share": 0.95, "refused_later": 0.051}
    told = verdicts(results(limits=[used, {**used, "limit": "429 above 5 at once"}]))
    assert told["429 above 100/s: share of what is possible"] == "reached"
    assert told["429 above 100/s: refused after 5 s"] == "not reached"
    assert "429 above 5 at once: refused after 5 s" not in told


def test_the_tables_replace_the_old_ones_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    text = tables(results(speed=[run(50, BARE, 1000), run(50, OURS, 900)]))
    for _ in range(2):
        write(page, text)
        written = page.read_text()
        assert written == f"before\n{BEGIN}\n\n{text}\n\n{END}\nafter\n"
    assert "| airflow_reshape | 900" in written
    assert "90.0%" in written


def test_a_page_without_a_place_for_the_results_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no marks\n")
    with pytest.raises(ValueError, match="no place"):
        write(page, "text")
    assert page.read_text() == "no marks\n"


def test_the_documentation_has_a_place_for_the_results() -> None:
    text = (Path(__file__).parents[2] / PAGE).read_text()
    assert text.index(BEGIN) < text.index(END)
