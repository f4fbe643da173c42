"""The writing thread and its queue."""

from __future__ import annotations

import errno
import itertools
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ior_nb.errors import RecordingError
from ior_nb.export.arrow import Columns, columns
from ior_nb.real import current
from ior_nb.runtime import EventBatch, own
from ior_nb.sinks.parquet import Recorder, read
from ior_nb.sinks.parquet.rows import RowQueue
from tests.sinks.parquet.recordings import Gate, events, failing, numbers, running


def test_rows_are_written_by_the_thread_of_that_name(tmp_path: Path) -> None:
    """Conversion and writing happen in one thread, whose kernel id is known from the start to the end."""
    seen = []

    def convert(batches: Sequence[EventBatch]) -> Columns:
        if batches:
            thread = current()
            seen.append((thread.name if thread is not None else "", type(thread)))
        return columns(batches)

    recorder = Recorder(convert)
    recorder.start(tmp_path / "a")
    recorder.record(events(1))
    recorder.stop()

    assert seen == [("ior-recorder", own.OwnThread)]


def test_group_that_stays_small_is_written_when_it_is_due(tmp_path: Path) -> None:
    """Rows wait for their row group no longer than the flush interval."""
    now, told = [0.0], [0.0]
    user = threading.current_thread()

    def clock() -> float:  # for the writer it is later when a row has come, not before
        if threading.current_thread() is user:
            told[0] = now[0]
        return told[0]

    gate = Gate()
    gate.open.set()
    recorder = Recorder(gate, clock=clock, flush_seconds=10)
    recorder.start(tmp_path / "a")
    recorder.record(events(5))
    now[0] = 9.9
    recorder.record(events(1, 5))
    now[0] = 10.0
    recorder.record(events(1, 6))
    flushed = gate.entered.wait(30)
    recorder.stop()

    assert flushed
    assert gate.sizes == [7]


def test_group_that_is_due_is_written_without_another_row(tmp_path: Path) -> None:
    """The writer wakes by itself."""
    gate = Gate()
    gate.open.set()
    recorder = Recorder(gate, flush_seconds=0.01)
    recorder.start(tmp_path / "a")
    recorder.record(events(5))
    flushed = gate.entered.wait(30)
    recorder.stop()

    assert flushed


def test_full_queue_drops_and_counts(tmp_path: Path) -> None:
    """Rows beyond the limit are dropped, counted, and the footer says so; the others are recorded."""
    gate = Gate()
    recorder = Recorder(gate, queue_rows=10)
    recorder.start(tmp_path / "a")
    recorder.record(events(10))
    gate.entered.wait(30)
    recorder.record(events(7, 10))
    recorder.record(events(7, 17))
    recorder.record(events(5, 24))
    gate.open.set()
    path = recorder.stop()
    assert path is not None

    assert numbers(read(path)) == list(range(20))
    assert recorder.status().rows_written == 20
    assert recorder.status().rows_dropped == 9
    assert pq.read_metadata(path).metadata == {b"ior.rows_dropped": b"9"}


def test_blocking_recording_waits_instead(tmp_path: Path) -> None:
    """With block=True nothing is dropped, also when a batch is larger than the queue, or the recording stops."""
    gate = Gate()
    recorder = Recorder(gate, queue_rows=10)
    recorder.start(tmp_path / "a", block=True)
    recorder.record(events(10))
    gate.entered.wait(30)
    producer = threading.Thread(target=recorder.record, args=(events(35, 10),))
    producer.start()
    queue = running(recorder)._queue
    with queue._changed.lock:
        while not queue._waiting:
            assert queue._changed.wait(30)
    stopper = threading.Thread(target=recorder.stop)
    stopper.start()
    gate.open.set()
    producer.join(30)
    stopper.join(30)

    assert numbers(read(tmp_path / "a.parquet")) == list(range(45))
    assert recorder.status().rows_dropped == 0


def test_blocked_producers_do_not_wait_for_a_dead_writer(tmp_path: Path) -> None:
    """When writing fails, whoever waits for room goes on, and the rows are counted as dropped."""
    gate = Gate()

    def convert(batches: Sequence[EventBatch]) -> Columns:
        gate(batches)
        return failing(0, OSError(errno.EIO, "broken"))(batches)

    recorder = Recorder(convert, queue_rows=10)
    recorder.start(tmp_path / "a", block=True)
    recorder.record(events(10))
    gate.entered.wait(30)
    producers = [threading.Thread(target=recorder.record, args=(events(35),)) for _ in range(3)]
    for producer in producers:
        producer.start()
    gate.open.set()
    for producer in producers:
        producer.join(30)
    with pytest.raises(RecordingError, match="broken"):
        recorder.stop()

    assert recorder.status().rows_dropped == 10 + 3 * 35


def test_rows_of_many_threads_all_arrive(tmp_path: Path) -> None:
    """Several producers may record at once: written and dropped add up, and each thread's rows keep their order."""
    recorder = Recorder(columns, queue_rows=500, group_rows=100)
    recorder.start(tmp_path / "a")

    def produce(first: int) -> None:
        for i in range(100):
            recorder.record(events(13, first + 13 * i))

    producers = [threading.Thread(target=produce, args=(10_000 * k,)) for k in range(4)]
    for producer in producers:
        producer.start()
    for producer in producers:
        producer.join()
    path = recorder.stop()
    assert path is not None
    found = np.array(numbers(read(path)))
    status = recorder.status()

    assert status.rows_written == len(found) == len(set(found.tolist()))
    assert status.rows_written + status.rows_dropped == 4 * 100 * 13
    assert all((np.diff(found[found // 10_000 == k].astype(int)) > 0).all() for k in range(4))


@given(st.lists(st.integers(0, 30)), st.integers(1, 20), st.integers(1, 40))
def test_queue_cuts_rows_into_whole_groups(sizes: list[int], group_rows: int, limit: int) -> None:
    """Whatever the batches, groups are whole but the last, and hold the rows that had room, in order."""
    queue = RowQueue(limit, group_rows=group_rows, seconds=1e9, clock=lambda: 0.0)
    kept: list[int] = []
    seq = 0
    for size in sizes:
        missing = queue.put(events(size, seq))
        kept += range(seq, seq + size - missing)
        seq += size
    queue.close()
    groups = []
    while group := queue.get():
        groups.append(EventBatch.concat(group)["seq"].tolist())

    assert list(itertools.chain(*groups)) == kept
    assert len(kept) == min(sum(sizes), limit)
    assert all(len(g) == min(group_rows, limit) for g in groups[:-1])
    assert queue.put(events(3)) == 3
