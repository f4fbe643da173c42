"""Sheets of several hosts as one: the same numbers as of all their rows together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ior_nb.engine.counted import COUNTER
from ior_nb.errors import ConfigError
from ior_nb.runtime import Sheet, Snapshot, new_tables
from ior_nb.runtime.sheet import merged, sheet_to_bytes, shown
from ior_nb.syscalls import BY_NAME
from tests.sinks.statsengine.events import (
    SECOND,
    SEED,
    START,
    Clock,
    Event,
    engine,
    nearest_rank,
    parts_of,
    rows,
    total,
)

ALL = 10_000
FEW = settings(deadline=None, max_examples=40)
PARTS = st.builds(parts_of, st.lists(st.integers(0, 30), min_size=3, max_size=3), SEED)
TOPS = st.sampled_from([0, 1, 2, 3, ALL])
LATER = st.integers(0, 100 * SECOND)


def sheet_of(events: Sequence[Event], *, top: int = ALL, now: int = START, counted: int = 0) -> Sheet:
    """What one host knows at some moment; the kernel counted some calls more there."""
    clock = Clock()
    made = engine(clock)
    made.ingest(rows(events, new_tables()))
    clock.now = now
    if counted:
        counters = np.zeros(512, COUNTER)
        for field, value in (("calls", counted), ("bytes", 10 * counted), ("latency_ns", 700 * counted)):
            counters[field][BY_NAME["read"].number] = value
        counters["histogram"][BY_NAME["read"].number, 9] = counted
        made.merge_counters(counters)
    return made.sheet(top=top)


def said(snapshot: Snapshot) -> dict[str, Any]:
    """All that a snapshot says, but for what no sum can say: the last name of a process that several hosts had."""
    found = {f.name: getattr(snapshot, f.name) for f in fields(snapshot)}
    found = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in found.items()}
    found["processes"] = [replace(row, comm="", ppid=0) for row in snapshot.processes]
    found["directories"] = [replace(row, files=0) for row in snapshot.directories]
    found["syscalls"] = [replace(row, errors_by_errno=dict(row.errors_by_errno)) for row in snapshot.syscalls]
    return found


@FEW
@given(PARTS, LATER, st.sampled_from(["count", "bytes", "latency"]), TOPS)
def test_merged_sheets_say_what_all_rows_together_say(parts: list[list[Event]], later: int, by: str, top: int) -> None:
    """Sums, percentiles, rates, series, trends and tables of merged sheets are those of all rows together."""
    now = START + later
    together = sheet_of([e for part in parts for e in part], now=now)
    found = merged(sheet_of(part, now=now) for part in parts)
    # A host without rows has no later row either, so its clock may stand behind: the last slot is that of the latest.
    assert (found.end, found.now_ns) == (together.end, together.now_ns)

    assert said(shown(found, top=top, by=by)) == said(shown(together, top=top, by=by))


@FEW
@given(PARTS, TOPS, st.lists(LATER, min_size=3, max_size=3), st.lists(st.integers(0, 50), min_size=3, max_size=3))
def test_merging_is_associative_and_commutative_and_nothing_adds_nothing(
    parts: list[list[Event]], top: int, later: list[int], counted: list[int]
) -> None:
    """In whatever order and groups sheets are merged, the result is the same to the byte; an empty one adds nothing."""
    a, b, c = (
        sheet_of(part, top=top, now=START + t, counted=n) for part, t, n in zip(parts, later, counted, strict=True)
    )
    whole = sheet_to_bytes(merged([a, b, c]))

    assert sheet_to_bytes(a.merge(b).merge(c)) == sheet_to_bytes(a.merge(b.merge(c))) == whole
    assert sheet_to_bytes(merged([c, a, b])) == sheet_to_bytes(b.merge(a).merge(c)) == whole
    assert sheet_to_bytes(merged([a, b, c, Sheet()])) == sheet_to_bytes(Sheet().merge(merged([a, b, c]))) == whole


@FEW
@given(PARTS, TOPS, st.integers(0, 5), st.integers(0, 50))
def test_tables_that_were_cut_add_up_to_the_totals(
    parts: list[list[Event]], top: int, shown_top: int, counted: int
) -> None:
    """However many rows hosts send and views show, every table has all calls and bytes, the rest in "(other)"."""
    found = shown(merged(sheet_of(part, top=top, counted=counted) for part in parts), top=shown_top, by="count")

    for table in (found.files, found.directories, found.processes, found.lines):
        assert total(table, "count") == found.calls
        assert total(table, "bytes_read") == found.bytes_read
        assert total(table, "bytes_written") == found.bytes_written
        assert total(table, "latency_total_ns") == found.latency_total_ns
        assert sum(not row.special for row in table) <= shown_top


def test_a_row_that_a_host_had_no_room_for_is_at_least_what_it_says() -> None:
    """A file in one host's table and perhaps among another's "(other)" says so; one that all hosts list is exact."""
    one = sheet_of([Event(file="/both")] * 3 + [Event(file="/one")] * 2, top=2)
    two = sheet_of([Event(file="/both")] * 3 + [Event(file="/two")] * 2 + [Event(file="/one")], top=2)
    found = shown(one.merge(two), top=10, by="count")

    assert [(row.path, row.count, row.at_least, row.folded) for row in found.files] == [
        ("/both", 6, False, 0),
        ("/one", 2, True, 0),
        ("/two", 2, False, 0),
        ("(other)", 1, False, 1),
    ]


@FEW
@given(st.lists(st.lists(st.integers(0, 10**10), min_size=1, max_size=40), min_size=1, max_size=4))
def test_percentiles_of_merged_sheets_keep_their_error(latencies: list[list[int]]) -> None:
    """Percentiles of several hosts together are within 3 % of the exact nearest rank of all their calls."""
    sheets = [sheet_of([Event(latency=value) for value in host]) for host in latencies]
    (row,) = shown(merged(sheets), top=1, by="count").syscalls
    values = [value for host in latencies for value in host]

    for found, thousandths in ((row.p50_ns, 500), (row.p90_ns, 900), (row.p99_ns, 990), (row.p999_ns, 999)):
        exact = nearest_rank(values, thousandths)
        assert abs(found - exact) <= 0.03 * exact + 1


def test_processes_of_two_hosts_are_two() -> None:
    """The same id on two hosts is two processes, which say where they run."""
    sheets = [sheet_of([Event(pid=7, comm=host)]).of_host(host) for host in ("left", "right")]
    found = shown(merged(sheets), top=10, by="count")

    assert [(row.label, row.comm, row.count) for row in found.processes] == [
        ("left:7", "left", 1),
        ("right:7", "right", 1),
    ]


def test_hosts_meet_on_one_clock() -> None:
    """The series of a host whose clock is elsewhere lies where the other hosts' is."""
    here = sheet_of([Event(time=START + 5 * SECOND)], now=START + 10 * SECOND)
    there = sheet_of([Event(time=START + 4 * SECOND)], now=START + 9 * SECOND).of_host("there", SECOND)
    found = shown(here.of_host("here").merge(there), top=1, by="count")

    assert found.calls_series[-11:].tolist() == [4.0, *[0.0] * 10]
    assert found.calls_series.sum() == 4.0


def test_sums_that_no_number_holds_are_refused() -> None:
    """Sheets whose sums do not fit are an error, never a wrong number."""
    huge = sheet_of([Event(latency=2**60)])

    with pytest.raises(ConfigError, match="8 sheets cannot be added up: their sums come to"):
        merged([huge] * 8)
