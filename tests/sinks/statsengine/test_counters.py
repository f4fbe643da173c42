"""The kernel's counters beside the rows."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ior_nb.engine.counted import COUNTER
from ior_nb.runtime import new_tables
from ior_nb.syscalls import BY_NAME
from tests.sinks.statsengine.events import (
    CHECKED,
    SECOND,
    SEED,
    START,
    Clock,
    Event,
    engine,
    fed,
    grouped,
    nearest_rank,
    rows,
    some_events,
    total,
)


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
                counter["latency_ns"] += event.latency
                counter["histogram"][0, min(max(event.latency.bit_length() - 1, 0), 47)] += 1
    return counters


def counter(name: str, *, calls: int, latencies: Sequence[int] = ()) -> np.ndarray:
    """Counters of one system call, of which only some calls were timed."""
    counters = counters_of([Event(syscall=name, latency=n) for n in latencies])
    counters["calls"][BY_NAME[name].number] = calls
    return counters


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


def test_probes_are_no_errors_in_rows_and_in_counters() -> None:
    """Rows say which failures are probes, searches among them; what has no row the kernel tells as far as it can."""
    failures = [Event(syscall="openat", ret=-2)] * 5 + [Event(syscall="newfstat", ret=-2)] * 3
    recorded = rows(failures)
    probe = np.array([True] * 3 + [False] * 2 + [True] * 3)
    made, _ = fed([])
    made.ingest(recorded.with_columns(probe=probe))
    alone = made.snapshot()
    counters = np.zeros(512, COUNTER)
    for name, calls, errors, probes in (("openat", 9, 9, 0), ("newfstat", 7, 1, 6)):
        one = counters[BY_NAME[name].number : BY_NAME[name].number + 1]
        one["calls"], one["errors"], one["probes"] = calls, errors, probes
    made.merge_counters(counters)
    whole = made.snapshot()
    merged = {row.name: (row.errors, row.probes) for row in whole.syscalls}

    assert (alone.errors, alone.probes) == (2, 6)
    assert {row.name: row.errors_by_errno for row in alone.syscalls} == {"openat": {"ENOENT": 2}, "newfstat": {}}
    assert merged == {"openat": (6, 3), "newfstat": (1, 6)}
    assert (whole.errors, whole.probes) == (7, 9)


def test_waiting_is_a_sum_of_its_own() -> None:
    """What calls wait for others is summed apart, and is part of the time of all calls."""
    made, _ = fed([[Event(syscall="wait4", latency=700), Event(syscall="newfstat", latency=50)]])
    found = made.snapshot()

    assert (found.waiting_ns, found.latency_total_ns) == (700, 750)
