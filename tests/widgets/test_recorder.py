"""The recorder panel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ior_nb.errors import RecordingError
from ior_nb.runtime import RecordingState
from ior_nb.widgets.recorder import RecorderPanel
from tests.widgets.conftest import act, refreshes
from tests.widgets.fake import FakeRuntime, RecordedComm

Open = Callable[..., RecorderPanel]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The panel's clock: its one value, to be set by the test."""
    now = [100.0]
    monkeypatch.setattr("ior_nb.widgets.recorder.time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


def test_a_change_is_one_message_and_nothing_none(runtime: FakeRuntime, opened: Open, clock: list[float]) -> None:
    """Nothing is sent while nothing happens, with and without a recording."""
    panel = opened(RecorderPanel, runtime)
    assert len(refreshes(panel, 1.0)) == 1
    clock[0] = 200.0
    assert refreshes(panel, 2.0) == []
    runtime.recording.now = RecordingState(active=True, path=Path("/a"), rows_written=10, bytes_written=900)
    assert len(refreshes(panel, 3.0)) == 1
    clock[0] = 201.0
    assert refreshes(panel, 4.0) == []


def test_a_closed_panel_is_silent(runtime: FakeRuntime, opened: Open) -> None:
    """After close nothing is sent."""
    panel = opened(RecorderPanel, runtime)
    panel.close()
    RecordedComm.log.clear()
    panel.refresh(1.0)
    assert RecordedComm.log == []


def test_start_and_stop(runtime: FakeRuntime, opened: Open, tmp_path: Path, monkeypatch: Any) -> None:
    """A recording begins under the given name or a made-up one; afterwards it says how to open the file."""
    monkeypatch.chdir(tmp_path)
    panel = opened(RecorderPanel, runtime)
    assert act(panel, "start", path="  ") == ""
    panel.refresh(0, force=True)
    assert panel.data["active"]
    assert panel.data["path"] == str(tmp_path / "ior-recording-20260101-000000.parquet")
    assert act(panel, "stop") == ""
    panel.refresh(0, force=True)
    assert not panel.data["active"]
    last = panel.data["last"]
    assert (last["rows"], last["size"]) == (1234, 20_000)
    assert last["code"] == f"ior_nb.load('{tmp_path}/ior-recording-20260101-000000.parquet')"
    assert act(panel, "start", path="mine") == ""
    panel.refresh(0, force=True)
    assert panel.data["path"] == str(tmp_path / "mine")
    assert panel.data["last"] == last  # still the one before


def test_errors_reach_the_page(runtime: FakeRuntime, opened: Open) -> None:
    """What cannot be written is answered; what ended a recording early is shown."""
    panel = opened(RecorderPanel, runtime)
    assert act(panel, "start", path="/full") == "cannot write /full: no space left"
    runtime.recording.now = RecordingState(
        path=Path("/a"), rows_written=5, rows_dropped=7, error=RecordingError("no space left")
    )
    panel.refresh(1.0)
    assert panel.data["failure"] == "no space left"
    assert panel.data["last"]["dropped"] == 7


def test_a_file_is_not_replaced_unasked(runtime: FakeRuntime, opened: Open, tmp_path: Path) -> None:
    """A name that is taken needs the tick, with and without its ending."""
    (tmp_path / "old.parquet").write_text("precious")
    panel = opened(RecorderPanel, runtime)
    for name in ("old", "old.parquet"):
        assert "exists already" in act(panel, "start", path=str(tmp_path / name))
    assert not runtime.recording.now.active
    assert act(panel, "start", path=str(tmp_path / "old"), replace=True) == ""


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (3, "path: expected a text"),
        (None, "path: expected a text"),
        (["a"], "path: expected a text"),
        ("x" * 5000, "at most 4096 characters"),
        ("a\0b", "NUL"),
    ],
)
def test_bad_names_are_refused(runtime: FakeRuntime, opened: Open, path: Any, message: str) -> None:
    """A name is a text without NUL, of a sensible length."""
    panel = opened(RecorderPanel, runtime)
    assert message in act(panel, "start", path=path)
    assert not runtime.recording.now.active
    assert "nothing called" in act(panel, "nonsense")


def test_stop_without_a_recording_is_refused(runtime: FakeRuntime, opened: Open, monkeypatch: Any) -> None:
    """There is nothing to stop."""
    monkeypatch.setattr(runtime.recording, "stop", lambda: None)
    assert act(opened(RecorderPanel, runtime), "stop") == "nothing is being recorded"


def test_the_rate_is_that_of_the_last_row_group(runtime: FakeRuntime, opened: Open, clock: list[float]) -> None:
    """Rows come in groups: the rate is a group over the time it took, and 0 after a long silence."""
    panel = opened(RecorderPanel, runtime)
    runtime.recording.now = RecordingState(active=True, path=Path("/a"))
    panel.refresh(1.0)
    clock[0] += 10
    runtime.recording.now = RecordingState(active=True, path=Path("/a"), rows_written=5000, bytes_written=40_000)
    panel.refresh(2.0)
    assert panel.data["rate"] == 500
    clock[0] += 31
    panel.refresh(3.0)
    assert panel.data["rate"] == 0


def test_it_says_whether_rows_come_and_which(runtime: FakeRuntime, opened: Open) -> None:
    """Without a trace no row comes; with a filter not all do."""
    panel = opened(RecorderPanel, runtime)
    runtime.control.running = False
    runtime.filters.set(runtime.filters.parse("pid=3"))
    panel.refresh(1.0)
    assert panel.data["running"] is False
    assert panel.data["filter"] == "pid=3"


def test_hostile_paths_are_escaped(runtime: FakeRuntime, opened: Open) -> None:
    """A path with markup, invisible characters and bytes that are no UTF-8 is harmless everywhere."""
    panel = opened(RecorderPanel, runtime)
    assert panel.still() == ""
    runtime.recording.now = RecordingState(
        path=Path("/<img src=x>\u202e\udcff\n.parquet"), rows_written=1, rows_dropped=2, bytes_written=3
    )
    panel.refresh(1.0)
    last = panel.data["last"]
    last["path"].encode()
    assert "\u202e" not in last["code"]
    assert "\n" not in last["code"]
    still = panel.still()
    assert "<img" not in still
    assert "\u202e" not in still
    assert "2 rows" in still
