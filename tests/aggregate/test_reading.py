"""What is found by one look at a batch, for all who add it up."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ior_nb.aggregate import Reading
from ior_nb.runtime import EventBatch
from tests.events import ROWS, made
from tests.fakes import batch


def _sums(events: EventBatch, key: str, value: str) -> dict[Any, int]:
    sums: Counter[Any] = Counter()
    for row in events:
        sums[row[key]] += row[value] if value != "latency_ns" or row.state == "done" else 0
    return dict(sums)


@pytest.mark.parametrize("times", [1, 40], ids=["few rows for so many pairs", "many"])
@given(rows=ROWS)
def test_sums_are_those_of_every_row(times: int, rows: list[dict[str, object]]) -> None:
    """By process and by call, whether they are made of sums by both or each of its own."""
    events = made((rows or [])[:12] * times)
    if not len(events):
        return
    found = Reading(events)
    names, pids = found.names, found.pids.tolist()
    read, written = found.moved_by_process

    assert dict(zip(names, found.counts.call.tolist(), strict=True)) == Counter(events.text("syscall").tolist())
    assert dict(zip(pids, found.counts.process.tolist(), strict=True)) == Counter(events["pid"].tolist())
    assert dict(zip(names, found.latencies.call.tolist(), strict=True)) == _sums(events, "syscall", "latency_ns")
    assert dict(zip(pids, found.latencies.process.tolist(), strict=True)) == _sums(events, "pid", "latency_ns")
    assert dict(zip(names, found.bytes_by_call.tolist(), strict=True)) == _sums(events, "syscall", "bytes")
    assert read.tolist() == found.by_process(found.moved.read).tolist()
    assert written.tolist() == found.by_process(found.moved.written).tolist()
    assert found.longest.call.max() == found.longest.process.max() == found.latency.max()


@given(st.lists(st.sampled_from((0, 1, 7, 40_000, 2**31, 2**32 - 1)), min_size=1))
def test_processes_are_numbered_by_their_ids(ids: list[int]) -> None:
    """However far they are apart, every row finds its own; the first row of each is the first."""
    found = Reading(batch(pid=[*ids]))

    assert found.pids.tolist() == sorted(set(ids))
    assert found.pids[found.process].tolist() == ids
    assert found.first_rows.tolist() == [ids.index(pid) for pid in sorted(set(ids))]


def test_rows_are_read_once_while_somebody_holds_what_was_found() -> None:
    """Who counts the same batch meanwhile finds it; without a holder nothing is kept."""
    events = batch(syscall=["read", "write"], bytes=[7, 8], latency_ns=[1, 2])
    held = Reading.of(events)
    latencies = held.latencies

    assert Reading.of(events) is held
    assert Reading.of(events).latencies is latencies
    assert Reading.of(events[:1]) is not held
    del held
    assert "latencies" not in vars(Reading.of(events))


def test_amounts_can_be_told_of_every_row() -> None:
    """A row that has none has 0."""
    found = Reading(batch(syscall=["read", "close", "write", "pread64"], bytes=[7, 0, 8, 9]))

    assert found.moved.read.spread(4).tolist() == [7, 0, 0, 9]
    assert found.moved.written.spread(4).tolist() == [0, 0, 8, 0]
    assert np.array_equal(found.moved.read.rows, [0, 3])
