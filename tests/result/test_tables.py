"""Tables, figures and comparisons against plain Python over the rows."""

from __future__ import annotations

import copy
import errno
import html
import math
import pickle
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ior_nb import aggregate
from ior_nb.errors import ConfigError, FilterSyntaxError
from ior_nb.result import figures, tables
from ior_nb.result.comparison import Diff
from ior_nb.result.trace import Trace
from ior_nb.runtime import Accounting, EventBatch
from ior_nb.runtime.clock import Moment
from ior_nb.sinks.flamegraph import LiveTrie
from ior_nb.sinks.statsengine import Statistics
from tests.events import HOSTILE, ROWS, failed, latency, made, read_written
from tests.fakes import batch

Event = dict[str, Any]
MEASURES = ("calls", "errors", "bytes_read", "bytes_written", "time_ns")


def grouped(rows: Iterable[Event], key: Callable[[Event], Any]) -> dict[Any, list[Event]]:
    """Put rows with the same key together."""
    result = defaultdict(list)
    for event in rows:
        result[key(event)].append(event)
    return dict(result)


def measures(rows: list[Event]) -> tuple[int, ...]:
    """Return what `MEASURES` names."""
    moved = [read_written(e) for e in rows]
    return (
        len(rows),
        sum(failed(e) for e in rows),
        sum(r for r, _ in moved),
        sum(w for _, w in moved),
        sum(map(latency, rows)),
    )


def as_dict(table: pd.DataFrame, key: str, columns: Iterable[str] = MEASURES) -> dict[Any, tuple[Any, ...]]:
    """Return some columns by the values of one."""
    assert table[key].is_unique

    return dict(zip(table[key], table[list(columns)].itertuples(index=False, name=None), strict=True))


def nearest_rank(values: list[int], thousandths: int) -> int:
    """Return a percentile."""
    return sorted(values)[max(1, math.ceil(len(values) * thousandths / 1000)) - 1] if values else 0


def trace_of(events: EventBatch, accounting: Accounting | None = None) -> Trace:
    """Return a finished trace of these rows."""
    found = Trace(title="t", scope="process 1", engine="fake")
    found.add(events)
    found.finish(window=(10**12, 10**12 + 10**10), accounting=accounting or Accounting(), counters={})
    return found


@given(ROWS)
def test_all_sums_follow_one_rule(rows: list[Event]) -> None:
    """Summary, statistics, tables and flame graph agree on every total, and on what was read from which file."""
    events = made(rows)
    statistics, trie = Statistics(), LiveTrie(("syscall",), "duration")
    statistics.ingest(events)
    trie.ingest(events)
    shown, summary, totals = statistics.snapshot(top=1000), trace_of(events).summary(), aggregate.totals(events)
    by_file = as_moved(aggregate.files(events))

    expected = measures(rows)
    assert tuple(totals[name] for name in MEASURES) == expected
    assert (shown.calls, shown.errors, shown.bytes_read, shown.bytes_written, shown.latency_total_ns) == expected
    assert (summary.calls, summary.errors, summary.bytes_read, summary.bytes_written, summary.latency_ns) == expected
    assert trie.snapshot_columns().totals[0] == expected[-1]
    assert shown.in_flight == totals["in_flight"] == int(events.in_flight.sum())
    found = {row.path: (row.bytes_read, row.bytes_written) for row in shown.files if not row.special}
    assert {name: pair for name, pair in found.items() if any(pair)} == {
        name: pair for name, pair in by_file.items() if name and any(pair)
    }
    assert all((row.bytes_read, row.bytes_written) == by_file[row.file] for row in summary.files)


def as_moved(columns: dict[str, np.ndarray]) -> dict[str, tuple[int, int]]:
    """Return bytes read and written by file."""
    pairs = zip(columns["bytes_read"].tolist(), columns["bytes_written"].tolist(), strict=True)
    return dict(zip(columns["file"].tolist(), pairs, strict=True))


@given(ROWS)
def test_syscalls_equal_a_loop_over_the_rows(rows: list[Event]) -> None:
    """Sums, mean, maximum and exact percentiles per call are those of plain Python; most time comes first."""
    found = tables.syscalls(made(rows))
    expected = grouped(rows, lambda e: e["syscall"])
    times = {name: [latency(e) for e in group if e["state"] == "done"] for name, group in expected.items()}

    assert as_dict(found, "syscall") == {name: measures(group) for name, group in expected.items()}
    assert as_dict(found, "syscall", ["p50_ns", "p90_ns", "p95_ns", "p99_ns", "p999_ns", "max_ns"]) == {
        name: (*(nearest_rank(t, p) for p in (500, 900, 950, 990, 999)), max(t, default=0)) for name, t in times.items()
    }
    assert as_dict(found, "syscall", ["mean_ns"]) == {
        name: (pytest.approx(sum(t) / len(t) if t else 0),) for name, t in times.items()
    }
    assert found["time_ns"].is_monotonic_decreasing


@given(ROWS)
def test_files_equal_a_loop_over_the_rows(rows: list[Event]) -> None:
    """Each file has its calls; bytes a transfer reads are its source's; calls without a file have the empty name."""
    found = tables.files(made(rows))
    expected: dict[str, Counter[str]] = defaultdict(Counter)
    for event in rows:
        read, written = read_written(event)
        source = event["old_file"] if event["syscall"] == "sendfile64" and event["old_file"] else event["file"]
        expected[event["file"]].update(
            calls=1, errors=failed(event), bytes_written=written, time_ns=latency(event), bytes_read=0
        )
        expected[source].update(bytes_read=read)

    assert as_dict(found, "file") == {name: tuple(c[m] for m in MEASURES) for name, c in expected.items()}


@given(ROWS)
def test_every_table_adds_up_to_the_totals(rows: list[Event]) -> None:
    """Calls, errors, bytes and time summed over any table are those of all rows."""
    events = made(rows)
    for name in ("syscalls", "families", "files", "directories", "processes", "threads", "labels", "timeline"):
        found = getattr(tables, name)(events)

        assert tuple(found[m].sum() for m in MEASURES) == measures(rows), name


@given(ROWS)
def test_stats_are_those_of_the_rows(rows: list[Event]) -> None:
    """The totals have the same numbers as the tables, and the number of different things."""
    found = tables.stats(made(rows))["value"].to_dict()
    times = [latency(e) for e in rows if e["state"] == "done"]
    names = {e["file"] for e in rows} | {e["old_file"] for e in rows if e["syscall"] == "sendfile64"}

    assert tuple(found[m] for m in MEASURES) == measures(rows)
    assert found["files"] == len(names - {""})
    assert found["threads"] == len({(e["pid"], e["tid"]) for e in rows})
    assert found["in_flight"] == sum(e["state"] == "in flight" for e in rows)
    assert found["p99_ns"] == nearest_rank(times, 990)


def test_stats_have_units_and_rates() -> None:
    """With the length of the trace there are rates; every measure says its unit."""
    found = tables.stats(made([]), duration_s=2.0)

    assert found.loc["bytes_read", "unit"] == "bytes"
    assert found.loc["p50_ns", "unit"] == "ns"
    assert found.loc["read_bytes_per_s", "unit"] == "bytes/s"
    assert found.loc["calls_per_s", "unit"] == "1/s"


@pytest.mark.parametrize(
    ("file", "directory"),
    [("/a/b/c", "/a/b"), ("/a", "/"), ("pipe:[7]", "."), ("", ""), ("//u/x", "//u"), ("a//b", "a/")],
)
def test_directory_of_a_file(file: str, directory: str) -> None:
    """The directory is the text before the last slash, as the filter pattern `^dir/*` sees it."""
    assert aggregate.directory_of(file) == directory


@given(ROWS)
def test_directories_sum_their_files(rows: list[Event]) -> None:
    """A directory has the calls of the files in it, and how many there are."""
    events = made(rows)
    by_file = as_dict(tables.files(events), "file", ["calls"])
    expected: Counter[str] = Counter()
    for name, (calls,) in by_file.items():
        expected[aggregate.directory_of(name)] += calls
    found = tables.directories(events)

    assert as_dict(found, "directory", ["calls"]) == {name: (calls,) for name, calls in expected.items()}
    assert found["files"].sum() == len(by_file)


@given(ROWS)
def test_processes_are_named_after_their_main_thread(rows: list[Event]) -> None:
    """A process has the last name of its main thread, else the first of any thread."""
    found = tables.processes(made(rows))
    expected = grouped(rows, lambda e: e["pid"])
    names = {}
    for pid, group in expected.items():
        main = [e["comm"] for e in group if e["tid"] == pid and e["comm"]]
        names[pid] = (main[-1:] or [e["comm"] for e in group if e["comm"]][:1] or [""])[0]

    assert as_dict(found, "pid") == {pid: measures(group) for pid, group in expected.items()}
    assert as_dict(found, "pid", ["comm"]) == {pid: (name,) for pid, name in names.items()}
    assert as_dict(found, "pid", ["threads"]) == {
        pid: (len({e["tid"] for e in group}),) for pid, group in expected.items()
    }


@given(ROWS)
def test_labels_equal_a_loop_over_the_rows(rows: list[Event]) -> None:
    """Every label has its calls, how many processes and files they are of, and when they were."""
    found = tables.labels(made(rows), origin_ns=10**12)
    expected = grouped(rows, lambda e: e["label"])

    assert as_dict(found, "label") == {label: measures(group) for label, group in expected.items()}
    assert as_dict(found, "label", ["processes", "files", "first_s", "last_s"]) == {
        label: (
            len({e["pid"] for e in group}),
            len({e["file"] for e in group if e["file"]}),
            min(e["time_ns"] - 10**12 for e in group) / 1e9,
            max(e["time_ns"] + latency(e) - 10**12 for e in group) / 1e9,
        )
        for label, group in expected.items()
    }


def test_an_id_used_again_is_another_process() -> None:
    """Each process of an id has its own row and parent, told apart by its main thread's first call or its parent."""
    events = batch(
        pid=[7, 7, 7, 7, 7, 8],
        tid=[7, 9, 7, 7, 7, 8],
        ppid=[1, 1, 1, 1, 2, 1],
        time_ns=[1, 2, 5, 3, 6, 4],
        first_on_tid=[True, True, False, True, False, True],
    )
    found = tables.processes(events)

    assert sorted(zip(found["pid"], found["ppid"], found["calls"], found["threads"], strict=True)) == [
        (7, 1, 2, 1),
        (7, 1, 2, 2),
        (7, 2, 1, 1),
        (8, 1, 1, 1),
    ]
    assert tables.stats(events)["value"].to_dict()["processes"] == 4


@given(ROWS)
def test_errors_by_call_and_number(rows: list[Event]) -> None:
    """Every failed row is in one group, which knows its name and the first file it happened to."""
    found = tables.errors(made(rows))
    expected = grouped((e for e in rows if failed(e)), lambda e: (e["syscall"], -e["ret"]))

    assert {(r.syscall, r.errno): (r.error, r.calls, r.files, r.example) for r in found.itertuples(index=False)} == {
        key: (
            errno.errorcode.get(key[1], str(-key[1])),
            len(group),
            len({e["file"] for e in group}),
            group[0]["file"] or group[0]["path_arg"],
        )
        for key, group in expected.items()
    }


@given(ROWS, st.integers(-1, 30))
def test_slowest_are_the_largest_latencies(rows: list[Event], n: int) -> None:
    """The n slowest finished calls, ties in order of completion; those that wait have a list of their own."""
    batch = made(rows)
    done = [(i, e) for i, e in enumerate(rows) if e["state"] == "done"]
    ranked = sorted(done, key=lambda pair: (-pair[1]["latency_ns"], pair[0]))
    waits = [i for i, e in ranked if e["syscall"] == "epoll_wait"]  # the others are on files of no kind
    others = [i for i, e in ranked if e["syscall"] != "epoll_wait"]

    assert tables.slowest(batch, n)["seq"].tolist() == others[: max(0, n)]
    assert tables.slowest(batch, n, waiting=True)["seq"].tolist() == waits[: max(0, n)]


@given(ROWS, st.sampled_from((None, 0.001, 0.5, 1e9)))
def test_timeline_puts_calls_where_they_started(rows: list[Event], slot_s: float | None) -> None:
    """Each row is in the slot of its start, slots have one length and no holes."""
    found = tables.timeline(made(rows), slot_s=slot_s, origin_ns=10**12 - 5)
    slot = round((found["slot_s"].iloc[0] if len(found) else 1) * 1e9)
    expected = grouped(rows, lambda e: (e["time_ns"] - 10**12 + 5) // slot)

    assert {i: c for i, c in enumerate(found["calls"]) if c} == {i: len(group) for i, group in expected.items()}
    assert len(found) == (max(expected) + 1 if rows else 0)
    assert slot_s is not None or len(found) <= 60
    for i, group in expected.items():
        assert tuple(found.loc[i, list(MEASURES)]) == measures(group)


@pytest.mark.parametrize("slot_s", [0.0, -1.0, 1e-9, float("nan"), float("inf")])
def test_timeline_refuses_useless_slots(slot_s: float) -> None:
    """A slot that is no length, or makes far too many, is a mistake of the user's."""
    with pytest.raises(ConfigError, match="slot_s"):
        tables.timeline(batch(time_ns=[0, 10**12]), slot_s=slot_s)


@given(ROWS)
def test_latency_bins_hold_every_finished_call(rows: list[Event]) -> None:
    """Each finished call is in the one bin whose edges enclose its latency, under its byte class."""
    bins = aggregate.latency_bins(made(rows))
    times = [max(1, e["latency_ns"]) for e in rows if e["state"] == "done"]
    counts = sum(bins[name] for name in aggregate.CLASSES)
    expected = [sum(low <= t < high for t in times) for low, high in zip(bins["low_ns"], bins["high_ns"], strict=True)]

    assert np.atleast_1d(counts).tolist() == expected
    assert sum(expected) == len(times)


@given(ROWS, ROWS)
def test_diff_has_every_group_of_both(before: list[Event], after: list[Event]) -> None:
    """Before and after are the two tables, a missing group counts as 0, the delta is their difference."""
    one, two = made(before), made(after)
    for name, key in (("syscalls", "syscall"), ("files", "file")):
        found = getattr(Diff(one, two), name)()
        old, new = (as_dict(getattr(tables, name)(b), key) for b in (one, two))
        nothing = (0,) * len(MEASURES)

        assert as_dict(found, key, [f"{m}_before" for m in MEASURES]) == {k: old.get(k, nothing) for k in old | new}
        assert as_dict(found, key, [f"{m}_after" for m in MEASURES]) == {k: new.get(k, nothing) for k in old | new}
        for m in MEASURES:
            assert (found[f"{m}_delta"] == found[f"{m}_after"] - found[f"{m}_before"]).all()
        assert found["time_ns_delta"].abs().is_monotonic_decreasing


@given(ROWS)
def test_a_trace_does_not_differ_from_itself(rows: list[Event]) -> None:
    """All differences of a trace with itself are zero, and the text says so."""
    same = Diff(made(rows), made(rows))

    assert not same.totals()["delta"].any()
    assert not same.latency().filter(like="_delta").to_numpy().any()
    assert "×" not in repr(same)


def test_diff_shows_traced_names_as_text() -> None:
    """Names of files are neither markup nor control codes in the text and HTML of a comparison."""
    events = batch(syscall=["read"] * len(HOSTILE), file=list(HOSTILE), latency_ns=list(range(len(HOSTILE))))
    found = Diff(events[0:0], events, titles=("<b>", "\x1b[2J"))

    assert "<script" not in found._repr_html_()
    assert "<b>" not in found._repr_html_().split("<b>", 1)[1]  # but for the heading's own
    assert "\x1b" not in repr(found)
    assert "\u202e" not in repr(found)
    found.flame()


@given(ROWS, st.sampled_from(("count", "duration", "bytes", "gap")))
def test_flame_is_a_tree_of_the_rows(rows: list[Event], metric: str) -> None:
    """The root is the total, children never weigh more than their parent, and every parent is there."""
    figure = figures.flame(made(rows), metric=metric)
    icicle = figure.data[0]
    value = dict(zip(icicle.ids, icicle.values, strict=True))
    children: Counter[str] = Counter()
    for parent, weight in zip(icicle.parents, icicle.values, strict=True):
        children[parent] += weight
    total = {
        "count": len(rows),
        "duration": sum(map(latency, rows)),
        "bytes": sum(e["bytes"] for e in rows),
        "gap": sum(e["gap_ns"] for e in rows),
    }[metric]

    assert value["0"] == total
    assert all(children[node] <= weight for node, weight in value.items())
    assert all(parent in value for parent in icicle.parents if parent)
    assert len(value) <= 400


def test_flame_keeps_the_heaviest_frames() -> None:
    """Of too many frames the lightest are left out, never one whose children stay."""
    n = 3000
    events = batch(
        syscall=["read"] * n, comm=["py"] * n, file=[f"/d{i % 7}/f{i}" for i in range(n)], bytes=list(range(n))
    )
    icicle = figures.flame(events, metric="bytes").data[0]

    assert len(icicle.ids) == 400
    assert "/f2999" in icicle.labels
    assert "/f1" not in icicle.labels


@given(ROWS, ROWS)
def test_diff_flame_is_as_wide_as_both(before: list[Event], after: list[Event]) -> None:
    """Values are the sums of both runs, colours between -1 (gone) and 1 (new)."""
    icicle = Diff(made(before), made(after)).flame(metric="count").data[0]

    assert icicle.values[0] == len(before) + len(after)
    assert all(-1 <= c <= 1 for c in icicle.marker.colors)
    if not before and after:
        assert set(icicle.marker.colors) == {1.0}


@pytest.mark.parametrize("name", HOSTILE)
def test_labels_of_figures_are_plain_text(name: str) -> None:
    """A label holds no tag, no TeX and no character that acts; as HTML it reads as the name."""
    shown = figures.label(name)

    assert not set("<>$\"'") & set(shown)
    assert shown.isprintable()
    assert html.unescape(shown).replace("\\", "").isprintable()


@given(ROWS, st.sampled_from(sorted(figures.FIGURES)))
def test_every_figure_can_be_drawn(rows: list[Event], what: str) -> None:
    """No row and no lack of rows stops a figure, and traced text in it is escaped."""
    drawn = figures.plot(made(rows), what).to_json()

    assert "<script" not in drawn
    assert "<img" not in drawn


def test_figures_are_named() -> None:
    """A wrong name or metric is answered with the right ones."""
    with pytest.raises(ConfigError, match="heatmap"):
        figures.plot(made([]), "pie")
    with pytest.raises(ConfigError, match="duration"):
        figures.flame(made([]), metric="weight")
    with pytest.raises(ConfigError, match="syscall"):
        figures.flame(made([]), "comm,colour")


@given(ROWS)
def test_trace_methods_are_the_tables(rows: list[Event]) -> None:
    """A trace answers with the tables of its rows."""
    events = made(rows)
    found = trace_of(events)
    for name in ("syscalls", "families", "files", "directories", "errors"):
        pd.testing.assert_frame_equal(getattr(found, name)(), getattr(tables, name)(events))

    assert found.stats().loc["calls_per_s", "value"] == len(rows) / 10
    done = [e["syscall"] for e in rows if e["state"] == "done"]
    assert len(found.waiting(99)) == done.count("epoll_wait")
    assert len(found.slowest(99)) == len(done) - done.count("epoll_wait")
    assert found.timeline(1.0)["calls"].sum() == len(rows)
    assert found.processes()["calls"].sum() == len(rows)


@given(ROWS)
def test_a_filtered_trace_is_a_trace(rows: list[Event]) -> None:
    """The rows that pass are there, the others are counted as filtered, and the books still balance."""
    flight = sum(e["state"] == "in flight" for e in rows)
    books = Accounting(seen=len(rows) + 3, emitted=len(rows) - flight, in_flight=flight, sampled_out=3)
    whole = trace_of(made(rows), books)
    found = whole.filter("syscall=read and not errors")
    expected = [i for i, e in enumerate(rows) if e["syscall"] == "read" and not failed(e)]

    assert found.batch["seq"].tolist() == expected
    assert found.accounting.unaccounted == 0
    assert found.accounting.filtered == len(rows) - len(expected)
    assert "only rows where" in str(found)
    assert len(found.filter("syscall=write")) == 0


def test_a_wrong_filter_says_where() -> None:
    """Text that does not parse is the parser's error, with its position."""
    with pytest.raises(FilterSyntaxError):
        trace_of(made([])).filter("syscall=")


def titled(title: str, cells: list[int], started_at: float = 0.0) -> Trace:
    """Return a trace of that title with a row in each of the cells."""
    found = trace_of(batch(syscall=["read"] * len(cells), cell=list(cells)))
    found.title, found.began = title, Moment(round(started_at * 1e9), 0)
    return found


@pytest.mark.parametrize(
    ("before", "after", "titles"),
    [
        (titled("this cell", [3]), titled("this cell", [12, 12]), ("cell 3", "cell 12")),
        (titled("slow", [3]), titled("fast", [3]), ("slow (cell 3)", "fast (cell 3)")),
        (titled("slow", [-1]), titled("fast", [2, 3]), ("slow", "fast")),
        (titled("t", []), titled("t", []), ("t (before)", "t (after)")),
        (titled("this cell", [3]), titled("this cell", [3]), ("cell 3 (before)", "cell 3 (after)")),
    ],
)
def test_trace_diff_tells_its_sides_apart(before: Trace, after: Trace, titles: tuple[str, str]) -> None:
    """A comparison is headed by cells or titles, and by more where these are equal: never twice by the same."""
    assert before.diff(after).titles == titles
    assert repr(before.diff(after)).startswith(f"{titles[0]} → {titles[1]}")
    assert before.diff(after, titles=("a", "b")).titles == ("a", "b")


def test_trace_diff_of_equal_titles_has_the_times() -> None:
    """Traces of one title that began at different times are told apart by these."""
    names = titled("t", [], 1000).diff(titled("t", [], 1002)).titles

    assert names[0] != names[1]
    assert all(name.startswith("t (") and name.count(":") == 2 for name in names)


@pytest.mark.parametrize("other", [3, None, "cell 3", made([])])
def test_trace_diff_with_no_trace_is_refused(other: Any) -> None:
    """A trace is only compared with a trace; else a line says so."""
    with pytest.raises(ConfigError, match="compared with another") as caught:
        titled("t", []).diff(other)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "slot"),
    [("1ms", 0.001), ("0.5s", 0.5), (" 2us ", 2e-6), ("1m30s", 90), (2, 2), (0.25, 0.25), (np.float64(0.5), 0.5)],
)
def test_a_slot_of_time_is_a_number_or_a_text(given: Any, slot: float) -> None:
    """A slot is seconds, or a length of time as people type it."""
    found = trace_of(batch(time_ns=[10**9], syscall=["read"])).timeline(given)

    assert found["slot_s"].tolist() == [slot]


@pytest.mark.parametrize("given", ["1 parsec", "", "10", "0.5", "-1ms", "1e-3", [1], b"1ms", True, 1j, float("nan"), 0])
def test_a_wrong_slot_of_time_is_one_line(given: Any) -> None:
    """What is no positive length of time is refused in one line that names the argument."""
    with pytest.raises(ConfigError, match="slot_s") as caught:
        trace_of(batch(time_ns=[10**9], syscall=["read"])).timeline(given)

    assert "\n" not in str(caught.value)


def test_figures_count_time_as_the_tables_do() -> None:
    """In `plot` times begin where those of `slowest` begin: at the start of the trace, not at its first row."""
    found = trace_of(batch(time_ns=[4_000_000_000], syscall=["read"], latency_ns=[5_000]))
    found.window = (1_000_000_000, 5_000_000_000)
    (start,) = found.slowest()["start_s"]
    lines = next(t for t in found.plot("timeline").data if t.name == "mean latency")
    middle, slot = lines.x[-1], found.timeline()["slot_s"][0]

    assert start == 3
    assert middle - slot / 2 <= start < middle + slot / 2
    assert abs(found.plot("heatmap").data[0].x[-1] - start) <= slot
    assert lines.mode == "lines+markers"
    assert found.plot("timeline").layout.xaxis.ticksuffix == "s"
    assert found.plot("timeline").layout.yaxis3.ticksuffix == "s"


def test_a_figure_refuses_options_it_has_not() -> None:
    """An option of another figure is answered with the right ones."""
    with pytest.raises(ConfigError, match="fields, metric"):
        trace_of(made([])).plot("flame", slot="1ms")
    with pytest.raises(ConfigError, match="it has none"):
        trace_of(made([])).plot("latency", bins=3)


@pytest.mark.parametrize("compared", [True, False])
def test_frames_are_cut_to_their_width(compared: bool) -> None:
    """A name too long for its box is cut with an ellipsis, in a box of no width there is none; the label has it all."""
    events = batch(
        syscall=["read"] * 3,
        comm=["py"] * 3,
        file=["/a" * 100, "/" + "b" * 100, "/" + "c" * 100],
        latency_ns=[700, 299, 1],
    )
    figure = Diff(events, events).flame() if compared else figures.flame(events, metric="duration")
    shown = dict(zip(figure.data[0].labels, figure.data[0].text, strict=True))
    cut = shown["/" + "b" * 100]

    assert figure.layout.uniformtext.mode is None
    assert figure.data[0].textinfo == "text"
    assert shown["read"] == "read"
    assert cut.startswith("/b")
    assert "…" in cut
    assert 20 < len(cut) < 60
    assert shown["/" + "c" * 100] == ""


@pytest.mark.bench
def test_tables_of_a_million_rows() -> None:
    """Each table of 1 M rows with 20,000 files takes less than a second."""
    rng = np.random.default_rng(1)
    few = batch(
        syscall=["read", "write", "openat", "close"] * 5000,
        file=[f"/data/{i % 50}/{i}" for i in range(20_000)],
        pid=[1, 1, 2, 3] * 5000,
        latency_ns=list(range(20_000)),
        time_ns=list(range(0, 20_000_000, 1000)),
    )
    events = few.take(rng.integers(0, len(few), 1_000_000))
    for name in ("syscalls", "files", "directories", "processes", "timeline", "slowest"):
        begin = time.perf_counter()
        getattr(tables, name)(events)
        spent = time.perf_counter() - begin
        print(f"{name:12} {spent:.3f} s")

        assert spent < 1


def test_paths_are_told_apart_in_a_table() -> None:
    """A long path is cut in its middle in the text, and whole in the page."""
    paths = [f"/{'long/' * 30}{name}" for name in ("one.py", "two.py")]
    found = tables.files(batch(syscall=["read"] * 2, file=list(paths)))

    assert "one.py" in repr(found)
    assert "two.py" in repr(found)
    assert max(map(len, repr(found[["file"]]).splitlines())) < 80
    assert all(path in found._repr_html_() for path in paths)  # type: ignore[operator]  # the stubs lack it


def test_who_pickles_a_trace_is_told_how_it_is_kept() -> None:
    """It holds locks and open files; `copy` asks the same way."""
    found = Trace(title="t", scope="s", engine="e")

    for keep in (pickle.dumps, copy.copy):
        with pytest.raises(TypeError, match=r"t\.to_parquet\(PATH\) keeps it"):
            keep(found)
