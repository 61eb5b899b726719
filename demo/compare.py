"""Compares what should have happened with what the package says and with what the sandbox received."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from demo.truth import Expected, facts_of

Key = tuple[str, str]


def differences(
    rows: Sequence[Expected], received: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]
) -> list[str]:
    """Every difference, in words and without a value of a lead. An empty list: all three agree.

    :param rows: what should become of each row of the CRM.
    :param received: every request that reached the sandbox, as ``/received`` tells it.
    :param summary: what the task returned.
    """
    return [*_events(rows, received), *_counts(rows, summary)]


def _events(rows: Sequence[Expected], received: Sequence[Mapping[str, Any]]) -> list[str]:
    wanted: dict[Key, Expected] = {}
    for row in rows:
        if row.outcome == "delivered":
            wanted[row.facts["event.name"], row.facts["event.id"]] = row
    arrived: dict[Key, list[Mapping[str, Any]]] = defaultdict(list)
    found = []
    for request in received:
        key = (str(request["name"]), str(request["id"]))
        if not request["taken"] or not request["valid"]:
            found.append(f"{_named(key)}: the sandbox refused it ({request['status']})")
        arrived[key].append(request["body"])
    found += [f"{_named(key)}: did not arrive" for key in wanted.keys() - arrived.keys()]
    found += [f"{_named(key)}: should not have been sent" for key in arrived.keys() - wanted.keys()]
    for key in wanted.keys() & arrived.keys():
        if len(arrived[key]) > 1:
            found.append(f"{_named(key)}: arrived {len(arrived[key])} times")
        for path in _unequal(wanted[key].facts, facts_of(arrived[key][0])):
            found.append(f"{_named(key)}: {path} is not what the CRM means")
    return sorted(found)


def _named(key: Key) -> str:
    return f"{key[0]} {key[1]}"


def _unequal(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    return sorted(path for path in left.keys() | right.keys() if left.get(path) != right.get(path))


def _counts(rows: Sequence[Expected], summary: Mapping[str, Any]) -> list[str]:
    outcomes = Counter[str](row.outcome for row in rows)
    pairs: list[tuple[str, Mapping[str, int], Mapping[str, int]]] = [
        (
            "total",
            {"read": len(rows), **{kind: outcomes[kind] for kind in ("delivered", "invalid", "skipped")}},
            {kind: summary[kind] for kind in ("read", "delivered", "invalid", "skipped")},
        ),
        ("unsent or rejected", {}, {kind: summary[kind] for kind in ("unsent", "rejected") if summary[kind]}),
        ("skipped", _tally(row.why for row in rows if row.outcome == "skipped"), summary["skipped_by"]),
        (
            "invalid",
            _tally(row.why for row in rows if row.outcome == "invalid"),
            _plainly_counted(summary["invalid_by"]),
        ),
        ("sent without", _tally(row.without for row in rows if row.without), summary["sent_without"]),
    ]
    for name in ("lead_qualified", "lead_disqualified"):
        should = _tally(row.outcome for row in rows if row.name == name)
        pairs.append((name, should, summary["by_event"].get(name, {})))
    return [
        f"{what} {key}: the package counts {given.get(key, 0)}, the CRM says {should.get(key, 0)}"
        for what, should, given in pairs
        for key in _unequal(should, given)
    ]


def plainly(problem: str) -> str:
    """``field: rule``, as the package words it, as ``field: missing`` or ``field: wrong``."""
    field, _, rule = problem.partition(": ")
    return f"{field}: {'missing' if rule.startswith('is required') else 'wrong'}"


def _plainly_counted(problems: Mapping[str, int]) -> dict[str, int]:
    counts = Counter[str]()
    for problem, count in problems.items():
        counts[plainly(problem)] += count
    return dict(counts)


def _tally(values: Iterable[str | None]) -> dict[str, int]:
    return dict(Counter(value for value in values if value is not None))
