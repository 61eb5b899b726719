"""What a run keeps, what later tries of it settle, and how it lies on the disk."""

from __future__ import annotations

import json
import os
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_reshape.delivery.failures.folder import Folder, LocalFolder, ObjectFolder
from airflow_reshape.delivery.failures.kept import part_text, settled_text
from airflow_reshape.delivery.failures.rows import encoded_row
from airflow_reshape.delivery.failures.run_folder import RunFolder, run_folders
from airflow_reshape.delivery.ledger.store import SenderIdentity
from airflow_reshape.delivery.outcome import Kind, Outcome
from airflow_reshape.delivery.records import FailuresUnwritableError
from airflow_reshape.events.prepared import SkippedLead
from airflow_reshape.mapping.values import plain
from tests.failures.stores import BUILDER, START, keep, lead, opened, outcome, replay, rows, run, store, unsettled
from tests.mapping.strategies import rows as any_rows
from tests.mapping.test_any_row import FIXED

BAD = lead(7, currency="EURO")


def test_what_failed_is_kept_with_its_reason(folder: Folder) -> None:
    kept = opened(folder, run(attempt=3))
    too_old = Outcome(Kind.SKIPPED, 4, SkippedLead("too_old"), "too_old", row=lead(4))
    keep(
        kept,
        outcome(Kind.INVALID, BAD, position=1),
        outcome(Kind.REJECTED, lead(2), position=2),
        outcome(Kind.UNSENT, lead(3), position=3),
        too_old,
    )
    kept.close()

    found = {one.position: one for one in unsettled(folder)}
    assert {one.kind for one in found.values()} == {"invalid", "rejected", "unsent", "skipped"}
    assert found[1].row == BAD
    assert found[1].lead_id == "l7"
    assert [field for field, _ in found[1].problems] == ["event.currency"]
    assert (found[2].name, found[2].event_id, found[2].why) == ("lead_qualified", "l2:qualified", "422")
    (part,) = run_folders(folder)[0].files("part")
    assert run_folders(folder)[0].part(part)[0] == run(attempt=3)


def test_what_did_not_fail_is_not_kept(folder: Folder) -> None:
    kept = opened(folder)
    chosen = Outcome(Kind.SKIPPED, 1, SkippedLead("no_consent"), "no_consent", row=lead(1))
    assert not kept.keeps(chosen)
    assert not kept.keeps(outcome(Kind.DELIVERED, lead(2)))
    kept.close()
    assert folder.names() == []


def test_the_next_try_marks_what_it_delivers(folder: Folder) -> None:
    first = opened(folder)
    keep(first, outcome(Kind.UNSENT, lead(1)), outcome(Kind.UNSENT, lead(2)), outcome(Kind.INVALID, BAD))
    first.close()

    second = opened(folder, run(attempt=2))
    mended = outcome(Kind.DELIVERED, lead(1, value=5))  # the same event, of another row
    assert second.keeps(mended)
    assert not second.keeps(outcome(Kind.DELIVERED, lead(9)))
    keep(second, mended)
    assert {one.lead_id for one in unsettled(folder)} == {"l2", "l7"}
    # Once the mapping is mended the same row makes an event.
    keep(second, Outcome(Kind.DELIVERED, 3, outcome(Kind.DELIVERED, lead(7)).lead, row=BAD))
    keep(second, outcome(Kind.SKIPPED, lead(2), "already_sent"))
    second.close()
    assert folder.names() == []


def test_a_failure_that_stays_is_kept_once(folder: Folder) -> None:
    for attempt in (1, 2, 3):
        kept = opened(folder, run(attempt=attempt))
        keep(kept, outcome(Kind.INVALID, BAD), outcome(Kind.REJECTED, lead(1)), outcome(Kind.INVALID, BAD))
        kept.close()
    assert len(unsettled(folder)) == 3  # two equal rows in one source may be two leads
    assert len(folder.names()) == 1


def test_the_latest_reason_counts(folder: Folder) -> None:
    first = opened(folder)
    keep(first, outcome(Kind.UNSENT, lead(1)), outcome(Kind.REJECTED, lead(2)))
    first.close()
    second = opened(folder, run(attempt=2))
    keep(second, outcome(Kind.REJECTED, lead(1)), outcome(Kind.UNSENT, lead(2)))
    second.close()
    assert {(one.lead_id, one.kind) for one in unsettled(folder)} == {("l1", "rejected"), ("l2", "rejected")}


def test_the_newer_row_of_an_event_takes_the_place_of_the_older(folder: Folder) -> None:
    first = opened(folder)
    keep(first, outcome(Kind.REJECTED, lead(1, value=1)), outcome(Kind.REJECTED, lead(2)))
    first.close()
    second = opened(folder, run(attempt=2))
    keep(second, outcome(Kind.REJECTED, lead(1, value=2)))
    assert [one.row.get("value") for one in unsettled(folder) if one.lead_id == "l1"] == [2]
    assert len(unsettled(folder)) == 2


@pytest.mark.parametrize("changed_first", [True, False])
def test_of_two_rows_of_one_event_neither_is_lost_when_both_fail_again(folder: Folder, changed_first: bool) -> None:
    first = opened(folder)
    keep(first, outcome(Kind.REJECTED, lead(1, value=1)), outcome(Kind.REJECTED, lead(1, value=2)))
    first.close()
    again = [outcome(Kind.REJECTED, lead(1, value=1)), outcome(Kind.REJECTED, lead(1, value=3))]
    second = opened(folder, run(attempt=2))
    keep(second, *(reversed(again) if changed_first else again))
    assert {one.row["value"] for one in unsettled(folder)} == {1, 3}


def test_runs_tasks_and_mapped_tasks_do_not_touch_each_other(folder: Folder) -> None:
    others = [run("r2"), run(map_index=3), run(task_id="other"), run(dag_id="other")]
    for identity in (run(), *others):
        kept = opened(folder, identity)
        keep(kept, outcome(Kind.UNSENT, lead(1)))
        kept.close()
    again = opened(folder, run(attempt=2))
    keep(again, outcome(Kind.DELIVERED, lead(1)))
    again.close()
    assert len(unsettled(folder)) == len(others)


def test_outside_a_task_each_send_has_a_folder_of_its_own(folder: Folder) -> None:
    for _ in range(2):
        kept = opened(folder, SenderIdentity())
        keep(kept, outcome(Kind.UNSENT, lead(1)))
        kept.close()
    assert len(run_folders(folder)) == 2


def test_a_lead_without_an_outcome_of_its_own_has_its_ids(folder: Folder) -> None:
    kept = opened(folder)
    keep(kept, Outcome(Kind.UNSENT, 1, None, "outage", row={"LEAD_ID": 5, "currency": "EUR"}))
    (one,) = unsettled(folder)
    assert (one.lead_id, one.event_id) == ("5", "5:qualified")


def test_old_runs_are_removed_and_young_ones_stay(folder: Folder) -> None:
    for name, days in (("old", 31), ("young", 29)):
        kept = opened(folder, run(name), now=lambda days=days: START - timedelta(days=days))
        keep(kept, outcome(Kind.UNSENT, lead(days)))
        kept.close()
    opened(folder, run("new")).close()
    assert [one.lead_id for one in unsettled(folder)] == ["l29"]


def test_what_a_crash_leaves_behind_is_read_right(folder: Folder) -> None:
    kept = opened(folder)
    keep(kept, outcome(Kind.UNSENT, lead(1)), outcome(Kind.UNSENT, lead(2)))
    (each,) = run_folders(folder)
    (part,) = each.files("part")
    identity, leads = each.part(part)
    # A part that is being written anew lies beside the old one, and a temporary file is half written.
    folder.put(f"{each.name}/part-20250301T120000000000Z-1-abc-9.jsonl", part_text(identity, leads[:1]))
    folder.put(f"{each.name}/.part-20250301T120000000000Z-1-abc-10.jsonl.tmp", b'{"format": 1, "da')
    folder.put(f"{each.name}/somebody.txt", b"else's")
    assert sorted(str(one.lead_id) for one in unsettled(folder)) == ["l1", "l2"]
    folder.put(f"{each.name}/settled-20250301T120000000000Z-1-abc-1.jsonl", settled_text({leads[0].id: "delivered"}))
    assert [one.lead_id for one in unsettled(folder)] == ["l2"]


def test_a_damaged_part_is_told_and_not_passed_over(folder: Folder) -> None:
    kept = opened(folder)
    keep(kept, outcome(Kind.UNSENT, lead(1)))
    (name,) = folder.names()
    damaged = f"{name.rpartition('/')[0]}/part-20250301T130000000000Z-1-abc-9.jsonl"
    for content in (b'{"format": 99}\n', b"person1@example.com", b'{"format": 1}\n{"id": 1}\n'):
        folder.remove(damaged)
        folder.put(damaged, content)
        with pytest.raises(FailuresUnwritableError, match="cannot be read") as raised:
            opened(folder, run(attempt=2))
        assert "person1" not in str(raised.value)


@pytest.mark.parametrize("mask", [0, 0o777], ids=oct)
def test_files_and_folders_are_for_their_owner_only(tmp_path: Path, mask: int) -> None:
    umask = os.umask(mask)
    try:
        kept = opened(tmp_path / "a" / "b")
        keep(kept, outcome(Kind.UNSENT, lead(1)), outcome(Kind.UNSENT, lead(2)))
        again = opened(tmp_path / "a" / "b", run(attempt=2))
        keep(again, outcome(Kind.DELIVERED, lead(1)))
    finally:
        os.umask(umask)
    made = list(tmp_path.rglob("*"))
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_file()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.is_dir()} == {0o700}
    assert sorted(path.name.partition("-")[0] for path in made if path.is_file()) == ["part", "settled"]


def test_a_folder_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(FailuresUnwritableError, match="Not a directory") as raised:
        store(tmp_path / "file" / "failures").open()
    assert "person" not in str(raised.value)


def test_a_full_disk_is_told_and_nothing_counts_as_kept(tmp_path: Path) -> None:
    class FullDisk(LocalFolder):
        """Fails where a full disk does: after the temporary file was made."""

        def put(self, name: str, content: bytes) -> None:
            if not content:
                return super().put(name, content)
            import resource

            limits = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, limits[1]))
            try:
                super().put(name, content)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    kept = opened(FullDisk(tmp_path))
    with pytest.raises(FailuresUnwritableError, match="File too large"):
        kept.write([outcome(Kind.UNSENT, lead(1))])
    assert unsettled(tmp_path) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_part_is_lines_of_json_that_other_tools_can_read(folder: Folder) -> None:
    keep(opened(folder), outcome(Kind.UNSENT, lead(1)))
    (name,) = folder.names()
    head, line = (json.loads(text) for text in (folder.read(name) or b"").decode().splitlines())
    assert (head["format"], head["dag_id"], head["run_id"]) == (1, "crm", "r1")
    assert line["row"]["email"] == "person1@example.com"


@settings(FIXED, max_examples=150)
@given(st.lists(st.tuples(any_rows(), st.sampled_from((True, False))), min_size=1, max_size=4))
def test_whatever_a_row_holds_it_is_kept(rows_and_leads: list[tuple[Any, bool]]) -> None:
    objects = MemoryFileSystem(skip_instance_cache=True)
    objects.store, objects.pseudo_dirs = {}, [""]
    folder = ObjectFolder(objects, "/bucket/x")
    kept = opened(folder)
    batch = [
        Outcome(Kind.UNSENT, position, BUILDER(row) if prepared else None, "outage", row=row)
        for position, (row, prepared) in enumerate(rows_and_leads, 1)
    ]
    kept.write(batch)
    read = sorted(unsettled(folder), key=lambda one: one.position)
    assert [encoded_row(outcome.row, plain) for outcome in batch] == [one.row for one in read]
    assert len(rows(replay(folder))) == len(batch)


def test_reading_a_part_that_was_removed_meanwhile_gives_nothing(folder: Folder) -> None:
    assert RunFolder(folder, "gone", ["part-20250301T120000000000Z-1-abc-1.jsonl"]).part("part-x")[1] == []
