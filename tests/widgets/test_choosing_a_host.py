"""A trace of several hosts in the panels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ior_nb.runtime import HostsTrace, TraceState
from ior_nb.session.desk import Desk
from ior_nb.session.hosts import Hosts
from ior_nb.session.session import TracerSession
from ior_nb.widgets import make_panel
from ior_nb.widgets.bar import Bar
from tests.fakes import FakeEngine
from tests.session.test_hosts import ASKED, send
from tests.widgets.conftest import act
from tests.widgets.test_published import Open, Told, looked
from tests.widgets.test_tables import unpacked


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
