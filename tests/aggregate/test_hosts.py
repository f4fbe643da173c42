"""Rows of several hosts, whose processes and threads have the same ids."""

from __future__ import annotations

from ior_nb import aggregate
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
