"""The picker: whom to trace."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from ior_nb.errors import ConfigError
from ior_nb.runtime import Task
from ior_nb.syscalls import DEFAULT_FAMILIES, FAMILIES
from ior_nb.widgets.picker import PickerPanel
from tests.widgets.conftest import act, refreshes
from tests.widgets.fake import FakeRuntime, RecordedComm

Open = Callable[..., PickerPanel]
ALL = list(DEFAULT_FAMILIES)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The panel's clock: its one value, to be set by the test."""
    now = [100.0]
    monkeypatch.setattr("ior_nb.widgets.picker.time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


@pytest.fixture
def idle(runtime: FakeRuntime) -> FakeRuntime:
    """A runtime without a trace."""
    runtime.control.running = False
    return runtime


def texts(column: dict[str, Any]) -> list[str]:
    """Return the texts of a packed column."""
    return bytes(column["b"]).decode().split("\0") if column["n"] else []


def test_a_change_is_one_message_and_nothing_none(idle: FakeRuntime, opened: Open, clock: list[float]) -> None:
    """The list is read every five seconds, and sent when it has changed."""
    panel = opened(PickerPanel, idle)
    assert len(refreshes(panel, 1.0)) == 1
    assert texts(panel.data["tasks"]["comm"])[0] == "python"
    clock[0] += 4
    idle.control.tasks = lambda pid=0: [Task(pid=1, tid=1, comm="init")]  # type: ignore[method-assign]
    assert refreshes(panel, 2.0) == []
    clock[0] += 2
    assert len(refreshes(panel, 3.0)) == 1
    assert texts(panel.data["tasks"]["comm"]) == ["init"]
    clock[0] += 6
    assert refreshes(panel, 4.0) == []


def test_a_closed_panel_is_silent(idle: FakeRuntime, opened: Open) -> None:
    """After close nothing is sent."""
    panel = opened(PickerPanel, idle)
    panel.close()
    RecordedComm.log.clear()
    panel.refresh(1.0)
    assert RecordedComm.log == []


def test_while_a_trace_runs_only_a_click_rescans(runtime: FakeRuntime, opened: Open, clock: list[float]) -> None:
    """Reading /proc would be noise in the trace; the button does it all the same."""
    panel = opened(PickerPanel, runtime)
    panel.refresh(1.0)
    runtime.control.tasks = lambda pid=0: []  # type: ignore[method-assign]
    clock[0] += 60
    assert refreshes(panel, 2.0) == []
    assert panel.data["running"]
    assert act(panel, "rescan") == ""
    panel.refresh(0, force=True)
    assert panel.data["tasks"]["comm"]["n"] == 0


def test_a_failed_scan_is_shown_and_the_list_stays(idle: FakeRuntime, opened: Open, monkeypatch: Any) -> None:
    """The error stands under the list, until the next good scan."""
    panel = opened(PickerPanel, idle)
    panel.refresh(1.0)

    def fail(pid: int = 0) -> list[Task]:
        raise OSError("no /proc here")

    monkeypatch.setattr(idle.control, "tasks", fail)
    act(panel, "rescan")
    panel.refresh(0, force=True)
    assert panel.data["failure"] == "the processes could not be listed: no /proc here"
    assert panel.data["error"] == ""
    assert texts(panel.data["tasks"]["comm"])[0] == "python"
    monkeypatch.undo()
    act(panel, "rescan")
    panel.refresh(0, force=True)
    assert panel.data["failure"] == ""


def test_threads_of_a_process(idle: FakeRuntime, opened: Open, monkeypatch: Any) -> None:
    """Threads come on demand, go on demand, and go with their process."""
    panel = opened(PickerPanel, idle)
    assert act(panel, "threads", pid=99) == ""
    panel.refresh(0, force=True)
    assert panel.data["opened"] == 99
    assert texts(panel.data["threads"]["comm"]) == ["worker-0", "worker-1", "worker-2", "worker-3"]
    assert act(panel, "threads", pid=0) == ""
    panel.refresh(0, force=True)
    assert panel.data["threads"]["comm"]["n"] == 0
    act(panel, "threads", pid=99)
    usual = idle.control.tasks

    def gone(pid: int = 0) -> list[Task]:
        if pid:
            raise ConfigError("there is no process 99")
        return usual()

    monkeypatch.setattr(idle.control, "tasks", gone)
    assert act(panel, "rescan") == ""
    panel.refresh(0, force=True)
    assert panel.data["opened"] == 0
    assert panel.data["failure"] == ""
    assert act(panel, "threads", pid=99) == "there is no process 99"


def test_what_is_traced(idle: FakeRuntime, opened: Open) -> None:
    """A process, a thread, this kernel (as 0, which leaves its service threads out) or the whole system."""
    panel = opened(PickerPanel, idle)
    panel.refresh(1.0)
    for body in (
        {"pid": 99, "tid": 0},
        {"pid": 99, "tid": 101},
        {"pid": 4242, "tid": 0},
        {"pid": 4242, "tid": 4242},
        {"system": True, "pid": 0, "tid": 0},
    ):
        assert act(panel, "start", families=ALL, **body) == ""
    assert act(panel, "start", pid=99, families=["FS", "Time"]) == ""
    assert idle.control.asked == [
        ("start", 99, 0, False, ()),
        ("start", 99, 101, False, ()),
        ("start", 0, 0, False, ()),
        ("start", 4242, 4242, False, ()),
        ("start", 0, 0, True, ()),
        ("start", 99, 0, False, ("FS", "Time")),
    ]
    assert act(panel, "stop") == ""
    assert act(panel, "stop") == "no trace is running"
    assert "nothing called" in act(panel, "nonsense")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"pid": "99"}, "pid: expected a whole number"),
        ({"pid": True}, "pid: expected a whole number"),
        ({"pid": -1}, "pid: expected a whole number"),
        ({"pid": 99, "tid": 1 << 40}, "tid: expected a whole number"),
        ({"pid": 99, "families": []}, "at least one family"),
        ({"pid": 99, "families": "FS"}, "families: expected a list"),
        ({"pid": 99, "families": [3]}, "families: expected a list"),
        ({"pid": 99, "families": ["Nonsense"]}, "no family 'Nonsense'"),
    ],
)
def test_bad_requests_are_refused(idle: FakeRuntime, opened: Open, body: dict[str, Any], message: str) -> None:
    """Nothing starts with a wrong id or family."""
    panel = opened(PickerPanel, idle)
    assert message in act(panel, "start", **{"families": ALL, **body})
    assert idle.control.asked == []


@pytest.mark.parametrize("running", [True, False])
def test_families_are_known_with_and_without_a_trace(runtime: FakeRuntime, opened: Open, running: bool) -> None:
    """All families can be chosen, the usual ones first and marked."""
    if not running:
        runtime.manager = None
    panel = opened(PickerPanel, runtime)
    panel.refresh(1.0)
    assert set(panel.data["families"]) == set(FAMILIES)
    assert tuple(panel.data["families"][:3]) == tuple(panel.data["usual"]) == DEFAULT_FAMILIES


def test_thousands_of_processes_are_bounded(idle: FakeRuntime, opened: Open) -> None:
    """At most 5,000 processes and 200 characters of each command line travel."""
    many = [Task(pid=i, tid=i, comm="p", command="x" * 400) for i in range(1, 6001)]
    idle.control.tasks = lambda pid=0: many  # type: ignore[method-assign]
    panel = opened(PickerPanel, idle)
    panel.refresh(1.0)
    assert panel.data["unsent"] == 1000
    assert {len(t) for t in texts(panel.data["tasks"]["command"])} == {200}


def test_the_still_has_no_command_lines(runtime: FakeRuntime, opened: Open, monkeypatch: Any) -> None:
    """A saved notebook says what was traced, escaped, and nothing about other processes."""
    panel = opened(PickerPanel, runtime)
    panel.refresh(1.0)
    state = runtime.control.state()
    monkeypatch.setattr(
        runtime.control, "state", lambda: type(state)(running=False, title="<img src=x>\u202e", engine="fake")
    )
    assert panel.still() == "<p>traced: &lt;img src=x&gt;\\u202e</p>"
