"""A first and a second run in one line."""

from __future__ import annotations

import pytest

from ior_nb.errors import ConfigError
from ior_nb.result.cold import by_cells, compared
from ior_nb.runtime import Completeness, EventBatch, new_tables
from tests.fakes import batch


def reads(fetched: list[object], latency: list[object], cell: list[object]) -> EventBatch:
    """Return reads of 1 MiB of a file."""
    count = len(fetched)
    return batch(
        new_tables(),
        syscall=["pread64"] * count,
        state=["done"] * count,
        file=["/d"] * count,
        file_kind=["file"] * count,
        bytes=[1 << 20] * count,
        fetched_bytes=fetched,
        latency_ns=latency,
        cell=cell,
    )


def test_a_cold_and_a_warm_run_are_one_line() -> None:
    """It says of each what it read, in what time, and how much came from the device."""
    rows = reads([1 << 20, 0, 0], [60_000_000, 9, 5_000_000], [3, 4, 5])

    assert compared(*by_cells(rows), [Completeness()]) == (
        "cell 3 read 1.0 MiB of files in 60 ms, 1.0 MiB of it from the device;"
        " cell 5 read 1.0 MiB of files in 5 ms, nothing of it from the device: 12 times as fast"
    )


def test_what_nobody_counted_is_said() -> None:
    """Where bytes fetched are not measured, the line does not say nothing was."""
    rows = reads([-1, -1], [1_000_000, 1_000_000], [3, 4])

    assert compared(*by_cells(rows), [Completeness()]).count("an unknown part of it from the device") == 2


def test_a_run_that_read_nothing_is_no_faster_one() -> None:
    """It says so, and how much faster that is nobody asks; a large factor is a number people read."""
    some, nothing = reads([0], [70], [3]), reads([], [], [])

    assert compared(("a", some), ("b", nothing), []) == (
        "a read 1.0 MiB of files in 70 ns, nothing of it from the device; b read nothing of files"
    )
    assert compared(("a", reads([0], [7_654_321], [3])), ("b", some), []).endswith(": 109,347 times as fast")


def test_one_run_is_no_comparison() -> None:
    """A trace of one cell is told what to do."""
    with pytest.raises(ConfigError, match=r"first\.cache\(second\)"):
        by_cells(reads([0], [1], [3]))
