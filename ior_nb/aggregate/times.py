"""When calls happened and how long they took: slots of time, bins of latency, the slowest calls."""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.aggregate.groups import Columns, mean
from ior_nb.aggregate.rows import CLASSES, classes, latencies, moved
from ior_nb.aggregate.spent import MEASURED, amount, wait_rows
from ior_nb.runtime import EventBatch

__all__ = ["latency_bins", "slowest", "timeline"]

_STEPS: Final = (1, 2, 5)
_MOST_SLOTS: Final = 100_000


def slowest(batch: EventBatch, n: int = 20, *, waiting: bool = False) -> EventBatch:
    """Return the n finished calls that took longest, the slowest first, equal ones in order of completion.

    Args:
        batch: the rows.
        n: how many, at most.
        waiting: those that waited for somebody else, instead of those that did not.
    """
    rows = np.flatnonzero(batch.done & (wait_rows(batch) == waiting))
    latency = batch["latency_ns"][rows].astype(np.int64)
    n = max(0, n)
    if 0 < n < len(rows):
        limit = np.partition(latency, len(rows) - n)[len(rows) - n]
        at_least = latency >= limit
        rows, latency = rows[at_least], latency[at_least]
    return batch.take(rows[np.argsort(-latency, kind="stable")[:n]])


def timeline(batch: EventBatch, *, slot_ns: int | None = None, origin_ns: int | None = None) -> Columns:
    """Return equal slots of time, empty ones too. A call belongs to the slot it started in.

    Args:
        batch: the rows.
        slot_ns: length of a slot; by default the shortest round one that makes no more than 60 of them.
        origin_ns: start of the first slot on the boot clock; by default the earliest row.

    Raises:
        ValueError: the slots are too short for the length of the trace, or not positive.
    """
    times = batch["time_ns"].astype(np.int64)
    start = int(times.min(initial=np.iinfo(np.int64).max))
    start = min(start, origin_ns) if origin_ns is not None else start if len(times) else 0
    span = int(times.max(initial=start)) - start
    slot = _round_slot(span) if slot_ns is None else int(slot_ns)
    if slot <= 0:
        raise ValueError(f"a slot of {slot} ns: give a positive length")
    count = span // slot + 1 if len(times) else 0
    if count > _MOST_SLOTS:
        raise ValueError(f"{count:,} slots of {slot:,} ns are more than {_MOST_SLOTS:,}: give longer ones")
    at = (times - start) // slot
    latency, done = latencies(batch)
    read, written = moved(batch)

    def total(values: np.ndarray) -> np.ndarray:
        result = np.zeros(count, np.int64)
        np.add.at(result, at, values.astype(np.int64, copy=False))
        return result

    time, timed = total(latency), total(done)
    return {
        "start_s": np.arange(count) * (slot / 1e9),
        "slot_s": np.full(count, slot / 1e9),
        "calls": np.bincount(at, minlength=count),
        "errors": total(batch.failed),
        "probes": total(batch["probe"]),
        "bytes_read": total(read),
        "bytes_written": total(written),
        "time_ns": time,
        "mean_ns": mean(time, timed),
        **{name: total(amount(batch, name)) for name in MEASURED},
    }


def _round_slot(span_ns: int) -> int:
    """Return the shortest slot of 1, 2 or 5 times a power of ten that gives at most 60 of them."""
    size = 1_000
    while True:
        for step in _STEPS:
            if span_ns < 60 * size * step:
                return size * step
        size *= 10


def latency_bins(batch: EventBatch, per_decade: int = 5) -> Columns:
    """Return the latencies of finished calls in logarithmic bins, with one column of counts per byte class.

    Bins go from the first that has a call to the last; calls of less than 1 ns are in the first.
    """
    latency, done = latencies(batch)
    kind = classes(batch)[done]
    edges = 10 ** (np.arange(19 * per_decade + 1) / per_decade)
    at = np.searchsorted(edges, np.maximum(latency[done], 1), side="right") - 1
    low, high = (int(at.min()), int(at.max()) + 1) if len(at) else (0, 0)
    columns: Columns = {"low_ns": edges[low:high], "high_ns": edges[low + 1 : high + 1]}
    for number, name in enumerate(CLASSES):
        columns[name] = np.bincount(at[kind == number] - low, minlength=high - low)
    return columns
