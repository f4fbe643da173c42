"""Recordings written anew have the same rows, books and columns, in fewer files or by time."""

from __future__ import annotations

import argparse
import functools
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ior_nb.commands.options import converted
from ior_nb.errors import ConfigError, IorWarning, RecordingError
from ior_nb.export.arrow import columns, record_batch, schema
from ior_nb.result.bytime import by_time
from ior_nb.result.convert import convert
from ior_nb.result.load import load
from ior_nb.runtime import Accounting, Completeness, EventBatch
from ior_nb.runtime.schema import NAMES
from ior_nb.sinks.parquet import Recorder
from tests.fakes import batch


def rows_of(times: list[int], file: str = "/a") -> EventBatch:
    """Return finished reads that began then, numbered from 1 on."""
    count = len(times)
    columns: dict[str, list[object]] = {
        "seq": list(range(1, count + 1)),
        "time_ns": list(times),
        "latency_ns": [5] * count,
        "syscall": ["read"] * count,
        "family": ["FS"] * count,
        "file": [f"{file}{i}" for i in range(count)],
    }
    return batch(**columns)


def recorded(path: Path, rows: EventBatch, host: str = "ada", lost: int = 0) -> Path:
    """Write a recording of one machine that lacks so many calls."""
    count = len(rows)
    books = Accounting(seen=count + lost, emitted=count, lost={"ring": lost} if lost else {})
    counts = {"calls": count + lost, "errors": 0, "probes": 0, "bytes": 0, "latency_ns": 5 * count}
    recorder = Recorder(functools.partial(columns, host=host), group_rows=3)
    about = {
        "ior_nb.version": "0.0.1",
        "ior_nb.hostname": host,
        "ior_nb.boot_id": f"{host}-1",
        "ior_nb.started_at_unix_nano": str(10**18 + len(host)),
        "ior_nb.started_at_boot_nano": "1000",
        "ior_nb.ended_at_unix_nano": str(10**18 + len(host) + 100),
        "ior_nb.ended_at_boot_nano": "1100",
        "ior_nb.counters": f'{{"read": {counts}}}'.replace("'", '"'),
        "note": "mine",
        **Completeness(accounting=books).pairs(),
    }
    recorder.start(path, metadata=about)
    recorder.record(rows)
    published = recorder.stop()
    assert published is not None
    return published


def test_a_recording_that_a_crash_left_is_told(fleet: Path, tmp_path: Path) -> None:
    """Who converts a folder may throw it away afterwards; by its name it is converted."""
    left = (fleet / "3.parquet").rename(fleet / "ior-0123456789abcdef.tmp")

    with pytest.warns(IorWarning, match=f"left out: .*{left.name}.* is a recording without an end"):
        found = convert(fleet, tmp_path / "out")
    asked = argparse.Namespace(paths=[str(fleet)], target=str(tmp_path / "again"), sort=False, rows_per_file=None)

    assert [file.rows for file in found] == [6]
    assert [line.partition(" ")[0] for line in converted(asked).splitlines()] == ["wrote", "left"]
    assert [file.rows for file in convert(left, tmp_path / "one.parquet")] == [1]


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """Three recordings of two machines; calls of one ended in another order than they began in."""
    home = tmp_path / "in"
    home.mkdir()
    recorded(home / "1.parquet", rows_of([1030, 1010, 1020, 1040], "/x"), lost=2)
    recorded(home / "2.parquet", rows_of([1035, 1005], "/y"))
    recorded(home / "3.parquet", rows_of([1001], "/z"), host="bob")
    return home


def test_one_file_has_the_rows_books_and_times_of_all(fleet: Path, tmp_path: Path) -> None:
    """What a folder answers, its one file answers: rows in the same order, where calls went, counters, machines."""
    before = load(fleet)
    (made,) = convert(fleet, tmp_path / "one.parquet")
    after = load(made.path)

    assert made.rows == 7
    for name in NAMES:
        assert after.df()[name].tolist() == before.df()[name].tolist(), name
    assert after.accounting == before.accounting
    assert after.counters == before.counters
    assert (after.window, after.began) == (before.window, before.began)
    assert after.df()["host"].tolist() == ["ada"] * 6 + ["bob"]
    assert after.origin["ior_nb.hostname"] == ""


def test_sorted_rows_stand_by_time_and_are_numbered_anew(fleet: Path, tmp_path: Path) -> None:
    """Sorted, the rows of all files are in the order in which their calls began."""
    (made,) = convert([fleet / "1.parquet", fleet / "2.parquet"], tmp_path / "one.parquet", sort=True)
    frame = load(made.path).df()

    assert frame["file"].tolist() == ["/y1", "/x1", "/x2", "/x0", "/y0", "/x3"]
    assert frame["seq"].tolist() == [1, 2, 3, 4, 5, 6]
    assert frame["time_ns"].is_monotonic_increasing


def test_a_folder_has_files_of_each_machine_with_its_own_clock(fleet: Path, tmp_path: Path) -> None:
    """Each machine has its file, and one more where that would have too many rows; together they are all there was."""
    before = load(fleet)
    made = convert(fleet, tmp_path / "out", rows_per_file=4)
    after = load(tmp_path / "out")

    assert [(file.path.name, file.rows) for file in made] == [
        ("ada.parquet", 4),
        ("ada-2.parquet", 2),
        ("bob.parquet", 1),
    ]
    assert load(tmp_path / "out" / "ada.parquet").df()["time_ns"].tolist() == [1030, 1010, 1020, 1040]
    assert after.accounting == before.accounting
    assert after.counters == before.counters
    assert sorted(after.df()["file"]) == sorted(before.df()["file"])


def test_files_of_ior_get_what_recordings_of_today_have(tmp_path: Path) -> None:
    """The 23 columns of the Go program become all of ours, and what its footer says of the trace stays."""
    whole = pa.Table.from_batches([record_batch(rows_of([7, 8]))]).select(list(NAMES[:23]))
    whole = whole.replace_schema_metadata({"ior.hostname": "gopher", "ior.version": "0.9", "ior.sampling": "read=10"})
    pq.write_table(whole, tmp_path / "ior.parquet")
    (made,) = convert(tmp_path / "ior.parquet", tmp_path / "today")
    after = load(made.path)

    assert made.path.name == "gopher.parquet"
    assert pq.read_schema(made.path).names == list(NAMES)
    assert after.df()["state"].tolist() == ["done", "done"]
    assert after.df()["host"].tolist() == ["gopher", "gopher"]
    assert any("sampled: read=10" in note for note in after.notes)


def test_a_file_of_ior_lasts_as_long_as_before(tmp_path: Path) -> None:
    """Its footer has no boot clock, and what is written anew does not say that it began when the machine did."""
    recorder = Recorder(columns)
    recorder.start(tmp_path / "old.parquet", metadata={"ior.version": "1", "ior.started_at_unix_nano": str(10**18)})
    recorder.record(rows_of([5_000, 7_000]))
    recorder.stop()

    convert(tmp_path / "old.parquet", tmp_path / "new.parquet")

    assert load(tmp_path / "new.parquet").window == load(tmp_path / "old.parquet").window == (5_000, 7_001)


def test_pairs_of_others_in_the_footer_are_kept(fleet: Path, tmp_path: Path) -> None:
    """What somebody else wrote into all footers alike is in the new one."""
    (made,) = convert(fleet, tmp_path / "one.parquet")

    assert pq.read_metadata(made.path).metadata[b"note"] == b"mine"


def test_a_folder_with_recordings_is_refused(fleet: Path) -> None:
    """A folder is loaded as a whole: what is converted into the same one would count twice."""
    with pytest.raises(ConfigError, match=r"has recordings already \(.\.parquet\).*new folder"):
        convert(fleet, fleet)


def test_a_file_may_take_the_place_of_its_source(fleet: Path) -> None:
    """The old file is read to its end before the new one has its name."""
    path = fleet / "1.parquet"
    convert(path, path, sort=True)

    assert load(path).df()["time_ns"].tolist() == [1010, 1020, 1030, 1040]


def test_damage_leaves_no_half_file(fleet: Path, tmp_path: Path) -> None:
    """Where a source cannot be read to its end there is no target, and nothing beside it."""
    data = bytearray((fleet / "1.parquet").read_bytes())
    column = pq.read_metadata(fleet / "1.parquet").row_group(0).column(1)
    data[column.data_page_offset : column.data_page_offset + column.total_compressed_size] = bytes(
        column.total_compressed_size
    )
    (fleet / "1.parquet").write_bytes(bytes(data))
    (tmp_path / "out").mkdir()
    with pytest.raises(RecordingError):
        convert(fleet, tmp_path / "out" / "one.parquet")

    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("seed", range(6))
def test_runs_on_the_disk_are_merged_to_what_a_sort_gives(tmp_path: Path, seed: int) -> None:
    """However runs overlap, and with however many equal times, the merge is the sorted whole, texts and all."""
    random = np.random.default_rng(seed)
    times = (np.sort(random.integers(0, 500, 400)) + random.integers(0, [1, 30, 500][seed % 3], 400)).tolist()
    whole = rows_of(times)
    parts = [whole[a:b] for a, b in itertools.pairwise([0, 7, 150, 151, 400])]
    found = EventBatch.concat(list(by_time(parts, schema(), tmp_path, run=60, block=7)))
    order = np.lexsort((whole["seq"], whole["time_ns"]))

    assert found["time_ns"].tolist() == whole["time_ns"][order].tolist()
    assert found["seq"].tolist() == whole["seq"][order].tolist()
    assert found.text("file").tolist() == whole.text("file")[order].tolist()
    assert list(tmp_path.iterdir()) == []


def test_completeness_says_what_is_missing_once(fleet: Path, tmp_path: Path) -> None:
    """The parts of a machine's rows are complete in themselves but for the last, which has all that is missing."""
    convert(fleet, tmp_path / "out", rows_per_file=4)
    first, second = (load(tmp_path / "out" / name).accounting for name in ("ada.parquet", "ada-2.parquet"))

    assert first == Accounting(seen=4, emitted=4)
    assert second == replace(Accounting(seen=4, emitted=2), lost={"ring": 2})
