"""What was asked of files: read again, brought in by faults, fetched beyond what was asked for."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ior_nb import aggregate
from ior_nb.runtime import EventBatch, new_tables
from tests.fakes import batch

READS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.integers(1, 20)), min_size=1, max_size=30)


def rows(**columns: Any) -> EventBatch:
    """Return finished calls."""
    count = len(next(iter(columns.values())))
    return batch(new_tables(), **{"state": ["done"] * count, "syscall": ["pread64"] * count, **columns})


def by_file(events: EventBatch) -> dict[str, dict[str, Any]]:
    """Return the table of files, a row each."""
    found = aggregate.files(events)
    return {f: {n: v.tolist()[i] for n, v in found.items()} for i, f in enumerate(found["file"])}


@given(READS)
def test_what_is_read_again_is_all_but_the_union(reads: list[tuple[str, int, int]]) -> None:
    """Of each file, whatever the order, it is the sum of the ranges less the bytes they cover."""
    covered = Counter(file for file, at in {(f, o + k) for f, o, n in reads for k in range(n)})
    whole: Counter[str] = Counter()
    for file, _, size in reads:
        whole[file] += size
    found = by_file(rows(file=[f for f, *_ in reads], offset=[o for _, o, _ in reads], bytes=[n for *_, n in reads]))

    assert {f: row["reread_bytes"] for f, row in found.items()} == {f: whole[f] - covered[f] for f in whole}


def test_a_file_of_the_same_name_is_another_one() -> None:
    """What is read from the file that took its place was not read before."""
    found = by_file(rows(file=["/a", "/a"], offset=[0, 0], bytes=[10, 10], inode=[3, 4]))

    assert found["/a"]["reread_bytes"] == 0


def test_where_the_position_is_not_known_nothing_is_read_again() -> None:
    """A pipe has no positions."""
    assert by_file(rows(file=["p", "p"], offset=[-1, -1], bytes=[10, 10]))["p"]["reread_bytes"] == 0


def test_a_transfer_reads_again_in_its_source() -> None:
    """The bytes sendfile takes belong to the file they come from."""
    found = by_file(
        rows(
            syscall=["pread64", "sendfile64"],
            file=["/a", "socket"],
            old_file=["", "/a"],
            offset=[0, -1],
            old_offset=[-1, 5],
            bytes=[10, 10],
        )
    )

    assert (found["/a"]["reread_bytes"], found["socket"]["reread_bytes"]) == (5, 0)


def test_faults_are_no_calls_that_ask() -> None:
    """What faults brought in is told apart; amplification is of what calls asked for and made devices read."""
    found = by_file(
        rows(
            syscall=["pread64", "pread64", "page_fault"],
            state=["done", "done", "untimed"],
            file=["/a"] * 3,
            offset=[0, 0, 4096],
            bytes=[100, 100, 8192],
            fetched_bytes=[4096, 0, 8192],
        )
    )["/a"]

    assert (found["bytes_read"], found["faulted_bytes"], found["reread_bytes"]) == (8392, 8192, 100)
    assert found["amplification"] == pytest.approx(40.96)


def test_amplification_is_of_what_was_measured() -> None:
    """Where nobody counts what devices read, and where nothing was asked for, there is none."""
    found = by_file(rows(file=["/a", "/b"], offset=[0, 0], bytes=[100, 0], fetched_bytes=[-1, 5]))

    assert np.isnan([found["/a"]["amplification"], found["/b"]["amplification"]]).all()
