"""Which process a row is of, where a process id is used again."""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.aggregate.groups import HALF, Pairs, pairs
from ior_nb.runtime import EventBatch
from ior_nb.runtime.index import grown, rows_of
from ior_nb.runtime.rows import Rows, read

__all__ = ["Processes"]

_LOOKED_AT: Final = ("pid", "tid", "ppid", "first_on_tid")
_MOST: Final = 1 << 22  # PID_MAX_LIMIT of the kernel; recordings may have any


class Processes:
    """Groups of the rows of one process each, numbered from 0 on as they come.

    A process begins with the first call of its main thread, and its parent is always the same. Ids of one life need one
    look at the rows; only of the others each row's time is compared.

    Args:
        rows: all of them.
    """

    def __init__(self, rows: Rows) -> None:
        self._again = _used_again(rows)
        self._pid, self._begin = np.zeros(0, np.int64), np.zeros(0, np.int64)
        if len(self._again):
            self._find(rows)
        self._numbers = Pairs()
        self._keys = [np.zeros(0, np.uint64)]

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns that `of` needs."""
        return ("pid", "time_ns") if len(self._begin) else ("pid",)

    def of(self, batch: EventBatch) -> np.ndarray:
        """Return the process of each row."""
        pids, lives = batch["pid"], self._lives(batch)
        at, first = self._numbers.of(lives, pids)
        self._keys.append(pairs(pids.take(first), lives.take(first)))
        return at.astype(np.intp)

    def pids(self) -> np.ndarray:
        """Return the id of each process, int64."""
        return (np.concatenate(self._keys) >> HALF).astype(np.int64)

    def order(self) -> np.ndarray:
        """Return the processes by their ids, those of one id in the order of time."""
        return np.argsort(np.concatenate(self._keys))

    def _lives(self, batch: EventBatch) -> np.ndarray:
        if not len(self._begin):
            return np.broadcast_to(np.uint32(0), len(batch))
        life = np.zeros(len(batch), np.uint32)
        pids = batch["pid"].astype(np.int64)
        at = np.flatnonzero(np.isin(pids, self._again))
        times = batch["time_ns"][at].astype(np.int64)
        for pid in np.unique(pids[at]).tolist():
            mine = np.flatnonzero(pids[at] == pid)
            life[at[mine]] = np.searchsorted(self._begin[self._pid == pid], times[mine], side="right")
        return life

    def _find(self, rows: Rows) -> None:
        """Find when the second and later lives begin."""
        parts = []
        for batch in read(rows, *_LOOKED_AT, "time_ns"):
            pid = batch["pid"].astype(np.int64)
            at = np.flatnonzero(np.isin(pid, self._again))
            begins = batch["first_on_tid"][at] & (batch["tid"][at] == batch["pid"][at])
            parts.append((pid[at], batch["time_ns"][at].astype(np.int64), batch["ppid"][at], begins))
        pid, time, parent, begins = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.lexsort((time, pid))
        pid, time, parent, begins = pid[order], time[order], parent[order], begins[order]
        another = np.flatnonzero((pid[1:] == pid[:-1]) & (begins[1:] | (parent[1:] != parent[:-1]))) + 1
        self._pid, self._begin = pid[another], time[another]


def _used_again(rows: Rows) -> np.ndarray:
    """Return the process ids that began more than once, or had more than one parent."""
    begun = np.zeros(1024, np.int64)
    parent = np.full(1024, 0, np.int64)  # one more than the id; 0 where the process was not seen
    found: list[np.ndarray] = []
    for batch in read(rows, *_LOOKED_AT):
        pids, parents = batch["pid"].astype(np.int64), batch["ppid"].astype(np.int64) + 1
        if int(pids.max()) > _MOST:
            found.append(np.unique(pids[pids > _MOST]))
            pids = np.where(pids > _MOST, 0, pids)
        begun, parent = (grown(column, int(pids.max()) + 1) for column in (begun, parent))
        first = rows_of(batch["first_on_tid"])
        np.add.at(begun, pids[first[batch["tid"][first] == batch["pid"][first]]], 1)
        differ = rows_of(parent.take(pids) != parents)
        fresh = differ[parent.take(pids[differ]) == 0]
        parent[pids[fresh]] = parents[fresh]
        found.append(np.unique(pids[differ][parent.take(pids[differ]) != parents[differ]]))
    return np.unique(np.concatenate([np.flatnonzero(begun > 1), *found]))
