"""The engine as a whole."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from ior_nb.engine.counted import COUNTER
from ior_nb.runtime import (
    EventBatch,
    EventIngester,
    FamilyRow,
    FileRow,
    ProcessRow,
    Snapshot,
    SnapshotSource,
    SyscallRow,
    new_tables,
)
from ior_nb.sinks.statsengine import Statistics
from tests.fakes import batch
from tests.sinks.statsengine.events import SECOND, SLOT, START, Clock, Event, engine, fed, parts_of, rows, total


def test_an_engine_without_rows_says_zero() -> None:
    """Nothing ingested, or an empty batch, is a snapshot of zeros."""
    made = engine()
    made.ingest(EventBatch.empty())
    made.retire(5)
    found = made.snapshot()

    assert (found.calls, found.syscalls, found.files, found.directories, found.processes) == (0, (), (), (), ())
    assert (found.latency_mean_ns, found.gap_mean_ns, found.run.calls_per_s) == (0.0, 0.0, 0.0)
    assert found.calls_series.tolist() == [0.0] * 120
    assert found.generated_at == 1.5
    assert len(found.latency_histogram.buckets) == 8


def test_arrays_of_a_snapshot_are_read_only_and_never_change() -> None:
    """A snapshot is unchanged by what is ingested later, and nobody can write into it."""
    made, found = fed([[Event()]])
    series = found.calls_series.tolist()
    made.ingest(rows([Event()] * 5))

    assert found.calls_series.tolist() == series
    for values in (found.calls_series, found.latency_series_ns, found.gap_series_ns, found.throughput_series):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 1


def test_reset_starts_from_nothing() -> None:
    """After a reset all numbers are of what came after it."""
    clock = Clock()
    made, _ = fed([[Event(file="/gone", syscall="write", bytes=5)] * 3], clock)
    clock.now += 5 * SECOND
    version = made.version
    made.reset()
    made.ingest(rows([Event(time=clock.now)]))
    found = made.snapshot()

    assert (found.calls, found.bytes, [r.name for r in found.syscalls]) == (1, 0, ["read"])
    assert [r.path for r in found.files] == ["/d/a"]
    assert found.elapsed_s == 0
    assert found.calls_series.sum() == 2
    assert made.version == version + 2


def test_batches_of_other_tables_mean_the_same() -> None:
    """A batch with string tables of its own is counted by its names, not by its codes."""
    made = engine()
    made.ingest(rows([Event(file="/a", comm="one"), Event(file="/b", syscall="write")]))
    made.ingest(rows([Event(file="/b", syscall="write", comm="two"), Event(file="/a")]))
    found = made.snapshot()

    assert [(r.path, r.count) for r in found.files] == [("/a", 2), ("/b", 2)]
    assert [(r.name, r.count) for r in found.syscalls] == [("read", 2), ("write", 2)]


def test_small_batches_wait_for_each_other_unseen() -> None:
    """Rows of batches too small to be worth counting one by one are in the next snapshot, at the right place."""
    made, tables = engine(), new_tables()
    for i in range(3000):
        made.ingest(rows([Event(file=f"/d/{i % 3}"), Event(syscall="write", pid=8)], tables))
        if i == 2000:
            made.retire(8)
    made.ingest(rows([Event()] * 1000, tables))
    made.ingest(rows([Event()], tables))
    made.merge_counters(np.zeros(512, COUNTER))
    found = made.snapshot()
    made.ingest(rows([Event()], tables))
    made.reset()

    assert {r.name: r.count for r in found.syscalls} == {"read": 4001, "write": 3000}
    assert {r.label: r.count for r in found.processes} == {"7": 4001, "8": 2001, "8#1": 999}
    assert made.snapshot().calls == 0


def test_names_of_a_strange_recording_are_bounded() -> None:
    """Beyond a thousand names of calls the others share a row, and the totals hold."""
    tables = new_tables()
    count = 3000
    made = engine()
    names: list[object] = [f"call{i}" for i in range(count)]
    made.ingest(batch(tables, syscall=names, family=["X"] * count, time_ns=[START] * count, pid=[1] * count))
    found = made.snapshot()

    assert sum(r.count for r in found.syscalls) == found.calls == count
    assert found.syscalls[0].name == "(other)"
    assert len(found.syscalls) == 1024


def test_thousands_of_files_and_directories_are_counted_one_by_one() -> None:
    """Below the caps every file and directory has its own numbers, however many there are."""
    tables = new_tables()
    made = engine(lambda: START)
    for _ in range(2):
        made.ingest(rows([Event(file=f"/d{i % 1500}/{i}") for i in range(3000)], tables))
    found = made.snapshot()

    assert len(found.files) == 3000
    assert {r.count for r in found.files} == {2}
    assert len(found.directories) == 1500
    assert {(r.files, r.count) for r in found.directories} == {(2, 4)}


def test_the_default_clock_is_the_boot_clock() -> None:
    """Without a clock of its own the engine takes that of the rows."""
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    found = Statistics().snapshot()

    assert before < found.series_end_ns <= time.clock_gettime_ns(time.CLOCK_BOOTTIME) + SLOT


def test_values_made_by_hand_need_little() -> None:
    """A snapshot and its rows have a default for all but their names and counts."""
    found = Snapshot(
        syscalls=(SyscallRow(name="read", family="FS", count=2, timed=2, latency_total_ns=10),),
        families=(FamilyRow(name="FS", count=2, timed=2, latency_total_ns=10),),
        files=(FileRow(path="/a", count=2, timed=2, latency_total_ns=10),),
        processes=(ProcessRow(pid=0, comm="(other)", special="other"),),
    )

    assert found.syscalls[0].latency_mean_ns == found.families[0].latency_mean_ns == 5.0
    assert found.files[0].latency_mean_ns == 5.0
    assert found.processes[0].label == "(other)"
    assert len(found.calls_series) == 0


def test_an_unknown_ranking_is_refused() -> None:
    """The message names the rankings there are."""
    with pytest.raises(ValueError, match="count, bytes, latency"):
        engine().snapshot(by="colour")


def test_snapshots_taken_while_rows_come_add_up() -> None:
    """Each snapshot another thread takes is of one moment: its tables add up; the last one has everything."""
    made, tables = engine(files=4, directories=2, processes=2), new_tables()
    parts = parts_of([40] * 100, 11)
    batches = [rows(part, tables) for part in parts]
    wrong: list[str] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            found = made.snapshot(top=3)
            for table in (found.files, found.directories, found.processes):
                if total(table, "count") != found.calls or sum(r.count for r in found.syscalls) != found.calls:
                    wrong.append(f"{table}: {found.calls}")

    watcher = threading.Thread(target=watch)
    watcher.start()
    for part in batches:
        made.ingest(part)
    ended.set()
    watcher.join()

    assert not wrong
    assert made.snapshot().calls == sum(map(len, parts))


def test_engine_is_an_ingester_and_a_source() -> None:
    """The engine satisfies the two contracts of the statistics."""
    made = engine()
    ingester: EventIngester = made
    source: SnapshotSource = made

    assert isinstance(ingester, EventIngester)
    assert isinstance(source, SnapshotSource)


def test_a_page_fault_has_neither_latency_nor_gap() -> None:
    """Nobody knows its end: it is a row, and in no mean, histogram or percentile, in one slot of time or in several."""
    fault = Event(syscall="page_fault", state="untimed", bytes=4096, latency=0, gap=0)
    _, one = fed([[Event(latency=100, gap=10), fault]])
    _, several = fed([[Event(latency=100, gap=10), replace(fault, time=START + SECOND)]])

    for found in (one, several):
        assert (found.calls, found.timed, found.gaps, found.bytes_read) == (2, 1, 1, 4096)
        assert (found.latency_mean_ns, found.gap_mean_ns, found.latency_histogram.total) == (100, 10, 1)
        assert found.gap_histogram.total == 1
