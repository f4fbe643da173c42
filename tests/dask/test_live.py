"""What the dashboard of a cluster shows: the sums of its hosts, or one of them, whatever the hosts answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from ior_nb.dask import live
from ior_nb.dask.told import Shown
from ior_nb.errors import ConfigError
from ior_nb.runtime import Accounting, Filter, HostsTrace, LiveRuntime, Snapshot
from ior_nb.runtime.clock import boot_clock
from ior_nb.runtime.sheet import sheet_to_bytes, tree_to_bytes
from ior_nb.session.hosts import Frames
from ior_nb.sinks.flamegraph import LiveTrie
from ior_nb.sinks.statsengine import Statistics
from tests.fakes import batch


def host(calls: int, ahead_ns: int = 0, place: str = "") -> Shown:
    """Return what a host shows that has made so many calls."""
    statistics = Statistics()
    row: dict[str, object] = {"time_ns": boot_clock(), "pid": 7, "comm": "python", "syscall": "read", "file": "/x"}
    statistics.ingest(batch(**{name: [value] * calls for name, value in row.items()}))
    return Shown(
        place=place,
        sheet=sheet_to_bytes(statistics.sheet()),
        tree=tree_to_bytes(LiveTrie().tree()),
        elapsed_ns=10**9,
        accounting=Accounting(seen=calls, emitted=calls),
        engine="bcc",
        ahead_ns=ahead_ns,
    )


class Hosts:
    """A client's loop, and what the hosts answer there."""

    def __init__(self) -> None:
        self.asyncio_loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.asyncio_loop.run_forever)
        self.thread.start()
        self.answers: dict[str, Any] = {}
        self.asked = 0
        self.running = True
        client: Any = SimpleNamespace(loop=self)
        self.cluster = live.Cluster(client, self.ask, lambda: self.running, lambda: {"node-c": "lacks CAP_BPF"})

    async def ask(self, asked: Frames) -> dict[str, Any]:
        """Answer."""
        self.asked += 1
        return self.answers

    def close(self) -> None:
        """End the loop."""
        self.asyncio_loop.call_soon_threadsafe(self.asyncio_loop.stop)
        self.thread.join()
        self.asyncio_loop.close()


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    """Two hosts that answer."""
    made = Hosts()
    made.answers = {"node-a": host(5), "node-b": host(2, 10**9)}
    yield made
    made.close()


def snapshot(cluster: live.Cluster) -> Snapshot | None:
    """Return the statistics shown."""
    source = cluster.statistics()
    return source.snapshot() if source is not None else None


def calls(cluster: live.Cluster) -> int:
    """Return the calls shown."""
    found = snapshot(cluster)
    return found.calls if found is not None else -1


def test_all_hosts_are_the_sum_and_one_is_its_own(hosts: Hosts) -> None:
    """Processes of the same number on two hosts are two; the books are those of what is shown."""
    cluster = hosts.cluster
    cluster.wait()
    everybody = snapshot(cluster)
    state = cluster.state()
    cluster.control.choose("node-b")

    assert isinstance(cluster, LiveRuntime)
    assert isinstance(cluster, HostsTrace)
    assert everybody is not None
    assert everybody.calls == 7
    assert sorted(row.label for row in everybody.processes if not row.special) == ["node-a:7", "node-b:7"]
    assert (state.completeness.accounting.seen, state.rows) == (7, 7)
    assert state.notes == ("node-c is not traced: lacks CAP_BPF",)
    assert (calls(cluster), cluster.state().rows, cluster.state().hosts) == (2, 2, ("node-a", "node-b"))


@pytest.mark.parametrize(("places", "said"), [(("a", "b"), "2 hosts"), (("a", "a"), "1 host")])
def test_collectors_of_one_place_are_one_host(hosts: Hosts, places: tuple[str, str], said: str) -> None:
    """Another process of a host may have gone on, or one may have come later."""
    hosts.answers = {f"node-{number}": host(1, place=place) for number, place in enumerate(places)}
    hosts.cluster.wait()

    assert hosts.cluster.state().title == f"a cluster of {said}"


def test_hosts_are_asked_once_a_second_and_only_while_they_are_traced(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many panels look; what was seen last stays."""
    now = [100.0]
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: now[0]))
    hosts.cluster.wait()
    for _ in range(5):
        hosts.cluster.update()
    once = hosts.asked
    now[0] += 1.0
    hosts.cluster.wait()
    hosts.running = False
    now[0] += 1.0
    hosts.cluster.wait()

    assert (once, hosts.asked) == (1, 2)
    assert calls(hosts.cluster) == 7
    assert hosts.cluster.state().fixed
    assert hosts.cluster.state().notes[-1].startswith("node-a, node-b as asked last; run.trace() has")


def test_what_hosts_say_at_their_end_is_shown_from_then_on(hosts: Hosts) -> None:
    """Those that said nothing are named, and shown as they were when they were asked last."""
    hosts.cluster.wait()
    hosts.running = False
    hosts.cluster.end({"node-a": host(11)})

    assert calls(hosts.cluster) == 11 + 2
    assert hosts.cluster.state().completeness.accounting.seen == 11 + 2
    assert hosts.cluster.state().notes[-1].startswith("node-b as asked last")


@pytest.mark.parametrize("answer", [OSError("gone"), replace(host(1), sheet=b"IORM")])
def test_a_host_that_does_not_answer_is_told(hosts: Hosts, answer: Any) -> None:
    """The others are shown, and a sheet that cannot be read is no sheet."""
    hosts.answers = {"node-b": answer, "node-a": host(5)}
    hosts.cluster.wait()

    assert calls(hosts.cluster) == 5
    assert "answer" in hosts.cluster.state().notes[-1]


def test_what_a_view_cannot_have_says_where_it_is(hosts: Hosts) -> None:
    """Filters, recordings, the end: each error says what to do instead."""
    cluster = hosts.cluster
    for refused in (
        lambda: cluster.filters.set(Filter()),
        cluster.recording.start,
        cluster.control.stop,
        cluster.control.reset,
        lambda: cluster.control.export("nowhere.csv"),
    ):
        with pytest.raises(ConfigError, match="cluster"):
            refused()
