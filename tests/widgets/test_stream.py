"""The stream: numbered parts, what a new view gets, what is cut, and what a page may ask for."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ior_nb.errors import RecordingError
from ior_nb.sinks.streamrow import warning
from ior_nb.widgets.panel import Panel
from ior_nb.widgets.stream import HELD, MOST_ROWS, StreamPanel
from tests.widgets.conftest import act
from tests.widgets.fake import FakeRuntime, RecordedComm

Open = Callable[..., Panel]
HOSTILE = "/tmp/<img src=x onerror=alert(1)>\u202e\n"
TYPES = {"i4": np.int32, "f8": np.float64}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the panel: each look is a quarter of a second after the last one."""
    now = [time.monotonic()]
    monkeypatch.setattr("ior_nb.widgets.stream.time", SimpleNamespace(monotonic=lambda: now[0]))
    return now


class Page:
    """What a page would have: applies the parts as stream.js does."""

    def __init__(self, panel: Panel, clock: list[float]) -> None:
        self.panel, self.clock = panel, clock

    def look(self, after_s: float = 0.25) -> list[tuple[str, Any, list[bytes]]]:
        """Refresh once; return the messages."""
        self.clock[0] += after_s
        start = len(RecordedComm.log)
        self.panel.refresh(self.clock[0], force=True)
        return RecordedComm.log[start:]

    def rows(self, after_s: float = 0.25) -> dict[str, Any]:
        """Refresh once; return the content of the one message, which brings rows, with its columns as lists."""
        (message,) = self.look(after_s)
        content = dict(message[1]["content"])
        assert content["kind"] == "rows"
        columns: dict[str, Any] = {}
        for (name, column), buffer in zip(content["columns"].items(), message[2], strict=True):
            assert "b" not in column
            if column["t"] == "s":
                columns[name] = buffer.decode().split("\0")
            else:
                columns[name] = np.frombuffer(buffer, TYPES[column["t"]]).tolist()
        for name in ("comm", "syscall", "family", "file", "old_file"):
            columns[name] = [columns["words"][code] for code in columns[name]]
        return content | {"columns": columns}


@pytest.fixture
def page(runtime: FakeRuntime, opened: Open, clock: list[float]) -> Page:
    """A panel with one view that has all rows: 10 of them."""
    made = Page(opened(StreamPanel, runtime), clock)
    runtime.feed(runtime.calls(10))
    assert made.rows()["why"] == "again"
    return made


def test_a_refresh_is_one_message_of_the_new_rows(runtime: FakeRuntime, page: Page) -> None:
    """New rows are one numbered message; then the state catches up once; then there is silence."""
    runtime.feed(runtime.calls(5))
    content = page.rows()

    assert (content["why"], content["part"], content["fresh"]) == ("", 2, -1)
    assert content["columns"]["seq"] == [11, 12, 13, 14, 15]
    assert [m[1]["method"] for m in page.look()] == ["update"]
    assert page.panel.data["part"] == 2
    assert page.look() == []


def test_the_columns_say_what_the_rows_say(runtime: FakeRuntime, page: Page) -> None:
    """Numbers and texts arrive as they are, large ones too, times from the first row on, errors with their names."""
    first = int(runtime.ring.snapshot()["time_ns"].min())
    events = runtime.calls(20, ret=-13, is_error=True, latency_ns=7 * 10**12, file=HOSTILE, first_on_tid=True)
    runtime.feed(events)
    content = page.rows()
    columns = content["columns"]

    for name in ("pid", "tid", "fd", "ret", "bytes"):
        assert columns[name] == events[name].tolist()
    assert columns["latency"] == [7e12] * 20
    assert columns["time"] == (events["time_ns"].astype(int) - first).tolist()
    assert columns["syscall"] == events.text("syscall").tolist()
    assert columns["file"] == [HOSTILE] * 20
    assert columns["kind"] == [1 + 8] * 20
    assert content["errors"] == {"-13": "EACCES"}


def test_probes_are_marked_and_no_errors(runtime: FakeRuntime, page: Page) -> None:
    """A failure that is none has the name of its error, and another mark than a failure."""
    runtime.feed(runtime.calls(2, ret=-25, is_error=True, probe=True, first_on_tid=False))
    content = page.rows()

    assert content["columns"]["kind"] == [16, 16]
    assert content["errors"] == {"-25": "ENOTTY"}
    assert "-25 ENOTTY (probe)" in page.panel.still()


def test_warnings_and_unfinished_calls_are_marked(runtime: FakeRuntime, page: Page) -> None:
    """A warning, a call in flight and one that never returns are told apart from failures."""
    runtime.ring.push(warning("kernel lost 3 calls", 1))
    runtime.feed(runtime.calls(1, state="in flight", is_error=False))
    runtime.feed(runtime.calls(1, state="no return", is_error=False))
    columns = page.rows()["columns"]

    assert [kind & 7 for kind in columns["kind"]] == [2, 3, 4]
    assert columns["file"][0] == "kernel lost 3 calls"


def test_a_new_view_gets_all_rows(runtime: FakeRuntime, page: Page) -> None:
    """A hello is answered with everything held; a view that has it all takes only the fresh rows."""
    runtime.feed(runtime.calls(3))
    page.panel.comm.push({"kind": "hello", "view": "v2", "visible": True})
    content = page.rows()

    assert (content["why"], content["fresh"]) == ("again", 3)
    assert len(content["columns"]["seq"]) == 13


def test_nobody_heard_makes_it_repeat(runtime: FakeRuntime, comms: Any, clock: list[float]) -> None:
    """Until a view is heard the rows are sent again every two seconds: the kernel may be deaf, and a view new."""
    panel = StreamPanel(runtime)
    page = Page(panel, clock)
    runtime.feed(runtime.calls(4))
    messages = [message for _ in range(20) for message in page.look()]
    sent = [m[1]["content"]["why"] for m in messages if m[1]["method"] == "custom"]
    panel.close()

    assert sent == ["again"] * 3


def test_too_many_rows_are_cut_and_completed_when_it_is_calm(runtime: FakeRuntime, page: Page) -> None:
    """More than a refresh holds: the newest with the number left out; all that is held once no more come."""
    runtime.feed(runtime.calls(9000))
    content = page.rows()

    assert (content["why"], len(content["columns"]["seq"]), content["skipped"]) == ("cut", MOST_ROWS, 9000 - MOST_ROWS)
    content = page.rows()
    assert (content["why"], len(content["columns"]["seq"]), content["skipped"]) == ("cut", 9010, 0)
    page.look()
    assert page.look() == []


def test_rows_of_a_failed_refresh_come_with_the_next(
    runtime: FakeRuntime, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be sent is not lost: the next refresh has all rows, in place of what the view has."""
    page.panel.narrow_to("pid", 101)
    runtime.feed(runtime.calls(5))
    with monkeypatch.context() as broken:
        broken.setattr("ior_nb.widgets.stream.packed", lambda columns: 1 / 0)
        page.look()
    assert page.panel.data["error"] == "division by zero"
    rows, state = page.look()
    assert rows[1]["content"]["why"] == "again"
    assert rows[1]["content"]["fresh"] == -1
    assert len(rows[2]) == 17
    assert rows[1]["content"]["state"]["filter"] == "pid=101"
    assert state[1]["method"] == "update"
    assert page.panel.data["error"] == ""


def test_who_looks_again_after_a_while_gets_what_is_held(runtime: FakeRuntime, page: Page) -> None:
    """A view that was hidden is given all that is held, not called too slow."""
    for _ in range(6):
        runtime.feed(runtime.calls(2500))
    content = page.rows(after_s=4)

    assert (content["why"], len(content["columns"]["seq"]), content["skipped"]) == ("cut", HELD, 0)


def test_long_names_make_fewer_rows(runtime: FakeRuntime, page: Page) -> None:
    """A message stays small when every name is as long as a name can be."""
    events = [runtime.calls(1, file=f"/{i}/" + "x" * 4000) for i in range(200)]
    for one in events:
        runtime.feed(one)
    (message,) = page.look()

    assert sum(map(len, message[2])) < 200_000
    assert message[1]["content"]["skipped"] > 100


def test_another_filter_begins_anew(runtime: FakeRuntime, page: Page) -> None:
    """A changed filter sends all rows that are held, in place of what there was."""
    page.panel.narrow_to("pid", 101)
    content = page.rows()

    assert content["why"] == "filter"
    assert content["state"]["filter"] == "pid=101"


def test_a_stream_that_begins_anew_is_noticed(runtime: FakeRuntime, page: Page) -> None:
    """Rows of a reset ring are no addition to the old ones."""
    runtime.ring.reset()
    runtime.feed(runtime.calls(2))
    content = page.rows()

    assert content["why"] == "stream"
    assert min(content["columns"]["time"]) == 0


def test_a_closed_panel_is_silent(runtime: FakeRuntime, page: Page) -> None:
    """After close nothing is sent."""
    page.panel.close()
    runtime.feed(runtime.calls(2))

    assert page.look() == []


@pytest.mark.parametrize(
    ("dimension", "value", "text"),
    [
        ("pid", 7, "pid=7"),
        ("ret", -2, "ret=-2"),
        ("syscall", "read", "syscall=read"),
        ("latency", 1_500_000, "latency>=1500us"),
        ("file", "/a b", 'file="/a b"'),
    ],
)
def test_a_cell_narrows_the_dashboard(
    runtime: FakeRuntime, page: Page, dimension: str, value: str | int, text: str
) -> None:
    """The value of a cell becomes a term of the filter."""
    assert act(page.panel, "narrow", dimension=dimension, value=value) == ""
    assert runtime.filters.text(runtime.filters.active) == text


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("narrow", {"dimension": "cell", "value": 1}),
        ("narrow", {"dimension": "pid", "value": "7"}),
        ("narrow", {"dimension": "pid", "value": True}),
        ("narrow", {"dimension": "pid", "value": 1.5}),
        ("narrow", {"dimension": "file", "value": 3}),
        ("narrow", {"dimension": "pid", "value": 1 << 70}),
        ("narrow", {"dimension": "pid"}),
        ("export", {"path": "  "}),
        ("export", {"path": 3}),
        ("export", {}),
        ("nonsense", {}),
    ],
)
def test_bad_acts_are_refused(runtime: FakeRuntime, page: Page, what: str, body: dict[str, Any]) -> None:
    """What a browser sends is checked."""
    assert act(page.panel, what, **body) != ""
    assert not runtime.filters.active.active
    assert runtime.control.asked == []


def test_an_export_goes_where_the_user_says(runtime: FakeRuntime, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is handed on, the file that was written told; a failure is the act's answer."""
    assert act(page.panel, "export", path=" rows.csv ") == ""
    assert runtime.control.asked == [("export", "rows.csv")]
    page.look()
    assert page.panel.data["exported"] == [1, "rows.csv"]

    def refuse(path: str) -> None:
        raise RecordingError(f"cannot write {path}: no space left")

    monkeypatch.setattr(runtime.control, "export", refuse)
    assert act(page.panel, "export", path="x") == "cannot write x: no space left"


def test_still_shows_the_last_rows_as_text(runtime: FakeRuntime, page: Page) -> None:
    """The static picture has the newest rows, names harmless, and nothing where there is nothing."""
    runtime.feed(runtime.calls(1, file=HOSTILE, ret=-2, is_error=True))
    runtime.ring.push(warning("<b>lost</b>", 1))
    still = page.panel.still()

    assert "-2 ENOENT" in still
    assert "&lt;img" in still
    assert "&lt;b&gt;lost" in still
    assert "<img" not in still
    assert "\u202e" not in still
    assert "the last 12 of 12 rows" in still
    runtime.ring.reset()
    assert page.panel.still() == ""
