"""A file looked for along a path: which of the places where it was not found are no failures.

A call of `probes.SEARCHING` that finds nothing is a probe when the same thread finds a file of the same name within
`WITHIN_NS`: a loader that goes through its folders, a shell that goes through PATH, a program that looks before it
creates. Only what comes later can tell, so rows are held back from such a call on until it is told, its time is up,
or somebody wants all there is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ior_nb.runtime import EventBatch, StringTable
from ior_nb.syscalls.probes import NOT_FOUND, SEARCHING

__all__ = ["WITHIN_NS", "Searches"]

WITHIN_NS: Final = 100_000_000
_MOST_HELD: Final = 1 << 18  # rows
_MOST_NAMES: Final = 1 << 16
_CODES: Final = -np.array(NOT_FOUND)


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
        self._paths: StringTable | None = None  # of the batches
        self._name_of = np.zeros(0, np.int64)  # by code of a path: which of the names; -1 unknown
        self._calls: tuple[StringTable | None, np.ndarray] = (None, np.zeros(0, bool))

    def take(self, batch: EventBatch) -> None:
        """Take a batch; hand on what is told."""
        failed = np.flatnonzero(batch["is_error"])
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
            self._names, self._paths = StringTable(), None
        for batch in ready:
            self._deliver(batch)

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
        written, paths = batch["path_arg"][rows], batch.tables["path_arg"]
        codes = np.where(written != 0, written, batch["file"][rows])
        if self._paths is not paths:
            self._paths, self._name_of = paths, np.zeros(0, np.int64)
        if len(self._name_of) < len(paths):
            more = np.full(len(paths) + len(paths) // 4 - len(self._name_of), -1)
            self._name_of = np.concatenate([self._name_of, more])
        found: np.ndarray = self._name_of.take(codes)
        fresh = np.unique(codes[found < 0])
        if len(fresh):
            names = [path.rpartition("/")[2] for path in paths.at(fresh)]
            self._name_of[fresh] = self._names.intern_many(names)
            found = self._name_of.take(codes)
        return found
