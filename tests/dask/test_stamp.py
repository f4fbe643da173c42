"""Rows of a host become rows of a cluster: each has its worker, its task and its time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq

from ior_nb.dask.above import Above
from ior_nb.dask.clocks import Difference
from ior_nb.dask.spans import Noted, Worker
from ior_nb.dask.stamp import stamp
from ior_nb.export.arrow import columns
from ior_nb.result.axis import clocks
from ior_nb.result.load import load
from ior_nb.runtime.clock import Moment
from ior_nb.runtime.spans import Spans
from ior_nb.sinks.parquet import Recorder
from tests.fakes import batch

WALL = 1_700_000_000_000_000_000


def _recording(path: Path, ended: int = WALL + 4000) -> Path:
    recorder = Recorder(to_arrow=columns, group_rows=3)
    recorder.start(path, metadata=clocks("started", Moment(WALL, 1000)))
    recorder.record(
        batch(
            time_ns=[1000, 1100, 1150, 1200, 3000],
            pid=[7, 7, 8, 9, 5],
            ppid=[5, 5, 7, 8, 1],
            tid=[70, 71, 80, 90, 5],
            file=["/a", "/b", "/c", "/d", "/e"],
            syscall=["read"] * 5,
            label=["", "load", "load", "", ""],
        )
    )
    recorder.set_metadata(clocks("ended", Moment(ended, 3000)))  # the wall clock was put forward meanwhile, say
    recorder.stop()
    return path


def _noted(*spans: tuple[int, int, int, str]) -> Noted:
    found = Spans()
    for thread, begin, end, task in spans:
        found.add(thread, begin, end, f"0 {task}")
    return Noted((Worker("tcp://a:1", 7),), found, len(spans))


def test_a_row_has_the_task_of_its_thread_and_the_worker_of_its_process(tmp_path: Path) -> None:
    """A child belongs to the worker it comes from; a task is told of the thread alone that does it."""
    noted = _noted((70, 900, 1050, "('read-csv-0a1b2c3d4e5f', 3)"), (71, 900, 1100, "early"))

    made = stamp(_recording(tmp_path / ".a.parquet"), tmp_path / "a.parquet", noted, Difference(), Difference())
    rows = pq.read_table(made.path)

    assert (made.rows, made.with_task) == (5, 1)
    assert rows["worker"].to_pylist() == ["tcp://a:1"] * 4 + [""]
    assert rows["task"].to_pylist() == ["('read-csv-0a1b2c3d4e5f', 3)", "", "", "", ""]
    assert rows["task_prefix"].to_pylist() == ["read-csv", "", "", "", ""]
    assert rows["file"].to_pylist() == ["/a", "/b", "/c", "/d", "/e"]


def test_times_are_those_of_the_schedulers_clock(tmp_path: Path) -> None:
    """The host's clock is moved by what it was off at the begin and at the end, and by a straight line in between."""
    source, target = _recording(tmp_path / ".a.parquet"), tmp_path / "a.parquet"

    stamp(source, target, _noted(), Difference(500, 20), Difference(-1500, 30))
    trace = load(target)

    assert pq.read_table(target)["wall_ns"].to_pylist() == [WALL + 500 + at for at in (0, 100, 150, 200, 2000)]
    assert trace.began == Moment(WALL + 500, 1000)


def test_a_clock_that_was_asked_once_is_believed_throughout(tmp_path: Path) -> None:
    """A scheduler that did not answer in the end has not said that the clocks agree."""
    source, target = _recording(tmp_path / ".a.parquet"), tmp_path / "a.parquet"

    stamp(source, target, _noted(), Difference(2000, 20), Difference())

    assert pq.read_table(target)["wall_ns"].to_pylist()[-1] == WALL + 2000 + 4000


def test_a_wall_clock_that_is_set_back_turns_no_rows_around(tmp_path: Path) -> None:
    """Where the scheduler has seen it, its clock says when rows began; else the clock at the begin does."""
    source = _recording(tmp_path / ".a.parquet", ended=WALL - 9000)

    stamp(source, tmp_path / "seen.parquet", _noted(), Difference(0, 20), Difference(11_000, 20))
    stamp(source, tmp_path / "unseen.parquet", _noted(), Difference(), Difference())

    expected = [WALL + at for at in (0, 100, 150, 200, 2000)]
    assert pq.read_table(tmp_path / "seen.parquet")["wall_ns"].to_pylist() == expected
    assert pq.read_table(tmp_path / "unseen.parquet")["wall_ns"].to_pylist() == expected


def test_rows_of_workers_stand_below_what_the_client_calls_its_work(tmp_path: Path) -> None:
    """By the scheduler's clock, above what they say themselves; what is no worker's has nothing of it."""
    above = Above((0, WALL + 500, WALL + 650, WALL + 750), ("before", "epoch 1", "", "epoch 2"), "here", 5)
    source, noted = _recording(tmp_path / ".a.parquet"), _noted()
    clock = Difference(500, 20), Difference(-1500, 30)

    stamp(source, tmp_path / "there.parquet", noted, *clock, above, "there")
    stamp(source, tmp_path / "here.parquet", noted, *clock, above, "here")

    of_workers = pq.read_table(tmp_path / "there.parquet")["label"].to_pylist()
    assert of_workers == ["epoch 1", "epoch 1/load", "load", "", ""]
    assert of_workers[:2] != pq.read_table(tmp_path / "here.parquet")["label"].to_pylist()[:2] == ["", "load"]
    assert len(load(tmp_path / "there.parquet").filter("label=epoch*")) == 2


def test_workers_of_one_process_are_not_mixed_up(tmp_path: Path) -> None:
    """Where several workers are threads of one process, rows in no task are nobody's, rather than somebody else's."""
    noted = replace(_noted((70, 900, 1050, "sum")), workers=(Worker("tcp://a:1", 7), Worker("tcp://a:2", 7)))

    made = stamp(_recording(tmp_path / ".a.parquet"), tmp_path / "a.parquet", noted, Difference(), Difference())

    assert pq.read_table(made.path)["worker"].to_pylist() == ["tcp://a:1", "", "", "", ""]


def test_hostile_names_of_tasks_are_text(tmp_path: Path) -> None:
    """Who gives a task its name decides nothing but that."""
    noted = _noted((70, 900, 1050, "\udcff'; DROP\n<b>"))

    made = stamp(_recording(tmp_path / ".a.parquet"), tmp_path / "a.parquet", noted, Difference(), Difference())

    assert pq.read_table(made.path)["task"][0].as_py() == "\\xff'; DROP\n<b>"


def test_a_recording_without_rows_is_one_too(tmp_path: Path) -> None:
    """A host that did nothing has a file that says so."""
    recorder = Recorder(to_arrow=columns)
    recorder.start(tmp_path / ".a.parquet")
    recorder.stop()

    made = stamp(tmp_path / ".a.parquet", tmp_path / "a.parquet", _noted(), Difference(), Difference())

    assert (made.rows, pq.read_table(made.path).num_rows) == (0, 0)
    assert len(load(made.path)) == 0
