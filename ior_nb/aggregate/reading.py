"""What whoever adds up the rows of a batch asks of it."""

from __future__ import annotations

from functools import cached_property
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

import numpy as np

from ior_nb.aggregate.rows import latencies, waits_at, ways
from ior_nb.aggregate.spent import may_wait, wait_rows
from ior_nb.runtime import EventBatch
from ior_nb.runtime.batch import is_one_value, repeated
from ior_nb.runtime.index import rows_of
from ior_nb.runtime.peers import seen_files

__all__ = ["Amounts", "Moved", "Reading", "amounts"]

_NO_ROWS: Final = np.zeros(0, np.intp)
_HELD: Final[WeakValueDictionary[int, Reading]] = WeakValueDictionary()
"""Readings by the identity of their batches, which they keep alive."""


class Amounts(NamedTuple):
    """What some rows of a batch have and the others have not."""

    rows: np.ndarray
    """Their numbers, ascending."""
    values: np.ndarray
    """Of each of them, int64."""

    def among(self, which: np.ndarray) -> Amounts:
        """Return those of some rows, ascending, by their places among these."""
        mine = np.flatnonzero(np.isin(self.rows, which))
        return Amounts(np.searchsorted(which, self.rows[mine]), self.values[mine])

    def of(self, which: np.ndarray) -> Amounts:
        """Return those of some rows, by the numbers they have."""
        mine = np.flatnonzero(np.isin(self.rows, which))
        return Amounts(self.rows[mine], self.values[mine])

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
    rows = _NO_ROWS if is_one_value(column) and not column[:1].any() else rows_of(column > 0)
    return Amounts(rows, column[rows])


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

    @cached_property
    def pid(self) -> np.ndarray:
        """The id of each row's process, as wide as what looks up by it needs it."""
        return self.batch["pid"].astype(np.intp)

    @cached_property
    def highest_pid(self) -> int:
        """The highest of these ids."""
        return int(self.batch["pid"].max())

    # ---- by system call

    @cached_property
    def call(self) -> np.ndarray:
        """The code of each row's system call, as wide as what looks up and adds up by it needs it."""
        return self.batch["syscall"].astype(np.intp)

    @cached_property
    def _counts(self) -> np.ndarray:
        return np.bincount(self.call)

    @cached_property
    def calls(self) -> np.ndarray:
        """The codes of system calls that occur, ascending."""
        return rows_of(self._counts)

    @cached_property
    def counts(self) -> np.ndarray:
        """How many rows are of each of `calls`."""
        return self._counts.take(self.calls)

    def by_call(self, values: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the sums of values of all rows, or of some, for each of `calls`."""
        sums = np.zeros(len(self._counts), np.int64)
        np.add.at(sums, self.call if rows is None else self.call.take(rows), values)
        return sums.take(self.calls)

    def count_by_call(self, rows: np.ndarray) -> np.ndarray:
        """Return how many of some rows are of each of `calls`."""
        return np.bincount(self.call.take(rows), minlength=len(self._counts)).take(self.calls)

    def of_calls(self, values: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
        """Return for all rows, or for some, what there is for each of `calls`."""
        known = np.zeros(len(self._counts), values.dtype)
        known[self.calls] = values
        return known.take(self.call if rows is None else self.call.take(rows))

    @cached_property
    def latency_by_call(self) -> np.ndarray:
        """How long the calls of each of `calls` took together."""
        return self.by_call(self.latency)

    @cached_property
    def bytes_by_call(self) -> np.ndarray:
        """What the calls of each of `calls` moved, whichever way."""
        return self.by_call(self.batch["bytes"].view(np.int64)) if self.moves else np.zeros_like(self.counts)

    @cached_property
    def highest_by_call(self) -> np.ndarray:
        """The longest latency of each of `calls`."""
        most = np.zeros(len(self._counts), np.int64)
        np.maximum.at(most, self.call, self.latency)
        return most.take(self.calls)

    def lowest_by_call(self, known: np.ndarray) -> np.ndarray:
        """Return the shortest latency of each of `calls`, or what is known of it where none is shorter."""
        below = np.zeros(len(self._counts), np.int64)
        below[self.calls] = known
        rows = rows_of(self.latency < below.take(self.call))  # few of them, after a while
        if len(self.untimed):
            rows = np.setdiff1d(rows, self.untimed, assume_unique=True)
        np.minimum.at(below, self.call[rows], self.latency[rows])
        return below.take(self.calls)

    @cached_property
    def _moving(self) -> np.ndarray:
        count = self.batch["bytes"]
        return repeated(count[:1] != 0, len(count)) if is_one_value(count) else np.asarray(count != 0)

    @cached_property
    def moves(self) -> bool:
        """Whether any row has moved bytes."""
        return bool(self._moving.any())

    @cached_property
    def names(self) -> list[str]:
        """What each of `calls` is called."""
        return self.batch.tables["syscall"].at(self.calls)

    @cached_property
    def moved(self) -> Moved:
        """The bytes read and written."""
        reads, writes = ways(self.names).astype(np.int8)
        way, count = self.of_calls(reads | writes << 1), self.batch["bytes"].view(np.int64)
        rows = [rows_of((way & bit != 0) & self._moving) for bit in (1, 2)]
        return Moved(*(Amounts(some, count.take(some)) for some in rows))

    @cached_property
    def waits(self) -> np.ndarray:
        """Which rows wait for somebody else; `file_kind` and `wait_other_ns` are looked at."""
        at = waits_at(self.names)
        may = may_wait(self.batch, at)
        return wait_rows(self.batch, self.of_calls(at)) if may else repeated(np.zeros(1, bool), len(self.batch))
