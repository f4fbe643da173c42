"""What a starter publishes is what the panels show: each by its own source, and nothing by any other way."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ior_nb.errors import ConfigError
from ior_nb.runtime import EventBatch, Filter, PageState, ProbeState, Snapshot, SnapshotNode, TraceState
from ior_nb.session.desk import Desk
from ior_nb.session.probemanager import Manager
from ior_nb.session.session import TracerSession
from ior_nb.sinks.flamegraph import LiveTrie
from ior_nb.sinks.statsengine import Statistics
from ior_nb.sinks.streamrow import RingBuffer
from ior_nb.syscalls import BY_NAME
from ior_nb.widgets import make_panel
from ior_nb.widgets.bar import Bar
from ior_nb.widgets.panel import Panel
from tests.fakes import FakeEngine
from tests.widgets.conftest import act
from tests.widgets.fake import FakeRuntime, RecordedComm

Open = Callable[..., Panel]


@pytest.fixture
def session() -> Iterator[TracerSession]:
    """A session whose engine nobody starts: all there is to see is what the test publishes."""
    with TracerSession(engine=FakeEngine()) as made:
        yield made


def rows(count: int = 50) -> EventBatch:
    """Return made-up calls."""
    return FakeRuntime().calls(count)


def statistics(events: EventBatch) -> Statistics:
    """Return statistics that have counted these rows."""
    engine = Statistics()
    engine.ingest(events)
    return engine


class Told:
    """A `LiveTrace` that says one thing, and notes what it is asked for."""

    def __init__(self, title: str = "process 1") -> None:
        self.title = title
        self.asked: list[Any] = []

    def state(self) -> TraceState:
        return TraceState(running=True, title=self.title, engine="fake")

    def update(self) -> None:
        self.asked.append("update")

    def reset(self) -> None:
        self.asked.append("reset")

    def stop(self) -> None:
        self.asked.append("stop")

    def pages(self, paths: Sequence[str]) -> dict[str, PageState]:
        self.asked.append(("pages", *paths))
        return {}

    def export(self, path: str, wanted: Filter) -> Path:
        self.asked.append(("export", path, wanted))
        return Path(path)


def looked(panel: Panel) -> dict[str, Any]:
    """Refresh a panel; return what it shows."""
    panel.refresh(0.0, force=True)
    assert panel.data["error"] == ""
    return dict(panel.data)


STATISTICS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "overview": lambda data: data["numbers"]["calls"],
    "syscalls": lambda data: data["totals"]["count"],
    "files": lambda data: data["totals"]["count"],
    "processes": lambda data: data["totals"]["count"],
    "lines": lambda data: data["totals"]["count"],
    "latency": lambda data: sum(bar[-1] for bar in data["latency"]),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_published_statistics_are_shown(name: str, session: TracerSession, opened: Open) -> None:
    """The panels of the statistics show the source that was published last, and nothing after None."""
    panel = opened(lambda: make_panel(name, Desk(session)))
    assert looked(panel)["empty"]

    for count in (50, 70):
        session.set_dashboard_snapshot_source(statistics(rows(count)))
        shown = looked(panel)
        assert STATISTICS[name](shown) == count
    session.set_dashboard_snapshot_source(None)

    assert looked(panel)["empty"]


def test_a_published_stream_is_shown(session: TracerSession, opened: Open) -> None:
    """The stream panel shows the rows of the source, not those of any ring; None is an empty stream."""
    desk = Desk(session)
    panel = opened(lambda: make_panel("stream", desk))
    session.stream_buffer().push(rows(3))
    ring = RingBuffer()
    ring.push(rows(7))
    session.set_event_stream_source(ring)
    panel.refresh(0.0, force=True)
    sent = [d["content"] for _, d, _ in RecordedComm.log if d.get("method") == "custom"]
    still = panel.still()
    session.set_event_stream_source(None)

    assert [message["columns"]["words"]["n"] > 0 for message in sent if message["kind"] == "rows"] == [True]
    assert "the last 7 of 7 rows" in still
    assert panel.still() == ""
    assert len(desk.stream()) == 0


def test_a_published_trie_is_shown(session: TracerSession, opened: Open) -> None:
    """The flame graph shows the trie that was published, and nothing after None."""
    panel = opened(lambda: make_panel("flame", Desk(session)))
    assert looked(panel)["empty"]

    trie = LiveTrie(fields=("syscall",))
    trie.ingest(rows(50))
    session.set_live_trie(trie)
    shown = looked(panel)
    session.set_live_trie(None)

    assert shown["fields"] == ["syscall"]
    assert np.frombuffer(shown["columns"]["totals"]["b"])[0] == 50
    assert looked(panel)["empty"]


def test_a_published_probe_manager_is_shown_and_told(session: TracerSession, opened: Open) -> None:
    """The probes panel shows the manager's probes and switches them; without one nothing can be switched."""
    panel = opened(lambda: make_panel("probes", Desk(session)))
    assert looked(panel)["empty"]

    manager = Manager([BY_NAME["read"].number], {}, lambda enabled, rates: None)
    session.set_probe_manager(manager)
    shown = looked(panel)
    assert act(panel, "set", names=["read"], on=False) == ""
    session.set_probe_manager(None)

    assert not shown["empty"]
    assert manager.active_count()[0] == 0
    assert looked(panel)["empty"]
    assert "no trace is running" in act(panel, "set", names=["read"], on=True)


def test_a_published_filter_setter_is_called_with_every_change(session: TracerSession) -> None:
    """`set` and `undo` call it, each change has an epoch of its own, and None unregisters it."""
    desk = Desk(session)
    told: list[tuple[Filter, int]] = []
    session.set_live_filter_setter(lambda wanted: told.append((wanted, session.filter_epoch())))
    wanted = desk.filters.parse("pid=3")
    desk.filters.set(wanted)
    desk.filters.set(wanted)  # it is the active one already
    desk.filters.undo()
    session.set_live_filter_setter(None)
    session.set(wanted)

    assert told == [(wanted, 1), (Filter(), 2)]
    assert session.filter_epoch() == 3
    assert desk.filters.active == wanted


def test_a_published_trace_is_shown_and_asked(session: TracerSession, opened: Open, tmp_path: Path) -> None:
    """The bar shows its state; looks, resets, stops and exports reach it; without one there is nothing to ask."""
    desk, told = Desk(session), Told("process 77")
    panel = opened(lambda: Bar(desk, still_id="x"))
    assert not looked(panel)["title"]

    session.set_live_trace(told)
    shown = looked(panel)
    desk.update()
    assert act(panel, "stop") == ""
    assert act(panel, "reset") == ""
    desk.control.export(str(tmp_path / "rows.csv"))
    session.set_live_trace(None)

    assert (shown["title"], shown["running"]) == ("process 77", True)
    assert {"update", "stop", "reset", ("export", str(tmp_path / "rows.csv"), Filter())} <= set(told.asked)
    assert not looked(panel)["title"]
    with pytest.raises(ConfigError, match="nothing has been traced"):
        desk.control.stop()


class ThreeMethods:
    """A probe manager with the members of its contract, and no more."""

    def __init__(self) -> None:
        self.on = {"read": True, "write": False}

    def states(self) -> list[ProbeState]:
        return [ProbeState(syscall=name, family="FS", active=on) for name, on in self.on.items()]

    def toggle(self, syscall: str) -> None:
        if syscall not in self.on:
            raise ConfigError(f"unknown {syscall}")
        self.on[syscall] = not self.on[syscall]

    def active_count(self) -> tuple[int, int]:
        return sum(self.on.values()), len(self.on)


def test_three_methods_make_a_probe_manager(session: TracerSession, opened: Open) -> None:
    """Every control of the panel works over a manager that can only toggle; what cannot be done is said."""
    manager = ThreeMethods()
    panel = opened(lambda: make_panel("probes", Desk(session)))
    session.set_probe_manager(manager)
    assert not looked(panel)["empty"]

    assert act(panel, "set", names=["write"], on=True) == ""
    assert act(panel, "set", names=["write"], on=True) == ""  # a page that is behind
    assert manager.on == {"read": True, "write": True}
    assert act(panel, "set", names=["read", "write"], on=False) == ""
    assert manager.on == {"read": False, "write": False}
    assert act(panel, "family", family="FS", on=True) == ""
    assert manager.on == {"read": True, "write": True}
    assert "cannot be sampled" in act(panel, "rate", name="read", rate=5)


def test_one_checkbox_is_a_toggle(session: TracerSession, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switching one probe goes through `toggle`, the contract's own word."""
    toggled: list[str] = []
    monkeypatch.setattr(Manager, "toggle", lambda self, name: toggled.append(name))
    panel = opened(lambda: make_panel("probes", Desk(session)))
    session.set_probe_manager(Manager([], {}, lambda enabled, rates: None))
    assert act(panel, "set", names=["read"], on=True) == ""

    assert toggled == ["read"]


class Plain:
    """Statistics that cannot be asked for a ranking."""

    def __init__(self, engine: Statistics) -> None:
        self._engine = engine

    def snapshot(self) -> Snapshot:
        return self._engine.snapshot()


@pytest.mark.parametrize("name", STATISTICS)
def test_a_plain_snapshot_is_enough(name: str, session: TracerSession, opened: Open) -> None:
    """A source whose `snapshot` takes nothing is shown by every panel of the statistics."""
    source: Any = Plain(statistics(rows(50)))
    session.set_dashboard_snapshot_source(source)

    assert not looked(opened(lambda: make_panel(name, Desk(session))))["empty"]


class PlainStream:
    """A stream with the members of its contract, and no more."""

    def __init__(self) -> None:
        self.held = EventBatch.empty()

    def __len__(self) -> int:
        return len(self.held)

    def snapshot(self) -> EventBatch:
        return self.held


def test_a_plain_stream_is_followed(session: TracerSession) -> None:
    """A stream that cannot be asked what came since is told by the numbers of its rows."""
    source, made = PlainStream(), FakeRuntime()
    session.set_event_stream_source(source)
    desk = Desk(session)
    assert desk.stream().tail(-1)[1] == 0

    source.held = made.calls(5)
    first, pushed = desk.stream().tail(0)
    source.held = EventBatch.concat([source.held, made.calls(3)])
    later, now = desk.stream().tail(pushed)

    assert (len(first), pushed, len(later), now) == (5, 5, 3, 8)


def node(name: str, value: int, total: int, *children: SnapshotNode) -> SnapshotNode:
    """Return a node of a trie."""
    return SnapshotNode(name=name, value=value, total=total, children=children)


class PlainTrie:
    """A trie with the members of its contract, and no more."""

    fields: tuple[str, ...] = ("comm", "syscall")
    count_field = "count"
    version = 1

    def __init__(self) -> None:
        leaves = (node("read", 3, 3), node("write", 1, 1))
        self.tree = node("", 0, 5, node("cat", 0, 4, *leaves), node("ls", 1, 1))

    def snapshot_tree(self) -> tuple[SnapshotNode, int]:
        return self.tree, self.version

    def snapshot_json(self) -> tuple[bytes, int]:
        return b"{}", self.version

    def reconfigure(self, fields: Sequence[str]) -> None:
        self.fields = tuple(fields)

    def set_count_field(self, name: str) -> None:
        self.count_field = name

    def reset(self) -> None:
        self.tree = node("", 0, 0)


def test_a_plain_trie_is_drawn(session: TracerSession, opened: Open) -> None:
    """A trie that gives only its tree is drawn from it, and configured; a second metric it has not is refused."""
    trie = PlainTrie()
    session.set_live_trie(trie)
    desk = Desk(session)
    shown = looked(opened(lambda: make_panel("flame", desk)))
    source = desk.trie()
    assert source is not None
    columns = source.snapshot_columns(limit=3)
    source.reconfigure(["syscall"])

    assert not shown["empty"]
    assert shown["columns"]["labels"]["b"].decode().split("\0") == ["", "cat", "read", "write", "ls"]
    assert columns.labels.tolist() == ["", "cat", "read"]
    assert columns.totals.tolist() == [5, 4, 3]
    assert columns.parents.tolist() == [-1, *columns.ids[:2]]
    assert trie.fields == ("syscall",)
    with pytest.raises(ConfigError, match="no second metric"):
        source.set_height_field("bytes")


class Failing:
    """Statistics that cannot be built."""

    def snapshot(self, *, top: int | None = None, by: str = "count") -> Snapshot:
        raise RuntimeError("no snapshot")


def test_failing_statistics_leave_the_other_panels_right(session: TracerSession, opened: Open) -> None:
    """The probes, the stream and the flame graph show what is, whatever becomes of the statistics."""
    desk, trie = Desk(session), LiveTrie()
    session.set_dashboard_snapshot_source(Failing())
    session.set_live_trie(trie)
    session.set_probe_manager(Manager([BY_NAME["read"].number], {}, lambda enabled, rates: None))
    probes, flame = opened(lambda: make_panel("probes", desk)), opened(lambda: make_panel("flame", desk))
    looked(probes)
    looked(flame)
    trie.ingest(rows(50))
    assert act(probes, "set", names=["read"], on=False) == ""
    on = np.frombuffer(looked(probes)["probes"]["on"]["b"], "u1")

    assert not on.any()
    assert np.frombuffer(looked(flame)["columns"]["totals"]["b"])[0] == 50
    overview = opened(lambda: make_panel("overview", desk))
    overview.refresh(0.0, force=True)
    assert overview.data["error"] == "no snapshot"
