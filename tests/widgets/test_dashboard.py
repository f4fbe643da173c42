"""The dashboard as a whole, and the ticker."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from ior_nb import real
from ior_nb.errors import ConfigError
from ior_nb.widgets import PANELS, make_panel
from ior_nb.widgets.dashboard import Dashboard
from ior_nb.widgets.overview import OverviewPanel
from ior_nb.widgets.panel import Panel
from ior_nb.widgets.ticker import PERIOD_S, Ticker, ticker
from tests.widgets.fake import FakeRuntime, RecordedComm


def say_hello(panel: Panel) -> None:
    """Play a page that draws the panel."""
    panel.comm.push({"kind": "hello", "view": "v", "visible": True})


def hooked(monkeypatch: pytest.MonkeyPatch) -> Ticker:
    """Put a ticker of the test's own in the place of the one all panels share."""
    own = Ticker()
    for name in ("add", "remove", "wake", "refresh_now", "lock"):
        monkeypatch.setattr(ticker, name, getattr(own, name))
    return own


def test_all_panels_are_there_and_close_together(runtime: FakeRuntime, comms: type[RecordedComm]) -> None:
    """A dashboard has a tab for every panel, and closing it closes every widget once."""
    shown = Dashboard(runtime)
    assert list(shown.panels) == list(PANELS)
    assert [shown.tabs.get_title(i) for i in range(len(PANELS))] == [title for title, _ in PANELS.values()]
    opened = sum(kind == "comm_open" for kind, _, _ in comms.log)
    shown.close()
    shown.close()
    assert all(panel.closed for panel in (shown.bar, *shown.panels.values()))
    closed = sum(kind == "comm_close" for kind, _, _ in comms.log)
    assert closed >= 2 * (len(PANELS) + 3)
    assert opened - closed <= 1  # plotly.js stays for the next one


def test_unknown_panels_are_refused_and_leave_nothing(runtime: FakeRuntime, comms: type[RecordedComm]) -> None:
    """A name that is none is a clear error, and what had been made is closed."""
    with pytest.raises(ConfigError, match=r"no panel 'nope'; one of overview, flame"):
        Dashboard(runtime, ["overview", "nope"])
    kinds = [kind for kind, _, _ in comms.log]
    assert kinds.count("comm_open") == kinds.count("comm_close")
    with pytest.raises(ConfigError, match="no panel"):
        make_panel("nope", runtime)


def test_the_static_picture_shows_the_last_state_as_text(runtime: FakeRuntime, comms: type[RecordedComm]) -> None:
    """What a saved notebook keeps has the numbers, and no traced name acts in it."""
    runtime.feed(runtime.calls(20, file="/tmp/<img src=x onerror=alert(1)>\u202e"))
    shown = Dashboard(runtime)
    for panel in (shown.bar, *shown.panels.values()):
        panel.refresh(1.0, force=True)
    still = shown.still()
    assert "mean latency" in still
    assert "<img src" not in still
    assert "\u202e" not in still
    assert len(still) < 100_000
    shown.close()


def test_a_second_of_everything_visible_is_less_than_fifty_messages(
    runtime: FakeRuntime, comms: type[RecordedComm]
) -> None:
    """With every panel visible at once and rows coming all the time, the page gets less than 50 messages a second."""
    shown = Dashboard(runtime)
    panels = [shown.bar, *shown.panels.values()]
    for panel in panels:
        say_hello(panel)
    comms.log.clear()
    for step in range(int(1 / PERIOD_S)):
        runtime.feed(runtime.calls(250))
        for panel in panels:
            panel.refresh(100.0 + step * PERIOD_S)
    assert 0 < len(comms.log) < 50
    shown.close()


def test_the_ticker_ends_with_the_last_panel(runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch, comms: Any) -> None:
    """One thread serves all panels and is gone when they are."""
    own = hooked(monkeypatch)
    panels = [OverviewPanel(runtime) for _ in range(3)]
    assert own._thread is not None
    assert sum(thread.name == "ior-ticker" for thread in real.threads()) == 1
    for panel in panels:
        panel.close()
    _until(lambda: own._thread is None)


def test_the_ticker_looks_only_where_somebody_does(
    runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch, comms: Any
) -> None:
    """Without a view nothing is pulled from the runtime; with one it is, and the view gets what is new."""
    hooked(monkeypatch)
    panel = OverviewPanel(runtime)
    runtime.feed(runtime.calls(10))
    time.sleep(3 * PERIOD_S)
    assert runtime.looked == 0
    say_hello(panel)
    _until(lambda: panel.data.get("n"))
    assert runtime.looked > 0
    panel.close()


def test_a_panel_that_fails_does_not_stop_the_others(
    runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch, comms: Any
) -> None:
    """An exception in one panel, or in the runtime, shows there and the ticker goes on."""
    hooked(monkeypatch)
    bad, good = OverviewPanel(runtime), OverviewPanel(runtime)
    monkeypatch.setattr(bad, "content", lambda: 1 / 0)
    monkeypatch.setattr(runtime, "update", lambda: 1 / 0)
    runtime.feed(runtime.calls(10))
    say_hello(bad)
    say_hello(good)
    _until(lambda: good.data.get("numbers", {}).get("calls") == 10)
    runtime.feed(runtime.calls(10))
    _until(lambda: good.data["numbers"]["calls"] == 20)
    assert bad.data["error"] == "division by zero"
    bad.close()
    good.close()


def _until(what: Callable[[], Any], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
