"""Sums by group: what a question keeps while it looks at the rows, as long as there are groups."""

from __future__ import annotations

from typing import Final

import numpy as np

from ior_nb.aggregate.columns import Columns, mean
from ior_nb.aggregate.reading import Amounts
from ior_nb.aggregate.rows import CLASSES, classes, latencies, moved
from ior_nb.aggregate.spent import MEASURED
from ior_nb.runtime import EventBatch
from ior_nb.runtime.batch import is_one_value
from ior_nb.runtime.index import grown, rows_of

__all__ = ["SUMMED", "Measures", "Sums", "averaged", "measured", "together"]

SUMMED: Final = ("syscall", "bytes", "latency_ns", "state", "is_error", "probe", *MEASURED)
"""The columns of `Measures`."""
_CLASSES: Final = len(CLASSES)


class Sums:
    """Equal-length int64 columns indexed by the number of a group, grown as numbers appear.

    Args:
        names: of the columns.

    Attributes:
        columns: the sums by name; what is written to them stays.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self._size = 64
        self.columns = {name: np.zeros(self._size, np.int64) for name in names}

    def grow(self, size: int) -> None:
        """Make room for numbers below `size`."""
        if size > self._size:
            self.columns = {name: grown(column, size) for name, column in self.columns.items()}
            self._size = min(map(len, self.columns.values()))

    def keep(self, kept: np.ndarray, codes: np.ndarray) -> None:
        """Forget all but the sums at `kept`, which are at `codes` from now on."""
        for name, column in self.columns.items():
            fresh = np.zeros_like(column)
            fresh[codes] = column[kept]
            self.columns[name] = fresh

    def count(self, name: str, at: np.ndarray) -> None:
        """Count rows of the groups `at`."""
        self.counted(name, np.bincount(at))

    def counted(self, name: str, counts: np.ndarray) -> None:
        """Add what was counted, of the first groups."""
        self.columns[name][: len(counts)] += counts

    def add(self, name: str, at: np.ndarray, values: np.ndarray | int) -> None:
        """Add values, int64, or the same for each, to those of the groups `at`."""
        np.add.at(self.columns[name], at, values)

    def add_some(self, name: str, at: np.ndarray, some: Amounts) -> None:
        """Add what some rows have to that of their groups; `at` are those of all rows."""
        if len(some.rows):
            np.add.at(self.columns[name], at.take(some.rows), some.values)

    def most(self, name: str, at: np.ndarray, values: np.ndarray) -> None:
        """Keep the largest value of each group: the few that are larger than those before cost something."""
        column = self.columns[name]
        above = rows_of(values > column.take(at))
        np.maximum.at(column, at[above], values[above])


class Measures:
    """What every table of calls has: how many, failed, moved how much, took how long."""

    def __init__(self) -> None:
        self.sums = Sums(
            ("calls", "errors", "probes", "bytes", "bytes_read", "bytes_written", "time_ns", "timed", "max_ns")
        )
        self._moved = Sums(("bytes",))  # of each group as many as there are byte classes
        self._spent = {name: Sums(("sum", "known")) for name in MEASURED}

    def add(self, batch: EventBatch, at: np.ndarray, size: int, *, credited: np.ndarray | None = None) -> None:
        """Count rows.

        Args:
            batch: `SUMMED` of them.
            at: the number of the group of each, below `size`.
            size: how many groups there are.
            credited: the group whose bytes each row read, where that is another.
        """
        sums = self.sums
        sums.grow(size)
        counts = np.bincount(at)
        self._add_spent(batch, at, counts, size, credited)
        latency, done = latencies(batch)
        sums.counted("calls", counts)
        sums.add("time_ns", at, latency)
        sums.counted("timed", counts if done.all() else np.bincount(at[done]))
        sums.most("max_ns", at, latency)
        failed = rows_of(batch["is_error"])
        if len(failed):
            probe = batch["probe"][failed]
            sums.count("errors", at[failed[~probe]])
            sums.count("probes", at[failed[probe]])
        count = batch["bytes"].view(np.int64)
        if not count.any():
            return
        self._moved.grow(_CLASSES * size)
        self._moved.add("bytes", at * _CLASSES + classes(batch), count)
        if credited is not None:
            rows = rows_of(credited != at)
            read = moved(batch.read("syscall", "bytes").take(rows))[0]
            sums.add("bytes_read", credited[rows], read)
            sums.add("bytes_read", at[rows], -read)

    def _add_spent(
        self, batch: EventBatch, at: np.ndarray, counts: np.ndarray, size: int, credited: np.ndarray | None
    ) -> None:
        """Add up what was measured of rows."""
        for name, sums in self._spent.items():
            sums.grow(size)
            values = batch[name]
            if not len(values) or int(values[0] if is_one_value(values) else values.max()) < 0:
                continue
            groups = credited if credited is not None and name == "fetched_bytes" else at
            if int(values.min()) >= 0:
                there = counts if groups is at else np.bincount(groups)
                sums.columns["known"][: len(there)] |= there > 0
                sums.add("sum", groups, values)
            else:
                rows = rows_of(values >= 0)
                groups = groups.take(rows)
                sums.columns["known"][groups] = 1
                sums.add("sum", groups, values.take(rows))

    def columns(self, which: np.ndarray) -> Columns:
        """Return the measures of groups, by their numbers; -1 for what was measured of none of their rows."""
        found = {name: values.take(which) for name, values in self.sums.columns.items()}
        self._moved.grow(_CLASSES * len(self.sums.columns["calls"]))
        for number, name in enumerate(CLASSES):
            count = self._moved.columns["bytes"].take(which * _CLASSES + number)
            found["bytes"] += count
            found["bytes_read"] += count if name in ("read", "transfer") else 0
            found["bytes_written"] += count if name in ("write", "transfer") else 0
        for name, sums in self._spent.items():
            amount, known = (sums.columns[column].take(which) for column in ("sum", "known"))
            found[name] = np.where(known > 0, amount, -1)
        return found


def measured(measures: Measures, which: np.ndarray, *, recorded: bool = False) -> Columns:
    """Return the measures of groups.

    Args:
        measures: of all groups.
        which: numbers of those that are wanted.
        recorded: say in a column how many calls are rows, in tables whose groups are given calls that are none.
    """
    columns = measures.columns(which)
    calls = columns.pop("calls")
    return {"calls": calls, **({"recorded": calls} if recorded else {}), **columns}


def together(columns: Columns, at: np.ndarray, size: int) -> Columns:
    """Return the measures of groups put together in larger ones.

    Args:
        columns: the measures.
        at: the number of the larger group of each, below `size`.
        size: how many larger ones there are.
    """
    sums = Sums(tuple(columns))
    sums.grow(size)
    for name, values in columns.items():
        if name in MEASURED:  # below 0 where none was
            sums.columns[name][:] = -1
            sums.most(name, at, np.minimum(values, 0))
        how = sums.most if name == "max_ns" else sums.add
        how(name, at, np.maximum(values, 0))
    return {name: values[:size] for name, values in sums.columns.items()}


def averaged(columns: Columns) -> Columns:
    """Return the columns with the mean in the place of how many calls it is of."""
    means = mean(columns["time_ns"], columns["timed"])
    return {"mean_ns" if name == "timed" else name: means if name == "timed" else v for name, v in columns.items()}
