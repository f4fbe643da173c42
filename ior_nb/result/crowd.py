"""Which processes there were, whose child each is, and what each did: for a summary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np

from ior_nb.aggregate import Reading
from ior_nb.aggregate.hosts import Hosts
from ior_nb.aggregate.sums import Sums
from ior_nb.runtime import EventBatch, Recoder
from ior_nb.runtime.index import grown, rows_of

__all__ = ["Children", "Crowd"]

_PIDS: Final = 1 + (1 << 22)  # PID_MAX_LIMIT of the kernel; recordings may have any
_COLUMNS: Final = ("syscall", "bytes", "pid", "ppid", "tid", "comm")


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
    """Counts the rows of each process of each host; one is called what its main thread was called last."""

    def __init__(self) -> None:
        self._hosts = Hosts()
        self._of: dict[int, _OfHost] = {}

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def add(self, reading: Reading) -> None:
        """Count rows."""
        batch = reading.batch
        for host, which in self._hosts.of(batch):
            one = self._of.setdefault(host, _OfHost())
            if isinstance(which, slice):
                one.add(reading)
            else:
                one.add(Reading(batch.some(which, *_COLUMNS)))

    def children(self) -> Children:
        """Return those whose parent is another one."""
        found = [one.children() for one in self._of.values()]
        names = sum((Counter(dict(one.names)) for one in found), Counter[str]())
        sums = ("count", "calls", "bytes_read", "bytes_written")
        return Children(
            names=tuple(names.most_common()), **{name: sum(getattr(o, name) for o in found) for name in sums}
        )


class _OfHost:
    """The processes of one host."""

    def __init__(self) -> None:
        self._places = np.zeros(1024, np.int32)  # by pid; 0 for one not seen
        self._strange: set[int] = set()
        self._pids: list[int] = [0]
        self._parents: list[int] = [0]
        self._names = Recoder()
        self._sums = Sums(("calls", "read", "written", "name"))

    def __len__(self) -> int:
        return len(self._pids) - 1 + len(self._strange)

    def add(self, reading: Reading) -> None:
        """Count rows."""
        batch, pids = reading.batch, reading.pids
        most = int(pids[-1])
        self._places = grown(self._places, min(most + 1, _PIDS))
        if most >= len(self._places):
            strange = pids >= len(self._places)
            self._strange.update(pids[strange].tolist())
            pids = np.where(strange, 0, pids)
        at = self._places.take(pids)
        new = rows_of((at == 0) & (pids > 0))
        if len(new):
            self._enter(batch, pids[new], reading.first_rows[new])
            at = self._places.take(pids)
        read, written = reading.moved_by_process
        for name, values in (("calls", reading.counts.process), ("read", read), ("written", written)):
            self._sums.add(name, at, values)
        main = rows_of(batch["tid"] == batch["pid"])
        last = np.full(len(pids), -1, np.int64)
        last[reading.process.take(main)] = main  # the last one stays
        named = rows_of(last >= 0)
        self._name(batch, at[named], last[named])

    def _enter(self, batch: EventBatch, pids: np.ndarray, rows: np.ndarray) -> None:
        """Give processes places; of each a row."""
        places = np.arange(len(self._pids), len(self._pids) + len(pids))
        self._places[pids] = places
        self._pids += pids.tolist()
        self._parents += batch["ppid"][rows].tolist()
        self._sums.grow(len(self._pids))
        self._name(batch, places, rows)

    def _name(self, batch: EventBatch, places: np.ndarray, rows: np.ndarray) -> None:
        self._sums.columns["name"][places] = self._names.codes(batch["comm"][rows], batch.tables["comm"])

    def children(self) -> Children:
        """Return those whose parent is another one."""
        parents = np.array(self._parents, np.int64)
        known = np.zeros(len(self._places) + 1, bool)
        known[self._pids[1:]] = True
        is_child = known[np.minimum(parents, len(known) - 1)] & (parents > 0)
        there = rows_of(is_child)
        names = Counter(self._names.own.at(self._sums.columns["name"][there]))
        return Children(
            len(there),
            tuple(names.most_common()),
            *(int(self._sums.columns[name][there].sum()) for name in ("calls", "read", "written")),
        )
