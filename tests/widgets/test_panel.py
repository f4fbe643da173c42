"""What all panels have in common."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from ior_nb.errors import ConfigError
from ior_nb.widgets.bar import Bar
from ior_nb.widgets.overview import OverviewPanel
from ior_nb.widgets.panel import Panel
from tests.widgets.conftest import act, refreshes
from tests.widgets.fake import FakeRuntime, RecordedComm

Open = Callable[..., Panel]


def test_a_refresh_is_one_message_and_none_without_a_change(runtime: FakeRuntime, opened: Open) -> None:
    """A panel sends one message when something changed, and nothing when nothing did."""
    panel = opened(OverviewPanel, runtime)
    runtime.control.running = False
    runtime.feed(runtime.calls(50))
    first = refreshes(panel, 1.0)
    second = refreshes(panel, 2.0)
    assert len(first) == 1
    assert first[0][1]["method"] == "update"
    assert second == []


def test_a_closed_panel_is_silent(runtime: FakeRuntime, opened: Open) -> None:
    """After close nothing is sent, whatever happens."""
    panel = opened(OverviewPanel, runtime)
    panel.close()
    RecordedComm.log.clear()
    runtime.feed(runtime.calls(50))
    panel.refresh(1.0)
    assert RecordedComm.log == []


def test_an_expensive_view_is_refreshed_less_often(runtime: FakeRuntime, opened: Open, monkeypatch: Any) -> None:
    """What a refresh took is a tenth of the time until the next one at most."""
    panel, seconds = opened(OverviewPanel, runtime), itertools.count()
    monkeypatch.setattr("ior_nb.widgets.panel._clock", lambda: float(next(seconds)))  # each refresh takes a second
    sent = []
    for now in (1.0, 10.9, 11.0):
        runtime.feed(runtime.calls(5))
        sent.append(len(refreshes(panel, now)))

    assert sent == [1, 0, 1]


def test_a_failed_refresh_is_shown_and_goes_away(runtime: FakeRuntime, opened: Open, monkeypatch: Any) -> None:
    """An exception becomes the panel's error, and the next good refresh clears it."""
    panel = opened(OverviewPanel, runtime)
    runtime.feed(runtime.calls(5))
    panel.refresh(1.0)
    monkeypatch.setattr(runtime.engine, "snapshot", lambda **_: 1 / 0)
    panel.refresh(100.0)
    assert panel.data["error"] == "division by zero"
    assert panel.data["numbers"]["calls"] == 5
    monkeypatch.undo()
    runtime.feed(runtime.calls(5))
    panel.refresh(200.0)
    assert panel.data["error"] == ""


def test_an_act_answers_with_its_error(runtime: FakeRuntime, opened: Open) -> None:
    """What the user did is answered, with the reason where it could not be done."""
    bar = opened(Bar, runtime)
    assert act(bar, "stop") == ""
    assert act(bar, "stop") == "no trace is running"
    assert "nothing called" in act(bar, "nonsense")


def test_only_looked_at_panels_are_wanted(runtime: FakeRuntime, opened: Open) -> None:
    """A hidden, silent or removed view is not sent to; a silence while a cell runs is believed."""
    panel = opened(OverviewPanel, runtime)
    heard = panel.views._views["v1"].heard
    assert panel.wanted(heard + 5, None)
    assert not panel.wanted(heard + 11, None)
    assert panel.wanted(heard + 300, heard)
    assert not panel.wanted(heard + 700, heard)
    assert not panel.wanted(heard + 300, heard + 60)  # it was gone when the cell began
    panel.comm.push({"kind": "beat", "view": "v1", "visible": False, "n": 0})
    assert not panel.wanted(heard + 1, None)
    panel.comm.push({"kind": "beat", "view": "v1", "visible": True, "n": 0})
    assert panel.wanted(heard + 1, None)
    panel.comm.push({"kind": "bye", "view": "v1"})
    assert not panel.wanted(heard + 1, None)


def test_a_lost_message_is_sent_again(runtime: FakeRuntime, opened: Open, comms: type[RecordedComm]) -> None:
    """Two beats that name the same older refresh make the panel send its state again; one may have crossed it."""
    panel = opened(OverviewPanel, runtime)
    runtime.feed(runtime.calls(5))
    panel.refresh(1.0)
    comms.log.clear()
    panel.comm.push({"kind": "beat", "view": "v1", "visible": True, "n": panel.data["n"]})
    assert [d["method"] for _, d, _ in comms.log] == ["custom"]
    panel.comm.push({"kind": "beat", "view": "v1", "visible": True, "n": -1})
    assert [d["method"] for _, d, _ in comms.log] == ["custom", "custom"]
    comms.log.clear()
    panel.comm.push({"kind": "beat", "view": "v1", "visible": True, "n": -1})
    assert sorted(d["method"] for _, d, _ in comms.log) == ["custom", "update"]


def test_the_bar_undoes_clears_and_drops_filters(runtime: FakeRuntime, opened: Open) -> None:
    """The chips are the terms of the filter; each can go alone, the last change can be taken back."""
    bar = opened(Bar, runtime)
    bar.narrow_to("pid", 7)
    bar.narrow_to("file", "/a b")
    bar.refresh(1.0)
    assert len(bar.data["chips"]) == 2
    assert act(bar, "drop", text=bar.data["chips"][0]) == ""
    assert runtime.filters.text(runtime.filters.active) == 'file="/a b"'
    assert act(bar, "undo") == ""
    assert len(runtime.filters.active.parts()) == 2
    assert act(bar, "clear") == ""
    assert not runtime.filters.active.active


def test_mine_is_a_button(runtime: FakeRuntime, opened: Open) -> None:
    """It puts the word into the filter beside what is there, and takes it out again."""
    bar = opened(Bar, runtime)
    bar.narrow_to("pid", 7)
    texts = []
    for _ in range(2):
        assert act(bar, "mine") == ""
        texts.append(runtime.filters.text(runtime.filters.active))

    assert texts == ["pid=7 and mine", "pid=7"]


def test_unknown_automatic_resets_are_refused(runtime: FakeRuntime, opened: Open) -> None:
    """Only the offered cadences are taken."""
    assert "not offered" in act(opened(Bar, runtime), "auto_reset", seconds=7)


def test_config_errors_reach_the_page_as_text(runtime: FakeRuntime, opened: Open, monkeypatch: Any) -> None:
    """An error of ours is shown as it is."""

    def refuse() -> None:
        raise ConfigError("not now")

    monkeypatch.setattr(runtime.control, "reset", refuse)
    assert act(opened(Bar, runtime), "reset") == "not now"


def test_a_click_that_waits_is_dropped_by_close(runtime: FakeRuntime, opened: Open) -> None:
    """What was asked for before close and not done yet is not done."""
    bar = opened(Bar, runtime)
    bar.close()
    bar._do("stop", {"id": "1", "body": {}})
    assert runtime.control.running


def test_an_unforeseen_failure_is_answered(runtime: FakeRuntime, opened: Open, monkeypatch: Any) -> None:
    """Whatever goes wrong in an act, the page hears of it and does not wait for ever."""

    def fail() -> None:
        raise RuntimeError("no idea")

    monkeypatch.setattr(runtime.control, "reset", fail)
    assert act(opened(Bar, runtime), "reset") == "no idea"
