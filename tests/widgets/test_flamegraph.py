"""The flame panel: what it sends, what it takes, and the filter of a frame."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from ior_nb.errors import ConfigError
from ior_nb.globalfilter import to_text
from ior_nb.runtime import Filter
from ior_nb.widgets.flamegraph import FlamePanel, terms_of_frames
from ior_nb.widgets.panel import Panel
from ior_nb.widgets.ticker import PERIOD_S, Ticker, ticker
from tests.widgets.conftest import act, refreshes
from tests.widgets.fake import FakeRuntime, RecordedComm

Open = Callable[..., Panel]


def numbers(panel: Panel, name: str) -> np.ndarray:
    """Return a column of numbers as the page gets it."""
    column = panel.data["columns"][name]
    return np.frombuffer(column["b"], {"f8": "f8", "i4": "i4", "i1": "i1"}[column["t"]])


def labels(panel: Panel) -> list[str]:
    """Return the names of the frames as the page gets them."""
    return str(panel.data["columns"]["labels"]["b"].decode()).split("\0")


def zoom(panel: Panel, *path: Any, view: str = "v1") -> None:
    """Tell the panel what a view is zoomed to, and tick."""
    panel.comm.push({"kind": "focus", "view": view, "path": list(path)})
    panel.refresh(0.0)  # no zoom has to wait


def until(what: Callable[[], Any]) -> None:
    """Wait for something."""
    end = time.monotonic() + 10
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def said(fields: str, *frames: str, leaf: bool = False) -> str:
    """Return the text of the filter of a frame, given as `field:name`s."""
    pairs = [(field, name) for field, _, name in (frame.partition(":") for frame in frames)]
    return to_text(Filter.of(terms_of_frames(fields.split(","), pairs, leaf=leaf)))


def test_a_refresh_is_one_message_and_none_without_a_change(runtime: FakeRuntime, opened: Open) -> None:
    """One message when the trie's version changed, at most one a second, and nothing else."""
    panel = opened(FlamePanel, runtime)
    runtime.feed(runtime.calls(500))
    assert len(refreshes(panel, 10.0)) == 1
    assert refreshes(panel, 12.0) == []
    runtime.feed(runtime.calls(5))
    assert refreshes(panel, 14.0) != []
    runtime.feed(runtime.calls(5))
    assert refreshes(panel, 14.9) == []


def test_a_closed_panel_is_silent(runtime: FakeRuntime, opened: Open, comms: type[RecordedComm]) -> None:
    """After close nothing is sent, whatever happens."""
    panel = opened(FlamePanel, runtime)
    runtime.feed(runtime.calls(5))
    panel.close()
    comms.log.clear()
    panel.refresh(10.0)
    assert comms.log == []


def test_without_a_trace_it_says_so(runtime: FakeRuntime, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """No trie: empty, once; no act is possible, and there is no static picture."""
    monkeypatch.setattr(runtime, "trie", lambda: None)
    panel = opened(FlamePanel, runtime)
    assert len(refreshes(panel, 10.0)) == 1
    assert panel.data["empty"] is True
    assert refreshes(panel, 12.0) == []
    assert act(panel, "reset") == "nothing has been traced yet"
    assert panel.still() == ""


def test_a_trace_without_calls_is_a_root_alone(runtime: FakeRuntime, opened: Open) -> None:
    """Before the first call there is one frame of nothing, and no static picture."""
    panel = opened(FlamePanel, runtime)
    panel.refresh(10.0)
    assert numbers(panel, "totals").tolist() == [0.0]
    assert panel.still() == ""


def test_columns_name_parents_by_row(runtime: FakeRuntime, opened: Open) -> None:
    """Parents come before their children, are rows, and are at least as large; ids are the same in every refresh."""
    panel = opened(FlamePanel, runtime)
    runtime.feed(runtime.calls(2000))
    panel.refresh(10.0)
    parents, totals, ids = (numbers(panel, name) for name in ("parents", "totals", "ids"))
    assert parents[0] == -1
    assert (parents[1:] < np.arange(1, len(parents))).all()
    assert (totals[parents[1:]] >= totals[1:]).all()
    assert totals[0] == 2000
    before = dict(zip(ids, labels(panel), strict=True))
    runtime.feed(runtime.calls(2000))
    panel.refresh(12.0)
    after = dict(zip(numbers(panel, "ids"), labels(panel), strict=True))
    assert {i: after[i] for i in before if i in after} == {i: n for i, n in before.items() if i in after}
    assert panel.data["families"]["read"] == "FS"
    assert "worker-0" not in panel.data["families"]


def test_zoom_asks_for_more_below_and_two_views_do_not_fight(runtime: FakeRuntime, opened: Open) -> None:
    """Each view's zoom brings the small frames below it; a view that left counts no more."""
    panel = opened(FlamePanel, runtime)
    runtime.feed(runtime.calls(20_000, comm="large", file="/x"))
    runtime.feed(runtime.calls(40, files=40, comm="small", file="/y/deep"))
    runtime.feed(runtime.calls(40, files=40, comm="tiny", file="/z/deep"))
    panel.refresh(10.0)
    assert "/deep" not in labels(panel)
    zoom(panel, ["comm", "small"])
    assert labels(panel).count("/deep") > 0
    few = len(labels(panel))
    panel.comm.push({"kind": "hello", "view": "v2", "visible": True})
    zoom(panel, ["comm", "tiny"], view="v2")
    assert len(labels(panel)) > few
    assert len(set(numbers(panel, "ids"))) == len(labels(panel))
    panel.comm.push({"kind": "bye", "view": "v2"})
    panel.refresh(1e9)
    assert len(labels(panel)) == few


def test_many_zooms_are_one_refresh_a_tick(
    runtime: FakeRuntime, comms: type[RecordedComm], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ticker's thread takes zooms over; however many there are, its next tick sends what the last one sees."""
    own = Ticker()
    seen: list[str] = []
    for name in ("add", "remove", "wake", "do", "refresh_now", "lock"):
        monkeypatch.setattr(ticker, name, getattr(own, name))

    def noted(name: str, made: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            seen.append(name)
            return made(*args)

        return call

    monkeypatch.setattr(own, "tick", noted("tick", own.tick))
    monkeypatch.setattr(FlamePanel, "content", noted("content", FlamePanel.content))
    runtime.feed(runtime.calls(20_000, comm="large", file="/x"))
    runtime.feed(runtime.calls(40, files=40, comm="small", file="/y/deep"))
    panel = FlamePanel(runtime)
    panel.comm.push({"kind": "hello", "view": "v1", "visible": True})
    until(lambda: panel.data)
    with own.lock:
        seen.clear()
        for i in range(20):
            panel.comm.push({"kind": "focus", "view": "v1", "path": [["comm", "small" if i == 19 else "large"]]})
        assert seen.count("content") == 0
    until(lambda: "/deep" in labels(panel))
    time.sleep(2 * PERIOD_S)
    panel.close()
    assert "content content" not in " ".join(seen)
    assert 1 <= seen.count("content") < 10  # one for the zooms; another is due every second


@pytest.mark.parametrize("path", [[["comm", 1]], [["a"]], ["a"], "a", None, [["comm", "a"]] * 6000])
def test_a_bad_zoom_counts_for_nothing(runtime: FakeRuntime, opened: Open, path: Any) -> None:
    """What is no list of frames is ignored: nobody waits for an answer."""
    panel = opened(FlamePanel, runtime)
    runtime.feed(runtime.calls(50))
    panel.refresh(10.0)
    panel.comm.push({"kind": "focus", "view": "v1", "path": path})
    assert refreshes(panel, 99.0) == []


def test_orders_and_metrics_are_set_and_count_from_now(runtime: FakeRuntime, opened: Open) -> None:
    """The fields, the width and the colour reach the trie, which starts anew; the panel says since when it counts."""
    panel = opened(FlamePanel, runtime)
    runtime.feed(runtime.calls(50))
    panel.refresh(10.0)
    assert panel.data["since"] == 0
    assert act(panel, "fields", fields=["pid", "syscall", "path"]) == ""
    assert runtime.flame.fields == ("pid", "syscall", "path")
    assert panel.data["fields"] == ["pid", "syscall", "path"] or refreshes(panel, 99.0)
    assert panel.data["since"] > 0
    assert act(panel, "width", name="bytes") == ""
    assert act(panel, "colour", name="duration") == ""
    runtime.feed(runtime.calls(50))
    panel.refresh(200.0)
    assert (panel.data["width"], panel.data["colour"]) == ("bytes", "duration")
    assert numbers(panel, "heights")[0] > 0
    assert act(panel, "reset") == ""
    panel.refresh(300.0)
    assert numbers(panel, "totals").tolist() == [0.0]


def test_a_reset_by_somebody_else_is_noticed(runtime: FakeRuntime, opened: Open) -> None:
    """Less than before means that counting began anew."""
    panel = opened(FlamePanel, runtime)
    runtime.feed(runtime.calls(50))
    panel.refresh(10.0)
    runtime.control.reset()
    panel.refresh(20.0)
    assert panel.data["since"] > 0


@pytest.mark.parametrize(
    ("what", "body", "error"),
    [
        ("fields", {"fields": ["nonsense"]}, "unknown flame graph field"),
        ("fields", {"fields": "comm"}, "fields: expected a list"),
        ("fields", {"fields": []}, "shows nothing"),
        ("width", {"name": "colour"}, "unknown flame graph metric"),
        ("colour", {"name": "weight"}, "unknown flame graph metric"),
        ("narrow", {"path": [1]}, "path: expected a list"),
        ("narrow", {"path": []}, "is everything"),
        ("narrow", {"path": [["comm", "worker-0"], ["", "[other;]"]]}, "cannot be filtered"),
        ("narrow", {"path": [["family", "FS"]]}, "choose again"),
        ("dance", {}, "nothing called"),
    ],
)
def test_bad_wishes_are_refused(runtime: FakeRuntime, opened: Open, what: str, body: Any, error: str) -> None:
    """What comes from the page is checked, and nothing changes."""
    panel = opened(FlamePanel, runtime)
    runtime.feed(runtime.calls(50))
    assert error in act(panel, what, **body)
    assert runtime.flame.fields == ("comm", "syscall", "path")
    assert not runtime.filters.active.active


def test_the_filter_of_a_frame_accepts_exactly_its_rows(runtime: FakeRuntime, opened: Open) -> None:
    """Every frame of every order: as many rows pass as it counts. `/data/part-1` has nothing of `/data/part-10`."""
    events = runtime.calls(300, files=30)
    extra = [
        runtime.calls(20, file=f, seed=i)
        for i, f in enumerate(["", "/data/part-10/f", "/data/part-1", "pipe:[7]", "/a/c*d/e", "/a;b/c", "[other;]"])
    ]
    extra += [runtime.calls(10, cell=3), runtime.calls(10, pid=3, tid=3, comm="read"), runtime.calls(10, comm="/x")]
    panel = opened(FlamePanel, runtime)
    for order in [
        *runtime.flame.choices().presets,
        ("family", "path"),
        ("cell", "file", "tid"),
        ("path", "pid"),
        ("cell", "pid"),
        ("path", "comm"),
    ]:
        runtime.flame.reconfigure(order)
        for rows in (events, *extra):
            runtime.feed(rows)
        columns = runtime.flame.snapshot_columns(0.0)
        ways: dict[int, list[list[str]]] = {0: []}
        for row in range(1, len(columns.ids)):
            frame = [order[columns.fields[row]], str(columns.labels[row])]
            way = ways[int(columns.ids[row])] = [*ways[int(columns.parents[row])], frame]
            while runtime.filters.undo():
                pass
            panel._columns = columns
            assert act(panel, "narrow", path=way) == ""
            passing = sum(int(runtime.filters.active.mask(rows).sum()) for rows in (events, *extra))
            assert passing == columns.totals[row], (order, way, runtime.filters.text(runtime.filters.active))


@pytest.mark.parametrize(
    ("fields", "frames", "text"),
    [
        ("comm,syscall,path", ["comm:python"], "comm=python"),
        ("comm,syscall,path", ["comm:read", "syscall:read"], "comm=read and syscall=read"),
        ("comm,path,syscall", ["comm:python", "syscall:read"], "comm=python and file~^$ and syscall=read"),
        (
            "comm,path,syscall",
            ["comm:python", "path:/a", "path:/b", "syscall:read"],
            "comm=python and file=/a/b and syscall=read",
        ),
        ("path,syscall", ["path:/a", "path:/b"], "file=/a/b or file=/a/b/*"),
        ("family,pid", ["family:FS", "pid:42"], "family=FS and pid=42"),
        ("cell,pid,syscall", ["cell:42"], "cell=42"),
        ("cell,pid,syscall", ["pid:42"], "cell=-1 and pid=42"),
        ("path,comm", ["comm:/a"], "file~^$ and comm=/a"),
        ("label,syscall", ["label:outer"], "label=outer or label=outer/*"),
        ("label,syscall", ["label:outer", "label:/inner", "syscall:read"], "label=outer/inner and syscall=read"),
        ("label,syscall", ["syscall:read"], "label~^$ and syscall=read"),
        ("path,comm", ["path:/a;b", "path:/c", "comm:python"], "file=/a;b/c and comm=python"),
        ("path", ["path:pipe:[7]"], "file=pipe:[7] or file=pipe:[7]/*"),
        ("flags,path", ["path:/a"], "file=/a or file=/a/*"),
    ],
)
def test_a_frame_has_the_filter_of_its_field(fields: str, frames: list[str], text: str) -> None:
    """Fields above without a frame are empty; a name that looks like another field's changes nothing."""
    assert said(fields, *frames) == text


def test_open_flags_have_no_filter() -> None:
    """The filter knows no open flags: a frame above them has to be chosen."""
    with pytest.raises(ConfigError, match="open flags"):
        said("syscall,flags", "syscall:openat", "flags:O_RDONLY")


def test_the_page_is_told_the_field_of_every_frame(runtime: FakeRuntime, opened: Open) -> None:
    """Also of a thread called like a system call, and only system calls have a family."""
    panel = opened(FlamePanel, runtime)
    runtime.flame.reconfigure(["comm", "syscall"])
    runtime.feed(runtime.calls(10, comm="read", syscall="read"))
    panel.refresh(10.0)
    assert labels(panel) == ["", "read", "read"]
    assert numbers(panel, "fields").tolist() == [-1, 0, 1]
    assert panel.data["families"] == {"read": "FS"}


def test_a_file_is_one_term(runtime: FakeRuntime, opened: Open) -> None:
    """Where no component of a path is below, the frame is a file, and its filter stays short."""
    panel = opened(FlamePanel, runtime)
    runtime.flame.reconfigure(["path", "syscall"])
    runtime.feed(runtime.calls(50, file="/etc/passwd"))
    panel.refresh(10.0)
    assert act(panel, "narrow", path=[["path", "/etc"], ["path", "/passwd"]]) == ""
    assert runtime.filters.text(runtime.filters.active) == "file=/etc/passwd"


def test_the_static_picture_is_small_and_escaped(runtime: FakeRuntime, opened: Open) -> None:
    """At most 200 boxes and 30 kB of well-formed SVG; a name that looks like markup is text."""
    panel = opened(FlamePanel, runtime)
    runtime.feed(runtime.calls(3000, files=900))
    runtime.feed(
        runtime.calls(900, comm="<script>alert(1)</script>", file="/<img src=x onerror=alert(1)>\u202e&" + "é" * 200)
    )
    panel.refresh(10.0)
    still = panel.still()
    assert len(still.encode()) < 30_000
    assert 10 < still.count("<rect") <= 200
    assert "<script" not in still
    assert "<img" not in still
    assert "\u202e" not in still
    ElementTree.fromstring(still)
    rights = [float(x) + float(w) for x, w in re.findall(r'<rect x="([\d.]+)" y="\d+" width="([\d.]+)"', still)]
    assert max(rights) <= 1001


def test_hostile_names_travel_as_they_are(runtime: FakeRuntime, opened: Open) -> None:
    """What is filtered is the raw name; a NUL, which divides texts, never reaches the page."""
    panel = opened(FlamePanel, runtime)
    runtime.feed(runtime.calls(10, comm="<b>\u202e\n*", file="/a"))
    panel.refresh(10.0)
    assert "<b>\u202e\n*" in labels(panel)
    assert act(panel, "narrow", path=[["comm", "<b>\u202e\n*"]]) == ""
    assert runtime.filters.active.mask(runtime.stream().snapshot()).all()
