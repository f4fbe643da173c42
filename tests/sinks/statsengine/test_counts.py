"""Every number of a snapshot against a plain count over the rows."""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ior_nb.runtime import Activity, FamilyRow, SyscallRow
from ior_nb.runtime.sheet.histogram import BUCKETS, buckets_of, quantiles
from ior_nb.syscalls import BY_NAME
from tests.sinks.statsengine.events import (
    CHECKED,
    SECOND,
    SEED,
    SLOT,
    START,
    Clock,
    Event,
    fed,
    grouped,
    nearest_rank,
    parts_of,
    total,
)


def sums(events: Iterable[Event]) -> dict[str, int]:
    """The fields of an `Activity` row, bytes left out."""
    listed = list(events)
    return {
        "count": len(listed),
        "errors": sum(e.failed for e in listed),
        "latency_total_ns": sum(e.latency for e in listed if e.timed),
        "latency_max_ns": max((e.latency for e in listed if e.timed), default=0),
        "timed": sum(e.timed for e in listed),
    }


def sorted_out(
    events: Sequence[Event], key: Callable[[str], str]
) -> tuple[dict[str, list[Event]], dict[str, list[Event]]]:
    """Events by their file, and those that read by the file they read from."""
    return grouped(events, lambda e: key(e.file)), grouped([e for e in events if e.read], lambda e: key(e.source))


def directory(path: str) -> str:
    """The directory of a file, said differently than the engine says it."""
    if not path:
        return ""
    if "/" not in path:
        return "."
    return path[: path.rindex("/")] or "/"


PARTS = st.builds(parts_of, st.lists(st.integers(0, 12), max_size=4), SEED)


@CHECKED
@given(PARTS, st.integers(0, 100 * SECOND))
def test_totals_and_rates_equal_a_plain_count(parts: list[list[Event]], later: int) -> None:
    """Totals, means, rates of the run and of the window, and both histograms equal a loop over all rows."""
    events = [e for part in parts for e in part]
    clock = Clock()
    made, _ = fed(parts, clock)
    clock.now += later
    found = made.snapshot()
    now = max(clock.now, *(e.time for e in events), START)
    elapsed = (now - START) / 1e9
    opens = (now // SLOT - 19) * SLOT
    window = [e for e in events if e.time >= opens]
    seconds = min(now - opens, now - START) / 1e9
    timed = [e.latency for e in events if e.timed]
    gaps = [e.gap for e in events if not e.first]

    assert (found.calls, found.recorded, found.complete) == (len(events), len(events), True)
    assert found.errors == sum(e.failed for e in events)
    assert found.bytes == sum(e.bytes for e in events)
    assert found.bytes_read == sum(e.read for e in events)
    assert found.bytes_written == sum(e.written for e in events)
    assert found.address_space_bytes == sum(e.address for e in events)
    assert found.in_flight == sum(e.state == "in flight" for e in events)
    assert (found.timed, found.latency_total_ns) == (len(timed), sum(timed))
    assert (found.gaps, found.gap_total_ns) == (len(gaps), sum(gaps))
    assert found.latency_mean_ns == (sum(timed) / len(timed) if timed else 0)
    assert found.elapsed_s == pytest.approx(elapsed)
    assert found.run.calls_per_s == pytest.approx(len(events) / elapsed if elapsed else 0)
    assert found.window.seconds == pytest.approx(seconds)
    assert found.window.calls_per_s == pytest.approx(len(window) / seconds if seconds else 0)
    assert found.window.read_bytes_per_s == pytest.approx(sum(e.read for e in window) / seconds if seconds else 0)
    assert found.window.errors_per_s == pytest.approx(sum(e.failed for e in window) / seconds if seconds else 0)
    assert found.run.address_space_bytes_per_s == pytest.approx(
        sum(e.address for e in events) / elapsed if elapsed else 0
    )
    for histogram, values in ((found.latency_histogram, timed), (found.gap_histogram, gaps)):
        assert histogram.total == len(values)
        assert [b.count for b in histogram.buckets] == [
            sum(b.lower_ns <= v and (v < b.upper_ns or not b.upper_ns) for v in values) for b in histogram.buckets
        ]


@CHECKED
@given(PARTS, st.integers(0, 100 * SECOND))
def test_series_equal_a_plain_count(parts: list[list[Event]], later: int) -> None:
    """Each of the 120 slots has what began in it, in whatever order and batches it came; older rows are left out."""
    events = [e for part in parts for e in part]
    clock = Clock()
    made, _ = fed(parts, clock)
    clock.now += later
    found = made.snapshot()
    end = max([clock.now, *(e.time for e in events)]) // SLOT
    by_slot = grouped(events, lambda e: e.time // SLOT)
    slots = [by_slot.get(end - 119 + i, []) for i in range(120)]

    assert found.series_end_ns == (end + 1) * SLOT
    assert found.calls_series.tolist() == [2.0 * len(s) for s in slots]
    assert found.throughput_series.tolist() == [2.0 * sum(e.bytes for e in s) for s in slots]
    for series, values in (
        (found.latency_series_ns, [[e.latency for e in s if e.timed] for s in slots]),
        (found.gap_series_ns, [[e.gap for e in s if not e.first] for s in slots]),
    ):
        assert series.tolist() == pytest.approx([sum(v) / len(v) if v else 0.0 for v in values])


@CHECKED
@given(PARTS)
def test_syscalls_and_families_equal_a_plain_count(parts: list[list[Event]]) -> None:
    """Every number of every system call and family equals a loop over all rows; percentiles within 3 %."""
    events = [e for part in parts for e in part]
    _, found = fed(parts)
    calls, families = (grouped(events, key) for key in (lambda e: e.syscall, lambda e: BY_NAME[e.syscall].family))

    assert [r.name for r in found.syscalls] == sorted(calls, key=lambda name: (-len(calls[name]), name))
    assert [r.name for r in found.families] == sorted(families, key=lambda name: (-len(families[name]), name))
    both: list[tuple[SyscallRow | FamilyRow, list[Event]]] = [
        *((r, calls[r.name]) for r in found.syscalls),
        *((r, families[r.name]) for r in found.families),
    ]
    for row, mine in both:
        times = [e.latency for e in mine if e.timed]
        expected = sums(mine)
        assert {name: getattr(row, name) for name in expected} == expected
        assert row.latency_min_ns == min(times, default=0)
        assert (row.measured, row.recorded) == (len(times), len(mine))
        assert row.in_flight == sum(e.state == "in flight" for e in mine)
        assert row.bytes == sum(e.bytes for e in mine)
        assert (row.bytes_read, row.bytes_written) == (sum(e.read for e in mine), sum(e.written for e in mine))
        for at, value in zip(
            (500, 900, 950, 990, 999), (row.p50_ns, row.p90_ns, row.p95_ns, row.p99_ns, row.p999_ns), strict=True
        ):
            exact = nearest_rank(times, at)
            assert abs(value - exact) <= 0.03 * exact
    for call in found.syscalls:
        failed = Counter(errno.errorcode.get(-e.ret, str(-e.ret)) for e in calls[call.name] if e.failed)
        assert call.errors_by_errno == failed
        assert list(call.errors_by_errno.values()) == sorted(failed.values(), reverse=True)
        assert call.family == BY_NAME[call.name].family


@CHECKED
@given(PARTS, st.sampled_from(["count", "bytes", "latency"]))
def test_files_and_directories_equal_a_plain_count(parts: list[list[Event]], by: str) -> None:
    """Every number of every file and directory equals a loop over all rows; reads belong to the source."""
    events = [e for part in parts for e in part]
    made, _ = fed(parts)
    found = made.snapshot(by=by)
    tables: list[tuple[dict[str, Activity], Callable[[str], str]]] = [
        ({("" if r.special else r.path): r for r in found.files}, str),
        ({("" if r.special else r.directory): r for r in found.directories}, directory),
    ]
    for table, key in tables:
        by_file, sources = sorted_out(events, key)
        moved = {n for n in sources if n or "" in by_file}
        assert set(table) == set(by_file) | moved
        for name, row in table.items():
            expected = sums(by_file.get(name, []))
            assert {n: getattr(row, n) for n in expected} == expected
            assert row.bytes_read == sum(e.read for e in sources.get(name, []))
            assert row.bytes_written == sum(e.written for e in by_file.get(name, []))
            assert row.special == ("" if name else "none")
    files = {e.file for e in events} | {e.source for e in events if e.read}
    for row in found.directories:
        if not row.special:
            assert row.files == sum(directory(f) == row.directory for f in files if f)
    shown = [r for r in found.files if not r.special]
    worth = {
        r.path: {"count": r.count, "bytes": r.bytes_read + r.bytes_written, "latency": r.latency_total_ns}[by]
        for r in shown
    }

    assert [r.path for r in shown] == sorted(worth, key=lambda path: (-worth[path], path))


@CHECKED
@given(PARTS)
def test_processes_equal_a_plain_count(parts: list[list[Event]]) -> None:
    """Every number of every process equals a loop over all rows, its name included."""
    events = [e for part in parts for e in part]
    _, found = fed(parts)
    pids = grouped(events, lambda e: e.pid)

    assert {r.pid for r in found.processes} == set(pids)
    for row in found.processes:
        mine = pids[row.pid]
        expected = sums(mine)
        assert {n: getattr(row, n) for n in expected} == expected
        assert row.bytes_read == sum(e.read for e in mine)
        main = [e.comm for e in mine if e.tid == e.pid and e.comm]
        named = [e.comm for e in mine if e.comm]
        assert row.comm == (main[-1] if main else named[0] if named else "")
        assert (row.label, row.ended, row.special) == (str(row.pid), False, "")
    keys = [(-r.count, -(r.bytes_read + r.bytes_written), r.pid) for r in found.processes]

    assert keys == sorted(keys)


@CHECKED
@given(
    st.lists(st.lists(st.integers(0, 60), max_size=40), max_size=6),
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(0, 5),
)
def test_tables_add_up_to_the_totals_beyond_every_cap(
    numbers: list[list[int]], files: int, directories: int, top: int
) -> None:
    """However few files, directories and processes have room, each table adds up to the totals."""
    parts = [
        [
            Event(
                file=f"/d{n % 7}/f{n}" if n else "",
                pid=i % 11 + 1,
                bytes=i,
                latency=i * 7,
                ret=-2 if i % 5 == 0 else 0,
            )
            for i, n in enumerate(part)
        ]
        for part in numbers
    ]
    made, _ = fed(parts, files=files, directories=directories, processes=3)
    found = made.snapshot(top=top)

    for table in (found.files, found.directories, found.processes):
        assert total(table, "count") == found.calls
        assert total(table, "errors") == found.errors
        assert total(table, "bytes_read") == found.bytes_read
        assert total(table, "latency_total_ns") == found.latency_total_ns
        assert total(table, "timed") == found.timed
        assert max((r.latency_max_ns for r in table), default=0) == max(
            (e.latency for p in parts for e in p), default=0
        )
        assert sum(not r.special for r in table) <= top
    assert all(r.folded for r in (*found.files, *found.processes) if r.special == "other")


def test_a_hot_file_stays_when_others_are_folded() -> None:
    """The most used file keeps all its calls while thousands pass through a small table."""
    hot = [Event(file="/hot")] * 400
    parts = [[*hot, *(Event(file=f"/cold/{i}-{j}") for j in range(120))] for i in range(40)]
    _, found = fed(parts, files=300, top=3)
    row = found.files[0]
    other = next(r for r in found.files if r.special == "other")

    assert (row.path, row.count) == ("/hot", 400 * 40)
    assert (other.count, other.folded) == (120 * 40 - 2, 120 * 40 - 2)
    assert next(r for r in found.directories if r.directory == "/cold").count == 120 * 40
    assert not any(r.at_least for r in found.files)


def test_a_name_like_a_special_row_is_a_file() -> None:
    """A real file called "(other)" or "(no file)" is not mistaken for the sums of that name."""
    _, found = fed([[Event(file="(other)"), Event(file="(no file)"), Event(file="")]])

    assert [(r.path, r.special) for r in found.files] == [("(no file)", ""), ("(other)", ""), ("(no file)", "none")]


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(1).lognormal(9, 3, 20_000),
        np.random.default_rng(2).pareto(0.7, 20_000) * 1000,
        np.r_[np.full(9_990, 1_000), np.full(10, 30_000_000_000)],
        np.arange(1, 200),
    ],
    ids=["lognormal", "pareto", "two peaks", "small numbers"],
)
def test_percentiles_of_skewed_latencies_are_within_three_percent(values: np.ndarray) -> None:
    """Percentiles are at most 3 % off the exact nearest rank, minimum and maximum exact."""
    latencies = values.astype(np.int64)
    _, found = fed([[Event(latency=int(v)) for v in latencies]])
    row = found.syscalls[0]

    assert (row.latency_min_ns, row.latency_max_ns) == (latencies.min(), latencies.max())
    for value, at in ((row.p50_ns, 500), (row.p90_ns, 900), (row.p95_ns, 950), (row.p99_ns, 990), (row.p999_ns, 999)):
        exact = nearest_rank(latencies.tolist(), at)
        assert abs(value - exact) <= 0.03 * exact


@CHECKED
@given(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=50), st.lists(st.integers(0, 10**6), max_size=50))
def test_histograms_merge_by_adding(some: list[int], others: list[int]) -> None:
    """The sum of two histograms is the histogram of both; every value of the clock has a bucket."""
    one, two, both = (
        np.bincount(buckets_of(np.array(v, np.int64)), minlength=BUCKETS) for v in (some, others, some + others)
    )

    assert len(both) == BUCKETS
    assert (one + two == both).all()
    assert quantiles(one + two) == quantiles(both)


def test_buckets_never_go_down() -> None:
    """A larger value is never in a smaller bucket, and 0 and 1 have buckets of their own."""
    values = np.unique(np.concatenate([2**k + np.arange(-2, 3) for k in range(2, 62)]))
    values = np.concatenate([[0, 1], values])

    assert (np.diff(buckets_of(values)) >= 0).all()
    assert buckets_of(np.array([0, 1])).tolist() == [0, 1]
