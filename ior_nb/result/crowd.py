"""Which processes there were, whose child each is, and what each did: for a summary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np

from ior_nb.runtime import EventBatch, Recoder
from ior_nb.runtime.index import grown

__all__ = ["Children", "Crowd"]

_PIDS: Final = 1 + (1 << 22)  # PID_MAX_LIMIT of the kernel; recordings may have any


@dataclass(frozen=True, slots=True)
class Children:
    """Processes whose parent is one of the trace's, together."""

    count: int = 0
    names: tuple[tuple[str, int], ...] = ()
    """What they are called, and how many so; the most first."""
    calls: int = 0
    bytes_read: int = 0
    bytes_written: int = 0


class Crowd:
    """Counts the rows of each process; a process is called what its main thread was called last."""

    def __init__(self) -> None:
        self._places = np.zeros(1024, np.int32)  # by pid; 0 for one not seen
        self._strange: set[int] = set()
        self._pids: list[int] = [0]
        self._parents: list[int] = [0]
        self._names = Recoder()
        self._sums = {name: np.zeros(64, np.int64) for name in ("calls", "read", "written", "name")}

    def __len__(self) -> int:
        return len(self._pids) - 1 + len(self._strange)

    def add(self, batch: EventBatch, moved: tuple[np.ndarray, np.ndarray] | None) -> None:
        """Count rows; `moved` are the bytes read and written by each, None where none moved any."""
        pids = batch["pid"].astype(np.intp)
        most = int(pids.max())
        self._places = grown(self._places, min(most + 1, _PIDS))
        if most >= len(self._places):
            strange = pids >= len(self._places)
            self._strange.update(pids[strange].tolist())
            pids = np.where(strange, 0, pids)
        at = self._places.take(pids)
        new = np.flatnonzero((at == 0) & (pids > 0))
        if len(new):
            found, first = np.unique(pids[new], return_index=True)
            self._places[found] = np.arange(len(self._pids), len(self._pids) + len(found))
            self._pids += found.tolist()
            self._parents += batch["ppid"][new[first]].tolist()
            self._sums = {name: grown(column, len(self._pids)) for name, column in self._sums.items()}
            at = self._places.take(pids)
        count = len(self._pids)
        if int(at.min()) == int(at.max()):  # most batches are of one process
            at = at[:1]
            rows = [np.array([len(batch)]), *(values.sum(keepdims=True) for values in moved or ())]
        else:
            rows = [np.ones(len(at), np.int64), *(moved or ())]
        for name, values in zip(("calls", "read", "written"), rows, strict=False):
            np.add.at(self._sums[name], at, values)
        main = np.flatnonzero((batch["tid"] == batch["pid"]) | (self._sums["name"][:count].take(at) == 0))
        if len(at) == 1:
            main = main[-1:]
        names = self._names.codes(batch["comm"][main], batch.tables["comm"])
        self._sums["name"][self._places.take(pids[main])] = names

    def children(self) -> Children:
        """Return those whose parent is another one."""
        parents = np.array(self._parents, np.int64)
        known = np.zeros(len(self._places) + 1, bool)
        known[self._pids[1:]] = True
        is_child = known[np.minimum(parents, len(known) - 1)] & (parents > 0)
        there = np.flatnonzero(is_child)
        names = Counter(self._names.own.at(self._sums["name"][there]))
        return Children(
            len(there),
            tuple(names.most_common()),
            *(int(self._sums[name][there].sum()) for name in ("calls", "read", "written")),
        )
