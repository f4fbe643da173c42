"""Whom a trace talked with."""

from __future__ import annotations

from ior_nb.result import tables
from ior_nb.result.tally import Tally
from ior_nb.runtime import Completeness, EventBatch
from tests.fakes import batch


def talked() -> EventBatch:
    """Two connections to one peer, one to another, a pair without names, and a file."""
    return batch(
        syscall=["sendto", "recvfrom", "recvfrom", "sendto", "sendto", "read"],
        family=[*["Network"] * 5, "FS"],
        file=["socket:[1]", "socket:[1]", "socket:[2]", "socket:[3]", "socket:[4]", "/x"],
        file_kind=[*["socket"] * 5, "file"],
        inode=[1, 1, 2, 3, 4, 9],
        socket=[*["inet:stream:tcp"] * 3, "inet:dgram:udp", "unix:stream:0", ""],
        peer=[*["10.0.0.1:80"] * 3, "10.0.0.1:53", "socket:[5]", ""],
        bytes=[10, 1000, 500, 7, 3, 1],
        latency_ns=[5] * 6,
    )


def test_the_sentence_says_whom_it_was_with() -> None:
    """By peer, most bytes first; ends without a name are none of it."""
    tally = Tally()
    tally.add(talked())
    tally.add(talked())

    found = tally.summary(title="t", duration_s=1.0, completeness=Completeness()).headline()

    first = "10.0.0.1:80 (2 connections, 20 B sent, 2.9 KiB received)"
    assert f"talked to {first} and 10.0.0.1:53 (1 connection, 14 B sent)" in found
    assert "socket:[5]" not in found


def test_the_files_of_a_summary_are_called_by_their_peers() -> None:
    """Two sockets of one peer are one name there."""
    tally = Tally()
    tally.add(talked())

    summary = tally.summary(title="t", duration_s=1.0, completeness=Completeness())

    assert [row.file for row in summary.files][:2] == ["tcp 10.0.0.1:80", "udp 10.0.0.1:53"]
    assert {row.file for row in summary.slowest} | {row.file for row in summary.waits} >= {"tcp 10.0.0.1:80"}


def test_peers_are_a_table_that_adds_up() -> None:
    """A row each, with its connections; all else is the row without a peer."""
    found = tables.peers(talked())

    assert found["peer"].tolist() == ["10.0.0.1:80", "10.0.0.1:53", "socket:[5]", ""]
    assert found["protocol"].tolist() == ["tcp", "udp", "unix", ""]
    assert found["connections"].tolist() == [2, 1, 1, 0]
    assert found["bytes_read"].tolist() == [1500, 0, 0, 1]
    assert found["bytes_written"].tolist() == [10, 7, 3, 0]
    assert found["calls"].sum() == 6


def test_who_connects_is_one_connection() -> None:
    """The row of accept is of the socket that listens: it is no connection more."""
    rows = batch(
        syscall=["accept4", "recvfrom", "accept4"],
        file=["socket:[1]", "socket:[2]", "socket:[1]"],
        inode=[1, 2, 1],
        socket=["inet:stream:tcp"] * 3,
        peer=["10.0.0.9:1", "10.0.0.9:1", "10.0.0.9:2"],
    )

    assert tables.peers(rows).set_index("peer")["connections"].to_dict() == {"10.0.0.9:1": 1, "10.0.0.9:2": 1}
