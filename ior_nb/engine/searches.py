"""A file looked for along a path: which of the places where it was not found are no failures.

A call of `probes.SEARCHING` that finds nothing is a probe when the same thread finds a file of the same name within
`WITHIN_NS`: a loader that goes through its folders, a shell that goes through PATH, a program that looks before it
creates. Only what comes later can tell, so rows are held back from such a call on until it is told, its time is up,
or somebody wants all there is. What the name of a file tells (rules of the condition `name`) is told at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ior_nb.runtime import EventBatch, StringTable
from ior_nb.syscalls.probes import NOT_FOUND, RULES, SEARCHING

__all__ = ["WITHIN_NS", "Searches"]

WITHIN_NS: Final = 100_000_000
_MOST_HELD: Final = 1 << 18  # rows
_MOST_NAMES: Final = 1 << 16
_CODES: Final = -np.array(NOT_FOUND)
_NAMED: Final = tuple(rule for rule in RULES if rule.names)


@dataclass(slots=True)
class _Open:
    """The searches that are on: one entry a call that found nothing."""

    batch: np.ndarray
    """Number of its batch."""
    row: np.ndarray
    tid: np.ndarray
    name: np.ndarray
    until: np.ndarray
    """When it is too late, ns."""

    def take(self, which: np.ndarray) -> _Open:
        return _Open(self.batch[which], self.row[which], self.tid[which], self.name[which], self.until[which])

    def and_(self, more: _Open) -> _Open:
        pairs = ((getattr(self, n), getattr(more, n)) for n in self.__slots__)
        return _Open(*(np.concatenate(pair) for pair in pairs))


def _none() -> _Open:
    return _Open(*(np.zeros(0, np.int64) for _ in range(5)))


def _finder(pattern: str) -> Callable[[list[str]], np.ndarray]:
    find = re.compile(pattern).search
    return lambda paths: np.array([find(path) is not None for path in paths])


class _Told:
    """A number for each path, made once.

    Args:
        tell: makes those of some paths, none of them negative.
    """

    def __init__(self, tell: Callable[[list[str]], np.ndarray]) -> None:
        self._tell = tell
        self.forget()

    def forget(self) -> None:
        """Make them anew."""
        self._table: StringTable | None = None
        self._known = np.zeros(0, np.int64)  # by code; -1 unknown

    def of(self, codes: np.ndarray, table: StringTable) -> np.ndarray:
        """Return the numbers of paths by their codes."""
        if self._table is not table:
            self._table, self._known = table, np.zeros(0, np.int64)
        if len(self._known) < len(table):
            more = np.full(len(table) + len(table) // 4 - len(self._known), -1)
            self._known = np.concatenate([self._known, more])
        found: np.ndarray = self._known.take(codes)
        fresh = np.unique(codes[found < 0])
        if len(fresh):
            self._known[fresh] = self._tell(table.at(fresh))
            found = self._known.take(codes)
        return found


class Searches:
    """Hands batches on, each once its searches are told. One thread at a time uses it.

    Args:
        deliver: whom to hand them to.
    """

    def __init__(self, deliver: Callable[[EventBatch], None]) -> None:
        self._deliver = deliver
        self._held: list[EventBatch] = []
        self._rows = 0
        self._first = 0  # number of the first batch held
        self._open = _none()
        self._names = StringTable()  # last components
        self._name_of = _Told(lambda paths: self._names.intern_many([path.rpartition("/")[2] for path in paths]))
        self._by_name = [_Told(_finder(rule.names)) for rule in _NAMED]
        self._calls: tuple[StringTable | None, np.ndarray] = (None, np.zeros(0, bool))

    def take(self, batch: EventBatch) -> None:
        """Take a batch; hand on what is told."""
        failed = np.flatnonzero(batch["is_error"] & ~batch["probe"])
        if len(failed):
            batch, failed = self._tell_by_name(batch, failed)
        missed = failed[np.isin(batch["ret"][failed], _CODES)]
        missed = missed[self._searching(batch).take(batch["syscall"][missed])]
        if not self._held and not len(missed):
            self._deliver(batch)
            return
        self._held.append(batch)
        self._rows += len(batch)
        number = self._first + len(self._held) - 1
        if len(missed):
            ends = batch["time_ns"][missed] + batch["latency_ns"][missed]
            names = self._last_components(batch, missed)
            tids = batch["tid"][missed].astype(np.int64)
            self._open = self._open.and_(
                _Open(np.full(len(missed), number), missed, tids, names, ends.astype(np.int64) + WITHIN_NS)
            )
        self._tell(batch, number)
        now = int((batch["time_ns"] + batch["latency_ns"]).max())
        self._open = self._open.take(self._open.until > now)
        self._hand_on()

    @property
    def waiting(self) -> bool:
        """Whether rows are held back."""
        return bool(self._held)

    def flush(self) -> None:
        """Hand on all there is: what has not been found by now was not there."""
        self._open = _none()
        self._hand_on()

    def _hand_on(self) -> None:
        """Hand on the batches before the first that is not told."""
        if self._rows > _MOST_HELD:
            self._open = _none()
        until = int(self._open.batch.min()) if len(self._open.batch) else self._first + len(self._held)
        ready, self._held = self._held[: until - self._first], self._held[until - self._first :]
        self._first = until
        self._rows -= sum(map(len, ready))
        if not self._held and len(self._names) > _MOST_NAMES:
            self._names = StringTable()
            self._name_of.forget()
        for batch in ready:
            self._deliver(batch)

    def _tell_by_name(self, batch: EventBatch, failed: np.ndarray) -> tuple[EventBatch, np.ndarray]:
        """Mark the failures that names say are none; return the batch, and the rows that are left."""
        calls, numbers, files = batch["syscall"][failed], -batch["ret"][failed], batch["file"][failed]
        probe = np.zeros(len(failed), bool)
        for rule, told in zip(_NAMED, self._by_name, strict=True):
            some = np.isin(numbers, rule.errnos) & batch.tables["syscall"].among(rule.calls).take(calls)
            if some.any():
                probe[some] |= told.of(files[some], batch.tables["file"]) != 0
        if not probe.any():
            return batch, failed
        column = batch["probe"].copy()
        column[failed[probe]] = True
        return batch.with_columns(probe=column), failed[~probe]

    def _tell(self, batch: EventBatch, number: int) -> None:
        """Mark the calls whose file this batch finds."""
        found = np.flatnonzero(self._searching(batch).take(batch["syscall"]))
        found = found[~batch["is_error"][found] & np.isin(batch["tid"][found], self._open.tid)]
        if not len(found):
            return
        keys = np.concatenate([self._open.tid, batch["tid"][found].astype(np.int64)]) << 32
        keys |= np.concatenate([self._open.name, self._last_components(batch, found)])
        keys = np.unique(keys, return_inverse=True)[1] * (len(batch) + 2)
        mine = keys[: len(self._open.tid)] + np.where(self._open.batch == number, self._open.row + 1, 0)
        theirs = keys[len(mine) :] + found + 1
        order = np.argsort(theirs)
        theirs, found = theirs[order], found[order]
        at = np.minimum(np.searchsorted(theirs, mine, side="right"), len(theirs) - 1)
        told = (theirs[at] > mine) & (theirs[at] // (len(batch) + 2) == mine // (len(batch) + 2))
        told &= batch["time_ns"][found[at]].astype(np.int64) <= self._open.until
        for which in np.unique(self._open.batch[told]).tolist():
            held = self._held[which - self._first]
            probe = held["probe"].copy()
            probe[self._open.row[told & (self._open.batch == which)]] = True
            self._held[which - self._first] = held.with_columns(probe=probe)
        self._open = self._open.take(~told)

    def _searching(self, batch: EventBatch) -> np.ndarray:
        """Tell which system calls search, by their code in the batch."""
        calls = batch.tables["syscall"]
        if self._calls[0] is not calls or len(self._calls[1]) < len(calls):
            self._calls = calls, np.array([name in SEARCHING for name in calls], bool)
        return self._calls[1]

    def _last_components(self, batch: EventBatch, rows: np.ndarray) -> np.ndarray:
        """Return the name each of some rows looked for, as a number: what it wrote, for links lead to other names."""
        written = batch["path_arg"][rows]
        codes = np.where(written != 0, written, batch["file"][rows])
        return self._name_of.of(codes, batch.tables["path_arg"])
