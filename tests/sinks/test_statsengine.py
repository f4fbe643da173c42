from __future__ import annotations

import errno
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ior_nb.engine.decode import COUNTER
from ior_nb.runtime import (
    Activity,
    EventBatch,
    EventIngester,
    FamilyRow,
    FileRow,
    ProcessRow,
    Snapshot,
    SnapshotSource,
    StringTable,
    SyscallRow,
    new_tables,
)
from ior_nb.sinks.statsengine import Engine
from ior_nb.sinks.statsengine.histogram import BUCKETS, buckets_of, decades, quantiles
from ior_nb.sinks.statsengine.series import trend
from ior_nb.sinks.statsengine.table import Table, best
from ior_nb.syscalls import BY_NAME
from tests.fakes import batch

START = 1_000_000_000_000
SLOT = 500_000_000
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Event:
    """One row, as a test thinks of it."""

    syscall: str = "read"
    file: str = "/d/a"
    old_file: str = ""
    bytes: int = 0
    latency: int = 100
    gap: int = 10
    ret: int = 0
    state: str = "done"
    first: bool = False
    time: int = START
    pid: int = 7
    tid: int = 7
    comm: str = "python"
    address: int = 0

    @property
    def failed(self) -> bool:
        return -4095 <= self.ret < 0

    @property
    def timed(self) -> bool:
        return self.state == "done"

    @property
    def read(self) -> int:
        return self.bytes if BY_NAME[self.syscall].bytes_class in ("read", "transfer") else 0

    @property
    def written(self) -> int:
        return self.bytes if BY_NAME[self.syscall].bytes_class in ("write", "transfer") else 0

    @property
    def source(self) -> str:
        return self.old_file if self.old_file and self.read and self.written else self.file


def rows(events: Sequence[Event], tables: dict[str, StringTable] | None = None) -> EventBatch:
    """Build a batch."""
    return batch(
        tables if tables is not None else new_tables(),
        syscall=[e.syscall for e in events],
        family=[BY_NAME[e.syscall].family for e in events],
        file=[e.file for e in events],
        old_file=[e.old_file for e in events],
        bytes=[e.bytes for e in events],
        latency_ns=[e.latency for e in events],
        gap_ns=[e.gap for e in events],
        ret=[e.ret for e in events],
        is_error=[e.failed for e in events],
        state=[e.state for e in events],
        first_on_tid=[e.first for e in events],
        time_ns=[e.time for e in events],
        pid=[e.pid for e in events],
        tid=[e.tid for e in events],
        comm=[e.comm for e in events],
        address_space_bytes=[e.address for e in events],
    )


class Clock:
    """A clock a test moves."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def engine(clock: Callable[[], int] | None = None, **limits: Any) -> Engine:
    """Make an engine that shows everything, on a clock of our own."""
    return Engine(clock=clock or Clock(), wall_clock=lambda: 1.5, **{"top": 10_000, **limits})


def fed(events: Iterable[Sequence[Event]], clock: Clock | None = None, **limits: Any) -> tuple[Engine, Snapshot]:
    """Ingest batches of one trace."""
    made, tables = engine(clock, **limits), new_tables()
    for part in events:
        made.ingest(rows(part, tables))
    return made, made.snapshot()


def counters_of(events: Iterable[Event]) -> np.ndarray:
    """Count as the kernel does: calls in flight not, calls that never return without a latency."""
    counters = np.zeros(512, COUNTER)
    for event in events:
        if event.state != "in flight":
            counter = counters[BY_NAME[event.syscall].number : BY_NAME[event.syscall].number + 1]
            counter["calls"] += 1
            counter["errors"] += event.failed
            counter["bytes"] += event.bytes
            if event.timed:
                counter["latency"] += event.latency
                counter["histogram"][0, min(max(event.latency.bit_length() - 1, 0), 47)] += 1
    return counters


def counter(name: str, *, calls: int, latencies: Sequence[int] = ()) -> np.ndarray:
    """Counters of one system call, of which only some calls were timed."""
    counters = counters_of([Event(syscall=name, latency=n) for n in latencies])
    counters["calls"][BY_NAME[name].number] = calls
    return counters


def nearest_rank(values: Sequence[int], thousandths: int) -> int:
    """The exact percentile."""
    ordered = sorted(values)
    return ordered[max(-(-len(ordered) * thousandths // 1000), 1) - 1] if ordered else 0


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


def total(table: Sequence[Activity], name: str) -> int:
    """Sum of a column of a table."""
    return sum(getattr(row, name) for row in table)


def grouped(events: Iterable[Event], key: Callable[[Event], Any]) -> dict[Any, list[Event]]:
    """Events by key."""
    groups: dict[Any, list[Event]] = defaultdict(list)
    for event in events:
        groups[key(event)].append(event)
    return groups


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


def some_events(chance: random.Random, count: int) -> list[Event]:
    """Make events of every kind, repeated names and extreme values among them."""
    pick, up_to = chance.choice, chance.randrange
    return [
        Event(
            syscall=pick(["read", "write", "sendfile64", "openat", "exit_group", "brk", "futex"]),
            file=pick(["/d/a", "/d/b", "/top", "pipe:[1]", "", "//u/x", "<b>"]),
            old_file=pick(["", "", "/d/a", "/src/only"]),
            bytes=pick([0, up_to(100), up_to(1 << 40)]),
            latency=pick([0, 1, up_to(100), up_to(10**10)]),
            gap=pick([0, up_to(10), up_to(10**10)]),
            ret=pick([0, 5, -2, -9, -4095]),
            state=pick(["done", "done", "done", "no return", "in flight"]),
            first=pick([True, False]),
            time=START + pick([0, up_to(SLOT), up_to(-70 * SECOND, 90 * SECOND)]),
            pid=pick([7, 8, 4_194_304]),
            tid=pick([7, 8, 70, 80]),
            comm=pick(["", "python", "worker"]),
            address=up_to(1 << 40),
        )
        for _ in range(count)
    ]


def _parts(sizes: list[int], seed: int) -> list[list[Event]]:
    chance = random.Random(seed)
    return [some_events(chance, size) for size in sizes]


# Hypothesis draws the shape and a seed: drawing every field of every event would take minutes.
SEED = st.integers(0, 1 << 32)
PARTS = st.builds(_parts, st.lists(st.integers(0, 12), max_size=4), SEED)
CHECKED = settings(deadline=None, max_examples=100)


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


# ---- trend


def _series(before: Sequence[float], recent: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    values = np.array([*[0.0] * 79, *before, *recent, 999.0])
    return values, values > 0


@pytest.mark.parametrize(
    ("before", "recent", "direction", "delta"),
    [
        ([100.0] * 20, [100.0] * 20, "stable", 0.0),
        ([100.0] * 20, [104.0] * 20, "stable", 4.0),
        ([100.0] * 20, [150.0] * 20, "rising", 50.0),
        ([100.0] * 20, [50.0] * 20, "falling", -50.0),
        ([100.0] * 20, [0.0] * 19 + [100.0], "stable", 0.0),
        ([0.0] * 20, [100.0] * 20, "stable", 0.0),
        ([100.0] * 20, [0.0] * 20, "stable", 0.0),
    ],
    ids=["same", "under 5 %", "up", "down", "idle spell", "nothing before", "nothing now"],
)
def test_trend_compares_ten_seconds_without_empty_slots(
    before: list[float], recent: list[float], direction: str, delta: float
) -> None:
    """The means of the filled slots are compared; the slot still filling and half seconds without calls are not."""
    found = trend(*_series(before, recent))

    assert found.direction == direction
    assert found.delta_percent == pytest.approx(delta)


def test_trend_from_zero_is_a_rise_of_exactly_a_hundred() -> None:
    """Slots with calls that moved nothing are data; any rise from there is 100 %."""
    values, _ = _series([0.0] * 20, [5.0] * 20)

    assert trend(values, np.ones(120, bool)).delta_percent == 100.0
    assert trend(np.zeros(120), np.ones(120, bool)).direction == "stable"
    assert trend(np.ones(30), np.ones(30, bool)).direction == "stable"


def test_trends_of_a_run_follow_its_rows() -> None:
    """Latency that doubles while the gap halves is rising and falling; an idle second changes nothing."""
    clock = Clock(START + 20 * SECOND)
    events = [
        Event(time=START + i * SLOT, latency=200 if i >= 20 else 100, gap=50 if i >= 20 else 100, bytes=10)
        for i in range(40)
        if i not in (25, 26)
    ]
    _, found = fed([events], clock)

    assert (found.latency_trend.direction, found.latency_trend.delta_percent) == ("rising", 100.0)
    assert (found.gap_trend.direction, found.gap_trend.delta_percent) == ("falling", -50.0)
    assert found.throughput_trend.direction == "stable"


# ---- the kernel's counters


@CHECKED
@given(st.integers(1, 60), SEED, st.floats(0, 1))
def test_counters_keep_totals_exact_whatever_rows_are_missing(count: int, seed: int, share: float) -> None:
    """With any part of the rows, counts and times are those of all calls, and bounds known to a factor of two."""
    chance = random.Random(seed)
    events = some_events(chance, count)
    kept = [e for e in events if e.state == "in flight" or chance.random() < share]
    made, _ = fed([kept])
    made.merge_counters(counters_of(events))
    found = made.snapshot()
    calls = grouped(events, lambda e: e.syscall)

    assert {r.name: r.count for r in found.syscalls} == {n: len(c) for n, c in calls.items()}
    for row in found.syscalls:
        mine = [e for e in calls[row.name] if e.timed]
        assert row.errors >= sum(e.failed for e in calls[row.name] if e.state != "in flight")
        assert row.bytes >= sum(e.bytes for e in calls[row.name] if e.state != "in flight")
        assert (row.timed, row.latency_total_ns) == (len(mine), sum(e.latency for e in mine))
        assert row.measured == sum(e.timed for e in kept if e.syscall == row.name)
        if mine:
            low, high = min(e.latency for e in mine), max(e.latency for e in mine)
            for value, true in ((row.latency_min_ns, low), (row.latency_max_ns, high)):
                assert true <= max(2 * value, 1)
                assert value <= max(2 * true, 2)
    assert found.calls == len(events)
    assert found.latency_histogram.total == found.timed == sum(e.timed for e in events)
    assert (found.recorded, found.complete) == (len(kept), len(kept) == len(events))
    for table in (found.files, found.directories, found.processes):
        assert total(table, "count") == found.calls
        assert total(table, "latency_total_ns") == found.latency_total_ns
        assert total(table, "bytes_read") == found.bytes_read
        assert total(table, "bytes_written") == found.bytes_written
        assert all(r.at_least == (len(kept) < len(events)) for r in table if r.special != "unrecorded")


def test_totals_stay_exact_under_ninety_percent_sampling() -> None:
    """One row in ten: exact totals, percentiles from n of m calls, and files that say "at least"."""
    chance = random.Random(3)
    events = [
        Event(
            syscall=("read", "write", "openat")[i % 3],
            file=f"/d/{i % 5}",
            bytes=i % 3 != 2 and i % 4096,
            ret=-2 if i % 50 == 2 else 0,
            latency=int(chance.lognormvariate(9, 1.5)),
        )
        for i in range(30_000)
    ]
    clock = Clock(START)
    made, _ = fed([events[::10]], clock)
    clock.now += SECOND
    made.merge_counters(counters_of(events))
    found = made.snapshot()
    read = next(r for r in found.syscalls if r.name == "read")

    assert (found.calls, found.errors) == (30_000, sum(e.failed for e in events))
    assert (found.bytes_read, found.bytes_written) == (sum(e.read for e in events), sum(e.written for e in events))
    assert (read.measured, read.timed) == (1000, 10_000)
    median = nearest_rank([e.latency for e in events[::10] if e.syscall == "read"], 500)
    assert read.p50_ns == pytest.approx(median, rel=0.03)
    assert all(r.at_least for r in found.files if not r.special)
    assert next(r for r in found.processes if r.special == "unrecorded").count == 27_000
    assert found.run.calls_per_s == pytest.approx(30_000)
    assert found.window.calls_per_s == pytest.approx(30_000)
    for bucket in found.latency_histogram.buckets:
        upper = bucket.upper_ns or 1 << 63
        assert bucket.count == pytest.approx(sum(bucket.lower_ns <= e.latency < upper for e in events), abs=300)


def test_counters_older_than_the_rows_take_nothing_away() -> None:
    """Counters read before the last rows came neither lower a number nor count a row twice."""
    events = [Event(latency=50, bytes=3)] * 10
    made, tables = engine(), new_tables()
    made.ingest(rows(events[:4], tables))
    made.merge_counters(counters_of(events[:6]))
    made.ingest(rows(events[4:], tables))
    found = made.snapshot()

    assert (found.calls, found.recorded, found.complete) == (10, 10, True)
    assert (found.bytes, found.latency_total_ns, found.syscalls[0].timed) == (30, 500, 10)


def test_counters_of_rows_that_are_all_there_change_nothing() -> None:
    """Without sampling or loss the counters only confirm the rows."""
    events = [Event(latency=i * 1000, bytes=i, syscall="read" if i % 2 else "write") for i in range(50)]
    made, before = fed([events])
    made.merge_counters(counters_of(events))
    after = made.snapshot()

    assert after.syscalls == before.syscalls
    assert after.files == before.files
    assert after.latency_histogram == before.latency_histogram
    assert after.latency_histogram.exact
    assert after.calls_series.tolist() == before.calls_series.tolist()


def test_a_reset_forgets_what_the_counters_knew() -> None:
    """After a reset only what the counters gained since counts."""
    made, _ = fed([])
    made.merge_counters(counter("read", calls=5, latencies=[10] * 5))
    made.reset()
    made.merge_counters(counter("read", calls=7, latencies=[10] * 7))
    first = made.snapshot()
    made.reset(counter("read", calls=9, latencies=[10] * 9))
    made.merge_counters(counter("read", calls=12, latencies=[10] * 12))
    second = made.snapshot()

    assert (first.calls, first.timed, first.latency_total_ns) == (2, 2, 20)
    assert (second.calls, second.syscalls[0].timed) == (3, 3)


def test_untimed_calls_do_not_lower_the_minimum() -> None:
    """A call that was only counted leaves the minimum unset, until a timed one sets it."""
    made, _ = fed([])
    made.merge_counters(counter("read", calls=8))
    untimed = made.snapshot().syscalls[0]
    made.ingest(rows([Event(latency=40), Event(latency=60)]))
    timed = made.snapshot().syscalls[0]

    assert (untimed.no_latency, untimed.latency_mean_ns, untimed.count) == (True, 0.0, 8)
    assert (timed.no_latency, timed.latency_min_ns, timed.latency_max_ns) == (False, 40, 60)


def test_the_mean_is_of_the_timed_calls() -> None:
    """Two timed calls of 40 and 60 ns and eight untimed ones: ten calls, mean 50, last point of the series 50."""
    clock = Clock()
    made, _ = fed([], clock)
    clock.now += SECOND - 1
    made.merge_counters(counter("read", calls=10, latencies=[40, 60]))
    found = made.snapshot()

    assert (found.calls, found.latency_mean_ns, found.syscalls[0].latency_mean_ns) == (10, 50.0, 50.0)
    assert found.latency_series_ns[-1] == 50.0


def test_untimed_calls_add_no_point_to_the_latency_series() -> None:
    """Calls that were only counted appear in the calls of the series, not in its latencies."""
    made, _ = fed([])
    made.merge_counters(counter("read", calls=8))
    found = made.snapshot()

    assert found.calls_series.sum() == 16.0
    assert found.latency_series_ns.sum() == 0.0


def test_more_timed_than_counted_is_cut() -> None:
    """A histogram that says more than the count is not believed."""
    made, _ = fed([])
    made.merge_counters(counter("read", calls=1, latencies=[10] * 4))

    assert made.snapshot().syscalls[0].timed == 1


def test_a_call_only_counted_has_no_percentiles_until_a_row_comes() -> None:
    """Mean and bounds are there, percentiles are flagged as absent; one row clears the flag."""
    made, _ = fed([])
    made.merge_counters(counter("read", calls=3, latencies=[100, 100, 5000]))
    counted = made.snapshot().syscalls[0]
    made.ingest(rows([Event(latency=100)]))
    streamed = made.snapshot().syscalls[0]

    assert (counted.no_percentiles, counted.p50_ns, counted.no_latency) == (True, 0, False)
    assert (counted.latency_min_ns, counted.latency_max_ns) == (64, 8192)
    assert (streamed.no_percentiles, streamed.measured, streamed.timed) == (False, 1, 3)


def test_counted_calls_fill_at_most_the_drain_period() -> None:
    """After an hour without counters, the calls they bring lie in the last second of the series."""
    clock = Clock()
    made, _ = fed([], clock)
    clock.now += 3600 * SECOND
    made.merge_counters(counter("read", calls=100, latencies=[10] * 100))
    found = made.snapshot()

    assert found.calls_series[-4:].tolist() == [0.0, 100.0, 100.0, 0.0]
    assert found.calls_series.sum() == 200.0


def test_a_clock_that_goes_back_breaks_nothing() -> None:
    """No time is negative, and counters merged then lie in the present slot."""
    clock = Clock()
    made, _ = fed([[Event(time=START - 30 * SECOND)]], clock)
    clock.now -= 10 * SECOND
    made.merge_counters(counter("read", calls=4, latencies=[5] * 4))
    found = made.snapshot()

    assert (found.elapsed_s, found.run.calls_per_s, found.window.calls_per_s) == (0.0, 0.0, 0.0)
    assert found.calls == 4
    assert found.calls_series[-1] == 6.0


def test_unknown_numbers_of_the_counters_are_counted() -> None:
    """A call the table does not know is named by its number, so that the totals hold."""
    counters = np.zeros(512, COUNTER)
    counters["calls"][500] = 3
    made, _ = fed([])
    made.merge_counters(counters)
    found = made.snapshot()

    assert [(r.name, r.family, r.count) for r in found.syscalls] == [("#500", "", 3)]


# ---- states, threads, processes


def test_a_call_without_return_has_no_latency() -> None:
    """Whatever latency a call that never returns or is in flight claims, it is counted and adds no time."""
    events = [Event(syscall="exit_group", latency=9000, state="no return"), Event(latency=9000, state="in flight")]
    _, found = fed([events])

    assert (found.calls, found.in_flight, found.timed, found.latency_total_ns) == (2, 1, 0, 0)
    assert found.latency_histogram.total == 0
    assert all(r.no_latency and r.no_percentiles and r.latency_max_ns == 0 for r in found.syscalls)
    assert found.latency_series_ns.sum() == 0


def test_first_calls_of_threads_add_no_gap() -> None:
    """A thousand threads of one call each have no gap at all."""
    _, found = fed([[Event(tid=i, first=True, gap=0) for i in range(1000)]])

    assert (found.gaps, found.gap_mean_ns, found.gap_histogram.total) == (0, 0.0, 0)


def test_threads_of_one_process_are_one_row() -> None:
    """200 interleaved calls of two threads with different names are one process, called as its main thread is."""
    events = [Event(pid=8, tid=8 + i % 2, comm=("main", "worker")[i % 2]) for i in range(200)]
    _, found = fed([events[i : i + 7] for i in range(0, 200, 7)])

    assert [(r.label, r.comm, r.count) for r in found.processes] == [("8", "main", 200)]


def test_a_recycled_pid_is_another_process() -> None:
    """The next process of an id is shown as `8#1`; after a reset it still is, and the one after it is `8#2`."""
    made, tables = engine(), new_tables()
    made.ingest(rows([Event(pid=8, comm="old")] * 3, tables))
    made.retire(8)
    ended = made.snapshot().processes
    made.ingest(rows([Event(pid=8, comm="new")] * 2, tables))
    both = made.snapshot().processes
    made.reset()
    made.ingest(rows([Event(pid=8, comm="new")], tables))
    again = made.snapshot().processes
    made.reset()
    made.retire(8)
    made.ingest(rows([Event(pid=8, comm="third")], tables))

    assert [(r.label, r.ended) for r in ended] == [("8", True)]
    assert [(r.label, r.comm, r.count, r.ended) for r in both] == [("8", "old", 3, True), ("8#1", "new", 2, False)]
    assert [(r.label, r.count) for r in again] == [("8#1", 1)]
    assert [r.label for r in made.snapshot().processes] == ["8#2"]


def test_ends_of_unknown_processes_and_repeats_do_no_harm() -> None:
    """An end of a process never seen, or told twice, makes no new life."""
    made, tables = engine(), new_tables()
    for pid in (8, 8, 99, -1, 1 << 30):
        made.retire(pid)
    made.ingest(rows([Event(pid=8, time=START)], tables))
    made.retire(8, START + 10)
    made.retire(8, START + 10)
    made.ingest(rows([Event(pid=8, time=START + 20)], tables))
    made.retire(8, START + 10)
    made.ingest(rows([Event(pid=8, time=START + 30)], tables))

    assert sorted((r.label, r.count) for r in made.snapshot().processes) == [("8", 1), ("8#1", 2)]


@CHECKED
@given(
    st.lists(st.integers(0, 100), max_size=30), st.sets(st.integers(0, 100), max_size=3), st.integers(1, 30), st.data()
)
def test_rows_belong_to_the_life_they_began_in(
    times: list[int], ends: set[int], size: int, data: st.DataObject
) -> None:
    """Ends known before the rows come, in any order, part them by their start time."""
    made, tables = engine(), new_tables()
    for end in data.draw(st.permutations(sorted(ends))):
        made.retire(8, START + end)
    ordered = sorted(times)
    for i in range(0, len(ordered), size):
        part = [Event(pid=8, time=START + t) for t in ordered[i : i + size]]
        made.ingest(rows([*part, Event(pid=9)], tables))
    lives = Counter(sum(end < t for end in ends) for t in times)
    found = made.snapshot().processes

    assert [r.count for r in sorted(found, key=lambda r: r.lifetime) if r.pid == 8] == [
        lives[life] for life in sorted(lives)
    ]
    assert [r.lifetime for r in sorted(found, key=lambda r: r.lifetime) if r.pid == 8] == list(range(len(lives)))


def test_ends_are_not_kept_for_ever() -> None:
    """Thousands of ends whose ids never come back are settled, and still part the lives."""
    made, tables = engine(), new_tables()
    made.ingest(rows([Event(pid=1, comm="first")], tables))
    for pid in range(1, 10_000):
        made.retire(pid, START + pid)
    made.ingest(rows([Event(pid=1, time=START + 10 * SECOND)], tables))

    assert len(made._processes.lives.ends) <= 4096
    assert [r.label for r in made.snapshot().processes] == ["1", "1#1"]


def test_a_pid_beyond_what_linux_has_takes_no_memory() -> None:
    """A row of a damaged recording is counted and asks for no table of four thousand million entries."""
    _, found = fed([[Event(pid=2**32 - 1)]])

    assert [(r.pid, r.count) for r in found.processes] == [(0, 1)]


# ---- the engine as a whole


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
    found = Engine().snapshot()

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
    parts = _parts([40] * 100, 11)
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


# ---- the parts


@CHECKED
@given(st.lists(st.integers(-3, 3), max_size=30), st.integers(-1, 35))
def test_best_is_a_stable_sort_cut_short(values: list[int], count: int) -> None:
    """The largest values come first, equal ones in their order, however many are asked for."""
    found = best(np.array(values, np.int64), count)

    assert found.tolist() == sorted(range(len(values)), key=lambda i: -values[i])[: max(count, 0)]


@CHECKED
@given(st.lists(st.lists(st.integers(0, 30), min_size=1, max_size=20), max_size=10), st.integers(2, 12))
def test_a_table_loses_nothing(parts: list[list[int]], limit: int) -> None:
    """Entries, overflow and folded sums together are what was added, and there are never more than the limit."""
    table = Table(("count", "sum"), maxima=("max",), limit=limit, pinned=0)
    for part in parts:
        codes = np.array(part)
        entries = table.entries(codes)
        table.add("count", entries, 1)
        table.add("sum", entries, codes)
        table.raise_to("max", entries, codes)
        assert all(table.codes[e] == c for e, c in zip(entries.tolist(), part, strict=True) if e)
    added = [c for part in parts for c in part]

    assert table.used <= limit + 1
    assert table.find(0) == 1
    assert int(table.columns["count"][: table.used].sum()) + table.folded["count"] == len(added)
    assert int(table.columns["sum"][: table.used].sum()) + table.folded["sum"] == sum(added)
    assert max(int(table.columns["max"][: table.used].max()), table.folded["max"]) == max(added, default=0)


def test_counted_calls_are_split_where_a_power_of_two_holds_an_edge() -> None:
    """512 to 1023 ns hold the edge at 1 us: calls only counted are split as the rows are, else by width."""
    octaves = np.zeros(48, np.int64)
    octaves[9] = 1024
    nothing = np.zeros(BUCKETS, np.int64)
    rowed = np.bincount(buckets_of(np.array([600, 600, 600, 1010])), minlength=BUCKETS)
    by_width = decades(np.zeros(8, np.int64), nothing, octaves)
    by_rows = decades(np.array([3, 1, 0, 0, 0, 0, 0, 0]), rowed, octaves)

    assert [b.count for b in by_width.buckets[:2]] == [976, 48]
    assert [b.count for b in by_rows.buckets[:2]] == [768, 256]
    assert (by_width.exact, by_rows.exact, by_rows.total) == (False, False, 1024)
