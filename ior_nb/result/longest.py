"""`Longest`: the rows of a trace that took longest, for its summary."""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.aggregate import reasons
from ior_nb.aggregate.hosts import hosts_of
from ior_nb.result.summary import SlowRow
from ior_nb.runtime import EventBatch
from ior_nb.runtime.peers import seen_files
from ior_nb.runtime.schema import PARTS

__all__ = ["Longest"]

SLOWEST: Final = 5
_SHOWN: Final = ("syscall", "file", "latency_ns", "bytes", "pid", "comm", "host", "peer", "socket", *PARTS)


class Longest:
    """The rows that took longest so far."""

    def __init__(self) -> None:
        self._kept: EventBatch | None = None
        self._bar = -1

    def add(self, batch: EventBatch, latency: np.ndarray, rows: np.ndarray | None = None) -> None:
        """Remember the slowest rows so far; a batch with none of them costs one maximum.

        Args:
            batch: the rows.
            latency: of each, or of each of some; a negative one is none.
            rows: the numbers of these.
        """
        if self._kept is not None:
            self._kept = self._kept.recoded(batch.tables)  # lest these few rows keep the strings of old tables
        most = int(latency.max())
        if most < 0 or (self._kept is not None and len(self._kept) >= SLOWEST and most <= self._bar):
            return
        best = np.argpartition(latency, -SLOWEST)[-SLOWEST:] if len(latency) > SLOWEST else np.arange(len(latency))
        best = best[latency[best] >= 0]
        slow = batch.read(*_SHOWN).take(best if rows is None else rows[best])
        if self._kept is not None:
            slow = EventBatch.concat([self._kept, slow])
        order = np.argsort(-slow["latency_ns"].astype(np.int64), kind="stable")[:SLOWEST]
        self._kept = slow.take(order)
        self._bar = int(self._kept["latency_ns"].min())

    def rows(self) -> list[SlowRow]:
        """Return them, the slowest first."""
        if self._kept is None:
            return []
        files = self._kept.tables["file"].at(seen_files(self._kept))
        rows = zip(self._kept, files, reasons(self._kept), strict=True)
        several = len(hosts_of(self._kept)) > 0
        return [
            SlowRow(r.syscall, file, r.latency_ns, r.bytes, r.pid, r.comm, why, r.host if several else "")
            for r, file, why in rows
        ]
