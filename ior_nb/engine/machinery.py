"""Rows that turn out, by their frames, to be the tracer's or the notebook's own work: taken out, and out of the counts.

The kernel program has recorded and counted them, for by their thread they were the user's.
"""

from __future__ import annotations

import numpy as np

from ior_nb.engine.collector import wire
from ior_nb.engine.counted import COUNTER
from ior_nb.runtime import EventBatch

__all__ = ["Machinery"]


class Machinery:
    """What was taken out of one trace. One thread at a time uses it."""

    def __init__(self) -> None:
        self._rows = 0
        self._counters = np.zeros(wire.SPECS, COUNTER)

    def take_out(self, batch: EventBatch, own: np.ndarray, numbers: np.ndarray) -> EventBatch:
        """Return the rows that are the user's.

        Args:
            batch: all rows.
            own: which of them are not, at least one; bool.
            numbers: of the system call of each row.
        """
        rows = np.flatnonzero(own)
        calls, theirs = self._counters, batch.take(rows)
        at = numbers[rows]
        latency = np.where(theirs.text("state") == "refused", 0, theirs["latency_ns"]).astype(np.uint64)
        bucket = np.minimum(np.frexp(np.maximum(latency, 1).astype(float))[1] - 1, wire.BUCKETS - 1)
        failed = theirs["is_error"].astype(bool)
        for name, values in (
            ("calls", np.ones(len(rows), np.uint64)),
            ("errors", (failed & ~theirs["probe"].astype(bool)).astype(np.uint64)),
            ("probes", theirs["probe"].astype(np.uint64)),
            ("bytes", theirs["bytes"].astype(np.uint64)),
            ("latency_ns", latency),
        ):
            np.add.at(calls[name], at, values)
        timed = latency > 0
        np.add.at(calls["histogram"], (at[timed], bucket[timed]), np.uint64(1))
        self._rows += len(rows)
        return batch.take(np.flatnonzero(~own))

    def counters(self, counted: np.ndarray) -> np.ndarray:
        """Return the kernel program's counters without those rows."""
        if not self._rows or not len(counted):
            return counted
        found = counted.copy()
        for name in COUNTER.names or ():
            found[name] -= np.minimum(found[name], self._counters[name])
        return found

    def totals(self, counted: dict[str, int]) -> dict[str, int]:
        """Return the kernel program's totals: those rows were left out."""
        if not self._rows:
            return counted
        less = min(self._rows, counted["emitted"])
        changed = {"seen": counted["seen"] - less, "emitted": counted["emitted"] - less}
        return counted | changed | {"left_out": counted["left_out"] + less}
