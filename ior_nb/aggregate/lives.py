"""Which process a row is of, where a process id is used again, or by another host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np

from ior_nb.aggregate.groups import Pairs
from ior_nb.aggregate.hosts import Hosts, Which
from ior_nb.aggregate.rows import latencies
from ior_nb.runtime import EventBatch
from ior_nb.runtime.batch import Source
from ior_nb.runtime.index import HALF, grown, pairs, rows_of
from ior_nb.runtime.rows import Rows, pieces

__all__ = ["Processes"]

_LOOKED_AT: Final = ("pid", "tid", "ppid", "first_on_tid", "host")
_ENDS: Final = ("latency_ns", "state")
_INIT: Final = 1
"""Who is the parent of orphans."""
_MOST: Final = 1 << 22  # PID_MAX_LIMIT of the kernel; recordings may have any


class Processes:
    """Groups of the rows of one process each, numbered from 0 on as they come.

    A process begins with the first call of its main thread, and its parent is always the same. In another recording of
    the same boot it goes on, if it was there before that recording began, also as an orphan, or if its calls there lie
    between those of this one: an id is one process at a time. Ids of one life need one look at the rows; only of the
    others each row's time is compared.

    Args:
        rows: all of them.
    """

    def __init__(self, rows: Rows) -> None:
        self._hosts = Hosts()
        self._ids: dict[int, _Ids] = {}
        for piece in pieces(rows):
            batch = piece.read(*_LOOKED_AT)
            for host, which in self._hosts.of(batch) if len(batch) else ():
                self._ids.setdefault(host, _Ids()).look(batch, which, piece.source())
        for ids in self._ids.values():
            ids.looked()
        if self._again:
            for piece in pieces(rows):
                batch = piece.read(*_LOOKED_AT, "time_ns", "started_before", *_ENDS)
                for host, which in self._hosts.of(batch) if len(batch) else ():
                    self._ids[host].look_again(batch, which, piece.source())
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

    def unsure(self) -> np.ndarray:
        """Return which processes may be several: rows of several recordings, and nothing tells that they are of one."""
        of_hosts = zip(self._ids.values(), self._first.tolist(), strict=False)
        found = [pairs(ids.unsure[:, 0], ids.unsure[:, 1] + first) for ids, first in of_hosts]
        return np.isin(np.concatenate(self._keys), np.concatenate([self._keys[0], *found]))

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
        again: those that began more than once, had more than one parent, or were used in more than one boot.
        unsure: id and life of those that may be several: shape (n, 2).
    """

    def __init__(self) -> None:
        self._begun = np.zeros(1024, np.int64)
        self._parent = np.zeros(1024, np.int64)  # one more than the id, behind the boot; 0 where it was not seen
        self._boots = {"": 0}
        self._found: list[np.ndarray] = []
        self._parts: list[tuple[np.ndarray, ...]] = []
        self._sources: dict[int, Source] = {}
        self.again = self._pid = self._begin = np.zeros(0, np.int64)
        self.unsure = np.zeros((0, 2), np.int64)

    def look(self, batch: EventBatch, which: Which, source: Source) -> None:
        """See which ids are used again."""
        boot = self._boots.setdefault(source.boot, len(self._boots)) << int(HALF)
        pids, parents = batch["pid"][which].astype(np.int64), batch["ppid"][which].astype(np.int64) + 1 + boot
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

    def look_again(self, batch: EventBatch, which: Which, source: Source) -> None:
        """See when the second and later lives of these begin.

        Args:
            batch: the rows.
            which: those of the host.
            source: the recording they are of.
        """
        if not len(self.again):
            return
        pid = batch["pid"][which].astype(np.int64)
        at = np.flatnonzero(np.isin(pid, self.again))
        times, parents = batch["time_ns"][which][at].astype(np.int64), batch["ppid"][which][at]
        begins = batch["first_on_tid"][which][at] & (batch["tid"][which][at] == pid[at])
        before, ends = batch["started_before"][which][at], times + latencies(batch)[0][which][at]
        self._sources[source.number] = source
        self._parts.append((pid[at], times, ends, parents, begins, before, np.full(len(at), source.number)))

    def found(self) -> int:
        """All rows were seen again; return the most lives an id has."""
        if not self._parts:
            return 1
        rows = list(map(np.concatenate, zip(*self._parts, strict=True)))
        self._parts.clear()
        order = np.lexsort((rows[1], rows[0]))
        rows = [column[order] for column in rows]
        pid, time, end, parent, begins, before, number = rows
        about = np.zeros((2, max(self._sources) + 1), np.int64)
        for at, source in self._sources.items():
            about[:, at] = self._boots[source.boot], source.since
        boot, since = about[:, number]
        known = (boot[1:] > 0) & (boot[:-1] > 0)
        goes_on = before[1:] & known & (boot[1:] == boot[:-1])
        cut = _anew(parent, begins, goes_on) | known & (boot[1:] != boot[:-1])
        new = rows_of(cut & (pid[1:] == pid[:-1])) + 1
        # Where recordings overlap in time, one does not know what the other saw of a process.
        overlap = (number[new] != number[new - 1]) & (time[new - 1] >= since[new])
        overlap |= end[new - 1] > time[new]
        overlap &= (boot[new] > 0) & (boot[new] == boot[new - 1]) & (since[new] > 0)
        for at, source in self._sources.items():
            if source.overlaps:
                overlap |= (number[new] == at) & np.array([source.overlapped(t) for t in time[new].tolist()], bool)
        compared = np.isin(pid, pid[new[overlap]])
        new = new[~compared[new]]
        some = _compared([column[compared] for column in rows], self._sources)
        found = [np.append(pid[new], some[0]), np.append(time[new], some[1])]
        order = np.lexsort(found[::-1])
        self._pid, self._begin = found[0][order], found[1][order]
        self.unsure = some[2]
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


def _anew(parent: np.ndarray, begins: np.ndarray, goes_on: np.ndarray) -> np.ndarray:
    """Return which rows but the first begin another process than the row before is of, were both of one id."""
    return np.asarray(begins[1:] & ~goes_on | (parent[1:] != parent[:-1]) & ~(goes_on & (parent[1:] == _INIT)))


def _compared(rows: list[np.ndarray], sources: Mapping[int, Source]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tell lives apart of ids that several recordings had at the same time, by what each of these knows.

    Args:
        rows: those of these ids, columns as `found` has them.
        sources: the recordings by number.

    Returns:
        Id and begin of each second or later life; and id and number of lives that are guesses, shape (n, 2).
    """
    order = np.lexsort((rows[1], rows[6], rows[0]))
    pid, time, end, parent, begins, before, number = (column[order] for column in rows)
    goes_on = before[1:] & np.isin(number[1:], [at for at, source in sources.items() if source.boot])
    cut = _anew(parent, begins, goes_on) | (pid[1:] != pid[:-1]) | (number[1:] != number[:-1])
    at = np.append(0, rows_of(cut) + 1)[: len(pid)]
    last = np.maximum.reduceat(end, at) if len(at) else end
    order = np.lexsort((time[at], pid[at]))
    at, last = at[order], last[order]
    columns = [column.tolist() for column in (pid[at], number[at], time[at], parent[at], begins[at], before[at], last)]
    told = list(_told(map(_Stretch, *columns), sources))
    life, guessed = np.array([one.life for one in told], np.int64), np.array([one.guessed for one in told], bool)
    new = rows_of(np.append(False, (np.diff(life) > 0) & (np.diff(pid[at]) == 0))[: len(at)])
    return pid[at][new], time[at][new], np.stack([pid[at][guessed], life[guessed]], axis=1)


class _Stretch(NamedTuple):
    """Rows of one id in one recording, as far as that knows of one process."""

    pid: int
    number: int
    first: int
    parent: int
    begins: bool
    before: bool
    last: int


class _Told(NamedTuple):
    """Which life of its id a stretch is of, and whether nothing says that it is no other."""

    life: int
    guessed: bool = False


def _told(stretches: Iterable[_Stretch], sources: Mapping[int, Source]) -> Iterator[_Told]:
    """Tell of stretches, by id and in the order of time, which process each is of."""
    pid, life, began, parent, boot = -1, 0, 0, 0, ""
    ends: dict[int, int] = {}  # of the id, by recording: who is born in it later is another
    for group in _at_once(stretches, sources):
        one, source, guessed = group[0], sources[group[0].number], False
        if one.pid != pid:
            pid, another, life, ends = one.pid, True, -1, {}
        elif not boot or source.of_boot != boot:
            another = bool(boot and source.of_boot) or one.begins or one.parent != parent
        else:
            known = (sources[m.number].born_after(m.first, ends.get(m.number, 0)) for m in group if not m.before)
            born = max(known, default=0)
            related = (m.parent == parent or (m.parent if m.before else parent) == _INIT for m in group)
            another = born >= began or not any(related)
            guessed = not another and not any(m.before for m in group)
        if another:
            life, began, boot = life + 1, one.first, source.of_boot
            parent = next((m.parent for m in group if m.parent != _INIT), _INIT)
        for member in group:
            ends[member.number] = max(ends.get(member.number, 0), member.last)
            yield _Told(life, guessed)


def _at_once(stretches: Iterable[_Stretch], sources: Mapping[int, Source]) -> Iterator[list[_Stretch]]:
    """Yield stretches of one process: an id has one at a time, so calls that overlap, or lie between others, are its.

    Where a recording says of its own rows that they are of two processes it is believed, unless a call still went on:
    then it was made of recordings that overlap.
    """
    group: list[_Stretch] = []
    end, ends, boot = 0, dict[int, int](), ""
    for one in stretches:
        same = group and one.pid == group[0].pid and boot and sources[one.number].of_boot == boot and one.first < end
        if group and not (same and ends.get(one.number, one.first + 1) > one.first):
            yield group
            group, end, ends = [], 0, {}
        group.append(one)
        boot, end = sources[one.number].of_boot, max(end, one.last)
        ends[one.number] = max(ends.get(one.number, 0), one.last)
    if group:
        yield group
