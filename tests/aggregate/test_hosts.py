"""Rows of several hosts, whose processes and threads have the same ids."""

from __future__ import annotations

import numpy as np

from ior_nb import aggregate
from ior_nb.aggregate.hosts import Apart, several
from ior_nb.runtime import EventBatch
from tests.fakes import batch


def rows(*hosts: str) -> EventBatch:
    """Process 7 of each host, with the threads 7 and 8; on the last one the id is used again."""
    several = [host for host in hosts for _ in range(2)] + [hosts[-1]]
    count = len(several)
    return batch(
        syscall=["read"] * count,
        host=list(several),
        label=["epoch"] * count,
        comm=["worker"] * count,
        pid=[7] * count,
        tid=[*[7, 8] * len(hosts), 7],
        ppid=[1] * count,
        time_ns=list(range(100, 100 + count)),
        first_on_tid=[True] * count,
    )


def test_a_process_is_that_of_one_host() -> None:
    """The same id on two hosts is two processes, each with the name of its host; used again it is one more."""
    table = aggregate.processes(rows("ada", "", "bob"))
    found = sorted(zip(table["host"].tolist(), table["pid"].tolist(), table["calls"].tolist(), strict=True))

    assert found == [("", 7, 2), ("ada", 7, 2), ("bob", 7, 1), ("bob", 7, 2)]


def test_what_is_counted_by_id_is_counted_by_host() -> None:
    """Totals, threads of a name and processes of a label count the ids of each host by themselves."""
    both = rows("ada", "bob")
    totals = aggregate.totals(both)

    assert (totals["processes"], totals["threads"]) == (3, 5)
    assert aggregate.threads(both)["threads"].tolist() == [4]
    assert aggregate.labels(both, {})["processes"].tolist() == [2]


def test_rows_of_one_host_name_none() -> None:
    """The table of a usual trace has no column for what is the same everywhere."""
    assert "host" not in aggregate.processes(rows("ada"))


def test_what_one_host_has_read_another_has_not() -> None:
    """A file of the same path and inode is read again by the host alone that had read it, by calls and by transfers."""
    for call in ("pread64", "sendfile64"):
        found = aggregate.files(
            batch(
                syscall=[call] * 4,
                state=["done"] * 4,
                host=["ada", "bob", "ada", ""],
                file=["/data"] * 4,
                old_file=["/data" if call == "sendfile64" else ""] * 4,
                inode=[3] * 4,
                offset=[0] * 4,
                old_offset=[0] * 4,
                bytes=[10] * 4,
            )
        )

        assert found["reread_bytes"].tolist() == [10]


def test_a_connection_is_that_of_one_host() -> None:
    """Sockets of two hosts that have the same number are two connections, and do not answer for each other."""
    found = aggregate.peers(
        batch(
            syscall=["sendto", "sendto", "recvfrom", "recvfrom"],
            host=["ada", "bob", "ada", "bob"],
            file=["socket:[1]"] * 4,
            inode=[1] * 4,
            socket=["inet:stream:tcp"] * 4,
            peer=["10.0.0.1:80"] * 4,
            bytes=[10] * 4,
            time_ns=[0, 1_000, 5_000, 90_000],
            latency_ns=[0] * 4,
        ),
        {},
    )

    assert (found["connections"].tolist(), found["answers"].tolist()) == ([2], [2])
    assert found["answer_ns"].tolist() == [5_000 + 89_000]


def test_numbers_of_hosts_do_not_meet() -> None:
    """Whatever order hosts come in, alone in a batch or with others, equal values of one are one number."""
    apart, found = Apart(), list[tuple[str, int, int]]()
    for hosts in (["ada"] * 3, ["bob", "ada", "bob"], ["bob"] * 3):
        several = batch(host=list(hosts), inode=[1, 1 << 63, 1])
        numbers = apart.of(several, "inode", np.array([0, 1, 2]))
        found += zip(hosts, several["inode"].tolist(), numbers.tolist(), strict=True)

    assert len(set(found)) == len({(host, inode) for host, inode, _ in found}) == len({n for *_, n in found}) == 4


def test_rows_are_of_several_hosts_when_two_are_named() -> None:
    """Of the one without a name as well; no rows are of none."""
    assert [several(rows(*hosts)) for hosts in (["ada"], ["ada", ""], ["ada", "bob"])] == [False, True, True]
    assert not several(EventBatch.empty())
