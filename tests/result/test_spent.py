"""The lines of a summary that say why: what the device had to read, and what the time in calls went to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ior_nb import aggregate
from ior_nb.globalfilter import parse
from ior_nb.result import tables
from ior_nb.result.comparison import Diff
from ior_nb.result.spent import Spending
from ior_nb.result.summary import Summary
from ior_nb.result.tally import Tally
from ior_nb.runtime import Completeness, EventBatch
from ior_nb.runtime.schema import PARTS
from ior_nb.sinks.statsengine import Statistics
from tests.fakes import batch

MS = 1_000_000
MIB = 1 << 20


def rows_of(**more: list[Any]) -> EventBatch:
    """Return five calls: a cold read, a warm read, a worker at its pipe, a lock, and a read of a slow server."""
    columns: dict[str, list[Any]] = {
        "syscall": ["read", "read", "read", "pwrite64", "pread64"],
        "file": ["/cold", "/warm", "pipe:[7]", "/shared", "/served"],
        "file_kind": ["file", "file", "pipe", "file", "file"],
        "bytes": [MIB, 3 * MIB, 10, MIB, MIB],
        "latency_ns": [10 * MS, 2 * MS, 900 * MS, 7 * MS, 50 * MS],
        "on_cpu_ns": [1 * MS, 2 * MS, 0, 1 * MS, 0],
        "wait_cpu_ns": [2 * MS, 0, 0, 0, 0],
        "wait_device_ns": [7 * MS, 0, 0, 0, 0],
        "wait_lock_ns": [0, 0, 0, 6 * MS, 0],
        "wait_other_ns": [0, 0, 900 * MS, 0, 50 * MS],
        "fetched_bytes": [MIB, 0, 0, 0, 0],
        "source": ["device", "cache", "", "", "cache"],
        "py_file": ["a.py"] * 5,
        "py_line": [1, 1, 2, 3, 1],
        "stack": ["f (a.py:1)"] * 5,
        **more,
    }
    return batch(**columns)


def summary_of(rows: EventBatch) -> Summary:
    """Return the summary of rows."""
    tally = Tally()
    tally.add(rows)
    return tally.summary(title="t", duration_s=1.0, completeness=Completeness())


def test_a_summary_says_what_the_bytes_and_the_time_went_to() -> None:
    """Page cache and device add up to what was read of files; the parts, without waits for others, to the time."""
    found = summary_of(rows_of())

    spent, read = found.spending.lines()
    assert read == "read 5.0 MiB from files: 4.0 MiB from the page cache, 1.0 MiB fetched from the device"
    assert spent == (
        "of 19 ms in calls: 7 ms waiting for the device (cold), 6 ms waiting for locks in the kernel (shared), "
        "4 ms on the CPU, 2 ms waiting for a CPU; 950 ms waiting for others, most in read"
    )
    assert found.waiting_ns == 950 * MS
    assert found.amounts()[:2] == found.spending.lines()
    assert all(line in found.text(200) and line in found.html() for line in found.spending.lines())


def test_a_wait_for_a_server_of_files_is_slow_and_one_at_a_pipe_is_idle() -> None:
    """One idea of waiting: what was measured decides, and reads of files stay among the slow calls."""
    found = summary_of(rows_of())

    assert [row.file for row in found.waits] == ["pipe:[7]"]
    assert [row.file for row in found.slowest] == ["/served", "/cold", "/shared", "/warm"]
    assert [row.why for row in found.slowest[:3]] == [
        *("others 100%", "device 70%, CPU queue 20%", "kernel lock 86%, on CPU 14%")
    ]


def test_a_pipe_that_had_its_bytes_is_no_wait() -> None:
    """A read of a pipe that ran all its time, or waited for a processor, waits for nobody."""
    rows = rows_of(wait_other_ns=[0] * 5, wait_cpu_ns=[0, 0, 900 * MS, 0, 0])

    assert aggregate.wait_rows(rows).tolist() == [False] * 5
    assert aggregate.wait_rows(rows_of(wait_other_ns=[-1] * 5)).tolist() == [False, False, True, False, False]


def test_a_call_that_does_nothing_but_wait_is_never_slow() -> None:
    """Also where it waited for a processor longer than for its child."""
    rows = rows_of(syscall=["wait4"] * 5, file_kind=[""] * 5)

    assert aggregate.wait_rows(rows).tolist() == [True] * 5


@pytest.mark.parametrize("table", [tables.files, tables.syscalls, tables.processes, tables.lines, tables.families])
def test_tables_add_up_what_was_measured(table: Any) -> None:
    """Of every group; -1 where nothing was."""
    found, nothing = table(rows_of()), table(rows_of(fetched_bytes=[-1] * 5, wait_lock_ns=[-1] * 5))

    assert found["fetched_bytes"].sum() == MIB
    assert [int(found[name].sum()) for name in PARTS] == [4 * MS, 2 * MS, 7 * MS, 6 * MS, 950 * MS]
    assert set(nothing["fetched_bytes"]) == set(nothing["wait_lock_ns"]) == {-1}


def test_what_a_transfer_fetched_is_of_its_source() -> None:
    """As the bytes it read are: in tables, in the summary and in live statistics."""
    rows = batch(
        syscall=["sendfile64", "sendfile64"],
        file=["socket:[1]", "socket:[1]"],
        old_file=["/data", "/data"],
        bytes=[5000, 5000],
        fetched_bytes=[8192, -1],
        latency_ns=[1, 1],
    )
    statistics = Statistics(clock=lambda: 0)
    statistics.ingest(rows)
    files = tables.files(rows).set_index("file")
    snapshot = statistics.snapshot()

    assert files.fetched_bytes.to_dict() == {"/data": 8192, "socket:[1]": -1}
    assert {row.path: row.fetched_bytes for row in snapshot.files} == {"/data": 8192, "socket:[1]": 0}
    assert snapshot.fetched_bytes == 8192
    assert summary_of(rows).spending == Spending(fetched=8192, read=10_000, cached=1808)


def test_a_difference_says_what_was_fetched_and_waited_for() -> None:
    """Cold against warm, by file and in all; nothing of it where one side did not measure."""
    cold, warm = rows_of(offset=[0] * 5), rows_of(offset=[0] * 5, fetched_bytes=[0] * 5, wait_device_ns=[0] * 5)
    unknown = rows_of(fetched_bytes=[-1] * 5, wait_device_ns=[-1] * 5)

    change, half = Diff(cold, warm), Diff(unknown, warm)
    files = change.files().set_index("file")

    said = [line.split() for line in repr(change).splitlines()]
    assert ["1.0", "MiB", "0", "B", "gone", "fetched_bytes"] in said
    assert ["7", "ms", "0", "ns", "gone", "wait_device_ns"] in said
    assert "fetched before" in repr(change)
    assert [files[f"amplification_{side}"].to_dict()["/cold"] for side in ("before", "after")] == [1.0, 0.0]
    assert "fetched" not in repr(half)
    assert set(half.files()["fetched_bytes_before"]) == {-1}
    assert set(half.files()["fetched_bytes_delta"]) == {0}


def test_live_statistics_are_those_of_the_tables() -> None:
    """Bytes fetched and parts, in all and by file and line."""
    statistics = Statistics(clock=lambda: 0)
    statistics.ingest(rows_of())
    found = statistics.snapshot()

    assert found.fetched_bytes == MIB
    assert found.parts == dict(zip(PARTS, (4 * MS, 2 * MS, 7 * MS, 6 * MS, 950 * MS), strict=True))
    assert found.waiting_ns == 950 * MS
    assert {row.path: row.fetched_bytes for row in found.files if row.fetched_bytes} == {"/cold": MIB}
    assert sum(row.fetched_bytes for row in found.lines) == MIB


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("fetched>0", ["/cold"]),
        ("source=device", ["/cold"]),
        ("wait_device>=1ms", ["/cold"]),
        ("wait_lock>1ms or wait_cpu>1ms", ["/cold", "/shared"]),
        ("on_cpu<1ms", ["pipe:[7]", "/served"]),
        ("fetched<1MiB", ["/warm", "pipe:[7]", "/shared"]),
        ("fetched!=1", ["/cold", "/warm", "pipe:[7]", "/shared"]),
    ],
)
def test_filters_ask_for_what_was_measured(text: str, files: list[str]) -> None:
    """And what was not measured matches nothing."""
    rows = rows_of(fetched_bytes=[MIB, 0, 0, 0, -1])

    assert rows.text("file")[parse(text).mask(rows)].tolist() == files


def test_a_timeline_has_the_parts() -> None:
    """Each slot has its share, and all of them the whole."""
    found = tables.timeline(rows_of(time_ns=[0, MS, 2 * MS, 3 * MS, 4 * MS]), slot_s=0.001)

    assert found.fetched_bytes.tolist() == [MIB, 0, 0, 0, 0]
    assert np.array([found[name] for name in PARTS]).sum() == found.time_ns.sum()


def test_a_file_is_named_where_it_has_most_of_a_wait() -> None:
    """Of three files that calls waited at alike, none is the reason."""
    found = summary_of(rows_of(wait_device_ns=[2 * MS, 2 * MS, 0, 2 * MS, 0], wait_lock_ns=[MS, 0, 0, 0, 0]))

    assert found.spending.wheres == {"wait_lock_ns": "cold"}


def test_what_faults_on_a_mapped_file_brought_in_is_said_beside_what_was_fetched() -> None:
    """How much, how often, of which file, and how much each time: a few bytes that were touched cost that."""
    rows = rows_of(
        syscall=["page_fault"] * 4 + ["pread64"],
        file=["/data/big.npy"] * 5,
        file_kind=["file"] * 5,
        state=["untimed"] * 4 + ["done"],
        bytes=[4 * MIB] * 4 + [8 * MIB],
        fetched_bytes=[4 * MIB] * 4 + [4 * MIB],
    )

    many, all_of_it = (summary_of(one).spending.lines()[1] for one in (rows, rows.take(np.arange(4))))
    assert many.endswith(
        " 20.0 MiB fetched from the device, by 4 page faults on the mapped big.npy 16.0 MiB of it, 4.0 MiB each"
    )
    assert all_of_it == "4 page faults on the mapped big.npy fetched 16.0 MiB from the device, 4.0 MiB each"


def test_time_that_page_faults_slept_is_not_called_time_in_calls() -> None:
    """The parts are of both, and the line says so where faults slept."""
    parts = {"wait_device_ns": 9 * MS, "on_cpu_ns": MS}

    assert Spending(latency_ns=10 * MS, parts=parts).lines()[0].startswith("of 10 ms in calls: ")
    assert (
        Spending(latency_ns=10 * MS, slept_ns=9 * MS, parts=parts)
        .lines()[0]
        .startswith("of 10 ms in calls and page faults: ")
    )
