"""How long peers took to answer: from what was sent on a connection to the first that came back.

It is told from the rows of the connection alone, so it does not matter where the program waited meanwhile: in the call
that receives, in `poll`, or in an event loop.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from ior_nb.aggregate.groups import Numbers
from ior_nb.aggregate.hosts import Apart
from ior_nb.aggregate.rows import latencies
from ior_nb.aggregate.spent import amount
from ior_nb.runtime import EventBatch
from ior_nb.runtime.index import grown, pairs

__all__ = ["REPLIES", "Replied", "Replies"]

REPLIES: Final = ("syscall", "time_ns", "latency_ns", "state", "inode", "host", "wait_other_ns")
"""The columns of `Replies`."""
_MOST: Final = 1 << 18
"""Connections remembered; of more all are forgotten."""


class Replied(NamedTuple):
    """Rows that waited for an answer."""

    rows: np.ndarray
    first: np.ndarray
    """Whether an answer begins with it: 1 or 0."""
    waited: np.ndarray
    """How long the program did without it, ns."""


class Replies:
    """Takes batches in the order of their rows. Whoever begins a connection, or speaks first on it, is answered."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._inodes, self._numbers = Apart(), Numbers()
        self._met, self._serves, self._sent = (np.zeros(64, bool) for _ in range(3))
        self._since = np.zeros(64, np.int64)  # end of what was sent last

    def of(self, batch: EventBatch, peers: np.ndarray, read: np.ndarray, written: np.ndarray) -> Replied:
        """Return the rows of a batch that waited for an answer.

        Args:
            batch: `REPLIES` of the rows.
            peers: a number for the peer of each, 0 for none.
            read: bytes each row read.
            written: bytes each wrote.
        """
        asks = written > 0
        connect = batch.tables["syscall"].code("connect")
        if connect is not None:
            asks |= batch["syscall"] == connect
        rows = np.flatnonzero((peers != 0) & (asks | (read > 0)))
        if not len(rows):
            return Replied(rows, rows, rows)
        if len(self._numbers) > _MOST:
            self._forget()
        numbers, _ = self._numbers.of(pairs(self._inodes.of(batch, "inode", rows), peers[rows]))
        for name in ("_met", "_serves", "_sent", "_since"):
            setattr(self, name, grown(getattr(self, name), len(self._numbers)))
        end = batch["time_ns"][rows].view(np.int64) + latencies(batch)[0][rows]
        order = np.lexsort((end, numbers))
        rows, numbers, asks, end = rows[order], numbers[order], asks[rows[order]], end[order]
        turns = np.flatnonzero(numbers[1:] != numbers[:-1])
        first, last = np.append(0, turns + 1), np.append(turns, len(rows) - 1)
        new = first[~self._met[numbers[first]]]
        self._serves[numbers[new]] = ~asks[new]
        sent, since = np.append(False, asks[:-1]), np.append(0, end[:-1])
        sent[first], since[first] = self._sent[numbers[first]], self._since[numbers[first]]
        self._met[numbers[last]] = True
        self._sent[numbers[last]], self._since[numbers[last]] = asks[last], end[last]
        comes = ~asks & ~self._serves[numbers]
        begins = comes & sent
        waited = np.where(begins, np.maximum(end - since, 0), amount(batch, "wait_other_ns")[rows])
        return Replied(rows[comes], begins[comes].astype(np.int64), waited[comes])
