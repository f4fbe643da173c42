"""`Processes`: sums by process; an id that is used again is another process."""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.aggregate import Reading
from ior_nb.runtime import Recoder, StringTable
from ior_nb.runtime.index import grown, rows_of
from ior_nb.sinks.statsengine.activity import MAXIMA, SUMS, add_by_process
from ior_nb.sinks.statsengine.table import Table

__all__ = ["MAX_PID", "Processes"]

MAX_PID: Final = 1 << 22  # PID_MAX_LIMIT of the kernel
_COLUMNS: Final = (
    *("syscall", "bytes", "latency_ns", "state", "is_error", "probe", "fetched_bytes"),
    *("pid", "ppid", "tid", "comm"),
)
_NAMES: Final = 1 << 16
"""Names of threads remembered; those no process has are dropped beyond."""
_WAITING: Final = 4096
"""Ends kept until a row shows that the id is in use again. So many ends later no row of the first is under way."""


class Lives:
    """Which life of a process id we are in. Outlives a reset, so that a process keeps its name."""

    def __init__(self) -> None:
        self.number = np.zeros(1024, np.int64)
        self.seen = np.zeros(1024, bool)
        self.waiting = np.zeros(1024, bool)
        self.last_end = np.zeros(1024, np.int64)
        self.ends: dict[int, list[int]] = {}

    def grow(self, top: int) -> None:
        """Make room for the id `top`."""
        if top >= len(self.number):
            for name in ("number", "seen", "waiting", "last_end"):
                setattr(self, name, grown(getattr(self, name), top + 1))

    def next(self, pid: int) -> None:
        """The next row of this id is of another process, if there was one."""
        if self.seen[pid]:
            self.number[pid] += 1
            self.seen[pid] = False


class Processes:
    """Processes by id and life.

    Args:
        limit: how many are kept apart, ended ones included.

    Attributes:
        comms: the codes of names, whatever tables they come with.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.lives = Lives()
        self.comms = Recoder()
        self.reset()

    def reset(self) -> None:
        """Drop the sums, keep who is who."""
        self.table = Table(SUMS, maxima=MAXIMA, marks=("life", "comm", "ppid"), limit=self._limit)

    def _named(self, comms: np.ndarray, table: StringTable) -> np.ndarray:
        """Return the codes of names that come with some table."""
        if len(self.comms.own) > _NAMES:
            labels = self.table.columns["comm"]
            labels[: self.table.used] = self.comms.keep(labels[: self.table.used])
        return self.comms.codes(comms, table)

    def retire(self, pid: int, time_ns: int | None) -> None:
        """A process has ended: the next row of its id, or the first that began later than its end, is of another."""
        if not 0 <= pid <= MAX_PID:
            return
        lives = self.lives
        lives.grow(pid)
        if time_ns is None:
            self._apply(pid)
            return
        ends = lives.ends.setdefault(pid, [])
        if time_ns <= lives.last_end[pid] or time_ns in ends:
            if not ends:
                del lives.ends[pid]
            return
        ends.append(time_ns)
        ends.sort()
        lives.waiting[pid] = True
        if len(lives.ends) > _WAITING:
            for old in list(lives.ends)[: _WAITING // 2]:
                self._apply(old)

    def _apply(self, pid: int) -> None:
        """End the present life of an id for good."""
        lives = self.lives
        lives.last_end[pid] = max([int(lives.last_end[pid]), *lives.ends.pop(pid, [])])
        lives.waiting[pid] = False
        lives.next(pid)
        self.table.detach(pid)

    def ended(self) -> np.ndarray:
        """Return which entries' end is known: bool, shape (used,)."""
        table = self.table
        over: np.ndarray = ~table.attached()
        pids = table.codes[: table.used]
        over[1:] |= self.lives.waiting.take(pids[1:])
        return over

    def add(self, reading: Reading) -> None:
        """Add a batch."""
        pids = _known(reading.pids)
        self.lives.grow(int(pids.max()))
        if self.lives.ends and self.lives.waiting.take(pids).any():
            self._add_in_lives(reading)
        else:
            self._add(reading)

    def _add_in_lives(self, reading: Reading) -> None:
        """Add the rows of one life after the other."""
        lives, batch = self.lives, reading.batch
        pids, times = _known(batch["pid"].astype(np.intp)), batch["time_ns"].view(np.int64)
        later = np.zeros(len(pids), np.int64)
        for pid in np.unique(pids[lives.waiting.take(pids)]).tolist():
            rows = rows_of(pids == pid)
            later[rows] = np.searchsorted(lives.ends[pid], times[rows], side="left")
        for life in np.unique(later).tolist():
            chosen = rows_of(later == life)
            if life:
                for pid in np.unique(pids[chosen]).tolist():
                    over = [end for end in lives.ends[pid] if end < int(times[chosen[pids[chosen] == pid]].min())]
                    lives.ends[pid] = lives.ends[pid][len(over) :]
                    lives.last_end[pid] = max([int(lives.last_end[pid]), *over])
                    lives.next(pid)
                    self.table.detach(pid)
                    if not lives.ends[pid]:
                        del lives.ends[pid]
                        lives.waiting[pid] = False
            self._add(Reading(batch.some(chosen, *_COLUMNS)))

    def _add(self, reading: Reading) -> None:
        entries = self.table.entries(_known(reading.pids))
        fresh = self.table.fresh
        if len(fresh):
            codes = self.table.codes[fresh]
            self.table.columns["life"][fresh] = self.lives.number[codes]
            self.lives.seen[codes] = True
            first = reading.first_rows
            new = rows_of(np.isin(entries, fresh))
            new = new[np.argsort(-first[new])]  # of several values for one entry numpy keeps the last
            self.table.columns["ppid"][entries[new]] = reading.batch["ppid"][first[new]]
        add_by_process(self.table, entries, reading)
        self._name(reading, entries)

    def _name(self, reading: Reading, entries: np.ndarray) -> None:
        """Call processes what their main threads are called last, those of none by then what any thread is."""
        batch, names = reading.batch, reading.batch.tables["comm"]
        called = self.comms.own.at(self.table.columns["comm"][entries])
        expected = np.array([-1 if (code := names.code(name)) is None else code for name in called], np.int32)
        if not (batch["comm"] != expected.take(reading.process)).any():
            return
        comms, label = self._named(batch["comm"], names), self.table.columns["comm"]
        entries = entries.take(reading.process)
        differs = (comms != label.take(entries)) & (comms != 0)
        main = batch["tid"] == _known(batch["pid"])
        if (differs & main).any():
            rows = rows_of(main & (comms != 0))
            label[entries[rows]] = comms[rows]
        rows = rows_of(differs & (label.take(entries) == 0))[::-1]
        label[entries[rows]] = comms[rows]


def _known(pids: np.ndarray) -> np.ndarray:
    """Return the ids as they are counted: those that no kernel gives are one."""
    return np.where(pids > MAX_PID, 0, pids)
