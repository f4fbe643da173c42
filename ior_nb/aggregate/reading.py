"""What whoever adds up the rows of a batch asks of it."""

from __future__ import annotations

from functools import cached_property
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

import numpy as np

from ior_nb.aggregate.rows import fault_rows, latencies, source_files, waits_at, ways
from ior_nb.aggregate.spent import may_wait, slept, totals, wait_rows
from ior_nb.runtime import EventBatch
from ior_nb.runtime.batch import is_one_value, repeated
from ior_nb.runtime.index import occurring, rows_of
from ior_nb.runtime.peers import seen_files

__all__ = ["Amounts", "Moved", "Reading", "amounts"]

_NO_ROWS: Final = np.zeros(0, np.intp)
_FAR: Final = 32
"""So many times as many ids as rows are looked through for those that occur, in less time than rows are sorted."""
_HELD: Final[WeakValueDictionary[int, Reading]] = WeakValueDictionary()
"""Readings by the identity of their batches, which they keep alive."""


class Amounts(NamedTuple):
    """What some rows of a batch have and the others have not."""

    rows: np.ndarray
    """Their numbers, ascending."""
    values: np.ndarray
    """Of each of them, int64."""

    def spread(self, count: int) -> np.ndarray:
        """Return what each of `count` rows has, 0 where it has none."""
        values = np.zeros(count, np.int64)
        values[self.rows] = self.values
        return values


class Moved(NamedTuple):
    """The bytes that rows of a batch moved."""

    read: Amounts
    written: Amounts


def amounts(column: np.ndarray) -> Amounts:
    """Return the rows in which a column of numbers is above 0."""
    rows = _NO_ROWS if is_one_value(column) and len(column) and column[0] <= 0 else rows_of(column > 0)
    return Amounts(rows, column[rows])


class By(NamedTuple):
    """Sums of a batch."""

    process: np.ndarray
    """For each of `Reading.pids`."""
    call: np.ndarray
    """For each of `Reading.calls`."""


def _by_id(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct ids, ascending, and which of them each is; both as wide as what looks up by them needs it."""
    lowest, highest = int(ids.min()), int(ids.max())
    if lowest == highest:
        return np.array([lowest], np.intp), np.zeros(len(ids), np.intp)
    if highest - lowest > _FAR * len(ids):
        distinct, numbers = np.unique(ids, return_inverse=True)
        return distinct.astype(np.intp), numbers
    places = ids.astype(np.intp)
    places -= lowest
    distinct = occurring(places, highest - lowest + 1)
    number = np.empty(highest - lowest + 1, np.intp)
    number[distinct] = np.arange(len(distinct))
    return distinct + lowest, number.take(places)


class Reading:
    """What is found by looks at all rows of a batch: each when it is asked for first, and once for everybody.

    Args:
        batch: the rows, at least one. Of the columns those are looked at that what is asked for is made of.
    """

    def __init__(self, batch: EventBatch) -> None:
        self.batch = batch

    @classmethod
    def of(cls, batch: EventBatch) -> Reading:
        """Return the reading of a batch that somebody still holds, or else a new one."""
        found = _HELD.get(id(batch))
        if found is None:
            found = _HELD[id(batch)] = cls(batch)
        return found

    @cached_property
    def latency(self) -> np.ndarray:
        """Of each row, int64; 0 where the call has none."""
        return latencies(self.batch)[0]

    @cached_property
    def untimed(self) -> np.ndarray:
        """The rows without a latency."""
        done = self.batch.done
        return _NO_ROWS if is_one_value(done) and done[0] else rows_of(~done)

    @cached_property
    def timed(self) -> np.ndarray | None:
        """The rows that have a latency; None where all have one."""
        return np.delete(np.arange(len(self.batch)), self.untimed) if len(self.untimed) else None

    @cached_property
    def failed(self) -> np.ndarray:
        """The rows that are errors."""
        return rows_of(self.batch.failed)

    @cached_property
    def probes(self) -> np.ndarray:
        """The rows that failed and are no errors."""
        return rows_of(self.batch["is_error"] & self.batch["probe"])

    @cached_property
    def files(self) -> np.ndarray:
        """What the file of each row is called where users read names, as codes of the table of `file`."""
        return seen_files(self.batch)

    @cached_property
    def span(self) -> tuple[int, int]:
        """When the first and the last of the calls began."""
        times = self.batch["time_ns"]
        return int(times.min()), int(times.max())

    # ---- by process, and by system call

    @cached_property
    def _numbered(self) -> tuple[np.ndarray, np.ndarray]:
        return _by_id(self.batch["pid"])

    @property
    def pids(self) -> np.ndarray:
        """The ids of processes that occur, ascending."""
        return self._numbered[0]

    @property
    def process(self) -> np.ndarray:
        """Which of `pids` each row is of."""
        return self._numbered[1]

    @cached_property
    def first_rows(self) -> np.ndarray:
        """The first row of each of `pids`."""
        first = np.zeros(len(self.pids), np.intp)
        first[self.process[::-1]] = np.arange(len(self.batch))[::-1]  # of several for one numpy keeps the last
        return first

    @cached_property
    def call(self) -> np.ndarray:
        """The code of each row's system call, as wide as what looks up and adds up by it needs it."""
        return self.batch["syscall"].astype(np.intp)

    @cached_property
    def calls(self) -> np.ndarray:
        """The codes of system calls that occur, ascending."""
        return rows_of(self._counts[1])

    @cached_property
    def names(self) -> list[str]:
        """What each of `calls` is called."""
        return self.batch.tables["syscall"].at(self.calls)

    @cached_property
    def _ways(self) -> np.ndarray:
        return ways(self.names)

    def of_calls(self, values: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Return for all rows, or for some, what there is for each of `calls`."""
        known = np.zeros(self._codes, values.dtype)
        known[self.calls] = values
        return known.take(self.call if rows is None else self.call.take(rows))

    @cached_property
    def _codes(self) -> int:
        return len(self.batch.tables["syscall"])

    @cached_property
    def _pairs(self) -> np.ndarray | None:
        """A number for each pair of a process and a code of a call; None where those are more than there are rows."""
        if len(self.pids) == 1:
            return self.call
        if len(self.pids) * self._codes > len(self.batch):
            return None
        pairs = self.process * self._codes
        pairs += self.call
        return pairs

    @cached_property
    def _counts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """How many rows are of each of `pids`, of each code of a call, and of each pair of them."""
        if self._pairs is None:
            by_process = np.bincount(self.process, minlength=len(self.pids))
            return by_process, np.bincount(self.call, minlength=self._codes), None
        both = np.bincount(self._pairs, minlength=len(self.pids) * self._codes).reshape(-1, self._codes)
        return both.sum(axis=1), both.sum(axis=0), both

    def _by(self, how: np.ufunc, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Return what there is of values, not negative, for each of `pids`, for each of `calls` and for both."""
        if self._pairs is None:
            by_process, by_call = np.zeros(len(self.pids), np.int64), np.zeros(self._codes, np.int64)
            how.at(by_process, self.process, values)
            how.at(by_call, self.call, values)
            return by_process, by_call.take(self.calls), None
        flat = np.zeros(len(self.pids) * self._codes, np.int64)
        how.at(flat, self._pairs, values)
        both = flat.reshape(-1, self._codes).take(self.calls, axis=1)
        return how.reduce(both, axis=1), how.reduce(both, axis=0), both

    @property
    def counts(self) -> By:
        """How many rows there are."""
        return By(self._counts[0], self._counts[1].take(self.calls))

    @cached_property
    def latencies(self) -> By:
        """How long calls took together."""
        return By(*self._by(np.add, self.latency)[:2])

    @cached_property
    def longest(self) -> By:
        """How long the longest took."""
        return By(*self._by(np.maximum, self.latency)[:2])

    @cached_property
    def _bytes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        return self._by(np.add, self.batch["bytes"].view(np.int64))

    @property
    def bytes_by_call(self) -> np.ndarray:
        """What the calls of each of `calls` moved, whichever way."""
        return self._bytes[1] if self.moves else np.zeros(len(self.calls), np.int64)

    @cached_property
    def moved_by_process(self) -> tuple[np.ndarray, np.ndarray]:
        """What each of `pids` read, and what it wrote."""
        both = self._bytes[2] if self.moves else None
        if both is None:
            return self.by_process(self.moved.read), self.by_process(self.moved.written)
        reads, writes = self._ways
        return both @ reads, both @ writes

    def by_process(self, some: Amounts) -> np.ndarray:
        """Return the sums of what some rows have for each of `pids`."""
        sums = np.zeros(len(self.pids), np.int64)
        if len(some.rows):
            np.add.at(sums, self.process.take(some.rows), some.values)
        return sums

    def by_call(self, values: np.ndarray) -> np.ndarray:
        """Return the sums of values for each of `calls`."""
        sums = np.zeros(self._codes, np.int64)
        np.add.at(sums, self.call, values)
        return sums.take(self.calls)

    def count(self, rows: np.ndarray) -> By:
        """Return how many some rows are."""
        by_process = np.bincount(self.process.take(rows), minlength=len(self.pids))
        return By(by_process, np.bincount(self.call.take(rows), minlength=self._codes).take(self.calls))

    def lowest_by_call(self, known: np.ndarray) -> np.ndarray:
        """Return the shortest latency of each of `calls`, or what is known of it where none is shorter."""
        below = np.zeros(self._codes, np.int64)
        below[self.calls] = known
        rows = rows_of(self.latency < below.take(self.call))  # few of them, after a while
        if len(self.untimed):
            rows = np.setdiff1d(rows, self.untimed, assume_unique=True)
        np.minimum.at(below, self.call[rows], self.latency[rows])
        return below.take(self.calls)

    # ---- bytes, and waiting

    @cached_property
    def _moving(self) -> np.ndarray:
        count = self.batch["bytes"]
        return repeated(count[:1] != 0, len(count)) if is_one_value(count) else np.asarray(count != 0)

    @cached_property
    def moves(self) -> bool:
        """Whether any row has moved bytes."""
        return bool(self._moving.any())

    @cached_property
    def moved(self) -> Moved:
        """The bytes read and written."""
        reads, writes = self._ways.astype(np.int8)
        way, count = self.of_calls(reads | writes << 1), self.batch["bytes"].view(np.int64)
        rows = [rows_of((way & bit != 0) & self._moving) for bit in (1, 2)]
        return Moved(*(Amounts(some, count.take(some)) for some in rows))

    @cached_property
    def sources(self) -> np.ndarray | None:
        """The file whose bytes each row read, as a code; None where there are no transfers, so that it is `file`."""
        transfers = np.logical_and(*self._ways)
        return source_files(self.batch, self.of_calls(transfers)) if transfers.any() else None

    @cached_property
    def fetched(self) -> Amounts:
        """The bytes devices had to read."""
        return amounts(self.batch["fetched_bytes"])

    @cached_property
    def faults(self) -> np.ndarray:
        """The rows that are faults on mapped files."""
        return rows_of(fault_rows(self.batch)) if len(self.untimed) else _NO_ROWS

    @cached_property
    def faulted(self) -> Amounts:
        """The bytes that faults on mapped files read."""
        if not len(self.faults):
            return Amounts(_NO_ROWS, _NO_ROWS)
        rows, values = self.moved.read
        mine = np.flatnonzero(np.isin(rows, self.faults))
        return Amounts(rows[mine], values[mine])

    @cached_property
    def measured(self) -> dict[str, int]:
        """The sum of each column of `MEASURED` that was measured."""
        return totals(self.batch)

    @cached_property
    def slept(self) -> int:
        """How long faults on mapped files slept; `MEASURED` is looked at."""
        return int(slept(self.batch)[1].sum()) if len(self.faults) else 0

    @cached_property
    def waits(self) -> np.ndarray:
        """Which rows wait for somebody else; `file_kind` and `wait_other_ns` are looked at."""
        at = waits_at(self.names)
        may = may_wait(self.batch, at)
        return wait_rows(self.batch, self.of_calls(at)) if may else repeated(np.zeros(1, bool), len(self.batch))
