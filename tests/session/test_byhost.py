"""Statistics of several hosts, and what is counted of all of them alone."""

from __future__ import annotations

import numpy as np

from ior_nb.engine.counted import COUNTER
from ior_nb.runtime import EventBatch
from ior_nb.session.byhost import ByHost
from ior_nb.syscalls import BY_NAME
from tests.fakes import batch

READ, SIZE = BY_NAME["read"].number, 512


def rows(host: str, count: int) -> EventBatch:
    """So many reads of process 7, of which the first failed."""
    return batch(
        host=[host] * count,
        pid=[7] * count,
        tid=[7] * count,
        comm=["sh"] * count,
        syscall=["read"] * count,
        family=["FS"] * count,
        latency_ns=[1000] * count,
        bytes=[0, *[10] * (count - 1)],
        ret=[-5, *[10] * (count - 1)],
        is_error=[True, *[False] * (count - 1)],
        time_ns=[1] * count,
    )


def counters(calls: int, errors: int = 0) -> np.ndarray:
    """What a kernel counts of reads of 1,000 ns and 10 bytes each."""
    found = np.zeros(SIZE, COUNTER)
    found["calls"][READ], found["errors"][READ] = calls, errors
    found["bytes"][READ], found["latency_ns"][READ] = 10 * (calls - errors), 1000 * calls
    found["histogram"][READ, 9] = calls
    return found


def test_calls_that_are_no_rows_count_once_beside_those_of_several_hosts() -> None:
    """The counters have the rows' calls too, whichever host was there when they were read first."""
    found = ByHost()
    found.ingest(rows("ada", 3))
    found.merge_counters(counters(5, 2))
    alone = found.snapshot()
    found.ingest(rows("bob", 4))
    found.merge_counters(counters(12, 3))
    both = found.snapshot()

    assert (alone.calls, alone.errors, alone.bytes) == (5, 2, 30)
    assert (both.calls, both.errors, both.bytes) == (12, 3, 90)
    assert {row.label: row.count for row in both.processes if row.pid} == {"ada:7": 3, "bob:7": 4}
    (row,) = both.syscalls
    assert (row.count, row.errors, row.latency_total_ns) == (12, 3, 12_000)


def test_what_was_counted_before_a_reset_is_gone() -> None:
    """Counters never begin anew, and rows of before are in them."""
    found = ByHost()
    found.ingest(rows("ada", 3))
    found.merge_counters(counters(5))
    found.reset(counters(6))
    found.ingest(rows("ada", 2))
    found.ingest(rows("bob", 2))
    found.merge_counters(counters(11))

    assert found.snapshot().calls == 5
