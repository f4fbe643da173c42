"""States, threads and processes."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from ior_nb.runtime import new_tables
from tests.sinks.statsengine.events import CHECKED, SECOND, START, Event, engine, fed, rows


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
