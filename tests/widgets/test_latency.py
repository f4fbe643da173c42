"""The latency panel: histograms, percentiles, and the map of latency over time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ior_nb.engine.counted import COUNTER
from ior_nb.runtime import Filter
from ior_nb.runtime.clock import boot_clock
from ior_nb.runtime.filter import Number, Text
from ior_nb.syscalls import BY_NAME
from ior_nb.widgets.latency import SLOTS, LatencyPanel
from ior_nb.widgets.panel import Panel
from tests.widgets.conftest import act, refreshes
from tests.widgets.fake import FakeRuntime

Open = Callable[..., Panel]
SLOT = 500_000_000
T0 = 1_000_000 * SLOT


@pytest.fixture
def clock(runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The boot clock, in the hand of the test: `clock[0]` is now."""
    now = [T0]
    monkeypatch.setattr(time, "clock_gettime_ns", lambda _: now[0])
    runtime.engine._clock = lambda: now[0]
    runtime.engine.reset()
    return now


def columns(panel: Panel) -> list[tuple[int, int, int]]:
    """First slot, last slot and number of calls of each column, slots counted from the end."""
    shown = panel.data["map"]
    first, last, at = (np.frombuffer(shown[name]["b"], "i4") for name in ("first", "last", "many_at"))
    counts = np.frombuffer(shown["counts"]["b"], "u1").astype(np.int64)
    counts[at] += 256 * np.frombuffer(shown["many"]["b"], "i4")
    sums = counts.reshape(len(first), len(shown["edges"]["b"]) // 8 - 1).sum(axis=1)
    return list(zip(first.tolist(), last.tolist(), sums.tolist(), strict=True))


def asked(runtime: FakeRuntime) -> str:
    """The filter in force, as text."""
    return runtime.filters.text(runtime.filters.active)


def test_the_fine_histogram_has_every_recorded_timed_call(runtime: FakeRuntime) -> None:
    """Its sum is that of the measured calls, its buckets hold what the edges say, and it is read-only."""
    runtime.feed(runtime.calls(500))
    runtime.feed(runtime.calls(7, state="no return", latency_ns=0))
    found = runtime.engine.snapshot()
    values = runtime.stream().snapshot()
    timed = values["latency_ns"][values["state"] == values.tables["state"].code("done")]

    assert found.latency_counts.shape == (257,)
    assert found.latency_edges_ns.shape == (258,)
    assert found.latency_counts.sum() == found.timed == sum(r.measured for r in found.syscalls) == 500
    assert found.latency_counts.tolist() == np.histogram(timed, found.latency_edges_ns)[0].tolist()
    assert not found.latency_counts.flags.writeable
    assert not found.latency_edges_ns.flags.writeable


def test_calls_only_the_kernel_counted_are_not_in_the_fine_histogram(runtime: FakeRuntime) -> None:
    """Merged counters raise `timed`; where in a power of two those calls lie nobody knows, so they stay out."""
    runtime.feed(runtime.calls(10, syscall="read", latency_ns=1000))
    counters = np.zeros(512, COUNTER)
    at = BY_NAME["read"].number
    counters[at]["calls"] = 25
    counters[at]["histogram"][9] = 25
    runtime.engine.merge_counters(counters)
    found = runtime.engine.snapshot()

    assert (found.timed, int(found.latency_counts.sum())) == (25, sum(r.measured for r in found.syscalls))
    assert int(found.latency_counts.sum()) == 10


def test_a_refresh_is_one_message_and_none_without_a_change(runtime: FakeRuntime, opened: Open) -> None:
    """One message for new calls, none when neither calls nor time have moved on, none after close."""
    panel = opened(LatencyPanel, runtime)
    runtime.control.running = False
    runtime.feed(runtime.calls(50))

    assert [d["method"] for _, d, _ in refreshes(panel, 1.0)] == ["update"]
    assert refreshes(panel, 2.0) == []
    panel.close()
    runtime.feed(runtime.calls(50))
    assert refreshes(panel, 3.0) == []


def test_without_a_timed_call_the_panel_is_empty(runtime: FakeRuntime, opened: Open) -> None:
    """Nothing seen gives the empty state, once; its static form is empty."""
    panel = opened(LatencyPanel, runtime)

    assert len(refreshes(panel, 1.0)) == 1
    assert panel.data["empty"]
    assert refreshes(panel, 2.0) == []
    assert panel.still() == ""


def test_bars_are_the_decades_of_the_snapshot(runtime: FakeRuntime, opened: Open) -> None:
    """Both histograms come with their edges and counts, and all calls' percentiles lie between min and max."""
    panel = opened(LatencyPanel, runtime)
    runtime.feed(runtime.calls(400))
    panel.refresh(1.0)
    snapshot = runtime.engine.snapshot()
    numbers = {
        name: np.frombuffer(column["b"], column["t"])
        for name, column in panel.data["percentiles"].items()
        if name != "name"
    }
    exact = np.percentile(runtime.stream().snapshot()["latency_ns"], [50, 99])

    assert panel.data["latency"] == [[b.lower_ns, b.upper_ns, b.count] for b in snapshot.latency_histogram.buckets]
    assert sum(row[2] for row in panel.data["gap"]) == snapshot.gaps
    assert panel.data["percentiles"]["name"]["b"].decode().split("\0") == ["", *(r.name for r in snapshot.syscalls)]
    assert numbers["p50"][0] == pytest.approx(exact[0], rel=0.1)
    assert numbers["p99"][0] == pytest.approx(exact[1], rel=0.1)
    assert (numbers["p99"] <= 1.001 * numbers["max"]).all()
    assert numbers["timed"][0] == 400


def test_each_look_adds_what_is_new(runtime: FakeRuntime, opened: Open, clock: list[int]) -> None:
    """Looks half a second apart make columns side by side; two in one slot make one; no call, no column."""
    panel = opened(LatencyPanel, runtime)
    panel.refresh(1.0)
    for i, count in enumerate((5, 7, 0, 9)):
        clock[0] = T0 + (i + 1) * SLOT
        runtime.feed(runtime.calls(count) if count else runtime.calls(1).take(np.zeros(1, bool)))
        panel.refresh(10.0 + i)
    assert columns(panel) == [(-4, -4, 5), (-3, -3, 7), (-1, -1, 9)]
    clock[0] += SLOT // 5
    runtime.feed(runtime.calls(3))
    panel.refresh(20.0)
    assert columns(panel)[-1] == (-1, -1, 12)


def test_cells_have_their_count_however_large(runtime: FakeRuntime, opened: Open, clock: list[int]) -> None:
    """More calls than a byte holds are not cut."""
    panel = opened(LatencyPanel, runtime)
    for count in (255, 256, 70_000):
        clock[0] += SLOT
        runtime.feed(runtime.calls(count, latency_ns=5_000))
        panel.refresh(1.0, force=True)
    assert [count for _, _, count in columns(panel)] == [255, 256, 70_000]
    edges = np.frombuffer(panel.data["map"]["edges"]["b"], "f8")
    assert edges.tolist() == [4096, 6144]


def test_a_stretch_nobody_looked_at_is_one_wide_column(runtime: FakeRuntime, opened: Open, clock: list[int]) -> None:
    """What came meanwhile is one sum, as wide as the time it came in; from the start of the trace at the first look."""
    panel = opened(LatencyPanel, runtime)
    clock[0] += 10 * SLOT
    runtime.feed(runtime.calls(30, time_ns=1))  # as of a replay: their own time says nothing
    panel.refresh(1.0)
    assert columns(panel) == [(-10, -1, 30)]
    clock[0] += 20 * SLOT
    runtime.feed(runtime.calls(40))
    panel.refresh(2.0)
    assert columns(panel) == [(-30, -21, 30), (-20, -1, 40)]
    assert panel.data["map"]["watched"] < 10


def test_the_map_keeps_a_minute_and_moves_while_tracing(runtime: FakeRuntime, opened: Open, clock: list[int]) -> None:
    """Old columns leave; with time the map moves on, until the trace ends or it is empty."""
    panel = opened(LatencyPanel, runtime)
    runtime.feed(runtime.calls(5))
    panel.refresh(1.0)
    clock[0] += SLOT
    assert len(refreshes(panel, 2.0)) == 1
    runtime.control.running = False
    panel.refresh(3.0)
    shown = columns(panel)
    clock[0] += 5 * SLOT
    assert refreshes(panel, 4.0) == []
    assert columns(panel) == shown
    runtime.control.running = True
    clock[0] += (SLOTS + 5) * SLOT
    panel.refresh(5.0)
    assert columns(panel) == []
    clock[0] += SLOT
    assert refreshes(panel, 6.0) == []


def test_a_map_that_could_not_be_sent_is_sent_later(
    runtime: FakeRuntime, opened: Open, clock: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The map moves once for a slot; if that refresh fails, the next one shows it all the same."""
    panel = opened(LatencyPanel, runtime)
    runtime.feed(runtime.calls(5))
    panel.refresh(1.0)
    before = columns(panel)
    clock[0] += 3 * SLOT
    with monkeypatch.context() as broken:
        broken.setattr("ior_nb.widgets.latency.packed", lambda columns: 1 / 0)
        panel.refresh(2.0)
    panel.refresh(3.0)
    assert panel.data["error"] == ""
    assert columns(panel) == [(first - 3, last - 3, count) for first, last, count in before]


def test_a_reset_begins_the_map_anew(runtime: FakeRuntime, opened: Open, clock: list[int]) -> None:
    """When counts go down, or other statistics come, nothing of before stays."""
    panel = opened(LatencyPanel, runtime)
    runtime.feed(runtime.calls(50))
    panel.refresh(1.0)
    number = panel.data["map"]["number"]
    clock[0] += 3 * SLOT
    runtime.engine.reset()
    runtime.feed(runtime.calls(60))
    clock[0] += SLOT
    panel.refresh(2.0)
    assert columns(panel) == [(-1, -1, 60)]
    assert panel.data["map"]["number"] == number + 1


def test_a_click_on_a_bar_narrows_to_its_interval(runtime: FakeRuntime, opened: Open) -> None:
    """The lower edge is inside, the upper one is not; open ends give one bound."""
    panel = opened(LatencyPanel, runtime)
    assert act(panel, "narrow", dimension="latency", lower=1_000, upper=10_000) == ""
    assert asked(runtime) == "latency>=1us and latency<10us"
    runtime.filters.set(Filter())
    assert act(panel, "narrow", dimension="gap", lower=10**9, upper=0) == ""
    assert asked(runtime) == "gap>=1s"
    runtime.filters.set(Filter())
    assert act(panel, "narrow", dimension="gap", lower=0, upper=1_000) == ""
    assert asked(runtime) == "gap<1us"


def test_a_selection_on_the_map_narrows_latency_and_time(runtime: FakeRuntime, opened: Open) -> None:
    """Slots become boot-clock time; a slow call began before the slot it ended in, so the time reaches back as far."""
    panel = opened(LatencyPanel, runtime)
    assert act(panel, "narrow", first=100, last=103) == ""
    assert runtime.filters.active.parts() == (Number("time", ">=", 99 * SLOT), Number("time", "<", 104 * SLOT))
    runtime.filters.set(Filter())
    assert act(panel, "narrow", dimension="latency", lower=8_000_000, upper=9_000_000.0, first=100, last=100) == ""
    assert runtime.filters.active.parts()[2] == Number("time", ">=", 99 * SLOT - 9_000_000)
    runtime.filters.set(Filter())
    assert act(panel, "narrow", dimension="latency", lower=5, upper=2**64) == ""
    assert asked(runtime) == "latency>=5ns"


def test_a_percentile_narrows_to_slower_calls_of_one_name(runtime: FakeRuntime, opened: Open) -> None:
    """The name of the system call is taken as it is."""
    panel = opened(LatencyPanel, runtime)
    assert act(panel, "narrow", syscall="read", dimension="latency", lower=77, upper=0) == ""
    assert runtime.filters.active.parts() == (Text("syscall", "=", "read"), Number("latency", ">=", 77))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"dimension": "pid", "lower": 1, "upper": 2},
        {"dimension": "latency", "lower": 5, "upper": 5},
        {"dimension": "latency", "lower": -1, "upper": 5},
        {"dimension": "latency", "lower": 1.5, "upper": 5},
        {"dimension": "latency", "lower": "1", "upper": 5},
        {"dimension": "latency", "lower": True, "upper": 5},
        {"dimension": "latency", "lower": float("nan"), "upper": 5},
        {"dimension": "latency", "lower": float("inf"), "upper": 0},
        {"dimension": "latency", "lower": 2**69, "upper": 0},
        {"first": 5, "last": 4},
        {"first": 5},
        {"first": 5, "last": 2**60},
    ],
)
def test_what_a_browser_should_not_send_is_refused(runtime: FakeRuntime, opened: Open, body: dict[str, Any]) -> None:
    """Each is answered with one line, and the filter stays."""
    panel = opened(LatencyPanel, runtime)
    said = act(panel, "narrow", **body)

    assert said
    assert "\n" not in said
    assert not runtime.filters.active.active
    assert "nothing called" in act(panel, "nonsense", **body)


def test_the_static_form_is_tables_of_harmless_text(runtime: FakeRuntime, opened: Open) -> None:
    """A name that is markup comes out escaped, in the page as data."""
    panel = opened(LatencyPanel, runtime)
    runtime.feed(runtime.calls(20, syscall="<img src=x>\u202e"))
    panel.refresh(1.0)
    still = panel.still()

    assert still.count("<table>") == 3
    assert "<img" not in still
    assert "&lt;img src=x&gt;\\u202e" in still
    assert "1 µs - 10 µs" in still


def test_an_ended_trace_has_its_map_from_its_rows(runtime: FakeRuntime, opened: Open) -> None:
    """Where the stream holds every call of an ended trace, its map has each in its own time, and is filled by them."""
    start = boot_clock() // 500_000_000 * 500_000_000
    for slot in (0, 1, 4):
        runtime.feed(runtime.calls(10 + slot, time_ns=start + slot * 500_000_000, latency_ns=1000))
    runtime.control.running = False
    panel = opened(LatencyPanel, runtime)
    panel.refresh(1.0)
    columns = panel._map.columns
    assert [int(c.counts.sum()) for c in columns] == [10, 11, 14]
    assert columns[-1].last - columns[0].first >= SLOTS - 2
    assert abs(columns[1].first - columns[0].first - SLOTS // 4) <= 1
    assert all(c.first == c.last for c in columns)


def test_a_trace_looked_at_late_has_its_map_from_the_beginning(runtime: FakeRuntime, opened: Open) -> None:
    """While a trace runs, too, what came before its tab was opened is where it was: the stream still has it."""
    start = (boot_clock() // SLOT - 9) * SLOT
    for slot in (0, 1, 4):
        runtime.feed(runtime.calls(10 + slot, time_ns=start + slot * SLOT, latency_ns=1000))
    panel = opened(LatencyPanel, runtime)
    panel.refresh(1.0)
    columns = panel._map.columns

    assert [(c.first - columns[0].first, int(c.counts.sum())) for c in columns] == [(0, 10), (1, 11), (4, 14)]
    assert panel.data["map"]["slot_s"] == SLOT / 1e9
