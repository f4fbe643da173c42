"""Several hosts in one dashboard."""

from __future__ import annotations

from typing import Any

import pytest

from ior_nb.errors import ConfigError
from ior_nb.runtime import FlameSource, SheetSource, SnapshotSource, TreeSource
from ior_nb.runtime.sheet import sheet_from_bytes, sheet_to_bytes, tree_from_bytes, tree_to_bytes
from ior_nb.session.bindings import Bindings
from ior_nb.session.hosts import Frames, Hosts
from ior_nb.sinks.flamegraph import LiveTrie
from ior_nb.sinks.statsengine import Statistics
from tests.fakes import batch

FRAMES = ("comm", "syscall")
ASKED: Frames = (FRAMES, "count", "")


def send(hosts: Hosts, host: str, calls: int, fields: tuple[str, ...] = FRAMES) -> None:
    """Let a host send what it knows after so many reads: bytes, as on a wire."""
    statistics, trie = Statistics(), LiveTrie(fields)
    rows = batch(
        syscall=["read"] * calls,
        family=["FS"] * calls,
        comm=[f"on {host}"] * calls,
        pid=[7] * calls,
        file=["/shared"] * calls,
        bytes=[10] * calls,
        time_ns=[10**12] * calls,
    )
    statistics.ingest(rows)
    trie.ingest(rows)
    sheet, tree = sheet_to_bytes(statistics.sheet()), tree_to_bytes(trie.tree())
    hosts.take(host, sheet_from_bytes(sheet), tree_from_bytes(tree))


def labels(trie: FlameSource | None) -> dict[str, int]:
    """Names and totals of the frames below the root."""
    assert trie is not None
    columns = trie.snapshot_columns()
    return dict(zip(columns.labels[1:].tolist(), columns.totals[1:].tolist(), strict=True))


def test_equal_ids_are_processes_of_their_hosts() -> None:
    """A flame graph by process has the host above each, and asks the hosts for it."""
    bindings, asked = Bindings(), list[Frames]()
    hosts = Hosts(bindings, asked.append, ASKED)
    trie = bindings.trie()
    assert trie is not None
    trie.reconfigure(("pid",))
    for host, calls in {"left": 3, "right": 5}.items():
        send(hosts, host, calls, asked[-1][0])

    assert trie.fields == ("host", "pid")
    columns = trie.snapshot_columns()
    frames = zip(columns.labels.tolist(), columns.totals.tolist(), strict=True)
    assert sorted(frames) == [("", 8), ("7", 3), ("7", 5), ("left", 3), ("right", 5)]


def test_hosts_are_one_trace_until_one_is_chosen() -> None:
    """Statistics and flame graph are the sum of what each host sent last, or those of the one that is chosen."""
    bindings = Bindings()
    hosts = Hosts(bindings, asked=ASKED)
    send(hosts, "left", 3)
    send(hosts, "right", 5)
    send(hosts, "left", 4)
    seen = []
    for chosen in ("", "left", "right", ""):
        hosts.choose(chosen)
        source = bindings.statistics()
        snapshot = source.snapshot(top=5, by="bytes") if source else None
        assert snapshot is not None
        processes = {row.label: row.count for row in snapshot.processes}
        seen.append((snapshot.calls, snapshot.files[0].bytes_read, processes, set(labels(bindings.trie())) - {"read"}))

    left, right = (4, 40, {"left:7": 4}, {"on left"}), (5, 50, {"right:7": 5}, {"on right"})
    both = (9, 90, {"right:7": 5, "left:7": 4}, {"on left", "on right"})
    assert seen == [both, left, right, both]
    assert hosts.names == ("left", "right")


def test_what_is_published_satisfies_the_contracts() -> None:
    """What hosts publish can be read as what a run publishes, and added up again."""
    bindings = Bindings()
    Hosts(bindings, asked=ASKED)
    statistics, trie = bindings.statistics(), bindings.trie()

    assert isinstance(statistics, SnapshotSource)
    assert isinstance(statistics, SheetSource)
    assert isinstance(trie, FlameSource)
    assert isinstance(trie, TreeSource)


def test_nothing_sent_yet_is_nothing_shown() -> None:
    """Before a host has sent anything there are no hosts, calls or frames, and none can be chosen."""
    bindings = Bindings()
    hosts = Hosts(bindings)
    statistics = bindings.statistics()
    assert statistics is not None

    snapshot = statistics.snapshot()
    assert (hosts.names, snapshot and snapshot.calls, labels(bindings.trie())) == ((), 0, {})
    with pytest.raises(ConfigError, match="no host is called 'left'; choose from none so far"):
        hosts.choose("left")
    with pytest.raises(ConfigError, match="without a name"):
        send(hosts, "", 1)


def test_other_frames_are_asked_of_the_hosts() -> None:
    """The hosts are told of other frames and metrics, and what they sent before does not count any more."""
    bindings, told = Bindings(), list[Any]()
    hosts = Hosts(bindings, told.append, ASKED)
    send(hosts, "left", 3)
    trie = bindings.trie()
    assert trie is not None
    version = trie.version
    trie.reconfigure("syscall")
    send(hosts, "left", 4)
    late = labels(trie)
    send(hosts, "left", 5, ("syscall",))

    assert (late, labels(trie)) == ({}, {"read": 5})
    trie.set_count_field("count")
    trie.set_count_field("bytes")
    trie.set_height_field("count")
    trie.reset()
    with pytest.raises(ConfigError, match="unknown flame graph field"):
        trie.reconfigure(["nonsense"])
    frames = ("syscall",)
    assert told == [
        (frames, "count", ""),
        (frames, "bytes", ""),
        (frames, "bytes", "count"),
        (frames, "bytes", "count"),
    ]
    assert trie.version > version
    assert (trie.fields, trie.count_field, trie.height_field) == (frames, "bytes", "count")
