"""The tables of system calls, files and processes."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ior_nb.runtime import DirectoryRow, FamilyRow, FileRow, LineRow, PageState, ProcessRow, Snapshot, SyscallRow
from ior_nb.widgets.files import FilesPanel
from ior_nb.widgets.lines import LinesPanel
from ior_nb.widgets.panel import Panel
from ior_nb.widgets.processes import ProcessesPanel
from ior_nb.widgets.syscalls import SyscallsPanel
from ior_nb.widgets.table import MOST_ROWS, TablePanel
from ior_nb.widgets.ticker import ticker
from ior_nb.widgets.views import Views
from tests.widgets.conftest import act, refreshes
from tests.widgets.fake import FakeRuntime, RecordedComm

Open = Callable[..., Panel]
PANELS = [SyscallsPanel, FilesPanel, ProcessesPanel, LinesPanel]
HOSTILE = "/tmp/<img src=x onerror=alert(1)>\u202e\n\x1b[31m"
_TYPES = {"u1": np.uint8, "i4": np.int32, "f4": np.float32, "f8": np.float64}


def unpacked(columns: dict[str, Any]) -> dict[str, list[Any]]:
    """Do what `unpacked` of panel.js does."""
    return {
        name: (c["b"].decode().split("\0") if c["n"] else [])
        if c["t"] == "s"
        else np.frombuffer(c["b"], _TYPES[c["t"]]).tolist()
        for name, c in columns.items()
    }


def size(panel: Panel) -> int:
    """Return the bytes of the buffers of the last refresh."""
    _, _, buffers = RecordedComm.log[-1]
    return sum(map(len, buffers)) + 2000  # its JSON is small


@dataclasses.dataclass
class Source:
    """Statistics a test has made up."""

    now: Snapshot

    def snapshot(self, *, top: int | None = None, by: str = "count") -> Snapshot:
        return self.now


def shown(panel: Panel, runtime: FakeRuntime, monkeypatch: pytest.MonkeyPatch, snapshot: Snapshot) -> dict[str, Any]:
    """Let a panel look at a snapshot; return what it sent."""
    monkeypatch.setattr(runtime, "statistics", lambda: Source(snapshot))
    panel.refresh(1e9)
    data: dict[str, Any] = panel.data
    return data


@pytest.mark.parametrize("kind", PANELS)
def test_a_refresh_is_one_message_and_none_without_a_change(
    kind: type[TablePanel], runtime: FakeRuntime, opened: Open
) -> None:
    """One message when rows came, none when nothing did, one more when more came."""
    panel = opened(kind, runtime)
    runtime.control.running = False
    runtime.feed(runtime.calls(50))
    messages = [len(refreshes(panel, t)) for t in (1.0, 2.0)]
    runtime.feed(runtime.calls(50))
    assert [*messages, len(refreshes(panel, 3.0))] == [1, 0, 1]


def test_a_running_trace_in_which_nothing_happens_is_silent(
    runtime: FakeRuntime, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a call in the last 10 s the rates of a running trace are sent every 5 s, not at each refresh."""
    panel = opened(ProcessesPanel, runtime)
    row = ProcessRow(pid=7, comm="sh", count=3)
    sent = []
    for second in (60.0, 60.5, 61.0, 64.0, 65.0):
        still = Snapshot(calls=3, recorded=3, elapsed_s=second, generated_at=second, processes=(row,))
        monkeypatch.setattr(runtime, "statistics", lambda still=still: Source(still))
        sent.append(len(refreshes(panel, second)))
    assert sent == [1, 0, 0, 0, 1]


@pytest.mark.parametrize("kind", PANELS)
def test_a_closed_panel_is_silent(kind: type[TablePanel], runtime: FakeRuntime, opened: Open) -> None:
    """After close nothing is sent."""
    panel = opened(kind, runtime)
    panel.close()
    RecordedComm.log.clear()
    runtime.feed(runtime.calls(50))
    panel.refresh(1.0)
    assert RecordedComm.log == []


@pytest.mark.parametrize("kind", PANELS)
def test_an_empty_table_says_why(kind: type[TablePanel], runtime: FakeRuntime, opened: Open) -> None:
    """Nothing traced, nothing seen yet, and nothing that passes the filter are told apart; no static table is made."""
    panel = opened(kind, runtime)
    panel.refresh(1.0)
    seen = [panel.data["empty"]]
    panel.narrow_to("pid", 1)
    panel.refresh(10.0)
    seen.append(panel.data["empty"])
    runtime.filters.undo()
    runtime.control.running = False
    panel.refresh(20.0)
    assert [*seen, panel.data["empty"]] == ["waiting", "filtered", "nothing"]
    assert panel.still() == ""


def test_rows_add_up_to_the_totals(runtime: FakeRuntime, opened: Open) -> None:
    """Every table's calls, errors, bytes and times are those of the total row."""
    runtime.feed(runtime.calls(3000, files=900))
    for kind, names in ((SyscallsPanel, ("syscalls", "families")), (FilesPanel, ("files", "directories"))):
        panel = opened(kind, runtime)
        panel.refresh(1.0)
        for name in names:
            table, totals = unpacked(panel.data[name]), panel.data["totals"]
            for column in ("count", "errors", "total", "timed"):
                assert sum(table[column]) == totals[column], (name, column)
    panel = opened(ProcessesPanel, runtime)
    panel.refresh(1.0)
    table = unpacked(panel.data["processes"])
    assert sum(table["count"]) == 3000
    assert sum(table["read"]) == panel.data["totals"]["read"]


def test_more_than_500_files_go_into_other_and_stay_below_100_kb(runtime: FakeRuntime, opened: Open) -> None:
    """Of 5,000 files 500 are sent, the rest as one row; a message is smaller than 100 kB."""
    for seed in range(5):
        runtime.feed(runtime.calls(4000, files=5000, seed=seed))
    panel = opened(FilesPanel, runtime)
    panel.refresh(1.0)
    files = unpacked(panel.data["files"])
    assert files["special"].count("") == MOST_ROWS
    assert files["special"].count("other") == 1
    assert max(files["folded"]) > 4000
    assert size(panel) < 100_000


def test_what_is_known_of_pages_is_asked_of_the_user_s_own_files_that_are_shown(
    runtime: FakeRuntime, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the first of them, and nothing of libraries, sockets and rows of many files; by the row of the file."""
    names = ["/usr/lib/libx.so.1", "tcp 10.0.0.1:80", *(f"/data/{n}" for n in range(99))]
    rows = (*(FileRow(path=name, count=9) for name in names), FileRow(path="/data/0", special="other", count=1))
    runtime.control.known = {"/data/1": PageState(cached=4096), "/data/2": PageState(dirtied=8192, pending=4096)}

    data = shown(opened(FilesPanel, runtime), runtime, monkeypatch, Snapshot(calls=9, files=rows))

    pages = unpacked(data["pages"])
    assert runtime.control.looked_at == [tuple(f"/data/{n}" for n in range(64))]
    assert (pages["row"], pages["cached"]) == ([3, 4], [4096, -1])
    assert (pages["dirtied"], pages["pending"], pages["never"]) == ([0, 8192], [0, 4096], [0, 0])


def test_nobody_asks_for_pages_while_nobody_looks(runtime: FakeRuntime, opened: Open) -> None:
    """A tick without a view of the panel costs nothing."""
    runtime.feed(runtime.calls(100, files=9))
    panel = opened(FilesPanel, runtime)
    panel.views = Views()

    ticker.tick(time.monotonic())

    assert runtime.control.looked_at == []


def test_long_names_make_fewer_rows(runtime: FakeRuntime, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths of 4 kB cannot make a message large: what has no room is added to `(other)`, so that the sums stay."""
    rows = [FileRow(path=f"/{i}/" + "é" * 2000, count=2**40, latency_total_ns=2**50, timed=3) for i in range(500)]
    folders = [DirectoryRow(directory=f"/{i}/" + "é" * 2000, count=2**40, files=1) for i in range(500)]
    rows.append(FileRow(path="(other)", special="other", count=7, folded=9))
    snapshot = Snapshot(calls=500 * 2**40 + 7, files=tuple(rows), directories=tuple(folders))
    panel = opened(FilesPanel, runtime)
    data = shown(panel, runtime, monkeypatch, snapshot)
    files, directories = unpacked(data["files"]), unpacked(data["directories"])
    assert size(panel) < 100_000
    assert sum(files["count"]) == snapshot.calls
    assert sum(directories["files"]) == 500
    assert files["special"].count("other") == 1
    assert files["folded"][-1] == 9 + 500 - files["special"].count("")


def test_paths_arrive_as_they_were(runtime: FakeRuntime, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Front and name of each path, put together again, give the raw path: clicks have to send that back."""
    paths = ["/a/b", "/a/c", "/", "/x", "pipe:[7]", "", "/a/b/", HOSTILE, "/d//e"]
    rows = tuple(FileRow(path=p, count=1) for p in paths)
    data = shown(opened(FilesPanel, runtime), runtime, monkeypatch, Snapshot(calls=9, files=rows))
    files, heads = unpacked(data["files"]), unpacked(data["heads"])["text"]
    assert [heads[at] + tail for at, tail in zip(files["head"], files["tail"], strict=True)] == paths


def test_numbers_are_exact(runtime: FakeRuntime, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever type a column travels in, integers up to 2**53 stay what they are."""
    values = [0, 1, 2**31 - 1, 2**31, 2**53]
    rows = tuple(ProcessRow(pid=i, count=1, bytes_read=v, rate=0.1 * i) for i, v in enumerate(values))
    data = shown(opened(ProcessesPanel, runtime), runtime, monkeypatch, Snapshot(calls=5, processes=rows))
    table = unpacked(data["processes"])
    assert table["read"] == values
    assert table["rate"] == [0.1 * i for i in range(5)]
    assert data["processes"]["count"]["t"] == "i4"


def test_errors_are_named(runtime: FakeRuntime, opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of errors come by frequency; failures without a row are said to be so."""
    row = SyscallRow(name="openat", family="FS", count=30, errors=20, errors_by_errno={"ENOENT": 12, "EACCES": 3})
    family = FamilyRow(name="FS", count=30, errors=20)
    snapshot = Snapshot(calls=30, syscalls=(row,), families=(family,))
    data = shown(opened(SyscallsPanel, runtime), runtime, monkeypatch, snapshot)
    assert unpacked(data["syscalls"])["errnos"] == ["ENOENT 12, EACCES 3, not recorded 5"]


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        (SyscallsPanel, {"dimension": "syscall", "value": "read"}, "syscall=read"),
        (SyscallsPanel, {"dimension": "family", "value": "FS"}, "family=FS"),
        (FilesPanel, {"dimension": "file", "value": "/a b"}, 'file="/a b"'),
        (FilesPanel, {"dimension": "file", "value": "/a", "directory": True}, "file~^/a/*"),
        (ProcessesPanel, {"dimension": "pid", "value": 7}, "pid=7"),
        (ProcessesPanel, {"dimension": "comm", "value": "sh"}, "comm=sh"),
        (LinesPanel, {"dimension": "py_func", "value": "<module>"}, 'py_func="<module>"'),
        (LinesPanel, {"dimension": "line", "value": "/a.py", "line": 7}, "py_file=/a.py and py_line=7"),
        (LinesPanel, {"dimension": "line", "value": "a*.py", "line": 7}, "py_file~^a*.py$ and py_line=7"),
        (FilesPanel, {"dimension": "file", "value": "tcp 127.0.0.1:5432"}, "peer=127.0.0.1:5432"),
    ],
)
def test_a_click_narrows(
    kind: type[TablePanel], body: dict[str, Any], text: str, runtime: FakeRuntime, opened: Open
) -> None:
    """What a cell shows becomes a term of the filter."""
    assert act(opened(kind, runtime), "narrow", **body) == ""
    assert runtime.filters.text(runtime.filters.active) == text


@pytest.mark.parametrize(
    ("kind", "what", "body"),
    [
        (SyscallsPanel, "narrow", {"dimension": "pid", "value": 7}),
        (SyscallsPanel, "narrow", {"dimension": ["syscall"], "value": "read"}),
        (SyscallsPanel, "narrow", {"dimension": "syscall", "value": None}),
        (FilesPanel, "narrow", {"dimension": "file", "value": 7}),
        (FilesPanel, "narrow", {"dimension": "file"}),
        (ProcessesPanel, "narrow", {"dimension": "pid", "value": "7"}),
        (ProcessesPanel, "narrow", {"dimension": "pid", "value": True}),
        (ProcessesPanel, "narrow", {"dimension": "pid", "value": 2**70}),
        (LinesPanel, "narrow", {"dimension": "line", "value": "/a.py"}),
        (LinesPanel, "narrow", {"dimension": "line", "value": 7, "line": 7}),
        (LinesPanel, "narrow", {"dimension": "line", "value": "/a.py", "line": -1}),
        (FilesPanel, "rank", {"by": "name"}),
        (FilesPanel, "rank", {"by": ["count"]}),
        (FilesPanel, "nonsense", {}),
    ],
)
def test_bad_acts_are_refused(
    kind: type[TablePanel], what: str, body: dict[str, Any], runtime: FakeRuntime, opened: Open
) -> None:
    """What no view of ours sends is refused with a reason, and changes nothing."""
    assert act(opened(kind, runtime), what, **body) != ""
    assert not runtime.filters.active.active


def test_lines_of_cells_are_called_by_the_number_of_their_cell(
    runtime: FakeRuntime, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the live table and in the static picture; of a cell of another notebook nobody knows it."""
    here, elsewhere = "/tmp/ipykernel_7/1.py", "/tmp/ipykernel_8/1.py"
    shell = SimpleNamespace(compile=SimpleNamespace(_filename_map={here: 12}))
    monkeypatch.setattr("ior_nb.widgets.lines.get_ipython", lambda: shell)
    lines = tuple(LineRow(function="f", file=file, line=3, count=1) for file in (here, elsewhere, "/a.py"))
    panel = opened(LinesPanel, runtime)
    assert isinstance(panel, LinesPanel)

    assert unpacked(panel.sections(Snapshot(lines=lines))["lines"])["cell"] == [12, -1, 0]
    assert [row[1] for row in panel.still_rows(Snapshot(lines=lines))[1]] == ["cell 12:3", f"{elsewhere}:3", "/a.py:3"]


def test_the_rows_that_are_sent_are_the_best_by_what_is_sorted(runtime: FakeRuntime, opened: Open) -> None:
    """Of too many files, those with the most bytes are sent when the table is sorted by bytes."""
    runtime.feed(runtime.calls(20_000, files=2000))
    big = runtime.calls(1, syscall="write", ret=2**30, bytes=2**30, is_error=False, file="/big")
    runtime.feed(big)
    panel = opened(FilesPanel, runtime)
    panel.refresh(1.0)
    assert "big" not in unpacked(panel.data["files"])["tail"]
    assert act(panel, "rank", by="bytes") == ""
    panel.refresh(1e6)
    assert panel.data["by"] == "bytes"
    assert unpacked(panel.data["files"])["tail"][0] == "big"


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        (SyscallsPanel, {"syscalls": tuple(SyscallRow(name=HOSTILE, family="FS", count=1) for _ in range(99))}),
        (FilesPanel, {"files": tuple(FileRow(path=HOSTILE, count=1) for _ in range(99))}),
        (ProcessesPanel, {"processes": tuple(ProcessRow(pid=7, comm=HOSTILE, count=1) for _ in range(99))}),
        (LinesPanel, {"lines": tuple(LineRow(function=HOSTILE, file=HOSTILE, count=1) for _ in range(99))}),
    ],
)
def test_the_static_table_is_short_and_escaped(
    kind: type[TablePanel], rows: dict[str, Any], runtime: FakeRuntime, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A saved notebook keeps 15 rows, in which names are text."""
    panel = opened(kind, runtime)
    data = shown(panel, runtime, monkeypatch, Snapshot(calls=99, **rows))
    still = panel.still()
    assert data["error"] == ""
    assert still.count("<tr>") == 16
    assert "15 of 99 rows" in still
    assert "<img" not in still
    assert "\u202e" not in still
    assert "\x1b" not in still
