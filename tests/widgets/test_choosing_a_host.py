"""A trace of several hosts in the panels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from ior_nb.export import About, export
from ior_nb.result.load import load
from ior_nb.runtime import HostsTrace, TraceState
from ior_nb.session.desk import Desk
from ior_nb.session.hosts import Hosts
from ior_nb.session.session import TracerSession
from ior_nb.widgets import make_panel
from ior_nb.widgets.bar import Bar
from tests.fakes import FakeEngine, batch
from tests.session.test_hosts import ASKED, send
from tests.widgets.conftest import act
from tests.widgets.fake import RecordedComm
from tests.widgets.test_published import Open, Told, looked
from tests.widgets.test_tables import unpacked

ODD: Final = '<b>"*$'


class Cluster(Told):
    """A `LiveTrace` of two hosts."""

    def __init__(self, hosts: Hosts) -> None:
        super().__init__("a job")
        self.hosts = hosts

    def state(self) -> TraceState:
        return TraceState(running=True, title="a job", engine="fake", hosts=self.hosts.names, host=self.hosts.host)

    def choose(self, host: str) -> None:
        self.hosts.choose(host)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """A dashboard's view of two hosts, the left one with 3 calls and the right one with 5."""
    with TracerSession(engine=FakeEngine()) as session:
        hosts = Hosts(session, asked=ASKED)
        cluster: HostsTrace = Cluster(hosts)
        session.set_live_trace(cluster)
        send(hosts, "left", 3)
        send(hosts, "right", 5)
        yield Desk(session)


def test_the_bar_chooses_a_host(desk: Desk, opened: Open) -> None:
    """The bar names the hosts; the one a user chooses is what the panels show from then on, and the bar says so."""
    bar, files = opened(lambda: Bar(desk, still_id="x")), opened(lambda: make_panel("files", desk))
    before, all_of_them = looked(bar), looked(files)["totals"]["count"]
    assert act(bar, "host", host="right") == ""
    after, one = looked(bar), looked(files)["totals"]["count"]

    assert (before["hosts"], before["host"], after["host"]) == (["left", "right"], "", "right")
    assert (all_of_them, one) == (8, 5)
    assert "host: right" in bar.still()
    assert "no host is called" in act(bar, "host", host="<b>")


def test_a_trace_of_one_host_has_none_to_choose(desk: Desk, opened: Open) -> None:
    """A bar over a usual trace names no hosts, and says so to who asks for one."""
    desk._bindings.set_live_trace(Told())
    bar = opened(lambda: Bar(desk, still_id="x"))

    assert looked(bar)["hosts"] == []
    assert "this trace is of one host" in act(bar, "host", host="left")


def test_processes_say_where_they_run(desk: Desk, opened: Open) -> None:
    """The Processes panel has the host of each process, and its static picture shows it."""
    panel = opened(lambda: make_panel("processes", desk))
    table = unpacked(looked(panel)["processes"])

    assert list(table["host"]) == ["right", "left"]
    assert "right:7" in panel.still()


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Desk]:
    """A dashboard over the recordings of three hosts, each of which has a process 7: with 3, 5 and 2 calls."""
    for host, calls in {"ada": 3, ODD: 5, "": 2}.items():
        columns: dict[str, list[Any]] = {"syscall": ["read"], "comm": ["worker"], "pid": [7], "tid": [7], "ppid": [6]}
        rows = batch(**{name: values * calls for name, values in columns.items()}, time_ns=list(range(calls)))
        export(rows, tmp_path / f"{calls}.parquet", about=About(metadata={"ior_nb.hostname": host}))
    with TracerSession(engine=FakeEngine()) as session:
        desk = Desk(session, load(tmp_path))
        desk.update()
        yield desk


@pytest.mark.parametrize("panel", ["overview", "processes", "stream"])
@pytest.mark.parametrize(("host", "calls"), [("ada", 3), (ODD, 5), ("", 2)], ids=["plain", "odd", "nameless"])
def test_a_click_on_a_process_narrows_to_its_host(
    recorded: Desk, opened: Open, panel: str, host: str, calls: int
) -> None:
    """The id of a process means something on its host alone, whatever that is called."""
    assert act(opened(lambda: make_panel(panel, recorded)), "narrow", dimension="pid", value=7, host=host) == ""
    source = recorded.statistics()
    snapshot = source.snapshot() if source else None

    assert snapshot is not None
    assert snapshot.calls == calls


@pytest.mark.parametrize(("host", "text"), [("", "pid=7"), ("ada", "host=ada and pid=7")])
def test_a_click_names_the_host_that_the_row_has(desk: Desk, opened: Open, host: str, text: str) -> None:
    """Rows of a usual trace have none: the filter says the process alone. Of what is played back they may have one."""
    desk._bindings.set_live_trace(Told())
    panel = opened(lambda: make_panel("processes", desk))
    assert act(panel, "narrow", dimension="pid", value=7, host=host) == ""

    assert desk.filters.text(desk.filters.active) == text


def test_a_host_from_a_page_is_a_text(recorded: Desk, opened: Open) -> None:
    """What a browser sends is checked."""
    panel = opened(lambda: make_panel("processes", recorded))

    assert "host: expected a text" in act(panel, "narrow", dimension="pid", value=7, host=7)


def test_the_stream_says_where_rows_ran(recorded: Desk, opened: Open) -> None:
    """Rows of several hosts have theirs; those of a usual trace have no such column."""
    panel = opened(lambda: make_panel("stream", recorded))
    panel.refresh(1.0)
    sent = [data["content"] for _, data, _ in RecordedComm.log if "columns" in data.get("content", {})]

    assert "host" in sent[-1]["columns"]
    assert "ada:7" in panel.still()


@pytest.mark.parametrize(("host", "calls"), [("ada", 3), (ODD, 5), ("", 2)], ids=["plain", "odd", "nameless"])
def test_a_frame_of_a_process_is_that_of_its_host(recorded: Desk, opened: Open, host: str, calls: int) -> None:
    """By process a flame graph has the host above each id; the filter of a frame asks for both."""
    panel = opened(lambda: make_panel("flame", recorded))
    assert act(panel, "fields", fields=["pid", "syscall"]) == ""
    assert looked(panel)["fields"] == ["host", "pid", "syscall"]
    assert act(panel, "narrow", path=[*([["host", host]] if host else []), ["pid", "7"]]) == ""
    source = recorded.statistics()
    snapshot = source.snapshot() if source else None

    assert snapshot is not None
    assert snapshot.calls == calls
