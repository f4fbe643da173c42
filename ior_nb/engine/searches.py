"""A file looked for along a path: which of the places where it was not found are no failures.

A call of `probes.SEARCHING` that finds nothing is a probe when the same thread finds a file of the same name within
`WITHIN_NS`: a loader that goes through its folders, a shell that goes through PATH, a program that looks before it
creates. Only what comes later can tell, so rows are held back from such a call on until it is told, its time is up,
or somebody wants all there is. What the name of a file tells (rules of the condition `name`) is told at once.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from ior_nb.runtime import EventBatch, StringTable
from ior_nb.runtime.index import grown, once, rows_of
from ior_nb.syscalls.probes import MOST_ERRNO, NOT_FOUND, RULES, SEARCHING, Rule

__all__ = ["WITHIN_NS", "Searches"]

WITHIN_NS: Final = 100_000_000
_MOST_HELD: Final = 1 << 18  # rows
_NAMED: Final = tuple(rule for rule in RULES if rule.names)
_MARKS: Final = 1 << 12
_SEARCH: Final = 1 << len(_NAMED)
_SEEN: Final = _SEARCH << 1
_FACTOR: Final = np.uint64(0x9E3779B97F4A7C15)  # odd, and its bits well mixed
_MATCHES: Final = [(1 << at, re.compile(rule.names).search) for at, rule in enumerate(_NAMED)]


@dataclass(slots=True)
class _Open:
    """The searches that are on: one entry a call that found nothing."""

    row: np.ndarray
    """Number of its row, of all that have come."""
    key: np.ndarray
    """Of its thread and the name it looks for."""
    until: np.ndarray
    """When it is too late, ns."""

    def take(self, which: np.ndarray) -> _Open:
        return _Open(self.row[which], self.key[which], self.until[which])

    def and_(self, more: _Open) -> _Open:
        pairs = ((getattr(self, n), getattr(more, n)) for n in self.__slots__)
        return _Open(*(np.concatenate(pair) for pair in pairs))


_NONE: Final = _Open(np.zeros(0, np.int64), np.zeros(0, np.uint64), np.zeros(0, np.uint64))


def _rules_of(paths: list[str]) -> list[int]:
    """Return the rules that names are of: one bit each, in the order of `_NAMED`, and that they have been looked at."""
    found = [[bit if match(path) else 0 for path in paths] for bit, match in _MATCHES]
    return [_SEEN + sum(bits) for bits in zip(*found, strict=True)]


def _last_components(paths: list[str]) -> list[int]:
    """Return a number of 64 bits for each path's last component, keyed as Python's hashes are; not 0."""
    return [hash(path.rpartition("/")[2]) or 1 for path in paths]


class _Told:
    """A number for each path, made once.

    Args:
        tell: makes those of some paths, none of them 0.
    """

    def __init__(self, tell: Callable[[list[str]], list[int]]) -> None:
        self._tell = tell
        self._table: StringTable | None = None
        self._known = np.zeros(0, np.int64)  # by code; 0 unknown

    def of(self, codes: np.ndarray, table: StringTable) -> np.ndarray:
        """Return the numbers of paths by their codes."""
        if self._table is not table:
            self._table, self._known = table, np.zeros(0, np.int64)
        self._known = grown(self._known, len(table))
        found: np.ndarray = self._known.take(codes)
        fresh = rows_of(found == 0)
        if len(fresh):
            new = once(codes.take(fresh), self._known)
            self._known[new] = self._tell(table.at(new))
            found = self._known.take(codes)
        return found


class _Calls:
    """What a failure may be by its call and error, and which calls search: by the codes of a table of calls.

    Attributes:
        may_be: bits of the rules of `_NAMED`, and `_SEARCH`: uint8, shape (calls, errors).
        searching: bool, shape (calls,).
    """

    def __init__(self, table: StringTable) -> None:
        self.table, self.known = table, len(table)
        self.may_be = np.zeros((self.known, MOST_ERRNO + 2), np.uint8)  # the last is of all greater errors
        self.searching = table.among(SEARCHING)
        for at, rule in enumerate((*_NAMED, Rule(NOT_FOUND, SEARCHING, ""))):
            for error in rule.errnos:
                self.may_be[table.among(rule.calls), error] |= 1 << at


class Searches:
    """Hands batches on, each once its searches are told. One thread at a time uses it.

    Args:
        deliver: whom to hand them to.
    """

    def __init__(self, deliver: Callable[[EventBatch], None]) -> None:
        self._deliver = deliver
        self._held: deque[EventBatch] = deque()
        self._rows = 0
        self._first = 0  # number of the first row held, of all that have come
        self._open = _NONE
        self._found = np.zeros(0, np.int64)  # rows held whose search has found
        self._names, self._rules = _Told(_last_components), _Told(_rules_of)
        self._calls = _Calls(StringTable())

    def take(self, batch: EventBatch) -> None:
        """Take a batch; hand on what is told."""
        if self._calls.table is not batch.tables["syscall"] or self._calls.known < len(self._calls.table):
            self._calls = _Calls(batch.tables["syscall"])
        batch, missed = self._tell_by_name(batch)
        if not self._held and not len(missed):
            self._deliver(batch)
            return
        first = self._first + self._rows
        self._held.append(batch)
        self._rows += len(batch)
        if len(batch):
            looked = rows_of(self._calls.searching.take(batch["syscall"]))
            keys = self._keys(batch, looked)
            if len(missed):
                until = _ends(batch, missed) + np.uint64(WITHIN_NS)
                self._open = self._open.and_(_Open(first + missed, keys[looked.searchsorted(missed)], until))
            self._tell(batch, first, looked, keys)
            late = self._open.until <= _ends(batch, np.array([-1]))  # rows come in the order of their ends
            if late.any():
                self._open = self._open.take(~late)
        self._hand_on()

    @property
    def waiting(self) -> bool:
        """Whether rows are held back."""
        return bool(self._held)

    def flush(self) -> None:
        """Hand on all there is: what has not been found by now was not there."""
        self._open = _NONE
        self._hand_on()

    def _hand_on(self) -> None:
        """Hand on the batches before the first that is not told."""
        if self._rows > _MOST_HELD:
            self._open = _NONE
        until = int(self._open.row.min()) if len(self._open.row) else self._first + self._rows
        while self._held and self._first + len(self._held[0]) <= until:
            batch = self._held.popleft()
            rows = self._found - self._first
            self._first += len(batch)
            self._rows -= len(batch)
            mine = rows < len(batch)
            self._found = self._found[~mine]
            self._deliver(_with_probes(batch, rows[mine]))

    def _tell_by_name(self, batch: EventBatch) -> tuple[EventBatch, np.ndarray]:
        """Mark the failures that names say are none; return the batch, and the rows of searches that found nothing."""
        failed = rows_of(batch["is_error"])
        errors = np.minimum(-batch["ret"].take(failed), MOST_ERRNO + 1)
        may_be = self._calls.may_be[batch["syscall"].take(failed), errors]
        open_ = rows_of((may_be != 0) & ~batch["probe"].take(failed))
        if not len(open_):
            return batch, open_
        rows, may_be = failed.take(open_), may_be.take(open_)
        told = may_be & self._rules.of(batch["file"].take(rows), batch.tables["file"]) != 0
        return _with_probes(batch, rows[told]), rows[~told & (may_be & _SEARCH != 0)]

    def _tell(self, batch: EventBatch, first: int, looked: np.ndarray, keys: np.ndarray) -> None:
        """Mark the calls whose file this batch finds.

        Args:
            batch: of rows.
            first: number of its first row.
            looked: its rows that look for something.
            keys: theirs.
        """
        wanted, marks = np.sort(self._open.key), np.zeros(_MARKS, bool)
        marks[_mark(wanted)] = True
        some = rows_of(marks.take(_mark(keys)))  # what most look for was never missed
        some = some[~batch["is_error"].take(looked.take(some))]
        theirs = keys.take(some)
        at = np.minimum(wanted.searchsorted(theirs), len(wanted) - 1)
        hits = rows_of(wanted.take(at) == theirs)
        if not len(hits):
            return
        found, span = looked.take(some.take(hits)), len(batch) + 2
        ends = at.take(hits) * span + found + 1
        order = ends.argsort()
        ends, found = ends.take(order), found.take(order)
        begins = wanted.searchsorted(self._open.key) * span + np.maximum(self._open.row - first + 1, 0)
        at = np.minimum(ends.searchsorted(begins, side="right"), len(ends) - 1)
        told = (ends[at] > begins) & (ends[at] // span == begins // span)
        told &= batch["time_ns"][found[at]] <= self._open.until
        self._found = np.concatenate([self._found, self._open.row[told]])
        self._open = self._open.take(~told)

    def _keys(self, batch: EventBatch, rows: np.ndarray) -> np.ndarray:
        """Return who looked for what, as a number, in some rows: the name as written, for links lead to other names."""
        codes = batch["path_arg"].take(rows)
        unread = rows_of(codes == 0)
        codes[unread] = batch["file"].take(rows.take(unread))
        names = self._names.of(codes, batch.tables["path_arg"]).view(np.uint64)
        return names ^ batch["tid"].take(rows).astype(np.uint64) * _FACTOR


def _ends(batch: EventBatch, rows: np.ndarray) -> np.ndarray:
    return np.asarray(batch["time_ns"].take(rows) + batch["latency_ns"].take(rows))


def _mark(keys: np.ndarray) -> np.ndarray:
    return (keys & np.uint64(_MARKS - 1)).view(np.int64)


def _with_probes(batch: EventBatch, rows: np.ndarray) -> EventBatch:
    """Return the batch with some of its rows marked."""
    if not len(rows):
        return batch
    probe = batch["probe"].copy()
    probe[rows] = True
    return batch.with_columns(probe=probe)
