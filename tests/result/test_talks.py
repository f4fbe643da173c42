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


def asked(*rows: tuple[str, int, int, int], inode: int = 1) -> EventBatch:
    """Return rows of one connection: call, begin and latency in ms, and how long it waited for others."""
    calls, begins, took, waited = zip(*rows, strict=True)
    return batch(
        syscall=list(calls),
        family=["Network"] * len(rows),
        file=[f"socket:[{inode}]"] * len(rows),
        file_kind=["socket"] * len(rows),
        inode=[inode] * len(rows),
        socket=["inet:stream:tcp"] * len(rows),
        peer=["10.0.0.1:80"] * len(rows),
        bytes=[0 if call == "connect" else 10 for call in calls],
        time_ns=[begin * 1_000_000 for begin in begins],
        latency_ns=[ms * 1_000_000 for ms in took],
        wait_other_ns=[ms * 1_000_000 for ms in waited],
    )


def waited(*batches: EventBatch) -> tuple[str, int, int]:
    """Return what the headline says of waiting, and answers and ms of the table."""
    tally = Tally()
    for part in batches:
        tally.add(part)
    said = tally.summary(title="t", duration_s=1.0, completeness=Completeness()).headline()
    row = tables.peers(EventBatch.concat(list(batches))).iloc[0]
    return said.partition("received, ")[2].rstrip(")"), int(row["answers"]), int(row["answer_ns"]) // 1_000_000


def test_a_peer_that_is_slow_to_answer_is_said() -> None:
    """From the end of what was asked to the first of what came, wherever the program waited: here not in the call."""
    rows = asked(("sendto", 0, 1, 0), ("recvfrom", 201, 0, 0), ("recvfrom", 202, 0, 0), ("sendto", 300, 0, 0))
    more = asked(("recvfrom", 310, 40, 39))

    assert waited(rows, more) == ("waited 250 ms for 2 answers", 2, 250)


def test_what_comes_later_of_an_answer_counts_as_long_as_its_calls_wait() -> None:
    """And not what the program does between them."""
    rows = asked(("sendto", 0, 0, 0), ("recvfrom", 0, 100, 100), ("recvfrom", 500, 30, 30))

    assert waited(rows) == ("waited 130 ms for 1 answer", 1, 130)


def test_who_serves_does_not_wait_for_answers() -> None:
    """It is spoken to first; that its client is slow to ask again is no slow answer."""
    rows = asked(("recvfrom", 0, 50, 50), ("sendto", 60, 0, 0), ("recvfrom", 60, 500, 500))

    assert waited(rows) == ("", 0, 0)


def test_a_peer_that_speaks_first_answers_whoever_connects() -> None:
    """As mail servers and databases do."""
    rows = asked(("connect", 0, 1, 0), ("recvfrom", 1, 120, 119), ("sendto", 130, 0, 0))

    assert waited(rows) == ("waited 120 ms for 1 answer", 1, 120)


def test_answers_are_told_by_connection() -> None:
    """Two that are used by turns do not answer for each other."""
    one = asked(("sendto", 0, 0, 0), ("recvfrom", 5, 95, 0))
    two = asked(("sendto", 1, 0, 0), ("recvfrom", 6, 55, 0), inode=2)

    assert waited(EventBatch.concat([one, two]))[1:] == (2, 160)
    assert waited(one, two)[1:] == (2, 160)
