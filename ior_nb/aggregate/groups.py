"""Rows put together by equal keys, batch after batch; and how many different values each group has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from ior_nb.aggregate.columns import Columns, objects
from ior_nb.runtime import EventBatch, Recoder, StringTable
from ior_nb.runtime.batch import distinct, is_one_value, repeated
from ior_nb.runtime.index import Index, claimed, pairs, rows_of
from ior_nb.runtime.schema import column

__all__ = ["ByText", "Distinct", "Groups", "Numbers", "Pairs"]

_MOST_PLACES: Final = 1 << 22
"""Of a table: 16 MiB, of which few places are met often. A hash costs four times as much a row."""
_EMPTY: Final = np.full((1, 16), -1, np.int32)
"""A table of no pairs."""
_NOWHERE: Final = np.zeros(0, np.intp)


class Numbers:
    """Numbers of integer keys, from 0 on as they come."""

    def __init__(self) -> None:
        self._index = Index()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def of(self, keys: np.ndarray, ranks: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of each key, and for each new number in order the first row that holds its key.

        Args:
            keys: the keys.
            ranks: of new keys those of the lowest rank get the lowest numbers; by default any.
        """
        numbers, first = self._index.number(keys.astype(np.uint64), self._count, ranks)
        self._count += len(first)
        return numbers, first


class Pairs:
    """Numbers of pairs of numbers, from 0 on as they come: looked up in a table while that is small."""

    def __init__(self) -> None:
        self._table: np.ndarray | None = _EMPTY.copy()
        self._numbers = Numbers()
        self._known: list[np.ndarray] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def of(self, one: np.ndarray, two: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the number of each pair, and for each new number in order the first row that holds its pair.

        Args:
            one: from 0 on, below 2**31.
            two: of at most 32 bits.
        """
        if self._table is not None and len(one):
            self._make_room(one, two)
        if self._table is None or not len(one):
            numbers, first = self._numbers.of(pairs(one, two))
        else:
            flat = self._table.reshape(-1)
            places = two.astype(np.intp)
            if len(self._table) > 1:
                places += one.astype(np.intp) * self._table.shape[1]
            numbers, first = flat.take(places), np.zeros(0, np.intp)
            if int(numbers.min()) < 0:
                new = np.flatnonzero(numbers < 0)
                first = new.take(len(new) - 1 - claimed(places.take(new)[::-1], flat)[::-1])  # backwards: else the last
                flat[places.take(first)] = np.arange(self._count, self._count + len(first), dtype=np.int32)
                numbers = flat.take(places)
            self._known.append(pairs(one.take(first), two.take(first)))
        self._count += len(first)
        return numbers, first

    def _make_room(self, one: np.ndarray, two: np.ndarray) -> None:
        """Make the table large enough; where that would be too large, go on without it."""
        assert self._table is not None
        low, high = int(two.min()), int(two.max())
        rows, columns = self._table.shape
        rows, columns = max(rows, 1 << int(one.max()).bit_length()), max(columns, 1 << high.bit_length())
        if low < 0 or rows * columns > _MOST_PLACES:
            self._table = None
            known = np.concatenate([np.zeros(0, np.uint64), *self._known])
            self._numbers.of(known, np.arange(len(known)))  # they keep their numbers
            self._known = []
        elif (rows, columns) != self._table.shape:
            self._table = _with_room(self._table, rows, columns)


class _Step:
    """Groups of rows told apart by the values of one more column.

    Codes of a string table are looked up as they come: only those that were not met before are made own ones.

    Args:
        name: the column.
    """

    def __init__(self, name: str) -> None:
        of = column(name)
        self.recoder = Recoder() if of.text else None
        self._wide = Numbers() if of.dtype.itemsize > 4 else None
        self._numbers = Pairs()
        self._table: StringTable | None = None
        self._met = _EMPTY.copy()  # by group so far and code of that table: the number

    def __len__(self) -> int:
        return len(self._numbers)

    def of(
        self, at: np.ndarray, size: int, values: np.ndarray, table: StringTable | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the group of each row, and for each new group in order the first row of it.

        Args:
            at: the group of each row so far.
            size: how many groups there are so far.
            values: of the column.
            table: what they are codes of, if it is text.
        """
        if len(values) > 1 and is_one_value(at) and is_one_value(values):
            numbers, first = self.of(at[:1], size, values[:1], table)
            return repeated(numbers, len(values)), first
        if self.recoder is None or table is None:
            return self._numbers.of(at, values if self._wide is None else self._wide.of(values)[0])
        if table is not self._table:
            self._table, self._met = table, _EMPTY.copy()
        rows, columns = 1 << (size - 1).bit_length(), 1 << len(table).bit_length()
        if rows * columns > _MOST_PLACES:
            return self._numbers.of(at, self.recoder.codes(values, table))
        self._met = _with_room(self._met, rows, columns)
        met = self._met.reshape(-1)
        width = np.int32(self._met.shape[1])
        places = values + at[0] * width if len(at) and is_one_value(at) else at * width + values
        numbers, first = met.take(places), _NOWHERE
        if int(numbers.min(initial=0)) < 0:
            new = rows_of(numbers < 0)
            found, first = self._numbers.of(at.take(new), self.recoder.codes(values.take(new), table))
            numbers[new] = met[places.take(new)] = found
            first = new.take(first)
        return numbers, first


class Groups:
    """Rows put together by equal values of some columns. Groups are numbered from 0 on as they come.

    Args:
        *names: the columns.
    """

    def __init__(self, *names: str) -> None:
        self._steps = {name: _Step(name) for name in names}
        self._recoders = {name: step.recoder for name, step in self._steps.items()}
        self._keys: dict[str, list[np.ndarray]] = {name: [] for name in names}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def of(self, batch: EventBatch) -> np.ndarray:
        """Return the group of each row of a batch that has the columns."""
        at, first, self._count = repeated(np.zeros(1, np.int32), len(batch)), _NOWHERE, 1
        for name, step in self._steps.items():
            at, first = step.of(at, self._count, batch[name], batch.tables.get(name))
            self._count = len(step)
        if len(first):
            for name, step in self._steps.items():
                values, recoder = batch[name].take(first), step.recoder
                known = values if recoder is None else recoder.codes(values, batch.tables[name]).astype(np.int32)
                self._keys[name].append(known)
        return at.astype(np.intp)

    def done(self) -> None:
        """Let go of what rows are looked up in, which is larger than what is known of their groups: none is to come."""
        self._steps = {}

    def keys(self) -> Columns:
        """Return the values of the columns of each group; text as strings."""
        found: Columns = {}
        for name, parts in self._keys.items():
            values = np.concatenate(parts) if parts else np.zeros(0, column(name).dtype)
            known = self._recoders[name]
            found[name] = objects(known.own.at(values)) if known is not None else values.astype(np.int64)
        return found

    def values(self, name: str) -> tuple[Sequence[Any], np.ndarray]:
        """Return the distinct values of a column, and for each group which of them it has."""
        parts, known = self._keys[name], self._recoders[name]
        values = np.concatenate(parts) if parts else np.zeros(0, np.int32)
        if known is not None:
            used, which = distinct(values, len(known.own))
            return known.own.at(used), which
        used, which = np.unique(values, return_inverse=True)
        return used.tolist(), which.astype(np.int32)

    def order(self) -> np.ndarray:
        """Return the groups in ascending order of their keys, that of text as it came."""
        parts = [np.concatenate(parts) if parts else np.zeros(0, np.int64) for parts in self._keys.values()]
        return np.lexsort(parts[::-1])


class ByText:
    """Groups of equal text in one column: their numbers are codes, 0 for the empty text."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._recoder = Recoder()

    def __len__(self) -> int:
        return len(self._recoder.own)

    def of(self, batch: EventBatch) -> np.ndarray:
        """Return the group of each row."""
        return self.coded(batch, batch[self._name])

    def coded(self, batch: EventBatch, codes: np.ndarray) -> np.ndarray:
        """Return the groups of codes of the batch's table of that column."""
        return self._recoder.codes(codes, batch.tables[self._name])

    def names(self, which: np.ndarray) -> np.ndarray:
        """Return the texts of groups."""
        return objects(self._recoder.own.at(which))


class Distinct:
    """How many different values each group has."""

    def __init__(self) -> None:
        self._numbers = Pairs()
        self._groups: list[np.ndarray] = []

    def add(self, at: np.ndarray, values: np.ndarray) -> None:
        """Take in values of at most 32 bits, one a row, of the groups `at`."""
        _, first = self._numbers.of(at, values)
        self._groups.append(at.take(first))

    def counts(self, size: int) -> np.ndarray:
        """Return the numbers of the groups below `size`."""
        return np.bincount(np.concatenate([np.zeros(0, np.intp), *self._groups]), minlength=size)


def _with_room(table: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Return a table of pairs with at least so many rows and columns: -1 where nothing is known."""
    rows, columns = max(rows, table.shape[0]), max(columns, table.shape[1])
    if (rows, columns) == table.shape:
        return table
    larger = np.full((rows, columns), -1, np.int32)
    larger[: table.shape[0], : table.shape[1]] = table
    return larger
