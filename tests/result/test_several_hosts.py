"""Summary and tables of a trace of several hosts, whose processes and sockets have the same numbers."""

from __future__ import annotations

from ior_nb.result import tables
from ior_nb.result.summary import Summary
from ior_nb.result.tallies import Tallies
from ior_nb.runtime import Completeness, EventBatch
from tests.fakes import batch


def rows(*hosts: str) -> EventBatch:
    """A process 7 of each host and its child 8, which talks to a peer by the socket 5."""
    count = 2 * len(hosts)
    return batch(
        syscall=["read", "sendto"] * len(hosts),
        state=["done"] * count,
        comm=["parent", "child"] * len(hosts),
        host=[host for host in hosts for _ in range(2)],
        pid=[7, 8] * len(hosts),
        tid=[7, 8] * len(hosts),
        ppid=[1, 7] * len(hosts),
        bytes=[100, 10] * len(hosts),
        file=["/data", "socket:[5]"] * len(hosts),
        file_kind=["file", "socket"] * len(hosts),
        inode=[3, 5] * len(hosts),
        socket=["", "inet:stream:tcp"] * len(hosts),
        peer=["", "10.0.0.1:80"] * len(hosts),
        latency_ns=list(range(100, 100 + count)),
    )


def summary(found: EventBatch) -> Summary:
    """Add rows up."""
    return Tallies(found).of_all()[0].summary(title="t", duration_s=1.0, completeness=Completeness())


def test_a_summary_counts_processes_of_each_host() -> None:
    """Their children too, and what these moved; and connections."""
    found = summary(rows("ada", "bob", ""))

    assert found.processes == 6
    assert "3 child processes" in str(found)
    assert "3 connections" in found.headline()


def test_slow_calls_say_where_they_ran() -> None:
    """Of several hosts the summary has `host:pid`, the table a column; of one neither has more than ever."""
    both, one = rows("ada", "<b>"), rows("ada")

    assert "child <b>:8" in str(summary(both))
    assert "child ada:8" not in str(summary(one))
    assert tables.slowest(both)["host"].tolist() == ["<b>", "ada"]
    assert "host" not in tables.slowest(one)
