"""Which process a row is of, where a process id is used again, or by another host."""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.aggregate.groups import Pairs
from ior_nb.aggregate.hosts import Hosts, Which
from ior_nb.runtime import EventBatch
from ior_nb.runtime.index import HALF, grown, pairs, rows_of
from ior_nb.runtime.rows import Rows, pieces, read

__all__ = ["Processes"]

_LOOKED_AT: Final = ("pid", "tid", "ppid", "first_on_tid", "host")
_INIT: Final = 1
"""Who is the parent of orphans."""
_MOST: Final = 1 << 22  # PID_MAX_LIMIT of the kernel; recordings may have any


class Processes:
    """Groups of the rows of one process each, numbered from 0 on as they come.

    A process begins with the first call of its main thread, and its parent is always the same. In another recording of
    the same boot it goes on, if it was there before that recording began, also as an orphan. Ids of one life need one
    look at the rows; only of the others each row's time is compared.

    Args:
        rows: all of them.
    """

    def __init__(self, rows: Rows) -> None:
        self._hosts = Hosts()
        self._ids: dict[int, _Ids] = {}
        for batch in read(rows, *_LOOKED_AT):
            for host, which in self._hosts.of(batch):
                self._ids.setdefault(host, _Ids()).look(batch, which)
        for ids in self._ids.values():
            ids.looked()
        if self._again:
            boots: dict[str, int] = {"": 0}
            for piece in pieces(rows):
                boot = boots.setdefault(piece.boot(), len(boots))
                batch = piece.read(*_LOOKED_AT, "time_ns", "started_before")
                for host, which in self._hosts.of(batch) if len(batch) else ():
                    self._ids[host].look_again(batch, which, boot)
        self._first = np.cumsum([0, *(ids.found() for ids in self._ids.values())])
        self._numbers = Pairs()
        self._keys = [np.zeros(0, np.uint64)]

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def _again(self) -> bool:
        return any(len(ids.again) for ids in self._ids.values())

    @property
    def several(self) -> bool:
        """Whether they are of more than one host."""
        return len(self._ids) > 1

    @property
    def needs(self) -> tuple[str, ...]:
        """The columns that `of` needs."""
        return "pid", *(("host",) if self.several else ()), *(("time_ns",) if self._again else ())

    def of(self, batch: EventBatch) -> np.ndarray:
        """Return the process of each row."""
        pids, lives = batch["pid"], self._lives(batch)
        at, first = self._numbers.of(lives, pids)
        self._keys.append(pairs(pids.take(first), lives.take(first)))
        return at.astype(np.intp)

    def pids(self) -> np.ndarray:
        """Return the id of each process, int64."""
        return (np.concatenate(self._keys) >> HALF).astype(np.int64)

    def hosts(self) -> np.ndarray:
        """Return the name of each process's host."""
        lives = np.concatenate(self._keys) & np.uint64(0xFFFFFFFF)
        known = np.array(list(self._ids), np.intp)
        return self._hosts.names(known)[np.searchsorted(self._first, lives, side="right") - 1]

    def order(self) -> np.ndarray:
        """Return the processes by their ids, those of one id by host and in the order of time."""
        return np.argsort(np.concatenate(self._keys))

    def _lives(self, batch: EventBatch) -> np.ndarray:
        if not self.several and not self._again:
            return np.broadcast_to(np.uint32(0), len(batch))
        life = np.zeros(len(batch), np.uint32)
        first = dict(zip(self._ids, self._first.tolist(), strict=False))
        for host, which in self._hosts.of(batch) if self.several else [(next(iter(self._ids)), slice(None))]:
            life[which] = self._ids[host].lives(batch, which) + np.uint32(first[host])
        return life


class _Ids:
    """The process ids of one host.

    Attributes:
        again: those that began more than once, or had more than one parent.
    """

    def __init__(self) -> None:
        self._begun = np.zeros(1024, np.int64)
        self._parent = np.zeros(1024, np.int64)  # one more than the id; 0 where the process was not seen
        self._found: list[np.ndarray] = []
        self._parts: list[tuple[np.ndarray, ...]] = []
        self.again = self._pid = self._begin = np.zeros(0, np.int64)

    def look(self, batch: EventBatch, which: Which) -> None:
        """See which ids are used again."""
        pids, parents = batch["pid"][which].astype(np.int64), batch["ppid"][which].astype(np.int64) + 1
        first = rows_of(batch["first_on_tid"][which])
        begins = first[batch["tid"][which][first] == pids[first]]
        if int(pids.max()) > _MOST:
            self._found.append(np.unique(pids[pids > _MOST]))
            pids = np.where(pids > _MOST, 0, pids)
        self._begun, self._parent = (grown(column, int(pids.max()) + 1) for column in (self._begun, self._parent))
        parent = self._parent
        np.add.at(self._begun, pids[begins], 1)
        differ = rows_of(parent.take(pids) != parents)
        pids, parents = pids[differ], parents[differ]
        fresh = rows_of(parent.take(pids) == 0)
        parent[pids[fresh]] = parents[fresh]
        self._found.append(np.unique(pids[parent.take(pids) != parents]))

    def looked(self) -> None:
        """All rows were seen."""
        self.again = np.unique(np.concatenate([np.flatnonzero(self._begun > 1), *self._found]))
        del self._begun, self._parent, self._found

    def look_again(self, batch: EventBatch, which: Which, boot: int) -> None:
        """See when the second and later lives of these begin.

        Args:
            batch: the rows.
            which: those of the host.
            boot: the run of its kernel they are of, 0 where nobody knows.
        """
        if not len(self.again):
            return
        pid = batch["pid"][which].astype(np.int64)
        at = np.flatnonzero(np.isin(pid, self.again))
        times, parents = batch["time_ns"][which][at].astype(np.int64), batch["ppid"][which][at]
        begins = batch["first_on_tid"][which][at] & (batch["tid"][which][at] == pid[at])
        before = batch["started_before"][which][at]
        self._parts.append((pid[at], times, parents, begins, before, np.full(len(at), boot)))

    def found(self) -> int:
        """All rows were seen again; return the most lives an id has."""
        if not self._parts:
            return 1
        pid, time, parent, begins, before, boot = map(np.concatenate, zip(*self._parts, strict=True))
        self._parts.clear()
        order = np.lexsort((time, pid))
        pid, time, parent, begins, before, boot = (of[order] for of in (pid, time, parent, begins, before, boot))
        goes_on = before[1:] & (boot[1:] > 0) & (boot[1:] == boot[:-1])
        another = begins[1:] & ~goes_on
        another |= (parent[1:] != parent[:-1]) & ~(goes_on & (parent[1:] == _INIT))
        another = np.flatnonzero(another & (pid[1:] == pid[:-1])) + 1
        self._pid, self._begin = pid[another], time[another]
        self.again = np.unique(self._pid)
        return int(np.unique(self._pid, return_counts=True)[1].max(initial=0)) + 1

    def lives(self, batch: EventBatch, which: Which) -> np.ndarray:
        """Return which life of its id each row is of, from 0 on."""
        pids = batch["pid"][which].astype(np.int64)
        life = np.zeros(len(pids), np.uint32)
        if not len(self._begin):
            return life
        at = np.flatnonzero(np.isin(pids, self.again))
        times = batch["time_ns"][which][at].astype(np.int64)
        for pid in np.unique(pids[at]).tolist():
            mine = np.flatnonzero(pids[at] == pid)
            life[at[mine]] = np.searchsorted(self._begin[self._pid == pid], times[mine], side="right")
        return life
